from __future__ import annotations

import pytest

from parsers.errors import FormatError
from parsers.limits import MAX_UPDATES
from tests.forensics.world import CURRENT, SERVER_2019, Data, Keys, gaps, named, scan

CBS = r"Microsoft\Windows\CurrentVersion\Component Based Servicing"
MANAGER = r"ControlSet001\Control\Session Manager"
ROLLUP = "Package_for_RollupFix~31bf3856ad364e35~amd64~~17763.1757.1.7"
FEBRUARY = 132_573_000_000_000_000


def software(packages: dict[str, dict[str, Data]], **more: dict[str, Data]) -> Keys:
    made: dict[str, object] = {CURRENT: SERVER_2019[CURRENT], f"{CBS}\\Packages": {}}
    made |= {f"{CBS}\\Packages\\{name}": values for name, values in packages.items()}
    return {**made, **{f"{CBS}\\{name}": values for name, values in more.items()}}  # type: ignore[dict-item]


def installed(state: int = 112) -> dict[str, Data]:
    return {"CurrentState": state, "InstallTimeHigh": FEBRUARY >> 32, "InstallTimeLow": FEBRUARY & 0xFFFFFFFF}


def test_the_level_of_the_machine_is_an_update_with_its_kb() -> None:
    facts, _ = scan(software=software({ROLLUP: installed()}))
    level = named(facts["updates"], "build 17763.1757", "package")
    assert (level["kb"], level["cumulative"], level["state"]) == ("KB4601345", True, "installed")
    assert level["installed_at"] == "2021-02-08T23:20:00Z"
    assert level["source"]["kind"] == "derived"


def test_a_rollup_package_is_named_by_the_build_in_its_identity() -> None:
    facts, _ = scan(software=software({ROLLUP: installed()}))
    package = named(facts["updates"], ROLLUP, "package")
    assert (package["kb"], package["state"], package["state_code"]) == ("KB4601345", "installed", 112)
    assert package["source"]["path"].endswith(ROLLUP)


@pytest.mark.parametrize(
    ("number", "word", "pending"),
    [
        (0, "absent", False),
        (5, "uninstall-pending", True),
        (64, "staged", False),
        (80, "superseded", False),
        (96, "install-pending", True),
        (112, "installed", False),
        (128, "installed", False),
        (0xFFFFFF90, "failed", False),
        (77, "other", False),
    ],
)
def test_states_have_words(number: int, word: str, pending: bool) -> None:
    facts, _ = scan(software=software({"Package_for_KB5000001~x~amd64~~10.0.1.1": installed(number)}))
    package = named(facts["updates"], "KB5000001", "kb")
    assert (package["state"], package["pending_reboot"]) == (word, pending)


def test_features_and_parts_of_updates_are_left_out_unless_something_is_pending() -> None:
    feature = "Microsoft-Windows-Foo-Package~31bf3856ad364e35~amd64~~10.0.17763.1"
    part = "Package_12_for_KB5000001~31bf3856ad364e35~amd64~~10.0.1.1"
    facts, _ = scan(software=software({feature: installed(), part: installed()}))
    assert [item["package"] for item in facts["updates"]] == ["build 17763.1757"]
    facts, _ = scan(software=software({feature: installed(96), part: installed(5)}))
    assert {item["package"] for item in facts["updates"]} == {"build 17763.1757", feature, part}


def test_of_very_many_packages_the_newest_are_kept() -> None:
    many = {f"Package_for_KB{5_000_000 + n}~x~amd64~~1.1.1.1": installed() for n in range(MAX_UPDATES + 5)}
    many["Package_for_KB5000003~x~amd64~~1.1.1.1"] = {"CurrentState": 112}
    facts, diagnostics = scan(software=software(many))
    assert len(facts["updates"]) == MAX_UPDATES + 1
    assert not [item for item in facts["updates"] if item.get("kb") == "KB5000003"]
    assert "updates.many" in [item.code for item in diagnostics.items]


