"""Machines put together from real parts: SYSTEM hives, event logs and small dumps of real computers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stopcode.report.outcome import exit_of
from stopcode.report.shape import problems
from stopcode.report.stored import document_schema
from stopcode.scan import scan
from tests.stopcode.machines import windows_folder

pytestmark = pytest.mark.realdata

#: hive -> host name, services of the current control set (services, drivers …), whether it is dirty: the facts listed
#: beside the data, measured with other readers, without their logs.
HIVES = {
    "hives/win10-dirty/SYSTEM_B": (None, 655, True),
    "hives/win10-1903/SYSTEM": ("DESKTOP-2KGM189", 737, True),
    "hives/win81/SYSTEM": ("SENSEI", 469, True),
    "hives/win7/SYSTEM": ("WKS-WIN732BITA", 467, False),
}


@pytest.mark.parametrize("name", sorted(HIVES))
def test_a_real_system_hive_beside_a_made_software_hive(
    unpacked: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    hostname, services, dirty = HIVES[name]
    folder = windows_folder(tmp_path)
    shutil.copyfile(unpacked(name), folder / "Windows" / "System32" / "config" / "SYSTEM")
    report = scan(str(folder))
    facts = report["facts"]
    if hostname is not None:
        assert facts["system"]["hostname"] == hostname
        assert report["verdict"]["sentence"].startswith(f"{hostname} (Windows Server 2019 Standard, ")
    assert len(facts["services"]) == services
    [storflt] = [service for service in facts["services"] if service["name"].lower() == "storflt"]
    assert storflt["start_raw"] == "boot"
    assert ("hive.dirty" in {item["code"] for item in report["diagnostics"]}) is dirty
    assert not problems(report, document_schema("report"))
    # The file and the SOFTWARE hive alone decide: the flagship is found whatever the SYSTEM hive says.
    assert "vmstorfl" in {finding["rule"] for finding in report["findings"]}
    assert exit_of(report) == 1


def test_the_report_says_what_the_logs_of_a_real_hive_changed(unpacked: Callable[[str], Path], tmp_path: Path) -> None:
    folder = windows_folder(tmp_path)
    for log in ("", ".LOG1", ".LOG2"):
        place = folder / "Windows" / "System32" / "config" / f"SYSTEM{log}"
        shutil.copyfile(unpacked(f"hives/win10-dirty/SYSTEM_B{log}"), place)
    report = scan(str(folder))
    assert len(report["facts"]["services"]) == 656
    said = {item["code"]: item["message"] for item in report["diagnostics"]}
    assert "hive.dirty" not in said
    assert "2107 to 2110" in said["hive.log-replayed"]
    assert "ad_driver" in said["hive.changed-by-replay"]
    changes = next(item["changes"] for item in report["diagnostics"] if item["code"] == "hive.changed-by-replay")
    service = {item["value"]: (item["before"], item["after"]) for item in changes if "ad_driver" in item["key"]}
    assert (service["Start"], service["Type"]) == ((None, 3), (None, 1))
    assert not problems(report, document_schema("report"))


def test_a_damaged_system_hive_gives_a_report_and_no_error_of_ours(
    unpacked: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = windows_folder(tmp_path)
    shutil.copyfile(unpacked("hives/corrupt-xp/SYSTEM"), folder / "Windows" / "System32" / "config" / "SYSTEM")
    report = scan(str(folder))
    assert report["facts"]["system"]["hostname"] == "GINEVRA"
    assert not problems(report, document_schema("report"))


def test_a_real_small_dump_in_minidump_is_the_crash_of_the_machine(shared: Path, tmp_path: Path) -> None:
    folder = windows_folder(tmp_path)
    minidump = folder / "Windows" / "Minidump"
    minidump.mkdir()
    shutil.copyfile(shared / "data" / "dumps" / "triage_x64.dmp", minidump / "022121-8000-01.dmp")
    report = scan(str(folder))
    assert report["verdict"]["state"] == "crashed"
    sentence = report["verdict"]["sentence"]
    assert "crashed on 2021-02-21 01:38:22 UTC, 3 s after it began to boot, with 0x7E" in sentence
    assert "the culprit is amdppm.sys. No known problem explains it." in sentence
    [crash] = report["facts"]["crashes"]
    assert crash["item"] == "\\Windows\\Minidump\\022121-8000-01.dmp"
    assert crash["dump"]["where"] == "minidump"
    assert crash["module_count"] == len(crash["modules"])
    assert {module["on_disk"] for module in crash["modules"]} <= {"missing", "different", "not-checked"}
    # The crash is another one; that the machine would also crash on failover is told beside it.
    assert any(line.startswith("Also exposed: ") for line in report["verdict"]["lines"])


def test_a_real_log_without_its_dump_tells_of_the_stop_in_a_line(
    unpacked: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = windows_folder(tmp_path)
    logs = folder / "Windows" / "System32" / "winevt" / "Logs"
    logs.mkdir(parents=True)
    shutil.copyfile(unpacked("logs/win7-bugcheck/System.evtx"), logs / "System.evtx")
    verdict = scan(str(folder))["verdict"]
    # Record 13423; the machine was started twice since, so it is no headline.
    assert verdict["state"] == "exposed"
    assert "The event log reports a stop before 2012-04-06 14:07:52 UTC: 0x10001" in verdict["lines"]
