r"""Crashes: every dump on the disk, analysed in place with the disk's own driver files.

Where dumps are looked for: `forensics.collect.dump_places`. They are sorted newest first, by the time in the dump.

`latest`. A report speaks of the machine as it is now, so only a crash that no later start of Windows followed is the
latest one; an older crash is history. The rule, in this order:

1. a live report (its place, its header or its code says so) is no crash: Windows wrote it and ran on;
2. the dump tells when its own boot began (its time less its up-time). If that is, within half a minute, the newest
   boot that the System log knows, the crash is the latest one: nothing came after it;
3. a boot in the log that began after the crash, or a clean shutdown after it (`ShutdownTime`), makes it an earlier one;
4. otherwise, and where the log cannot be read, the newest dump is the latest one; that nothing speaks against it, and
   why, stands in `latest_because`.

A start that died before the event log service ran leaves nothing in the log and does not count: a machine that stops
at every start has one latest crash, its last.

A dump inside a page file is dated in the same way. Where it is the latest crash, Windows has not come as far as its
session manager since, which would have taken it out. Where it is not, the page file has been in use since: its first
block is never used again, so an old header outlives the bytes behind it, and what they say is told with that doubt.
"""

from __future__ import annotations

from datetime import datetime

from forensics.collect.dump_places import CARRIERS, DumpPlace, find_places
from forensics.collect.machine import Machine
from forensics.collect.no_dump import explain_missing
from forensics.collect.pci_devices import name_pci_devices
from forensics.crash.analyse import analyse, trim
from forensics.crash.document import mark_live
from forensics.crash.images import DiskFirst, DiskImages, ImageFinder
from forensics.facts import CrashDict, Facts, filetime_to_iso, path_of
from parsers.errors import StopcodeError
from parsers.limits import MAX_CRASHES, MAX_FULL_CRASHES
from parsers.windows_builds import base_of

__all__ = ["collect", "date_dumps", "decide_latest", "with_place"]

