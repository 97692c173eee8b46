r"""Boots as the System log tells them: how each began, how it ended, and the last bug check.

Kernel-General 12 opens a boot. How it *ended* stands partly in the next one: Kernel-Power 41, EventLog 6008 and the
report of a bug check (1001) are written by the boot that follows. The log's own order counts, not the clock: a VM that
comes up on another host may jump by hours (seen in a real Server 2008 R2 log). One exception: an event may be written
a little before the 12 of its own boot, when its time is not before that 12.

Truth about ends: a boot with Kernel-General 13 was shut down; one whose follower reports a bug check crashed; one
whose follower says 41 with code 0, or 6008, ended without warning (power, reset, or a crash before dumps work); of the
newest nothing is known but that the log ends: "running". Where the log says none of this (it was cleared, or the
machine slept), a boot has no `end`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from forensics.collect.events import log_path, reports_bugcheck
from forensics.collect.evtx_log import LogRecord, ReadLog
from forensics.collect.machine import Machine
from forensics.crash.bugchecks import describe, masked
from forensics.facts import BootRecord, Facts, hex64, source
from parsers.limits import MAX_BOOTS

__all__ = ["Boot", "boots_of", "collect"]

_KERNEL_GENERAL = "microsoft-windows-kernel-general"
_KERNEL_POWER = "microsoft-windows-kernel-power"
#: "0x0000007e (0xffffffffc0000005, 0x…, 0x…, 0x…)"
_REPORT = re.compile(r"\s*(0x[0-9a-f]{1,16})\s*\(([^)]*)\)", re.IGNORECASE)
_HEX = re.compile(r"0x[0-9a-f]{1,16}", re.IGNORECASE)


@dataclass(slots=True)
class Boot:
    """One boot with the events written in it."""

    start: LogRecord
    events: list[LogRecord] = field(default_factory=list)

    @property
    def stop(self) -> LogRecord | None:
        """The event of a clean shutdown."""
        found = [event for event in self.events if event.provider.lower() == _KERNEL_GENERAL and event.id == 13]
        return found[-1] if found else None

    @property
    def unexpected(self) -> LogRecord | None:
        """The remark that the boot before ended without warning: the service's (6008), else the kernel's (41)."""
        for name, number in (("eventlog", 6008), (_KERNEL_POWER, 41)):
            for event in self.events:
                if event.provider.lower() == name and event.id == number:
                    return event
        return None

    @property
    def reported(self) -> LogRecord | None:
        """The report that the boot before ended in a bug check."""
        for event in self.events:
            if reports_bugcheck(event):
                return event
        for event in self.events:
            if event.provider.lower() == _KERNEL_POWER and event.id == 41 and _code_of(event):
                return event
        return None


def boots_of(log: ReadLog) -> list[Boot]:
    """Return the boots in the order of the log, with the events that belong to each."""
    starts = [record for record in log.records if record.provider.lower() == _KERNEL_GENERAL and record.id == 12]
    boots = [Boot(start) for start in starts]
    numbers = {start.number for start in starts}
    others = [record for record in log.records if record.number not in numbers]
    position = -1
    for record in others:
        while position + 1 < len(boots) and boots[position + 1].start.number < record.number:
            position += 1
        place = position
        describes_past = record.id in (41, 1001, 6008)
        if describes_past and position + 1 < len(boots):
            following = boots[position + 1].start
            if following.time <= record.time and following.number - record.number < 16:
                place = position + 1
        if place >= 0:
            boots[place].events.append(record)
    return boots


def collect(machine: Machine, facts: Facts, log: ReadLog | None) -> None:
    """Fill `/boot/boots` (newest first), `/boot/last_boot` and `/boot/last_bugcheck`."""
    path = log_path(machine, "System")
    if log is None:
        machine.gaps(facts, "/boot", ("boots", "last_boot", "last_bugcheck"), "the System log cannot be read")
        return
    boots = boots_of(log)
    section = facts["boot"]
    sources = section.setdefault("sources", {})
    records = [_boot(boot, boots[n + 1] if n + 1 < len(boots) else None, path) for n, boot in enumerate(boots)]
    section["boots"] = records[::-1][:MAX_BOOTS]
    if boots:
        section["last_boot"] = boots[-1].start.time
        sources["last_boot"] = records[-1]["source"]
    for number in range(len(boots) - 1, -1, -1):
        report = boots[number].reported
        if report is not None:
            section["last_bugcheck"] = _bugcheck(boots[number], report, path)
            break
    else:
        _orphan_report(log, facts, path)
    if log.errors or log.newest_lost:
        machine.gap(facts, "/boot/last_boot", "the System log is damaged: a later boot may be lost")
    if log.incomplete:
        machine.gap(facts, "/boot/boots", "the System log is damaged: boots may be missing")
        if "last_bugcheck" not in section:
            machine.gap(facts, "/boot/last_bugcheck", "the System log is damaged: the report of a stop may be lost")


def _orphan_report(log: ReadLog, facts: Facts, path: str) -> None:
    """Take a report from a log that holds no start event at all (cut, or cleared since)."""
    reports = [record for record in log.records if reports_bugcheck(record)]
    if reports:
        facts["boot"]["last_bugcheck"] = _bugcheck(None, reports[-1], path)


def _boot(boot: Boot, following: Boot | None, path: str) -> BootRecord:
    data = boot.start.data
    record: BootRecord = {
        "started": boot.start.time,
        "source": source("record", path, detail=f"EventRecordID {boot.start.number}"),
    }
    parts = [data.get(name, "") for name in ("MajorVersion", "MinorVersion", "BuildVersion", "QfeVersion")]
    if all(part.isdecimal() for part in parts):
        record["build"] = ".".join(parts)
    if boot.stop is not None:
        record["end"] = "shutdown"
        record["ended"] = boot.stop.time
        return record
    if following is None:
        record["end"] = "running"
        return record
    if following.reported is not None:
        record["end"] = "bugcheck"
    elif following.unexpected is not None:
        record["end"] = "unexpected"
    ended = _last_alive(following)
    if ended is not None:
        record["ended"] = ended
    return record


def _last_alive(boot: Boot) -> str | None:
    """Return when the boot before was last known to run: the UTC SYSTEMTIME in the binary part of event 6008."""
    event = boot.unexpected
    if event is None or event.id != 6008:
        return None
    try:
        data = bytes.fromhex(event.data.get("Binary", ""))
    except ValueError:
        return None
    if len(data) < 32:
        return None
    year, month, _weekday, day, hour, minute, second, ms = (
        int.from_bytes(data[at : at + 2], "little") for at in range(16, 32, 2)
    )
    if not (1601 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        return None
    text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    return f"{text}.{ms:03}".rstrip("0").rstrip(".") + "Z" if ms else f"{text}Z"


def _code_of(event: LogRecord) -> int:
    """Return the bug check code in a Kernel-Power 41 (decimal there), or 0."""
    text = event.data.get("BugcheckCode", event.data.get("0", ""))
    return int(text) & 0xFFFFFFFF if text.isdecimal() and len(text) <= 10 else 0


def _bugcheck(boot: Boot | None, report: LogRecord, path: str) -> dict[str, Any]:
    """Return the last bug check: `time` is when it was reported, at the next boot; `stopped` the last sign of life."""
    parameters: list[str] = []
    dump = ""
    code = 0
    if report.id == 1001:
        match = _REPORT.match(report.data.get("param1", report.data.get("0", "")))
        if match is not None:
            code = int(match.group(1), 16)
            parameters = [hex64(int(text, 16)) for text in _HEX.findall(match.group(2))][:4]
        dump = report.data.get("param2", report.data.get("1", ""))
    else:
        code = _code_of(report)
        for number in range(1, 5):
            text = report.data.get(f"BugcheckParameter{number}", report.data.get(str(number), ""))
            if _HEX.fullmatch(text):
                parameters.append(hex64(int(text, 16)))
    found: dict[str, Any] = {
        "code": hex64(masked(code)),
        "code_raw": hex64(code),
        "parameters": parameters,
        "time": report.time,
        "source": source("record", path, detail=f"EventRecordID {report.number}"),
    }
    name = describe(code).name
    if name:
        found["name"] = name
    if dump:
        found["dump"] = dump
    stopped = _last_alive(boot) if boot is not None else None
    if stopped is not None:
        found["stopped"] = stopped
    return found
