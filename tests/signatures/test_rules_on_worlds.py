"""Rules meet facts as collectors make them: a made-up disk with one thing wrong, scanned and judged.

An inline test states facts; these show that a disk gives such facts, under the names that the rules ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forensics.facts import Wants
from parsers.errors import FormatError
from signatures import judge_all, load_database
from tests.forensics.world import CURRENT, SERVER_2019, STORFLT, pe_file, scan

DATABASE = load_database()
SERVICES = "ControlSet001\\Services\\"
DRIVERS = r"\Windows\System32\drivers"
CLASS = "ControlSet001\\Control\\Class\\"
DISK = CLASS + "{4d36e967-e325-11ce-bfc1-08002be10318}"
OLD = pe_file((10, 0, 17763, 771))
CHANNEL = rf"{DRIVERS}\CrowdStrike\C-00000291-00000000-00000032.sys"
FALCON: dict[str, Any] = {
    SERVICES + "CSAgent": {"Type": 2, "Start": 1, "ImagePath": r"\??\C:\Windows\System32\drivers\CSAgent.sys"}
}
HYPER_V: dict[str, Any] = {
    SERVICES + "vmbus": {"Type": 1, "Start": 0, "ErrorControl": 1, "ImagePath": r"System32\drivers\vmbus.sys"},
    SERVICES + "storvsc": {"Type": 1, "Start": 0, "ErrorControl": 1, "ImagePath": r"System32\drivers\storvsc.sys"},
}
HYPER_V_FILES = {rf"{DRIVERS}\vmbus.sys": OLD, rf"{DRIVERS}\storvsc.sys": OLD}
CBS_PACKAGE = (
    r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages"
    r"\Package_for_RollupFix~31bf3856ad364e35~amd64~~7601.24520.1.1"
)
PENDING = r"\Windows\WinSxS\pending.xml"
LOG = r"\Windows\System32\winevt\Logs\System.evtx"


def filetime(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int((moment.timestamp() + 11_644_473_600) * 10_000_000)


def software(build: int, ubr: int | None = None, installation: str = "Server") -> dict[str, Any]:
    values: dict[str, Any] = {
        **SERVER_2019[CURRENT],  # type: ignore[dict-item]  # a map of values
        "CurrentBuild": str(build),
        "CurrentBuildNumber": str(build),
        "InstallationType": installation,
    }
    del values["UBR"]
    return {**SERVER_2019, CURRENT: values | ({"UBR": ubr} if ubr is not None else {})}


def states(**world: Any) -> dict[str, str]:
    facts, _ = scan(wants=DATABASE.wants(), **world)
    return {finding["rule"]: finding["state"] for finding in judge_all(DATABASE, facts).findings}


@pytest.mark.parametrize(
    ("rule", "world"),
    [
        ("vmstorfl", {"system": STORFLT, "files": {rf"{DRIVERS}\vmstorfl.sys": OLD}}),
        (
            "crowdstrike-channel-291",
            {
                "system": FALCON,
                "files": {CHANNEL: b"\xaa" * 64, rf"{DRIVERS}\CSAgent.sys": pe_file(None)},
                "times": {CHANNEL: filetime("2024-07-19T04:09:01")},
            },
        ),
        (
            "hidparse-mismatch",
            {
                "software": software(19045, 2364, "Client"),
                "files": {
                    r"\Windows\System32\hidparse.sys": pe_file((10, 0, 19041, 2075)),
                    rf"{DRIVERS}\hidparse.sys": pe_file((10, 0, 19041, 2364)),
                },
            },
        ),
        (
            "hyperv-drivers-not-boot",
            {"system": {**HYPER_V, SERVICES + "storvsc": {"Type": 1, "Start": 3}}, "files": HYPER_V_FILES},
        ),
        ("hyperv-files-missing", {"system": HYPER_V, "files": {rf"{DRIVERS}\vmbus.sys": OLD}}),
        (
            "san-policy-offline",
            {"system": {SERVICES + r"partmgr\Parameters": {"SanPolicy": 3}}, "files": {rf"{DRIVERS}\x.sys": OLD}},
        ),
        (
            "orphan-class-filter",
            {"system": {DISK: {"UpperFilters": ["snapman"]}}, "files": {rf"{DRIVERS}\x.sys": OLD}},
        ),
        (
            "core-driver-missing",
            {
                "system": {SERVICES + "volmgr": {"Type": 1, "Start": 0, "ErrorControl": 3}},
                "files": {rf"{DRIVERS}\x.sys": OLD},
            },
        ),
        (
            "acpi-vmbus-renamed",
            {
                "system": {r"ControlSet001\Enum\ACPI\VMBus\3&1": {"Service": "vmbus"}},
                "software": software(9600),
                "files": {rf"{DRIVERS}\vmbus.sys": pe_file((6, 3, 9600, 18907))},
            },
        ),
        (
            "lsass-leak-2024-03",
            {
                "system": {r"ControlSet001\Control\ProductOptions": {"ProductType": "LanmanNT"}},
                "software": software(20348, 2340),
                "files": {rf"{DRIVERS}\x.sys": OLD},
            },
        ),
    ],
)
def test_a_disk_with_one_thing_wrong_is_exposed_by_that_rule_alone(rule: str, world: dict[str, Any]) -> None:
    assert states(**world) == {rule: "exposed"}


def test_a_disk_whose_software_hive_is_zeroed_leaves_the_old_file_suspected() -> None:
    assert states(system=STORFLT, software=None, files={rf"{DRIVERS}\vmstorfl.sys": OLD}) == {"vmstorfl": "suspected"}


@pytest.mark.parametrize(
    "file", [FormatError("PE", "no PE header", offset=0), OLD[:0x200]], ids=["unreadable", "cut behind its headers"]
)
def test_a_disk_whose_driver_file_is_damaged_leaves_the_machine_suspected(file: Any) -> None:
    assert states(system=STORFLT, files={rf"{DRIVERS}\vmstorfl.sys": file}) == {"vmstorfl": "suspected"}


def test_with_both_hives_zeroed_nothing_is_said_of_a_disk_without_the_file() -> None:
    facts, _ = scan(system=None, software=None, files={rf"{DRIVERS}\ntfs.sys": OLD}, wants=DATABASE.wants())
    judgement = judge_all(DATABASE, facts)
    assert judgement.findings == []
    assert {"san-policy-offline", "orphan-class-filter", "lsass-leak-2024-03"} <= {
        row["rule"] for row in judgement.unjudged
    }


def test_facts_that_were_collected_for_other_rules_leave_files_and_values_unjudged_not_clear() -> None:
    facts, _ = scan(system=FALCON, files={rf"{DRIVERS}\CSAgent.sys": pe_file(None)}, wants=Wants())
    judgement = judge_all(DATABASE, facts)
    assert [finding["rule"] for finding in judgement.findings] == ["crowdstrike-channel-291"]
    assert judgement.findings[0]["missing"][0]["reason"] == "not collected"


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("written", "state", "told"),
    [
        ("2012-04-06T13:00:00", 96, {"servicing-unfinished": "exposed"}),
        ("2012-04-06T13:00:00", 112, {}),
        ("2012-03-14T13:00:00", 96, {}),
    ],
    ids=["close to two unexpected ends", "packages are settled", "weeks before them"],
)
def test_unfinished_servicing_is_told_by_a_real_log_with_two_ends_without_warning(
    unpacked: Callable[[str], Path], written: str, state: int, told: dict[str, str]
) -> None:
    log = unpacked("logs/win7-bugcheck/System.evtx").read_bytes()
    assert told == states(
        software={**software(7601, installation="Client"), CBS_PACKAGE: {"CurrentState": state}},
        files={LOG: log, PENDING: b"<POQ/>", rf"{DRIVERS}\x.sys": OLD},
        times={PENDING: filetime(written)},
    )


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("log", "build", "controller"),
    [("logs/ws2016-dc", 14393, True), ("logs/win10-1703", 15063, False), ("logs/ws2008r2-dc", 7601, True)],
)
def test_updates_that_wait_on_a_machine_with_a_healthy_log_are_no_finding(
    unpacked: Callable[[str], Path], log: str, build: int, controller: bool
) -> None:
    data = unpacked(f"{log}/System.evtx").read_bytes()
    facts, _ = scan(wants=Wants(), files={LOG: data})
    assert (
        states(
            system={r"ControlSet001\Control\ProductOptions": {"ProductType": "LanmanNT" if controller else "WinNT"}},
            software={**software(build, 693 if build > 9600 else None), CBS_PACKAGE: {"CurrentState": 96}},
            files={LOG: data, PENDING: b"<POQ/>", rf"{DRIVERS}\x.sys": OLD},
            times={PENDING: filetime(facts["boot"]["last_boot"].rstrip("Z"))},
        )
        == {}
    )


@pytest.mark.realdata
def test_updates_that_wait_on_a_machine_whose_log_lost_events_are_suspected(unpacked: Callable[[str], Path]) -> None:
    # Records 1156 to 1417 of this real log are nowhere: the one that the rule asks for may have been among them.
    data = unpacked("logs/win10-1803-vss/System.evtx").read_bytes()
    facts, _ = scan(wants=Wants(), files={LOG: data})
    assert states(
        system={r"ControlSet001\Control\ProductOptions": {"ProductType": "WinNT"}},
        software={**software(17134, 693), CBS_PACKAGE: {"CurrentState": 96}},
        files={LOG: data, PENDING: b"<POQ/>", rf"{DRIVERS}\x.sys": OLD},
        times={PENDING: filetime(facts["boot"]["last_boot"].rstrip("Z"))},
    ) == {"servicing-unfinished": "suspected"}