def test_a_damaged_package_and_a_damaged_list_are_gaps() -> None:
    packages: dict[str, object] = {"Package_for_KB5000001~x": FormatError("regf", "cell damaged")}
    facts, _ = scan(software=software(packages))  # type: ignore[arg-type]
    assert "cell damaged" in gaps(facts)["/updates/Package_for_KB5000001~0x"]
    assert "/updates" not in gaps(facts)
    packages = {ROLLUP: installed(), "!": FormatError("regf", "list damaged")}
    facts, _ = scan(software=software(packages))  # type: ignore[arg-type]
    assert "list damaged" in gaps(facts)["/updates"]
    assert named(facts["updates"], ROLLUP, "package")


def test_file_renames_are_counted_in_pairs_though_a_target_may_be_empty() -> None:
    def count(*names: str) -> int:
        data = "".join(f"{name}\0" for name in names).encode("utf-16-le") + b"\0\0"
        facts, _ = scan(system={MANAGER: {"PendingFileRenameOperations": data}})
        return facts["boot"]["pending_operations"]

    assert count() == 0
    assert count(r"\??\C:\a", r"!\??\C:\b") == 1
    assert count(r"\??\C:\a", "") == 1
    assert count(r"\??\C:\a", "", r"\??\C:\b", r"\??\C:\c", r"\??\C:\d", "") == 3


def test_pending_xml_is_told_and_an_empty_one_is_remarked_on() -> None:
    assert scan()[0]["boot"]["pending_xml"] is False
    path = r"\Windows\WinSxS\pending.xml"
    assert scan(files={path: b"<xml/>"})[0]["boot"]["pending_xml"] is True
    facts, diagnostics = scan(files={path: b""})
    assert facts["boot"]["pending_xml"] is True
    assert "updates.pending-empty" in [item.code for item in diagnostics.items]


def test_only_servicing_sessions_that_are_not_complete_are_open() -> None:
    sessions: dict[str, dict[str, Data]] = {
        "SessionsPending": {"Exclusive": 0},
        r"SessionsPending\30000000_1": {"Complete": 1},
    }
    assert scan(software=software({}, **sessions))[0]["boot"]["sessions_pending"] == 0
    sessions[r"SessionsPending\30000000_2"] = {"Client": "x"}
    assert scan(software=software({}, **sessions))[0]["boot"]["sessions_pending"] == 1
    exclusive: dict[str, dict[str, Data]] = {"SessionsPending": {"Exclusive": 3}}
    assert scan(software=software({}, **exclusive))[0]["boot"]["sessions_pending"] == 1


def test_without_software_updates_are_unknown_and_file_renames_are_not() -> None:
    facts, _ = scan(software=None)
    assert {"/updates", "/boot/reboot_pending", "/boot/sessions_pending"} <= set(gaps(facts))
    assert facts["boot"]["pending_operations"] == 0


COMPONENTS = "\\Windows\\System32\\config\\COMPONENTS"


def test_marks_of_an_unfinished_transaction_are_told_and_settled_ones_are_not() -> None:
    root: dict[str, Data] = {"ExecutionState": 0, "PendingXmlIdentifier": b"\1\2", "StoreDirty": 1, "x": 1}
    facts, _ = scan(components={"": {**root, "NextQueueEntryIndex": b""}}, files={COMPONENTS: b""})
    assert facts["boot"]["component_marks"] == ["PendingXmlIdentifier", "StoreDirty"]


def test_a_machine_without_the_components_hive_has_no_marks_and_no_gap() -> None:
    facts, diagnostics = scan()
    assert "component_marks" not in facts["boot"]
    assert "/boot/component_marks" not in gaps(facts)
    assert "hive.unreadable" not in [item.code for item in diagnostics.items]


def test_a_components_hive_that_cannot_be_read_is_a_gap() -> None:
    facts, _ = scan(files={COMPONENTS: b""})
    assert "/boot/component_marks" in gaps(facts)
