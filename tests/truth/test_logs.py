"""Real System logs on whole disks: the boots, ends and bug checks that a scan tells, beside dissect.eventlog's records.

The logs of damaged and cut files stand in a folder with a Windows: their events must be told, and that some are lost.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dissect.eventlog import evtx

from stopcode.report.outcome import exit_of
from stopcode.scan import scan
from tests.stopcode.machines import windows_folder
from tests.truth.composed import MACHINES

pytestmark = pytest.mark.realdata
on_disks = pytest.mark.peer("mkntfs", "wimlib-imagex")

Report = Callable[[str], Any]
Give = Callable[[str], Path]
KERNEL = "Microsoft-Windows-Kernel-General"
BOOT_EVENTS = {
    (KERNEL, 12), (KERNEL, 13), ("Microsoft-Windows-Kernel-Power", 41), ("EventLog", 6008),
    ("Microsoft-Windows-WER-SystemErrorReporting", 1001),
}  # fmt: skip
#: Machine -> events by id (Kernel-General 12 and 13, Kernel-Power 41, WER 1001, EventLog 6008): the data's own list.
COUNTS = {
    "win7": {12: 5, 13: 3, 41: 2, 1001: 1, 6008: 2},
    "win81": {12: 8, 13: 5, 41: 2, 6008: 1},
    "win10-1903": {12: 3, 13: 2},
    "win10-dirty": {12: 3, 13: 2},
    "dumps": {12: 1, 13: 1},
}


def by_dissect(path: Path) -> dict[tuple[int, str, int], datetime]:
    """(record, provider, id) of the events that tell of boots, and their times."""
    found = {}
    with path.open("rb") as file:
        for record in evtx.Evtx(file):
            name, number = str(record["Provider_Name"]), int(record["EventID"])
            if (name, number) in BOOT_EVENTS:
                moment = datetime.fromisoformat(str(record["TimeCreated_SystemTime"]))
                found[int(record["EventRecordID"]), name, number] = moment
    return found


@on_disks
@pytest.mark.parametrize("name", COUNTS)
def test_boots_and_bug_checks_are_the_records_that_another_reader_finds(
    report_of: Report, unpacked: Give, name: str
) -> None:
    events = [event for event in report_of(name)["facts"]["events"] if (event["provider"], event["id"]) in BOOT_EVENTS]
    ids = [event["id"] for event in events]
    assert {number: ids.count(number) for number in sorted(set(ids))} == COUNTS[name]
    wanted = by_dissect(unpacked(MACHINES[name].log))
    assert {(event["record"], event["provider"], event["id"]) for event in events} == set(wanted)
    for event in events:
        other = wanted[event["record"], event["provider"], event["id"]]
        # dissect takes times through a float, which loses the last digit.
        assert abs(datetime.fromisoformat(event["time"]) - other) <= timedelta(microseconds=10)


@on_disks
@pytest.mark.parametrize("name", COUNTS)
def test_every_start_of_the_kernel_is_one_boot_and_its_shutdown_is_its_end(report_of: Report, name: str) -> None:
    facts = report_of(name)["facts"]
    boots = facts["boot"]["boots"]
    assert len(boots) == COUNTS[name][12]
    # Some logs begin with the end of a run whose start they no longer hold.
    records = {number: [e["record"] for e in facts["events"] if (e["provider"], e["id"]) == (KERNEL, number)]
               for number in (12, 13)}  # fmt: skip
    shutdowns = [record for record in records[13] if record > min(records[12])]
    assert [boot.get("end") for boot in boots].count("shutdown") == len(shutdowns)
    assert boots[0]["end"] == "running"


@on_disks
def test_the_one_bug_check_of_the_real_logs_is_told_and_power_losses_are_none(report_of: Report) -> None:
    found = {name: report_of(name)["facts"]["boot"].get("last_bugcheck") for name in COUNTS}
    assert {name for name, stop in found.items() if stop is not None} == {"win7"}
    stop = found["win7"]
    assert (stop["code"], stop["parameters"]) == ("0x10001", ["0x0"] * 4)
    assert (stop["time"], stop["dump"]) == ("2012-04-06T14:07:52Z", "C:\\Windows\\MEMORY.DMP")


@on_disks
def test_the_machine_was_started_again_since_its_bug_check_so_it_is_a_line_and_no_headline(report_of: Report) -> None:
    verdict = report_of("win7")["verdict"]
    assert verdict["state"] != "crashed"
    assert "The event log reports a stop before 2012-04-06 14:07:52 UTC: 0x10001" in verdict["lines"]


@on_disks
def test_the_build_that_booted_is_the_logs_own(report_of: Report) -> None:
    """What the made SOFTWARE hive says is another matter."""
    builds = {name: {boot["build"] for boot in report_of(name)["facts"]["boot"]["boots"]} for name in COUNTS}
    assert builds["win10-1903"] == {"10.0.15063.413"}
    assert builds["win10-dirty"] == {"10.0.17134.137", "10.0.17134.165"}
    assert {build.rpartition(".")[0] for build in builds["dumps"]} == {"10.0.14393"}
    assert {build.rpartition(".")[0] for name in ("win7", "win81") for build in builds[name]} == {"6.1.7601"}


_LOST = ("events.log-damaged",)
#: Log -> (what may be said of it, boots): a record of size 0 and a cut lose records, and that must be said; a chunk
#: with a wrong checksum may be mentioned; a log that was written without checksums is sound.
DAMAGED: dict[str, tuple[tuple[tuple[str, ...], ...], int]] = {
    "logs/damaged/zero-data-size.evtx": ((_LOST,), 5),
    "logs/damaged/no-crc32.evtx": (((),), 0),
    "logs/damaged/bad-string-cache.evtx": (((), _LOST), 0),
    "logs/damaged/dns-malformed.evtx": (((),), 0),
    "logs/truncated/System2.evtx": ((_LOST,), 0),
}


@pytest.mark.parametrize("log", DAMAGED)
def test_a_damaged_log_leaves_the_sound_part_of_the_report(unpacked: Give, tmp_path: Path, log: str) -> None:
    said, boots = DAMAGED[log]
    folder = windows_folder(tmp_path, ubr=1697)
    place = folder / "Windows" / "System32" / "winevt" / "Logs" / "System.evtx"
    place.parent.mkdir(parents=True)
    shutil.copyfile(unpacked(log), place)
    report: Any = scan(str(folder))
    assert tuple(item["code"] for item in report["diagnostics"] if item["code"].startswith("events.")) in said
    assert len(report["facts"]["boot"]["boots"]) == boots
    assert report["facts"]["system"]["hostname"] == "SRV1"
    assert report["facts"]["drivers"]
    assert exit_of(report) in (0, 4)
