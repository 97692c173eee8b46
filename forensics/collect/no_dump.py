r"""Why there is no dump: the reasons that the disk itself shows, each as a remark with its source.

Asked when the event log reports a stop of which no dump is left, and (as a note) when no dump is on the disk at all:
what a crash of this machine would meet. Nothing is guessed: a reason is a setting, a file that is or is not there, or
an event. How much memory the machine had is not on a disk, so a page file is called small only where Windows said so;
its size is told otherwise.

Sources: Microsoft KB 254649 (CrashControl, sizes of page files), KB 886429, MicrosoftDocs/windows-driver-docs
(automatic memory dump), MicrosoftDocs/azure-compute-docs (prepare a VHD: the page file on the temporary disk D:),
Windows Internals 6, chapter 14 (dumps that are deleted after they were reported).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from forensics.collect.dump_places import PageFile, Places
from forensics.collect.events import DUMP_EVENTS
from forensics.collect.machine import Machine
from forensics.crash.undumped import undumped
from forensics.facts import Facts, filetime_to_iso
from parsers.errors import StopcodeError

__all__ = ["explain_missing"]

#: Stops that come before Windows has a page file to write to: the boot volume cannot be reached.
_TOO_EARLY = frozenset({"0x7b", "0xed", "0x6b", "0x74"})
_KERNEL_POWER = "microsoft-windows-kernel-power"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class _Reason:
    code: str
    message: str
    hint: str = ""
    source: str = ""


def explain_missing(machine: Machine, facts: Facts, places: Places) -> None:
    """Say why no dump is there, where none is."""
    reported = undumped(facts)
    kept = [crash for crash in facts["crashes"] if not (crash.get("live") or crash.get("foreign"))]
    unread = any(gap["path"].startswith("/crashes") for gap in facts["gaps"])
    if reported is None and (kept or unread):
        return
    reasons = list(_reasons(machine, facts, places, None if reported is None else str(reported.get("code"))))
    if reported is None:
        _note(machine, facts, reasons)
        return
    name = f"{reported.get('code')} {reported.get('name') or ''}".rstrip()
    told = f"The event log reports a stop with {name} before {reported.get('time')}, and no dump of it "
    told += "was found; not every place could be looked at" if unread else "is on the disk"
    source = reported.get("source") or {}
    machine.diagnostics.warning(
        "crashes.no-dump",
        told + ("" if reasons else "; nothing on the disk says why"),
        hint="the reasons that the disk shows are told with it" if reasons else "",
        source=f"{source.get('path', '')}: {source.get('detail', '')}",
    )
    for reason in reasons:
        machine.diagnostics.warning(reason.code, reason.message, hint=reason.hint, source=reason.source)


def _note(machine: Machine, facts: Facts, reasons: list[_Reason]) -> None:
    """Say what a crash would meet where none is known; only what surely stands in its way."""
    ended = next(iter(_silent_ends(facts)), None)
    if ended is not None:
        machine.diagnostics.info(ended.code, ended.message, source=ended.source)
    for reason in reasons:
        if reason.code in _STANDING:
            machine.diagnostics.info(
                reason.code,
                f"A crash of this machine would leave no dump: {reason.message}",
                hint=reason.hint,
                source=reason.source,
            )


#: Reasons that do not speak of one crash alone.
_STANDING = frozenset({"crashes.dumps-off", "crashes.no-page-file", "crashes.page-file-elsewhere"})


def _reasons(machine: Machine, facts: Facts, places: Places, code: str | None) -> Iterator[_Reason]:
    settings = facts["crash_settings"]
    off = settings.get("enabled") == "none"
    if off:
        yield _Reason(
            "crashes.dumps-off",
            "crash dumps are switched off (CrashDumpEnabled is 0)",
            "set CrashDumpEnabled to 7 (automatic) or 2 (kernel)",
            _source(facts, "enabled"),
        )
    elif code is not None and "enabled" not in settings and not _is_gap(facts, "enabled"):
        yield _Reason(
            "crashes.dumps-off",
            "crash dumps are not set up: CrashControl has no CrashDumpEnabled",
            "set CrashDumpEnabled to 7 (automatic) or 2 (kernel)",
            r"SYSTEM: Control\CrashControl",
        )
    if not off:
        dedicated = settings.get("dedicated_dump_file")
        if dedicated is not None:
            yield from _dedicated(facts, places, dedicated)
        else:
            yield from _page_files(facts, places)
    if code is None:
        return
    if code in _TOO_EARLY:
        yield _Reason(
            "crashes.too-early",
            f"a stop with {code} comes before Windows has reached its page file: there is nowhere to write a dump",
        )
    if "page_file_was_too_small" in settings:
        yield _Reason(
            "crashes.page-file-small",
            f"Windows noted that a dump did not fit into the page file (LastCrashTime "
            f"{settings['page_file_was_too_small']})",
            "let Windows manage the page file, or set a larger one",
            _source(facts, "page_file_was_too_small"),
        )
    yield from _not_replaced(machine, facts)
    yield from _not_kept(machine, facts)
    yield from _filters(machine, facts)
    yield from _events(facts)
    yield from _silent_ends(facts)


def _source(facts: Facts, field: str) -> str:
    found = facts["crash_settings"].get("sources", {}).get(field)
    return f"{found['path']}: {found.get('detail', '')}" if found is not None else ""


def _is_gap(facts: Facts, field: str) -> bool:
    wanted = ("/crash_settings", f"/crash_settings/{field}")
    return any(gap["path"] in wanted for gap in facts["gaps"])


def _dedicated(facts: Facts, places: Places, dedicated: str) -> Iterator[_Reason]:
    source = _source(facts, "dedicated_dump_file")
    if places.dedicated_unknown:
        return
    if places.dedicated is None:
        yield _Reason(
            "crashes.dedicated-missing",
            f"dumps go to the dedicated dump file {dedicated}, which is not on this image",
            "if it lies on another disk, read it there with `stopcode dump`",
            source,
        )
    else:
        path, size = places.dedicated
        yield _Reason(
            "crashes.dedicated-empty",
            f"dumps go to the dedicated dump file {path} ({size:,} bytes), and no dump begins in it",
            source=source,
        )


def _page_files(facts: Facts, places: Places) -> Iterator[_Reason]:
    settings = facts["crash_settings"]
    if settings.get("paging_files") == []:
        yield _Reason(
            "crashes.no-page-file",
            "no page file is set (PagingFiles is empty) and no dedicated dump file: a dump has nowhere to be written",
            "let Windows manage the page file, or name a DedicatedDumpFile",
            _source(facts, "paging_files"),
        )
        return
    source = _source(facts, "paging_files")
    there = [page for page in places.page_files if page.size is not None]
    away = [page for page in places.page_files if page.named and not page.in_image]
    temporary = [page for page in there if page.temporary]
    lasting = [page for page in there if not page.temporary]
    if lasting:
        if _wants_all_memory(facts):
            yield from _sizes(facts, lasting)
        return
    if away or temporary:
        page = (temporary or away)[0]
        yield _Reason("crashes.page-file-elsewhere", _elsewhere(page), _ELSEWHERE_HINT, source)
        return
    named = [page for page in places.page_files if page.named]
    if named:
        yield _Reason(
            "crashes.page-file-missing",
            f"the page file {named[0].path} is set and is not there: a dump had nowhere to be written",
            "of a folder of collected files it may only not have been collected",
            source,
        )


_ELSEWHERE_HINT = (
    "set PagingFiles to ?:\\pagefile.sys, or name a DedicatedDumpFile on a disk that stays with the machine"
)


def _elsewhere(page: PageFile) -> str:
    if page.temporary:
        return (
            f"the only page file, {page.path}, is on the temporary disk of a cloud machine, which is emptied when the "
            "machine moves: a dump in it is lost"
        )
    drive = page.path[:2].upper()
    told = f"the only page file, {page.path}, is on another disk that is not part of this image"
    if drive == "D:":
        told += "; on an Azure machine D: is the temporary disk, which is emptied when the machine moves"
    return told


def _wants_all_memory(facts: Facts) -> bool:
    return facts["crash_settings"].get("enabled") == "complete"


def _sizes(facts: Facts, pages: list[PageFile]) -> Iterator[_Reason]:
    """Say how large the page file is where the dump needs all of the memory, which the disk does not tell."""
    largest = max(pages, key=lambda page: page.size or 0)
    size = (largest.size or 0) // _MIB
    memory = _known_memory(facts)
    if memory is None:
        told = "how much memory it had is not on the disk"
    elif memory + 257 <= size:
        return
    else:
        told = f"a dump on the disk says that it had {memory:,} MiB"
    yield _Reason(
        "crashes.page-file-small",
        f"a complete dump needs a page file as large as the memory and 257 MiB; {largest.path} has {size:,} MiB, and "
        f"{told}",
        "choose an automatic or kernel dump, or set a larger page file",
        _source(facts, "enabled"),
    )


def _known_memory(facts: Facts) -> int | None:
    """Return the installed memory in MiB as another dump's SMBIOS tells it."""
    for crash in facts["crashes"]:
        sizes = [module.get("size_mb") for module in crash.get("hardware", {}).get("memory", [])]
        known = [size for size in sizes if isinstance(size, int)]
        if known and len(known) == len(sizes):
            return sum(known)
    return None


