r"""Crashes: every dump on the disk, analysed in place with the disk's own driver files.

Dumps are looked for where Windows puts them (`MEMORY.DMP` and `Minidump` in the Windows folder) and where CrashControl
says. They are sorted newest first, by the time in the dump.

`latest`. A report speaks of the machine as it is now, so only a crash that no later start of Windows followed is the
latest one; an older crash is history. The rule, in this order:

1. the dump tells when its own boot began (its time less its up-time). If that is, within half a minute, the newest
   boot that the System log knows, the crash is the latest one: nothing came after it;
2. a boot in the log that began after the crash, or a clean shutdown after it (`ShutdownTime`), makes it an earlier one;
3. otherwise, and where the log cannot be read, the newest dump is the latest one; that nothing speaks against it, and
   why, stands in `latest_because`.

A start that died before the event log service ran leaves nothing in the log and does not count: a machine that stops
at every start has one latest crash, its last.
"""

from __future__ import annotations

from datetime import datetime

from forensics.collect.machine import Machine
from forensics.collect.volume import FileEntry
from forensics.crash.analyse import analyse, trim
from forensics.crash.images import DiskImages
from forensics.facts import CrashDict, Facts, filetime_to_iso, path_of
from parsers.dump import looks_like_dump
from parsers.errors import StopcodeError
from parsers.limits import MAX_CRASHES, MAX_FULL_CRASHES

__all__ = ["collect", "decide_latest"]

_SAME_BOOT_S = 30.0


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/crashes`."""
    stats = _dumps(machine, facts)
    if len(stats) > MAX_CRASHES:
        machine.diagnostics.warning(
            "crashes.many",
            f"{len(stats)} dumps are on the disk; the newest {MAX_CRASHES} were analysed",
            hint="copy an older one out and read it with `stopcode dump`",
        )
        stats = stats[:MAX_CRASHES]
    images = DiskImages(machine.windows)
    crashes: list[tuple[str, CrashDict]] = []
    for stat, where in stats:
        try:
            opened = machine.windows.files.open(stat.path)
            if not looks_like_dump(opened.read_at(0, 16)) and where == "dedicated":
                # A dedicated dump file is space kept free until a crash is written into it.
                continue
            crash = analyse(
                opened,
                path=stat.path,
                where="minidump" if where == "minidump" else "memory-dmp",
                images=images,
                diagnostics=machine.diagnostics,
            )
        except StopcodeError as error:
            machine.gap(facts, path_of("crashes", stat.path), error.message)
            machine.diagnostics.error(
                "crashes.dump-unreadable",
                f"{stat.path} cannot be read as a dump: {error.message}",
                hint=error.hint,
                source=stat.path,
            )
            continue
        crashes.append((crash.get("time") or filetime_to_iso(stat.modified) or "", crash))
    crashes.sort(key=lambda pair: (_instant(pair[0]), pair[1]["dump"].get("size", 0), pair[1]["item"]))
    crashes.reverse()
    decide_latest(facts, crashes)
    facts["crashes"] = [
        crash if number < MAX_FULL_CRASHES else trim(crash) for number, (_time, crash) in enumerate(crashes)
    ]


def _dumps(machine: Machine, facts: Facts) -> list[tuple[FileEntry, str]]:
    """Return the dump files, newest first by the time of the file, then by name."""
    settings = facts["crash_settings"]
    files = [(f"{machine.root}\\MEMORY.DMP", "memory-dmp")]
    folders = [f"{machine.root}\\Minidump"]
    for named, where in (("dump_file", "memory-dmp"), ("dedicated_dump_file", "dedicated")):
        path = _resolve(machine, facts, settings.get(named))
        if path is not None:
            files.append((path, where))
    folder = _resolve(machine, facts, settings.get("minidump_dir"))
    if folder is not None:
        folders.append(folder)
    found: dict[str, tuple[FileEntry, str]] = {}
    for path, where in files:
        try:
            stat = machine.windows.files.stat(path)
        except StopcodeError as error:
            machine.gap(facts, path_of("crashes", path), error.message)
            continue
        if stat is not None and not stat.is_dir:
            found.setdefault(stat.path.lower(), (stat, where))
    for path in folders:
        damage: list[StopcodeError] = []
        try:
            listed = machine.windows.files.listdir(path, damage)
        except StopcodeError as error:
            machine.gap(facts, path_of("crashes", path), f"the folder cannot be read: {error.message}")
            continue
        for broken in damage:
            machine.gap(facts, path_of("crashes", path), f"the folder is damaged: {broken.message}")
        for stat in listed:
            if not stat.is_dir and stat.name.lower().endswith(".dmp"):
                found.setdefault(stat.path.lower(), (stat, "minidump"))
    return sorted(found.values(), key=lambda pair: (pair[0].modified, pair[0].path.lower()), reverse=True)


def _resolve(machine: Machine, facts: Facts, path: object) -> str | None:
    if not isinstance(path, str):
        return None
    resolved = machine.windows.resolve(path)
    if resolved is None:
        machine.diagnostics.info(
            "crashes.other-volume",
            f"CrashControl puts dumps to {path}, which is not on the Windows volume: nothing was looked for there",
            hint="read a dump from that disk with `stopcode dump`",
        )
    return resolved


def _instant(time: str) -> float:
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0


def decide_latest(facts: Facts, crashes: list[tuple[str, CrashDict]]) -> None:
    """Set `latest` and `latest_because` of (time, crash) pairs that are sorted newest first."""
    newest = crashes[0][0] if crashes else ""
    for time, crash in crashes:
        if time != newest:
            crash["latest"] = False
            crash["latest_because"] = "a newer dump is on the disk"
        else:
            crash["latest"], crash["latest_because"] = _is_latest(facts, time, crash)


def _is_latest(facts: Facts, time: str, crash: CrashDict) -> tuple[bool, str]:
    if not time:
        return True, "neither the dump nor its file tells a time; it is the only one"
    moment = _instant(time)
    boots = facts["boot"].get("boots", [])
    booted = _instant(crash.get("booted_at", ""))
    if boots and booted:
        started = _instant(boots[0]["started"])
        if abs(started - booted) <= _SAME_BOOT_S and started <= moment:
            return True, f"it happened in the newest boot of the event log, which began {boots[0]['started']}"
    later = [boot["started"] for boot in boots if _instant(boot["started"]) > moment]
    if later:
        return False, f"the machine has booted since, at {min(later)}"
    shutdown = facts["system"].get("last_shutdown")
    if shutdown is not None and _instant(shutdown) > moment:
        return False, f"the machine was shut down cleanly since, at {shutdown}"
    if boots:
        return True, f"the newest boot in the event log, {boots[0]['started']}, was before it"
    if any(gap["path"] in ("/boot/boots", "/boot", "/events") for gap in facts["gaps"]):
        return True, "the event log cannot be read: a later boot is not excluded"
    return True, "the event log knows no boot"
