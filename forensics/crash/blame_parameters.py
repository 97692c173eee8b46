"""Verdicts from what parameters are documented to be: addresses of code, objects of the I/O manager, drivers' names.

What a parameter is, its documented meaning says (`bugchecks.describe`); what it holds is believed only when it is one:
an object by its type field, a name by its signs, an address by the module that holds it.
"""

from __future__ import annotations

import re

from forensics.crash.bugchecks import ParameterInfo, describe
from forensics.crash.case import CrashCase, Sure
from forensics.crash.objects import Device, read_device, read_driver, read_irp, read_name
from forensics.crash.policy import blame_order, policy_of
from forensics.facts import Culprit

__all__ = ["by_parameter", "driver_words"]

#: Words with which a meaning says that the value is an address of code.
_CODE = re.compile(
    r"routine|instruction|caller|callback|\bfunction|inside the (?:responsible|driver)|driver code|in driver's code"
    r"|the driver's code|(?:that|which) referenced memory|address of the (?:unloading )?driver$"
)
#: The same where the code is the offender's, by Driver Verifier's own word.
_OFFENDER = re.compile(r"address inside the driver|driver's code where (?:the )?error was detected")
_DRIVER = re.compile(r"\bdriver object\b|driver_object")
_DEVICE = re.compile(r"\bdevice object\b(?! to which)")
_DPC = re.compile(r"\bdpc object$")
_IRP = re.compile(r"\birp$|\birp\b(?! status| major| completion)")
_NAME = re.compile(r"name of the driver|driver's name|driver name")
_VERIFIER = frozenset({0xC4, 0xC9})
#: KDPC: its type (a plain or a threaded one) in the first byte, DeferredRoutine at 0x18; x64, the same in all builds
#: (volatilityfoundation/volatility: plugins/overlays/windows).
_DPC_TYPES, _DPC_ROUTINE = (0x13, 0x1A), 0x18
_UNEXPECTED_IRQL, _LOCKED_PAGES = 0xC8, 0xCB


def driver_words(device: Device) -> str:
    """Name a device's driver for a person."""
    name = device.driver or "a driver object without a readable name"
    return f"{name}, loaded as {device.module.name}" if device.module is not None else name


def _documented(case: CrashCase) -> list[tuple[ParameterInfo, int]]:
    """Return the parameters with their values, with meanings that the table of codes does not choose between."""
    values = case.evidence.parameters
    found = [(row, values[row.number - 1]) for row in describe(case.code, values).parameters]
    if case.code == _UNEXPECTED_IRQL and values[0] & 0xFF <= 3:
        # The page of 0xC8: the low byte says what ran when the level came out wrong.
        what = (
            "kernel routine of the APC",
            "kernel routine of the APC",
            "callout routine",
            "interrupt service routine",
        )
        found[1] = (ParameterInfo(2, values[1], what[values[0] & 0xFF]), values[1])
    if case.code == _LOCKED_PAGES:
        # The page of 0xCB gives two readings: the address of a structure, or of code.
        words = "calling address in the driver's code that locked the pages"
        found[0] = (ParameterInfo(1, values[0], words), values[0])
    return found


def by_parameter(case: CrashCase) -> Culprit | None:
    """Return the verdict when a parameter is an address of a driver's code, or an object or a name of one."""
    for row, value in _documented(case):
        if not value or not row.meaning:
            continue
        found = _by_meaning(case, row, row.meaning.lower(), value)
        if found is not None:
            return found
    return None


def _by_meaning(case: CrashCase, row: ParameterInfo, meaning: str, value: int) -> Culprit | None:
    if _NAME.search(meaning):
        return _by_name(case, row, value)
    if _DRIVER.search(meaning):
        driver = read_driver(case.evidence, value)
        return _by_devices(case, row, [] if driver is None else [driver], "driver object")
    if _CODE.search(meaning):
        return _by_code(case, row, value, "high" if case.code in _VERIFIER and _OFFENDER.search(meaning) else "medium")
    if case.code in _VERIFIER:
        # A device or an IRP is there what the driver was caught with, and may be another driver's.
        return None
    if _DPC.search(meaning):
        return _by_dpc(case, row, value)
    if _DEVICE.search(meaning):
        device = read_device(case.evidence, value)
        return _by_devices(case, row, [] if device is None else [device], "device object")
    if _IRP.search(meaning):
        irp = read_irp(case.evidence, value)
        return _by_devices(case, row, [irp.device] if irp is not None and irp.device is not None else [], "IRP")
    return None


def _by_code(case: CrashCase, row: ParameterInfo, value: int, sure: Sure) -> Culprit | None:
    modules = case.evidence.modules
    module, driver = modules.at(value), modules.unloaded_at(value)
    if module is None and driver is not None:
        because = [
            f"parameter {row.number} ({row.meaning}) = {value:#x} lies in {case.former(driver)}: "
            "something still called it"
        ]
        return case.verdict("driver", driver.name, "high", because)
    if module is None:
        return None
    if blame_order(policy_of(module.name).kind) <= 1:
        return case.verdict("driver", module, sure, [f"parameter {row.number} ({row.meaning}) is {case.label(value)}"])
    case.others.append(f"{case.label(value)} (parameter {row.number}): {policy_of(module.name).reason}")
    return None


def _by_dpc(case: CrashCase, row: ParameterInfo, value: int) -> Culprit | None:
    """Return the verdict of a KDPC: the driver whose routine it would call."""
    head = case.evidence.bytes_at(value, 0x20) if case.evidence.dump.machine == "x64" else None
    if head is None or head[0] not in _DPC_TYPES:
        return None
    routine = int.from_bytes(head[_DPC_ROUTINE : _DPC_ROUTINE + 8], "little")
    return _by_code(case, ParameterInfo(row.number, value, f"{row.meaning}; its routine"), routine, "medium")


def _by_devices(case: CrashCase, row: ParameterInfo, found: list[Device], what: str) -> Culprit | None:
    """Return the verdict of an object that a parameter names, when it could be read and its driver can be blamed."""
    value = case.evidence.parameters[row.number - 1]
    if not found:
        case.absent(row.number, what)
        return None
    device = found[0]
    words = f"parameter {row.number} ({row.meaning}) is {value:#x}: {what} of {driver_words(device)}"
    if device.module is None:
        case.others.append(words)
        return None
    if blame_order(policy_of(device.module.name).kind) > 1:
        case.others.append(f"{words}: {policy_of(device.module.name).reason}")
        return None
    return case.verdict("driver", device.module, "medium", [words])


def _by_name(case: CrashCase, row: ParameterInfo, value: int) -> Culprit | None:
    name = read_name(case.evidence, value).rpartition("\\")[2]
    if not name:
        case.absent(row.number, "name")
        return None
    modules = case.evidence.modules
    module = modules.named(name) or modules.named(f"{name}.sys")
    shown = module.name if module is not None else name if "." in name else f"{name}.sys"
    because = [f"parameter {row.number} ({row.meaning}) names {shown}"]
    if blame_order(policy_of(shown).kind) > 1:
        case.others.append(f"{because[0]}: {policy_of(shown).reason}")
        return None
    if module is None:
        case.against.append(f"no loaded module is called {shown}")
    return case.verdict("driver", module or shown, "medium" if module is None else "high", because)
