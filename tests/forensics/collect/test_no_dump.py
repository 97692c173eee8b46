"""Why no dump is there, told from what the disk holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.collect import Machine, no_dump
from forensics.collect.dump_places import find_places
from forensics.crash.analyse import analyse
from forensics.facts import Facts, Wants, empty_facts
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError
from tests.forensics.collect.test_crashes import dump, filetime
from tests.forensics.world import FakeFiles, FakeVolume, FakeWindows, Keys

LOG = r"\Windows\System32\winevt\Logs\System.evtx"
REPORT = {
    "code": "0x7e", "code_raw": "0x7e", "name": "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED", "parameters": [],
    "time": "2021-03-10T08:00:00Z", "source": {"kind": "record", "path": LOG, "detail": "EventRecordID 9"},
}  # fmt: skip
SOUND = {"enabled": "automatic", "paging_files": [r"?:\pagefile.sys"], "overwrite": True}
PAGE = {r"\pagefile.sys": bytes(8192)}


def said(
    settings: dict[str, Any],
    *,
    reported: dict[str, Any] | None = REPORT,
    files: dict[str, Any] | None = None,
    times: dict[str, int] | None = None,
    others: list[FakeVolume] | None = None,
    events: list[dict[str, Any]] | None = None,
    **sections: Any,
) -> dict[str, str]:
    """Code to message of what is said, without the opening sentence."""
    facts: Facts = empty_facts()
    sources = {field: {"kind": "value", "path": "SYSTEM", "detail": field} for field in settings}
    facts["crash_settings"] = {**settings, "sources": sources}  # type: ignore[typeddict-item]  # made by fields
    if reported is not None:
        facts["boot"]["last_bugcheck"] = reported
    facts["events"] = events or []  # type: ignore[assignment]  # as documents have them
    for name, value in sections.items():
        facts[name] = value  # type: ignore[literal-required]
    keys: dict[str, Keys] = {"SYSTEM": {"Select": {"Current": 1}}}
    diagnostics = Diagnostics()
    machine = Machine(FakeWindows(keys, files or {}, times or {}, others or ()), Wants(), diagnostics)  # type: ignore[arg-type]
    no_dump.explain_missing(machine, facts, find_places(machine, facts))
    if reported is not None and (not sections.get("crashes") or diagnostics.items):
        opening = next(item for item in diagnostics.items if item.code == "crashes.no-dump")
        assert f"{reported['code']} SYSTEM_THREAD_EXCEPTION_NOT_HANDLED" in opening.message
    return {item.code: item.message for item in diagnostics.items if item.code != "crashes.no-dump"}


def event(provider: str, number: int, time: str = "2021-03-10T07:59:00Z", **data: str) -> dict[str, Any]:
    return {
        "item": f"System:{number}", "log": "System", "provider": provider, "id": number, "level": "error",
        "time": time, "record": number, "data": data,
        "source": {"kind": "record", "path": LOG, "detail": f"EventRecordID {number}"},
    }  # fmt: skip


def test_dumps_that_are_switched_off_are_the_reason() -> None:
    assert "CrashDumpEnabled is 0" in said({"enabled": "none"})["crashes.dumps-off"]


def test_settings_that_were_never_made_are_the_reason() -> None:
    assert "no CrashDumpEnabled" in said({})["crashes.dumps-off"]


def test_no_page_file_at_all_is_the_reason() -> None:
    assert "PagingFiles is empty" in said({"enabled": "kernel", "paging_files": []})["crashes.no-page-file"]


def test_a_page_file_that_is_set_and_not_there_is_the_reason() -> None:
    told = said({"enabled": "kernel", "paging_files": [r"C:\pagefile.sys 0 0"]})
    assert r"\pagefile.sys is set and is not there" in told["crashes.page-file-missing"]
    assert said({"enabled": "kernel", "paging_files": [r"C:\pagefile.sys 0 0"]}, reported=None) == {}


def test_a_page_file_on_the_temporary_disk_of_azure_is_the_reason() -> None:
    told = said({"enabled": "kernel", "paging_files": [r"D:\pagefile.sys 0 0"]})
    assert r"D:\pagefile.sys" in told["crashes.page-file-elsewhere"]
    assert "on an Azure machine D: is the temporary disk" in told["crashes.page-file-elsewhere"]


def test_a_page_file_on_another_drive_than_d_is_not_called_temporary() -> None:
    told = said({"enabled": "kernel", "paging_files": [r"P:\pagefile.sys 0 0"]})
    assert "temporary" not in told["crashes.page-file-elsewhere"]


@pytest.mark.parametrize(
    "volume",
    [
        FakeVolume("D:", FakeFiles(PAGE, {}), "Temporary Storage"),
        FakeVolume("D:", FakeFiles({**PAGE, r"\DATALOSS_WARNING_README.txt": b""}, {})),
    ],
)
def test_a_temporary_disk_in_the_image_is_known_by_its_label_or_its_warning(volume: FakeVolume) -> None:
    told = said({"enabled": "kernel", "paging_files": [r"D:\pagefile.sys 0 0"]}, others=[volume])
    assert "temporary disk of a cloud machine" in told["crashes.page-file-elsewhere"]


def test_a_page_file_on_the_disk_is_no_reason() -> None:
    assert said(SOUND, files=PAGE) == {}
    assert said({**SOUND, "paging_files": [r"D:\pagefile.sys 0 0"]}, files=PAGE) == {}


def test_a_page_file_for_a_complete_dump_is_told_with_its_size_and_what_is_not_known() -> None:
    told = said({**SOUND, "enabled": "complete"}, files={r"\pagefile.sys": bytes(2 << 20)})
    assert "has 2 MiB" in told["crashes.page-file-small"]
    assert "is not on the disk" in told["crashes.page-file-small"]


@pytest.mark.realdata
def test_the_memory_that_another_dump_tells_is_held_against_the_page_file(unpacked: Callable[[str], Path]) -> None:
    # be_1 is of a machine with two modules of 8 GiB.
    source = BytesSource(unpacked("dumps/be_1.dmp").read_bytes())
    crash: dict[str, Any] = {**analyse(source, path=r"\Windows\Minidump\be_1.dmp", diagnostics=Diagnostics())}
    complete = {**SOUND, "enabled": "complete"}
    told = said(complete, files=PAGE, crashes=[crash])
    assert "a dump on the disk says that it had 16,384 MiB" in told["crashes.page-file-small"]
    for module in crash["hardware"]["memory"]:
        module["size_mb"] = 1
    assert said(complete, files={r"\pagefile.sys": bytes(259 << 20)}, crashes=[crash]) == {}


def test_what_windows_noted_of_a_page_file_that_was_too_small_is_the_reason() -> None:
    told = said({**SOUND, "page_file_was_too_small": "2021-03-09T00:00:00Z"}, files=PAGE)
    assert "2021-03-09T00:00:00Z" in told["crashes.page-file-small"]


def test_a_dedicated_dump_file_elsewhere_or_empty_is_the_reason_and_page_files_are_not() -> None:
    settings = {"enabled": "kernel", "dedicated_dump_file": r"D:\dd.sys", "paging_files": []}
    assert set(said(settings)) == {"crashes.other-volume", "crashes.dedicated-missing"}
    settings["dedicated_dump_file"] = r"C:\dd.sys"
    assert set(said(settings)) == {"crashes.dedicated-missing"}
    told = said(settings, files={r"\dd.sys": bytes(4096)})
    assert "no dump begins in it" in told["crashes.dedicated-empty"]


def test_an_older_dump_that_must_not_be_overwritten_is_the_reason() -> None:
    older = {r"\Windows\MEMORY.DMP": dump("2020-01-01T00:00:00Z"), **PAGE}
    crashes = [
        {"item": r"\Windows\MEMORY.DMP", "dump": {}, "bugcheck": {"code": "0xd1"}, "time": "2020-01-01T00:00:00Z"}
    ]
    told = said({**SOUND, "overwrite": False}, files=older, crashes=crashes,
                times={r"\Windows\MEMORY.DMP": filetime("2020-01-01T00:00:00Z")})  # fmt: skip
    assert "2020-01-01T00:00:00Z" in told["crashes.not-overwritten"]
    assert "crashes.not-overwritten" not in said(SOUND, files=older, crashes=crashes)


def test_a_dump_that_windows_saved_and_that_is_gone_is_told() -> None:
    saved = {**REPORT, "dump": r"C:\Windows\MEMORY.DMP"}
    told = said(SOUND, files=PAGE, reported=saved, system={"installation": "client"})
    assert "that file is gone" in told["crashes.dump-gone"]
    assert "25 GB" in told["crashes.dump-gone"]
    for system in ({"installation": "server"}, {"installation": "client", "domain": "corp.example"}):
        assert "25 GB" not in said(SOUND, files=PAGE, reported=saved, system=system)["crashes.dump-gone"]
    assert "25 GB" not in said({**SOUND, "always_keep": True}, files=PAGE, reported=saved,
                               system={"installation": "client"})["crashes.dump-gone"]  # fmt: skip


def test_a_dump_filter_without_its_file_is_the_reason() -> None:
    told = said({**SOUND, "dump_filters": ["dumpfve.sys"]}, files=PAGE)
    assert "dumpfve.sys" in told["crashes.dump-filter-missing"]
    there = {**PAGE, r"\Windows\System32\drivers\dumpfve.sys": b""}
    assert said({**SOUND, "dump_filters": ["dumpfve.sys"]}, files=there) == {}


@pytest.mark.parametrize(("number", "word"), [(46, "set up"), (49, "too small or on another volume"), (161, "storage")])
def test_events_of_the_volume_manager_are_reasons(number: int, word: str) -> None:
    told = said(SOUND, files=PAGE, events=[event("volmgr", number)])
    assert word in told["crashes.dump-failed"]
    assert f"event {number}" in told["crashes.dump-failed"]


def test_event_46_of_the_day_of_the_installation_is_normal() -> None:
    system = {"installed_at": "2021-03-10T01:00:00Z"}
    assert said(SOUND, files=PAGE, events=[event("volmgr", 46)], system=system) == {}


def test_a_stop_before_the_boot_volume_was_reached_is_the_reason() -> None:
    told = said(SOUND, files=PAGE, reported={**REPORT, "code": "0x7b"})
    assert "nowhere to write" in told["crashes.too-early"]


def test_without_any_reason_that_is_what_is_said() -> None:
    facts: Facts = empty_facts()
    facts["crash_settings"] = SOUND  # type: ignore[typeddict-item]  # made by fields
    facts["boot"]["last_bugcheck"] = REPORT
    diagnostics = Diagnostics()
    machine = Machine(FakeWindows({}, PAGE, {}), Wants(), diagnostics)  # type: ignore[arg-type]
    no_dump.explain_missing(machine, facts, find_places(machine, facts))
    assert "nothing on the disk says why" in diagnostics.items[0].message


def test_a_machine_that_never_crashed_is_told_only_what_would_stand_in_the_way() -> None:
    told = said({"enabled": "none"}, reported=None)
    assert told["crashes.dumps-off"].startswith("A crash of this machine would leave no dump")
    assert said(SOUND, files=PAGE, reported=None) == {}
    assert said({}, reported=None) == {}


def test_an_end_without_a_stop_code_leaves_no_dump_and_that_is_told() -> None:
    power = event("Microsoft-Windows-Kernel-Power", 41, BugcheckCode="0")
    assert "without a stop code" in said(SOUND, files=PAGE, reported=None, events=[power])["crashes.no-bugcheck"]
    power = event("Microsoft-Windows-Kernel-Power", 41, BugcheckCode="126")
    assert said(SOUND, files=PAGE, reported=None, events=[power]) == {}


def test_where_a_dump_of_the_stop_is_there_nothing_is_said() -> None:
    crashes = [{"item": "x", "dump": {}, "bugcheck": {"code": "0x7e"}, "time": "2021-03-10T07:00:00Z"}]
    assert said({"enabled": "none"}, crashes=crashes) == {}


def test_where_the_dumps_could_not_be_looked_for_nothing_is_claimed_of_a_machine_without_a_reported_stop() -> None:
    gap = [{"path": r"/crashes/\Windows\Minidump", "reason": "damaged"}]
    assert said({"enabled": "none"}, reported=None, gaps=gap) == {}


def test_files_that_cannot_be_looked_at_stop_nothing() -> None:
    broken = {path: FormatError("index", "damaged") for path in (r"\pagefile.sys", r"\Windows\MEMORY.DMP")}
    assert "crashes.dumps-off" in said({"enabled": "none", "overwrite": False}, files=broken)
