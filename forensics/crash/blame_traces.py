"""Verdicts from traces: return addresses in the former range of an unloaded driver, the framework's own log."""

from __future__ import annotations

from collections.abc import Sequence

from forensics.crash.case import CrashCase
from forensics.crash.kmdf import logged_driver
from forensics.crash.policy import blame_order, policy_of
from forensics.crash.stack import Frame
from forensics.facts import Culprit
from parsers.limits import MAX_STACK_SCAN_BYTES

__all__ = ["by_former_driver", "by_former_word", "by_framework_log"]

_FRAMEWORK = "wdf01000.sys"


def by_former_driver(case: CrashCase, frames: Sequence[Frame]) -> Culprit | None:
    """Return the verdict when an exact frame returns into a driver that was unloaded."""
    for frame in frames:
        driver = case.evidence.modules.unloaded_at(frame.ip)
        if driver is not None and blame_order(policy_of(driver.name).kind) <= 1:
            because = [
                f"the stack was unwound exactly to a return address {frame.ip:#x} in {case.former(driver)}: its "
                "code was running then"
            ]
            return case.verdict("driver", driver.name, "medium", because)
    return None


def by_former_word(case: CrashCase) -> Culprit | None:
    """Return the verdict when a word of the stack lies in the former range of a driver: no more than a hint."""
    modules = case.evidence.modules
    around = case.evidence.stack_around(case.frames[0].sp) if case.frames and modules.unloaded else None
    if around is None:
        return None
    size = case.evidence.dump.pointer_size
    low = case.frames[0].sp & -size
    for base, data in case.evidence.pieces(low, min(around[1], low + MAX_STACK_SCAN_BYTES)):
        for at in range(-base % size, len(data) - size + 1, size):
            word = int.from_bytes(data[at : at + size], "little")
            driver = modules.unloaded_at(word)
            if driver is not None and blame_order(policy_of(driver.name).kind) <= 1:
                because = [f"the stack word at {base + at:#x} is {word:#x}, in {case.former(driver)}"]
                case.against.append("its code is gone: whether a call stood before that address cannot be seen")
                return case.verdict("driver", driver.name, "low", because)
    return None


def by_framework_log(case: CrashCase) -> Culprit | None:
    """Return the verdict when the framework itself stopped and kept the log of a client: the one it tracked last."""
    fault = case.fault
    module = case.evidence.modules.at(fault.ip) if fault is not None else None
    if fault is None or module is None or module.name.lower() != _FRAMEWORK:
        return None
    name = logged_driver(case.evidence)
    client = case.evidence.modules.named(f"{name}.sys") or case.evidence.modules.named(name) if name else None
    if client is None or blame_order(policy_of(client.name).kind) > 1:
        return None
    because = [
        f"the fault is at {case.label(fault.ip)} ({fault.where}), in the driver framework",
        f"the framework appended its log of {name} to the dump: it does so for the client that it tracked last",
    ]
    case.against.append("the framework tracks many clients: the last one need not be the one that it acted for")
    return case.verdict("driver", client, "low", because)
