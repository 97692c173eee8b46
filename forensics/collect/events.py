r"""Events of the logs: those that tell of boots and bug checks, and those that rules ask for.

Only wanted ids are taken, from `\Windows\System32\winevt\Logs`; at most `MAX_EVENTS` are kept, newest first. What
the boots collector needs stays on the reader that is returned, whole.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from forensics.collect.evtx_log import LogRecord, ReadLog, read_log
from forensics.collect.machine import Machine
from forensics.facts import EventFact, Facts, path_of, source
from parsers.bytesource import pieces
from parsers.errors import NotCollectedError, StopcodeError
from parsers.limits import MAX_EVENT_LOG, MAX_EVENTS

__all__ = ["BOOT_EVENTS", "DUMP_EVENTS", "LEVELS", "collect", "log_path", "reports_bugcheck"]

#: Provider and id of the events that tell how boots began and ended, of the System log.
BOOT_EVENTS = frozenset({
    ("microsoft-windows-kernel-general", 12),
    ("microsoft-windows-kernel-general", 13),
    ("microsoft-windows-kernel-power", 41),
    ("microsoft-windows-wer-systemerrorreporting", 1001),
    ("bugcheck", 1001),
    ("eventlog", 6008),
})  # fmt: skip
#: Events that say why a dump was not written or not kept, of the System log; what each means.
DUMP_EVENTS: dict[tuple[str, int], str] = {
    ("volmgr", 44): "the place of the dump file on the disk could not be told",
    ("volmgr", 45): "the driver that writes dumps could not be loaded",
    ("volmgr", 46): "crash dumps could not be set up at the start of Windows: no page file was ready for them",
    ("volmgr", 48): "the dump file could not be set up for writing past the file system",
    ("volmgr", 49): "the page file could not be set up for crash dumps: it is too small or on another volume",
    ("volmgr", 161): "the dump could not be written while the machine stopped: the storage's dump drivers failed",
    ("volmgr", 163): "a driver failed while the dump was written",
    ("microsoft-windows-wer-systemerrorreporting", 1018): "Windows did not keep the dump",
}
LEVELS: dict[int, Literal["critical", "error", "warning", "information", "verbose"]] = {
    0: "information",
    1: "critical",
    2: "error",
    3: "warning",
    4: "information",
    5: "verbose",
}


def log_path(machine: Machine, log: str) -> str:
    """Return the file of a log: a `/` in a channel's name is written `%4`."""
    return f"{machine.root}\\System32\\winevt\\Logs\\{log.replace('/', '%4')}.evtx"


def reports_bugcheck(record: LogRecord) -> bool:
    """Tell whether an event 1001 is the report of a bug check; the same id means other things elsewhere."""
    names = (record.provider.lower(), record.source_name.lower())
    return record.id == 1001 and ("microsoft-windows-wer-systemerrorreporting" in names or "bugcheck" in names)


def collect(machine: Machine, facts: Facts) -> ReadLog | None:
    """Fill `/events`; return the System log for the boots collector, or None when it cannot be read."""
    wanted: dict[str, set[tuple[str, int]]] = {"System": {*BOOT_EVENTS, *DUMP_EVENTS}}
    names = {"system": "System"}
    for log, provider, event_id in sorted(machine.wants.events):
        name = names.setdefault(log.lower(), log)
        wanted.setdefault(name, set()).add((provider.lower(), event_id))
    system: ReadLog | None = None
    events: list[EventFact] = []
    for name in sorted(wanted):
        read = _read(machine, facts, name, wanted[name])
        if read is None:
            continue
        if name == "System":
            system = read
        path = log_path(machine, name)
        events += [
            _event(name, path, record)
            for record in read.records
            if (record.provider.lower(), record.id) in wanted[name]
            or (record.source_name.lower(), record.id) in wanted[name]
            or ("", record.id) in wanted[name]
        ]
    events.sort(key=lambda event: (event["time"], event["log"], event["record"]), reverse=True)
    if len(events) > MAX_EVENTS:
        machine.diagnostics.info(
            "events.many",
            f"{len(events)} events were wanted by boots and rules; {MAX_EVENTS} are kept, the newest of each kind",
        )
    facts["events"] = _kept(events)
    return system