def _not_replaced(machine: Machine, facts: Facts) -> Iterator[_Reason]:
    settings = facts["crash_settings"]
    if settings.get("overwrite") is not False:
        return
    path = machine.windows.resolve(settings.get("dump_file", r"%SystemRoot%\MEMORY.DMP"))
    stat = None
    if path is not None:
        try:
            stat = machine.windows.files.stat(path)
        except StopcodeError:
            # Told where the dumps were looked for.
            return
    if stat is not None:
        since = filetime_to_iso(stat.modified) or "an unknown time"
        yield _Reason(
            "crashes.not-overwritten",
            f"Overwrite is 0 and an older dump, {stat.path} of {since}, is there: Windows does not replace it",
            "set Overwrite to 1, or move the older dump away",
            _source(facts, "overwrite"),
        )


def _not_kept(machine: Machine, facts: Facts) -> Iterator[_Reason]:
    """A dump that Windows says it saved, and that is not there."""
    saved = facts["boot"].get("last_bugcheck", {}).get("dump")
    path = machine.windows.resolve(saved) if isinstance(saved, str) and saved else None
    if path is None:
        return
    try:
        if machine.windows.files.stat(path) is not None:
            return
    except StopcodeError:
        return
    source = facts["boot"]["last_bugcheck"].get("source", {})
    told = f"Windows reported the dump as saved in {saved}, and that file is gone"
    client = facts["system"].get("installation") == "client"
    if client and facts["crash_settings"].get("always_keep") is not True and "domain" not in facts["system"]:
        told += (
            "; AlwaysKeepMemoryDump is not set: a client outside of a domain deletes a reported dump when its volume "
            "has less than 25 GB free"
        )
    yield _Reason(
        "crashes.dump-gone",
        told,
        "look for it in backups of the disk, or at Microsoft's or the vendor's support",
        f"{source.get('path', '')}: {source.get('detail', '')}",
    )