_SAME_BOOT_S = 30.0


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/crashes`, and say why there is no dump where there is none."""
    places = find_places(machine, facts)
    dumps = places.dumps[:MAX_CRASHES]
    if len(places.dumps) > MAX_CRASHES:
        machine.diagnostics.warning(
            "crashes.many",
            f"{len(places.dumps) + places.left_out} dumps are on the disk; the newest {MAX_CRASHES} were analysed",
            hint="`stopcode rescue` lists them all; copy an older one out and read it with `stopcode dump`",
        )
    images: ImageFinder = DiskImages(machine.windows)
    if machine.images is not None:
        images = DiskFirst(images, machine.images)
    read: list[tuple[DumpPlace, CrashDict]] = []
    for place in dumps:
        try:
            with place.reading() as (opened, whole):
                crash = analyse(
                    opened, path=place.path, where=place.where, images=images, symbols=machine.symbols,
                    diagnostics=machine.diagnostics,
                )  # fmt: skip
                name_pci_devices(machine, crash)
                read.append((place, with_place(crash, place, whole=whole)))
        except StopcodeError as error:
            machine.gap(facts, path_of("crashes", place.path), error.message)
            machine.diagnostics.error(
                "crashes.dump-unreadable",
                f"{place.path} cannot be read as a dump: {error.message}",
                hint=error.hint,
                source=place.path,
            )
    crashes = date_dumps(facts, read)
    for crash in crashes:
        if crash["dump"].get("where") in CARRIERS:
            _tell_of_carrier(machine, facts, crash)
    facts["crashes"] = [
        # Any number of live reports may be newer than the crash that everything is about.
        crash if number < MAX_FULL_CRASHES or crash["latest"] else trim(crash)
        for number, crash in enumerate(crashes)
    ]
    explain_missing(machine, facts, places)


def with_place(crash: CrashDict, place: DumpPlace, *, whole: bool) -> CrashDict:
    """Add to a crash what its place says of it: a carrier that is too small for it, the folder of live reports."""
    if not whole:
        crash["dump"]["complete"] = False
        size = crash["dump"].get("size", 0)
        crash["gaps"].append(f"{place.path} has {size:,} bytes, fewer than the dump's header says it needs")
    if place.where == "live-kernel":
        mark_live(crash)
    return crash


def date_dumps(facts: Facts, read: list[tuple[DumpPlace, CrashDict]]) -> list[CrashDict]:
    """Return the crashes newest first, with `latest` decided and copies of one dump marked."""
    timed: list[tuple[str, CrashDict]] = []
    for place, crash in read:
        # A page file was changed by whatever ran last: only the dump in it can tell a time.
        changed = "" if place.where in CARRIERS else filetime_to_iso(place.modified) or ""
        timed.append((crash.get("time") or changed, crash))
    timed.sort(key=lambda pair: (_instant(pair[0]), pair[1]["dump"].get("size", 0), pair[1]["item"]))
    timed.reverse()
    decide_latest(facts, timed)
    crashes = [crash for _time, crash in timed]
    _mark_copies(crashes)
    return crashes


def _identity(crash: CrashDict) -> tuple[object, ...]:
    """Return what two dumps of one crash share, if they are of one kind."""
    bugcheck = crash["bugcheck"]
    parameters = tuple(parameter["value"] for parameter in bugcheck["parameters"])
    return crash.get("time"), crash.get("uptime_s"), bugcheck["code_raw"], parameters, crash["dump"].get("type")


def _mark_copies(crashes: list[CrashDict]) -> None:
    """Say of a dump in a carrier and of one in the error reports which other file holds the same."""
    files: dict[tuple[object, ...], CrashDict] = {}
    passing = (*CARRIERS, "wer")
    for crash in crashes:
        if crash["dump"].get("where") not in passing and "time" in crash:
            files.setdefault(_identity(crash), crash)
    for crash in crashes:
        kept = files.get(_identity(crash))
        if kept is not None and crash["dump"].get("where") in passing:
            crash["dump"]["copy_of"] = kept["item"]
            if kept.get("live"):
                mark_live(crash)


_CARRIER_NAMES = {
    "pagefile": "the page file",
    "dump-tmp": "a page file that the session manager renamed",
    "dedicated": "the dedicated dump file",
}


def _tell_of_carrier(machine: Machine, facts: Facts, crash: CrashDict) -> None:
    """Say what the place means for a dump that never became a file of its own."""
    where, path = crash["dump"].get("where", ""), crash["item"]
    copy = crash["dump"].get("copy_of")
    if copy is not None:
        crash["latest_because"] += f"; it was copied to {copy} since"
        return
    foreign = _of_another_windows(facts, crash)
    # Another Windows may have written it after this one ran for the last time.
    in_use = where == "pagefile" and not crash["latest"] and not (foreign or "").endswith(_ANOTHER)
    if foreign is not None:
        crash["gaps"].append(foreign)
    if in_use:
        crash["latest_because"] += "; the page file has been in use since, so parts of the dump may be overwritten"
        crash["gaps"].append("the dump lies in a page file that has been in use since: parts of it may be overwritten")
    elif where == "pagefile" and foreign is None:
        crash["latest_because"] += (
            "; it still lies in the page file, so Windows has not come as far as its session manager since"
        )
    when = crash.get("time", "an unknown time")
    machine.diagnostics.info(
        "crashes.dump-not-copied",
        f"A dump of {when} lies in {path}, {_CARRIER_NAMES[where]}"
        + (", which has been in use since" if in_use else ", and was not copied to a file of its own"),
        hint="`stopcode rescue` copies it out",
        source=path,
    )


_ANOTHER = "another Windows"


def _of_another_windows(facts: Facts, crash: CrashDict) -> str | None:
    """Say of a dump in a page file and the like that it is of another build than the disk's Windows."""
    system, build = facts["system"].get("build"), crash.get("build")
    if crash.get("dump", {}).get("where") not in CARRIERS or system is None or build is None:
        return None
    if base_of(system) == base_of(build):
        return None
    kind = "an older Windows" if base_of(build) < base_of(system) else _ANOTHER
    return f"the dump is of build {build}, and the disk holds build {system}: it is of {kind}"


def _instant(time: str) -> float:
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0


def decide_latest(facts: Facts, crashes: list[tuple[str, CrashDict]]) -> None:
    """Set `latest` and `latest_because` of (time, crash) pairs that are sorted newest first; live reports have both."""
    own = [(time, crash, _of_another_windows(facts, crash)) for time, crash in crashes if not crash.get("live")]
    newest = next((time for time, _, because in own if because is None), "")
    for time, crash, because in own:
        if because is not None:
            crash["latest"], crash["latest_because"], crash["foreign"] = False, because, True
        elif time != newest:
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
