r"""Events of the logs: those that tell of boots and bug checks, and those that rules ask for.

Only wanted ids are taken, from `\Windows\System32\winevt\Logs`; the newest `MAX_EVENTS` are kept, newest first. What
the boots collector needs stays on the reader that is returned, whole.
"""

from __future__ import annotations

from typing import Literal

from forensics.collect.evtx_log import LogRecord, ReadLog, read_log
from forensics.collect.machine import Machine
from forensics.facts import EventFact, Facts, path_of, source
from parsers.errors import StopcodeError
from parsers.limits import MAX_EVENT_LOG, MAX_EVENTS

__all__ = ["BOOT_EVENTS", "LEVELS", "collect", "log_path", "reports_bugcheck"]

#: Provider and id of the events that tell how boots began and ended, of the System log.
BOOT_EVENTS = frozenset({
    ("microsoft-windows-kernel-general", 12),
    ("microsoft-windows-kernel-general", 13),
    ("microsoft-windows-kernel-power", 41),
    ("microsoft-windows-wer-systemerrorreporting", 1001),
    ("bugcheck", 1001),
    ("eventlog", 6008),
})  # fmt: skip
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
    wanted: dict[str, set[tuple[str, int]]] = {"System": set(BOOT_EVENTS)}
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
            "events.many", f"{len(events)} events were wanted by boots and rules; the newest {MAX_EVENTS} are kept"
        )
    facts["events"] = events[:MAX_EVENTS]
    return system


def _read(machine: Machine, facts: Facts, name: str, wanted: set[tuple[str, int]]) -> ReadLog | None:
    path = log_path(machine, name)
    try:
        stat = machine.windows.files.stat(path)
        if stat is None:
            # Another log that is not there was never switched on: read, and nothing is in it.
            if name == "System":
                machine.gap(facts, "/events", f"there is no {path}")
                machine.diagnostics.warning(
                    "events.log-missing",
                    "There is no System event log: boots and bug checks are not known",
                    source=path,
                )
            return None
        log = read_log(machine.windows.files.open(path), {event_id for _provider, event_id in wanted})
    except StopcodeError as error:
        _unreadable(machine, facts, name, error.message)
        return None
    if log.errors:
        machine.diagnostics.warning(
            "events.log-damaged",
            f"Event log {name}: {log.count} records were read, {log.errors} damaged ones passed over "
            f"({log.first_error})",
            hint="the events told are a part of what was there",
            source=path,
        )
        machine.gap(facts, path_of("events", name), "the log is damaged: events may be missing")
    if log.left_out:
        machine.diagnostics.info(
            "events.log-large",
            f"Event log {name} is larger than {MAX_EVENT_LOG >> 20} MiB: only its newest chunks were read",
            source=path,
        )
    return log


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