def _kept(events: list[EventFact]) -> list[EventFact]:
    """Return at most MAX_EVENTS of events that stand newest first.

    Each kind (log, provider, id) has the same share, so that a common one does not push out a rare one that a rule
    waits for; what is left of the shares goes to the newest of all.
    """
    if len(events) <= MAX_EVENTS:
        return events
    kinds = Counter((event["log"], event["provider"], event["id"]) for event in events)
    share = MAX_EVENTS // len(kinds)
    seen: Counter[tuple[str, str, int]] = Counter()
    chosen: list[int] = []
    others: list[int] = []
    for number, event in enumerate(events):
        kind = (event["log"], event["provider"], event["id"])
        seen[kind] += 1
        (chosen if seen[kind] <= share else others).append(number)
    return [events[number] for number in sorted(chosen + others[: MAX_EVENTS - len(chosen)])]


def _read(machine: Machine, facts: Facts, name: str, wanted: set[tuple[str, int]]) -> ReadLog | None:
    path = log_path(machine, name)
    try:
        stat = machine.windows.files.stat(path)
        if stat is None:
            # Another log that is not there was never switched on: read, and nothing is in it.
            if name == "System":
                _no_system_log(machine, facts, f"there is no {path}")
            return None
        source = machine.windows.files.open(path)
        machine.windows.ahead(pieces(source, MAX_EVENT_LOG))
        log = read_log(source, {event_id for _provider, event_id in wanted})
    except NotCollectedError as error:
        # Few collect every log: only of the one that boots are read from is it told.
        if name == "System":
            _no_system_log(machine, facts, error.message)
        else:
            machine.gap(facts, path_of("events", name), error.message)
        return None
    except StopcodeError as error:
        _unreadable(machine, facts, name, error.message)
        return None
    _note_damage(machine, facts, name, log)
    if log.left_out:
        machine.diagnostics.info(
            "events.log-large",
            f"Event log {name} is larger than {MAX_EVENT_LOG >> 20} MiB: only its newest chunks were read",
            source=path,
        )
    return log


def _no_system_log(machine: Machine, facts: Facts, reason: str) -> None:
    machine.gap(facts, "/events", reason)
    machine.diagnostics.warning(
        "events.log-missing",
        "There is no System event log: boots and bug checks are not known",
        source=log_path(machine, "System"),
    )


def _note_damage(machine: Machine, facts: Facts, name: str, log: ReadLog) -> None:
    said = []
    if log.errors:
        said.append(f"{log.errors} damaged ones passed over ({log.first_error})")
    if log.missing:
        said.append(f"{log.missing} more are missing by their numbers")
    if log.wrong:
        said.append(f"chunks with a wrong checksum: {log.wrong}")
    if said:
        machine.diagnostics.warning(
            "events.log-damaged",
            f"Event log {name}: {log.count} records were read, {', '.join(said)}",
            hint="the events told are a part of what was there" if log.incomplete else "an event may tell wrong things",
            source=log_path(machine, name),
        )
    if log.incomplete:
        machine.gap(facts, path_of("events", name), "the log is damaged: events may be missing")


def _unreadable(machine: Machine, facts: Facts, name: str, reason: str) -> None:
    path = log_path(machine, name)
    machine.gap(facts, "/events" if name == "System" else path_of("events", name), reason)
    machine.diagnostics.error("events.log-unreadable", f"Event log {name} cannot be read: {reason}", source=path)


def _event(log: str, path: str, record: LogRecord) -> EventFact:
    return {
        "item": f"{log}:{record.number}",
        "log": log,
        "provider": record.provider,
        "id": record.id,
        "level": LEVELS.get(record.level, "information"),
        "time": record.time,
        "record": record.number,
        "data": record.data,
        "source": source("record", path, detail=f"EventRecordID {record.number}"),
    }