def _filters(machine: Machine, facts: Facts) -> Iterator[_Reason]:
    """A driver in the way of dumps that is not there: then none is written."""
    for name in facts["crash_settings"].get("dump_filters", []):
        path = f"{machine.root}\\System32\\drivers\\{name}"
        try:
            if machine.windows.files.stat(path) is not None:
                continue
        except StopcodeError:
            continue
        yield _Reason(
            "crashes.dump-filter-missing",
            f"the dump filter {name} is set and {path} is not there: crash dumps are switched off by that",
            "put the driver back, or take its name out of DumpFilters; in collected files it may only be missing",
            _source(facts, "dump_filters"),
        )


def _events(facts: Facts) -> Iterator[_Reason]:
    """The newest event of each kind that says that writing a dump failed."""
    told: set[tuple[str, int]] = set()
    installed = facts["system"].get("installed_at", "")
    for event in facts["events"]:
        kind = (event["provider"].lower(), event["id"])
        meaning = DUMP_EVENTS.get(kind)
        # 46 is normal at the first start of a new Windows: its page file is not made yet.
        if meaning is None or kind in told or (kind[1] == 46 and event["time"][:10] <= installed[:10]):
            continue
        told.add(kind)
        yield _Reason(
            "crashes.dump-failed",
            f"{event['provider']} reported at {event['time']} (event {event['id']}): {meaning}",
            source=f"{event['source']['path']}: {event['source'].get('detail', '')}",
        )


def _silent_ends(facts: Facts) -> Iterator[_Reason]:
    """An end without warning and without a bug check: no dump is written then."""
    for event in facts["events"]:
        if event["provider"].lower() == _KERNEL_POWER and event["id"] == 41:
            data = event.get("data", {})
            if data.get("BugcheckCode", data.get("0", "")) == "0":
                yield _Reason(
                    "crashes.no-bugcheck",
                    f"the start of {event['time']} reports that the run before it ended without warning and without a "
                    "stop code: power, a reset by the host, or a stop before dumps could be written; such an end "
                    "leaves no dump",
                    source=f"{event['source']['path']}: {event['source'].get('detail', '')}",
                )
            return
