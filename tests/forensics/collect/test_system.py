from __future__ import annotations

import pytest

from parsers.errors import FormatError
from tests.forensics.world import CURRENT, SELECT, SERVER_2019, Data, gaps, pe_file, scan

DAMAGE = FormatError("regf", "value list cut off", offset=0x4000)
KERNEL = r"\Windows\System32\ntoskrnl.exe"


def software(**values: Data) -> dict[str, dict[str, Data]]:
    current = SERVER_2019[CURRENT]
    assert isinstance(current, dict)
    return {**SERVER_2019, CURRENT: {**current, **values}}  # type: ignore[dict-item]


def test_build_and_revision_name_the_update() -> None:
    facts, _ = scan()
    system = facts["system"]
    assert (system["build"], system["ubr"], system["version"]) == (17763, 1757, "10.0.17763.1757")
    assert (system["update_kb"], system["update_date"], system["update_kind"]) == ("KB4601345", "2021-02-09", "B")
    assert (system["product"], system["installation"], system["edition"]) == (
        "Windows Server 2019 Standard",
        "server",
        "ServerStandard",
    )
    assert system["installed_at"] == "2020-09-13T12:26:40Z"


def test_each_field_tells_hive_key_and_value_it_came_from() -> None:
    facts, _ = scan()
    source = facts["system"]["sources"]["ubr"]
    assert source["kind"] == "value"
    assert source["path"] == r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"
    assert source["detail"] == "UBR"
    assert source["offset"] == 0x2000
    assert set(facts["system"]) - {"sources"} == set(facts["system"]["sources"])


def test_a_client_from_build_22000_on_is_windows_11_whatever_it_calls_itself() -> None:
    facts, _ = scan(
        software=software(
            ProductName="Windows 10 Pro", InstallationType="Client", CurrentBuild="22631", CurrentBuildNumber="22631"
        )
    )
    assert facts["system"]["product"] == "Windows 11 Pro"
    facts, _ = scan(software=software(ProductName="Windows 10 Pro", CurrentBuild="19045", CurrentBuildNumber="19045"))
    assert facts["system"]["product"] == "Windows 10 Pro"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"InstallationType": "Client"}, "client"),
        ({"InstallationType": "Server Core"}, "server-core"),
        ({"InstallationType": "Nano Server"}, "nano"),
        ({"InstallationType": "Server Core", "EditionID": "ServerAzureStackHCICor"}, "azure-local"),
        ({"InstallationType": "Server", "EditionID": "ServerTurbine"}, "server"),
        ({"InstallationType": "Embedded"}, "other"),
    ],
)
def test_the_kind_of_installation_has_one_word(values: dict[str, Data], word: str) -> None:
    facts, _ = scan(software=software(**values))
    assert facts["system"]["installation"] == word


def test_a_zeroed_software_hive_makes_a_gap_of_each_field_and_no_guess() -> None:
    facts, diagnostics = scan(
        software=None,
        system={r"Setup\BuildUpdate": {"SourceOSVersion": 10 << 48 | 17763 << 16 | 1}},
        files={KERNEL: pe_file((10, 0, 17763, 1757))},
    )
    assert {"/system/build", "/system/ubr", "/system/product", "/system/update_kb"} <= set(gaps(facts))
    assert "build" not in facts["system"]
    assert "version" not in facts["system"]
    assert facts["system"]["arch"] == "x64"
    codes = [item.code for item in diagnostics.items]
    assert codes.count("hive.unreadable") == 1
    hint = next(item for item in diagnostics.items if item.code == "system.build-hint")
    assert "10.0.17763.1" in hint.message


def test_a_zeroed_system_hive_leaves_what_software_tells() -> None:
    facts, diagnostics = scan(system=None)
    assert facts["system"]["build"] == 17763
    assert {"/system/hostname", "/system/role", "/system/control_set", "/services", "/filters"} <= set(gaps(facts))
    assert [item.code for item in diagnostics.items].count("hive.unreadable") == 1


def test_a_missing_ubr_is_a_gap_where_every_windows_has_one() -> None:
    current = dict(SERVER_2019[CURRENT])  # type: ignore[arg-type]
    del current["UBR"]
    facts, _ = scan(software={**SERVER_2019, CURRENT: current})
    assert "/system/ubr" in gaps(facts)
    current["CurrentBuild"] = current["CurrentBuildNumber"] = "7601"
    facts, _ = scan(software={**SERVER_2019, CURRENT: current}, files={KERNEL: pe_file((6, 1, 7601, 24545))})
    assert "/system/ubr" not in gaps(facts)
    assert facts["system"]["version"] == "6.1.7601.24545"
    assert facts["system"]["sources"]["version"]["kind"] == "derived"


def test_a_damaged_value_is_the_gap_of_its_field_alone() -> None:
    facts, _ = scan(software=software(UBR=DAMAGE))
    assert "value list cut off" in gaps(facts)["/system/ubr"]
    assert facts["system"]["build"] == 17763
    assert "/updates" in gaps(facts)


def test_a_damaged_version_key_leaves_no_field_that_looks_read() -> None:
    facts, _ = scan(software={**SERVER_2019, CURRENT: DAMAGE})
    assert {"/system/build", "/system/ubr", "/system/product", "/system/version"} <= set(gaps(facts))


def test_values_of_the_wrong_type_are_not_taken() -> None:
    facts, _ = scan(software=software(CurrentBuild=17763, CurrentBuildNumber="17763x", UBR="1757", ProductName=7))
    assert "build" not in facts["system"]
    assert "/system/build" in gaps(facts)
    assert "/system/ubr" in gaps(facts)
    assert "product" not in facts["system"]


