"""Verdicts of bug checks whose parameters name an object in a way of their own: power IRPs, the framework's clients."""

from __future__ import annotations

from forensics.crash.blame_parameters import driver_words
from forensics.crash.case import CrashCase
from forensics.crash.kmdf import client_of_globals, client_table, logged_driver
from forensics.crash.objects import (
    Device,
    device_stack_down,
    instance_path,
    power_irps,
    read_device,
    read_irp,
    read_name,
)
from forensics.crash.policy import blame_order, policy_of
from forensics.facts import Culprit

__all__ = ["by_object"]

#: 0x9F by parameter 1: which parameters are device objects, the one that broke the rule before the one it was for.
_POWER_DEVICES = {1: (2,), 2: (3, 2), 5: (2,), 0x500: (4, 3)}
#: Further IRPs that are told.
_MAX_OTHER_IRPS = 4
_IRP_MAJOR = {0x03: "read", 0x04: "write", 0x0E: "device control", 0x0F: "internal control", 0x16: "power", 0x1B: "PnP"}
_POWER_MINOR = {0: "wait/wake", 1: "power sequence", 2: "set power", 3: "query power"}
#: 0x10D, parameter 1: an interface that the framework or an extension of it does not have.
_API_UNAVAILABLE = 0x10
_DISPLAY = frozenset({0x116, 0x117, 0x119, 0x141, 0x142})


def by_object(case: CrashCase) -> Culprit | None:
    """Return the verdict when an object that a parameter names leads to a driver."""
    if case.code == 0x9F:
        return _by_power(case)
    if case.code == 0x10D:
        return _by_framework_client(case)
    if case.code in _DISPLAY:
        case.against.append("the graphics card itself (heat, power, its memory) may not have answered its driver")
        return _by_address(case, 2, "high", "an address in the display driver that did not answer")
    if case.code == 0x135:
        return _by_address(case, 3, "high", "the registry callback that raised the exception")
    return None


def _by_power(case: CrashCase) -> Culprit | None:
    evidence = case.evidence
    kind, pdo_address, triage, irp_address = evidence.parameters
    if kind != 3:
        for number in _POWER_DEVICES.get(kind, ()):
            device = read_device(evidence, evidence.parameters[number - 1])
            if device is not None and device.module is not None:
                words = f"parameter {number} is the device object {device.address:#x} of {driver_words(device)}"
                if blame_order(policy_of(device.module.name).kind) > 1:
                    # Every parameter that is a device is told of later (`blame_parameters`).
                    continue
                return case.verdict("driver", device.module, "medium", [words])
        return None
    because: list[str] = []
    chain: list[Device] = []
    irp = read_irp(evidence, irp_address)
    if irp is None:
        case.absent(4, "blocked IRP")
    elif irp.device is None and 1 <= irp.current <= irp.stack_count:
        case.gaps.append("the device in which the blocked IRP waits is not in the dump")
    if irp is not None and irp.device is not None:
        what = _IRP_MAJOR.get(irp.major or 0, f"major {irp.major:#x}")
        if irp.major == 0x16:
            what += f", {_POWER_MINOR.get(irp.minor or 0, 'other')}"
        because.append(
            f"the blocked IRP {irp_address:#x} (parameter 4; {what}) waits at location {irp.current} of "
            f"{irp.stack_count} in device {irp.device.address:#x} of {driver_words(irp.device)}"
        )
        sent = next((entry.sent for entry in power_irps(evidence, triage) if entry.irp == irp_address), None)
        now = evidence.dump.header.system_up_time
        if sent is not None and now is not None and 0 < sent <= now:
            because.append(f"it was sent {(now - sent) / 10_000_000:.1f} s before the crash (list at parameter 3)")
        chain = [irp.device, *device_stack_down(evidence, irp.device.address)]
    pdo = read_device(evidence, pdo_address)
    if pdo is None:
        case.absent(2, "physical device object")
    else:
        path = instance_path(evidence, pdo_address)
        named = f", instance {path}" if path else ""
        because.append(
            f"the device below it all, {pdo_address:#x} (parameter 2), belongs to {driver_words(pdo)}{named}"
        )
        if not any(device.address == pdo.address for device in chain):
            chain.append(pdo)
        because += _other_irps(case, triage, irp_address, pdo_address)
    holders = [device.module for device in chain if device.module is not None]
    order = {module.base: blame_order(policy_of(module.name).kind) for module in holders}
    # Where all of them carry the requests of others, the one that holds this one is nearer than the bus below.
    picked = next((one for most in (1, 2) for one in holders if order[one.base] <= most), None)
    for module in holders:
        if module is picked:
            break
        case.others.append(f"{module.name} holds the IRP or passes it on: {policy_of(module.name).reason}")
    if picked is None:
        return None
    is_worker = order[picked.base] <= 1
    if not is_worker:
        case.against.append("the drivers of this device stack mostly carry the requests of others")
    elif picked is not holders[0]:
        because.append(f"the drivers above it only pass requests on: {picked.name} is the first that does the work")
    case.against.append("the device itself (a disk, a controller, the host's storage) may not have answered its driver")
    if case.process:
        case.others.append(f"{case.process}, the current process, was only interrupted by the timer")
    return case.verdict("driver", picked, "medium" if is_worker else "low", because)


