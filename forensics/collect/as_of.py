r"""Up to when the disk tells: the newest time seen on it.

A replicated disk is cut at its recovery point: what is not on it may have happened later. The time is the newest of
the newest event, key times of the SYSTEM hive (the time in a hive's own header is 0 on Windows 10), the last clean
shutdown, the last start on the present hardware, and the dumps.
"""

from __future__ import annotations

from forensics.collect.events import log_path
from forensics.collect.evtx_log import ReadLog
from forensics.collect.hardware import current_hardware
from forensics.collect.machine import Machine
from forensics.facts import Facts, Source, filetime_to_iso, source
from parsers.errors import StopcodeError

__all__ = ["collect"]

_KEYS = ("Select", "HardwareConfig", "Services", "Control", r"Control\ComputerName", r"Control\Session Manager")


def collect(machine: Machine, facts: Facts, log: ReadLog | None) -> None:
    """Fill `/system/disk_as_of`; its source says which time it is."""
    times: list[tuple[str, Source]] = []
    if log is not None and log.newest:
        times.append((log.newest, source("record", log_path(machine, "System"), detail="newest event")))
    times += _of_keys(machine)
    system = facts["system"]
    if "last_shutdown" in system:
        times.append((system["last_shutdown"], system["sources"]["last_shutdown"]))
    for crash in facts["crashes"]:
        # Another Windows may have written its dump when this one did not run any more.
        if "time" in crash and not crash.get("foreign"):
            times.append((crash["time"], source("dump", crash["item"], detail="SystemTime")))
    if not times:
        machine.gap(facts, "/system/disk_as_of", "neither the event log nor the SYSTEM hive nor a dump tells a time")
        return
    # ISO 8601 in UTC with the same width orders as text; fractions only add to it.
    newest = max(times, key=lambda pair: (pair[0].rstrip("Z"), pair[1]["path"]))
    system["disk_as_of"] = newest[0]
    system.setdefault("sources", {})["disk_as_of"] = newest[1]


def _of_keys(machine: Machine) -> list[tuple[str, Source]]:
    times: list[tuple[str, Source]] = []
    for name in _KEYS:
        try:
            path = name if name in ("Select", "HardwareConfig") else machine.current(name)
            key = machine.key("SYSTEM", path)
        except StopcodeError:
            # Told already by the collector whose section it is.
            continue
        time = filetime_to_iso(key.last_written) if key is not None else None
        if time is not None and key is not None:
            times.append((time, source("key", f"SYSTEM\\{path}", detail="last written", offset=key.offset)))
    try:
        hardware = current_hardware(machine)
    except StopcodeError:
        return times
    time = filetime_to_iso(hardware.last_use) if hardware is not None else None
    if time is not None and hardware is not None:
        times.append((time, source("value", f"SYSTEM\\{hardware.path}", detail="LastUse")))
    return times
