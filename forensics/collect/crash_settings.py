r"""What Windows was told to do when it crashes: `Control\CrashControl` and the page files.

Source: MicrosoftDocs/SupportArticles-docs (memory dump file options) and MicrosoftDocs/windows-driver-docs
(automatic memory dump: LastCrashTime is set when a dump did not fit), MicrosoftDocs/win32 (WER settings: where live
reports go, an NT path); values seen in real hives of Windows 7 to 10.
That an active dump is a complete one with FilterPages = 1 is from memory of practice, not documented.
"""

from __future__ import annotations

from typing import Any, Literal

from forensics.collect.machine import Found, Machine
from forensics.facts import Facts, filetime_to_iso
from parsers.errors import StopcodeError

__all__ = ["collect"]

_KEY = r"Control\CrashControl"
_MEMORY = r"Control\Session Manager\Memory Management"
_ENABLED: dict[int, Literal["none", "complete", "kernel", "small", "automatic"]] = {
    0: "none",
    1: "complete",
    2: "kernel",
    3: "small",
    7: "automatic",
}


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/crash_settings`."""
    crash_control, memory = machine.current(_KEY), machine.current(_MEMORY)
    settings: dict[str, Any] = facts["crash_settings"]  # type: ignore[assignment]  # fields are named by variables
    sources = facts["crash_settings"].setdefault("sources", {})
    for field, path, name in (
        ("enabled", crash_control, "CrashDumpEnabled"),
        ("dump_file", crash_control, "DumpFile"),
        ("minidump_dir", crash_control, "MinidumpDir"),
        ("live_reports_dir", f"{crash_control}\\LiveKernelReports", "LiveKernelReportsPath"),
        ("dedicated_dump_file", crash_control, "DedicatedDumpFile"),
        ("overwrite", crash_control, "Overwrite"),
        ("auto_reboot", crash_control, "AutoReboot"),
        ("always_keep", crash_control, "AlwaysKeepMemoryDump"),
        ("ignore_page_file_size", crash_control, "IgnorePagefileSize"),
        ("dump_filters", crash_control, "DumpFilters"),
        ("page_file_was_too_small", crash_control, "LastCrashTime"),
        ("paging_files", memory, "PagingFiles"),
        ("existing_paging_files", memory, "ExistingPageFiles"),
    ):
        try:
            found = machine.value("SYSTEM", path, name)
            value = _convert(machine, field, found) if found is not None else None
        except StopcodeError as error:
            machine.gap(facts, f"/crash_settings/{field}", error.message)
            continue
        if found is not None and value is not None:
            settings[field] = value
            sources[field] = found.source


def _convert(machine: Machine, field: str, found: Found) -> str | bool | list[str] | None:
    if field in ("paging_files", "existing_paging_files", "dump_filters"):
        return found.strings()
    if field == "page_file_was_too_small":
        return filetime_to_iso(found.filetime())
    if field in ("dump_file", "minidump_dir", "live_reports_dir", "dedicated_dump_file"):
        return found.text()
    number = found.number()
    if field != "enabled":
        return number != 0
    if number == 1:
        pages = machine.value("SYSTEM", machine.current(_KEY), "FilterPages")
        if pages is not None and pages.number() == 1:
            return "active"
    return _ENABLED.get(number, "other")