def test_builds_that_contradict_each_other_are_told() -> None:
    facts, diagnostics = scan(software=software(CurrentBuild="14393"))
    assert facts["system"]["build"] == 17763
    assert "system.build-contradicts" in [item.code for item in diagnostics.items]


def test_facts_of_the_system_hive_come_through_select_current() -> None:
    facts, _ = scan(
        system={
            "Select": {"Current": 2, "Default": 1},
            r"ControlSet001\Control\ComputerName\ComputerName": {"ComputerName": "OLD"},
            r"ControlSet002\Control\ComputerName\ComputerName": {"ComputerName": "NEW"},
            r"ControlSet002\Control\ProductOptions": {"ProductType": "LanmanNT"},
            r"ControlSet002\Control\TimeZoneInformation": {"TimeZoneKeyName": "W. Europe Standard Time\0garbage"},
            r"ControlSet002\Control\Windows": {"ShutdownTime": (132_500_000_000_000_000).to_bytes(8, "little")},
            r"ControlSet002\Services\Tcpip\Parameters": {"NV Domain": "corp.example"},
            r"ControlSet002\Services\Only": {"Type": 16, "Start": 2},
        }
    )
    system = facts["system"]
    assert system["control_set"] == 2
    assert system["hostname"] == "NEW"
    assert system["role"] == "domain-controller"
    assert system["timezone"] == "W. Europe Standard Time"
    assert system["domain"] == "corp.example"
    assert system["last_shutdown"] == "2020-11-16T11:33:20Z"
    assert [service["name"] for service in facts["services"]] == ["Only", "Tcpip"]


def test_a_select_that_names_no_set_is_told_and_the_first_set_is_taken() -> None:
    facts, diagnostics = scan(
        system={
            "Select": {"Current": 9},
            r"ControlSet003\Control\ComputerName\ComputerName": {"ComputerName": "THREE"},
        }
    )
    # The helper always puts an empty ControlSet001 there.
    assert facts["system"]["control_set"] == 1
    assert "system.select-damaged" in [item.code for item in diagnostics.items]


def test_the_hardware_is_that_of_the_last_boot() -> None:
    facts, _ = scan(
        system={
            "HardwareConfig": {"LastConfig": "{B}"},
            r"HardwareConfig\{A}": {"Id": 0, "SystemManufacturer": "VMware, Inc.", "LastUse": b"\xff" * 7 + b"\0"},
            r"HardwareConfig\{b}": {
                "Id": 1,
                "SystemManufacturer": "Microsoft Corporation",
                "SystemProductName": "Virtual Machine",
            },
        }
    )
    assert facts["system"]["manufacturer"] == "Microsoft Corporation"
    assert facts["system"]["model"] == "Virtual Machine"


def test_a_cluster_member_has_its_service_and_its_database() -> None:
    service = {r"ControlSet001\Services\ClusSvc": {"Type": 16, "Start": 2}}
    database = {r"\Windows\Cluster\CLUSDB": b"regf"}
    assert scan(system=service, files=database)[0]["system"]["cluster_member"] is True
    assert scan(system=service)[0]["system"]["cluster_member"] is False
    disabled = {r"ControlSet001\Services\ClusSvc": {"Type": 16, "Start": 4}}
    assert scan(system=disabled, files=database)[0]["system"]["cluster_member"] is False


def test_the_disk_is_as_of_the_newest_time_on_it() -> None:
    when = 133_000_000_000_000_000  # 2022-06-18T04:26:40Z
    facts, _ = scan(
        system={
            r"ControlSet001\Control\Windows": {"ShutdownTime": (when - 10_000_000).to_bytes(8, "little")},
            r"ControlSet001\Services": {},
        },
        times={"ControlSet001\\Services": when},
    )
    assert facts["system"]["disk_as_of"] == "2022-06-18T04:26:40Z"
    assert facts["system"]["sources"]["disk_as_of"]["path"] == r"SYSTEM\ControlSet001\Services"


def test_the_same_world_gives_the_same_document() -> None:
    assert scan(system=SELECT) == scan(system=SELECT)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("UBR", "1757", "ubr"),
        ("InstallationType", 3, "installation"),
        ("EditionID", b"S\0", "edition"),
        ("ProductName", ["Windows"], "product"),
        ("InstallDate", "yesterday", "installed_at"),
        ("CurrentMajorVersionNumber", "10", "version"),
    ],
)
def test_a_value_of_another_type_is_damage_of_its_field_alone(name: str, value: Data, field: str) -> None:
    facts, _ = scan(software=software(**{name: value}))
    assert {path for path in gaps(facts) if path.startswith("/system/")} >= {f"/system/{field}"}
    assert facts["system"]["build"] == 17763


def test_a_damaged_second_build_number_costs_nothing_but_the_comparison() -> None:
    facts, diagnostics = scan(software=software(CurrentBuild=DAMAGE))
    assert facts["system"]["build"] == 17763
    assert facts["system"]["ubr"] == 1757
    assert not [item for item in diagnostics.items if item.code == "collect.failed"]


def test_an_installation_without_its_type_is_unknown_and_not_another() -> None:
    current = {name: value for name, value in software()[CURRENT].items() if name != "InstallationType"}
    facts, _ = scan(software={**SERVER_2019, CURRENT: current})  # type: ignore[dict-item]
    assert "/system/installation" in gaps(facts)
