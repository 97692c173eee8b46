"""Disks whose event log reports a stop of which there is no dump: why there is none, read from the disk itself.

The machine is the sample that crashed in Azure without leaving a dump; each disk has other settings of CrashControl, or
other files. mkntfs and wimlib-imagex make the volumes; ntfscp puts the page file there, which wimlib leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from samples import registry_system
from samples.events import system_log
from samples.family import FAMILY
from samples.hive import Key, multi, qword, sz
from samples.registry_software import software_hive
from samples.times import at, filetime
from tests.forensics.disk.ntfs_disks import mbr_disk, ntfs_volume, run
from tests.truth.composed import CONFIG, DRIVERS, LOG
from tests.truth.program import stopcode

pytestmark = pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp")

MACHINE = next(variant.machine for variant in FAMILY if variant.name == "ws2019-no-dump")
STOPPED = "The event log reports a stop with 0x7e SYSTEM_THREAD_EXCEPTION_NOT_HANDLED before 2021-03-18T19:05:32"
PAGE_FILE = bytes(1 << 20)
ON_C = r"C:\pagefile.sys 0 0"

#: What CrashControl says, what PagingFiles says, the page file; the code, and words that a person reads.
REASONS: dict[str, tuple[Mapping[str, Any], str | None, bytes, str, str]] = {
    "switched-off": (
        {"CrashDumpEnabled": 0}, ON_C, PAGE_FILE,
        "crashes.dumps-off", "crash dumps are switched off (CrashDumpEnabled is 0)",
    ),
    "no-page-file": ({}, None, b"", "crashes.no-page-file", "PagingFiles is empty"),
    "absent": (
        {}, ON_C, b"", "crashes.page-file-missing", r"\pagefile.sys is set and is not there: a dump had nowhere to be",
    ),
    "temporary-disk": (
        {}, r"D:\pagefile.sys", b"", "crashes.page-file-elsewhere",
        r"the only page file, D:\pagefile.sys, is on another disk that is not part of this image; on an Azure machine "
        "D: is the temporary disk, which is emptied when the machine moves",
    ),
    "too-small": (
        {"LastCrashTime": qword(filetime(at("2021-03-18T19:02:51")))}, ON_C, PAGE_FILE, "crashes.page-file-small",
        "Windows noted that a dump did not fit into the page file (LastCrashTime 2021-03-18T19:02:51Z)",
    ),
    "complete": (
        {"CrashDumpEnabled": 1}, ON_C, PAGE_FILE, "crashes.page-file-small",
        r"a complete dump needs a page file as large as the memory and 257 MiB; \pagefile.sys has 1 MiB",
    ),
    "dedicated": (
        {"DedicatedDumpFile": sz(r"C:\dumps\dedicated.sys")}, ON_C, PAGE_FILE, "crashes.dedicated-missing",
        r"dumps go to the dedicated dump file C:\dumps\dedicated.sys, which is not on this image",
    ),
    "filter": (
        {"DumpFilters": multi(["dumpfve.sys", "gone.sys"])}, ON_C, PAGE_FILE, "crashes.dump-filter-missing",
        r"the dump filter gone.sys is set and \Windows\System32\drivers\gone.sys is not there",
    ),
    "never-written": (
        {}, ON_C, b"PAGE" * 0x4000, "crashes.dump-unfinished",
        "a dump was begun there and never written",
    ),
}  # fmt: skip


def _hive(monkeypatch: pytest.MonkeyPatch, control: Mapping[str, Any], paging: str | None) -> bytes:
    put: Callable[..., None] = registry_system.put_control

    def put_others(machine: Any, key: Key) -> None:
        put(machine, key)
        key.set("CrashControl", control)
        named = multi([paging] if paging is not None else [])
        key.set("Session Manager\\Memory Management", {"PagingFiles": named, "ExistingPageFiles": multi([])})

    monkeypatch.setattr(registry_system, "put_control", put_others)
    return registry_system.system_hive(replace(MACHINE, page_file=paging or ""))


@pytest.mark.parametrize("reason", REASONS)
def test_the_disk_says_why_it_holds_no_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    control, paging, page_file, code, words = REASONS[reason]
    files: dict[str, bytes | Path] = {
        f"{CONFIG}/SYSTEM": _hive(monkeypatch, control, paging),
        f"{CONFIG}/SOFTWARE": software_hive(MACHINE),
        f"{DRIVERS}/dumpfve.sys": b"MZ",
        LOG: system_log(MACHINE),
    }
    volume = ntfs_volume(tmp_path / "windows.ntfs", files, mib=20)
    if page_file:
        (tmp_path / "page").write_bytes(page_file)
        run("ntfscp", "-f", volume, tmp_path / "page", "pagefile.sys")
    done = stopcode("scan", "--color", "never", mbr_disk(tmp_path / "disk.img", [volume]))
    remarks = " ".join(done.stdout[done.stdout.index("\nRemarks\n") :].split())
    assert f"warning crashes.no-dump: {STOPPED}" in remarks
    assert f"warning {code}: " in remarks
    assert words in remarks
    # And nothing that is not so.
    others = {told for _, _, _, told, _ in REASONS.values()} - {code}
    assert not [told for told in others if f" {told}: " in remarks]