def _other_irps(case: CrashCase, triage: int, irp_address: int, pdo_address: int) -> list[str]:
    """Say where further power IRPs of the same device wait."""
    found = []
    for entry in power_irps(case.evidence, triage):
        if entry.irp == irp_address or entry.device != pdo_address:
            continue
        irp = read_irp(case.evidence, entry.irp)
        if irp is not None and irp.device is not None:
            words = driver_words(irp.device)
            found.append(f"another power IRP of that device, {entry.irp:#x}, waits in a device of {words}")
    return list(dict.fromkeys(found))[:_MAX_OTHER_IRPS]


def _by_framework_client(case: CrashCase) -> Culprit | None:
    address = case.evidence.parameters[3]
    if case.evidence.parameters[0] == _API_UNAVAILABLE:
        return _by_missing_interface(case)
    if not address:
        return None
    name = client_of_globals(case.evidence, address)
    if name is None:
        table = client_table(case.evidence)
        if table is None:
            case.gaps.append(
                "the framework's table of its clients is not in the dump: parameter 4 alone does not name the driver"
            )
        elif table == "cut":
            case.gaps.append(
                "the framework's table of its clients is only in part in the dump: parameter 4 is not in it"
            )
        return _by_framework_log(case)
    module = case.evidence.modules.named(f"{name}.sys") or case.evidence.modules.named(name)
    because = [
        f"parameter 4 ({address:#x}) is the framework's block of its client {name} (table of KMDF clients in the dump)"
    ]
    if module is None:
        case.against.append(f"no loaded module is called {name}.sys: the service {name} names the file")
        return case.verdict("driver", f"{name}.sys", "medium", because)
    case.others.append(f"Wdf01000.sys: {policy_of('Wdf01000.sys').reason}")
    return case.verdict("driver", module, "high", because)


def _by_missing_interface(case: CrashCase) -> Culprit | None:
    """WDF_API_UNAVAILABLE: parameter 2 points to the client's name, parameter 3 to the extension's that it lacks."""
    name = read_name(case.evidence, case.evidence.parameters[1])
    if not name:
        case.absent(2, "client's name")
        return None
    wanted = read_name(case.evidence, case.evidence.parameters[2])
    module = case.evidence.modules.named(f"{name}.sys") or case.evidence.modules.named(name)
    because = [
        f"parameter 2 names the framework's client {name}, which called an interface that is not there"
        + (f" (of {wanted}, parameter 3)" if wanted else "")
    ]
    case.against.append("an older framework or extension on this machine than the driver was built for does the same")
    return case.verdict("driver", module or f"{name}.sys", "medium", because)


def _by_framework_log(case: CrashCase) -> Culprit | None:
    """The framework keeps the log of the driver that it stops for: a step less sure than its table."""
    name = logged_driver(case.evidence)
    if name is None or blame_order(policy_of(f"{name}.sys").kind) >= 2:
        return None
    module = case.evidence.modules.named(f"{name}.sys") or case.evidence.modules.named(name)
    because = [f"the framework appended its log of {name} to the dump, as it does for the driver that it stops for"]
    case.against.append("parameter 4 is not in the table of the framework's clients")
    return case.verdict("driver", module or f"{name}.sys", "medium" if module is not None else "low", because)


def _by_address(case: CrashCase, number: int, sure: str, words: str) -> Culprit | None:
    address = case.evidence.parameters[number - 1]
    module = case.evidence.modules.at(address)
    if module is None:
        return None
    order = blame_order(policy_of(module.name).kind)
    because = [f"parameter {number} is {words}: {case.label(address)}"]
    if order >= 2:
        case.others.append(f"{case.label(address)} (parameter {number}): {policy_of(module.name).reason}")
        return None
    return case.verdict("driver", module, "high" if sure == "high" else "medium", because)
