"""Verdicts that name no driver: started by a person, the boot volume, a process that died, the machine itself."""

from __future__ import annotations

from forensics.crash.blame_parameters import driver_words
from forensics.crash.case import CrashCase
from forensics.crash.hardware import WHEA_SOURCES, one_bit, storage_words, whea_record, whea_words
from forensics.crash.instruction import is_function_start, judge_illegal
from forensics.crash.live import live_because
from forensics.crash.ntstatus import describe_status
from forensics.crash.objects import read_device, read_name, read_text
from forensics.facts import Culprit
from parsers.dump.process import image_name, image_name_offset

__all__ = ["by_hardware", "by_live_dump", "by_nature"]

_MANUAL = {
    0xE2: "a person stopped the machine from the keyboard or a debugger",
    0x1C8: "the power button was held down",
    0xDEADDEAD: "a person stopped the machine from a debugger or a tool",
    0x21C8: "a person asked for the dump with a key combination",
    0x161: "a person or tool asked for a dump of the running machine, which did not crash",
}
_BOOT = {
    0x7B: (
        "high",
        "Windows could not reach its own boot volume: storage drivers, filters, boot configuration or the disk",
    ),
    0xED: ("high", "Windows could not mount its boot volume: the file system or the path to the disk"),
    0x67: ("medium", "the registry could not be set up while starting"),
    0x69: ("medium", "the I/O system could not be set up while starting: mostly wrong boot configuration"),
    0x6B: ("medium", "the first process could not be set up while starting: mostly a damaged system file or volume"),
    0x74: ("medium", "the SYSTEM hive is damaged or lacks what starting needs"),
    0x51: ("medium", "a registry hive is damaged, or its file could not be read"),
    0x98: ("high", "the trial period of this Windows is over"),
    0xC0000218: ("medium", "a registry hive could not be loaded"),
    0xC0000221: ("medium", "a system file is damaged"),
}
_PROCESS = {
    0xEF: "a process without which Windows cannot run has ended",
    0xF4: "a process or thread without which Windows cannot run has ended",
    0xC000021A: "winlogon or the session manager has ended",
    0x9E: "a user-mode health check (failover cluster) was not answered in time",
}
#: (code, value of the parameter that tells process from thread) where a thread ended: 0xEF by parameter 2, 0xF4 by 1.
_OF_A_THREAD = frozenset({(0xEF, 1), (0xF4, 6)})
_ILLEGAL = 0xC000001D


def by_live_dump(case: CrashCase) -> Culprit | None:
    """Return the verdict of a live dump whose bug check names no object: what its stack shows is who took it."""
    because = live_because(case.evidence.dump.header)
    return None if because is None else case.verdict("manual", None, "medium", [because])


def _process_at(case: CrashCase, address: int) -> str | None:
    """Return the image name of the EPROCESS at an address."""
    dump = case.evidence.dump
    size = dump.kdbg.value("SizeEProcess") if dump.kdbg is not None else None
    place = image_name_offset(dump.machine, size, dump.header.minor_version)
    if place is None or not address:
        return None
    data = case.evidence.bytes_at(address + place[0], 15)
    return image_name(data) if data is not None else None


def by_nature(case: CrashCase) -> Culprit | None:
    """Return the verdict when the code alone says that no driver is accused."""
    evidence = case.evidence
    first = evidence.parameters[0]
    if case.code in _MANUAL:
        because = [f"bug check {case.code:#x}: {_MANUAL[case.code]}"]
        if case.code == 0x1C8 and first:
            because.append(f"parameter 1, the time it was held, is {first} ms")
        case.against.append("what made a person do so (a hang, for one) is not in this bug check")
        return case.verdict("manual", None, "high", because)
    if live_because(evidence.dump.header) is not None:
        case.against.append("it is a live dump: the machine went on running")
    if case.code in _BOOT:
        sure, text = _BOOT[case.code]
        because = [f"bug check {case.code:#x}: {text}"]
        if case.code in (0x7B, 0xED):
            because += _boot_device(case)
        if case.code in (0x7B, 0xED) and evidence.parameters[1] & 0xFFFFFFFF >= 0x80000000:
            because.append(f"parameter 2 is {describe_status(evidence.parameters[1])}")
        case.others.append("the stack of this bug check always runs through the kernel's start-up: it names nobody")
        return case.verdict("boot", None, "high" if sure == "high" else "medium", because)
    if case.code in _PROCESS:
        return _by_process(case)
    return None


def _boot_device(case: CrashCase) -> list[str]:
    """Say what parameter 1 names: the boot device's name, or its device object with its driver (0x7B)."""
    address = case.evidence.parameters[0]
    device = read_device(case.evidence, address)
    if device is not None:
        return [f"parameter 1 ({address:#x}) is the device object of {driver_words(device)}"]
    name = read_name(case.evidence, address) if case.code == 0x7B else ""
    if name:
        return [f"parameter 1 names the boot device {name}"]
    case.absent(1, "boot device")
    return []


def _by_process(case: CrashCase) -> Culprit:
    evidence = case.evidence
    values = evidence.parameters
    because = [f"bug check {case.code:#x}: {_PROCESS[case.code]}"]
    address = {0xEF: values[0], 0xF4: values[1], 0x9E: values[0]}.get(case.code, 0)
    what = "process object"
    if (case.code, values[1 if case.code == 0xEF else 0]) in _OF_A_THREAD:
        because.append(f"it was a thread that ended, {address:#x}")
        offset = evidence.dump.kdbg.value("OffsetKThreadApcProcess") if evidence.dump.kdbg is not None else None
        process = evidence.word(address + offset) if offset else None
        if process is None:
            case.absent(1 if case.code == 0xEF else 2, "thread")
        address, what = process or 0, "process object of the thread"
    if case.code == 0xF4:
        for number, words in ((3, "names the image"), (4, "says")):
            text = read_text(evidence, values[number - 1])
            if text:
                because.append(f"parameter {number} {words} {text}")
    name = _process_at(case, address)
    if name is not None:
        because.append(f"the {what} at {address:#x} is {name}")
        if case.code == 0x9E:
            case.against.append(f"{name} was waited for: what held it up may be storage or the network")
    elif address == values[0] and case.code in (0xEF, 0x9E):
        case.absent(1, what)
    elif address == values[1] and case.code == 0xF4:
        case.absent(2, what)
    case.against.append("why the process ended is not in the bug check: its own dump or the event log may tell")
    return case.verdict("process", None, "high" if name is not None else "medium", because)


def by_hardware(case: CrashCase) -> Culprit | None:
    """Return the verdict when the machine itself is accused."""
    evidence = case.evidence
    p1 = evidence.parameters[0]
    if case.code == 0x124:
        case.against.append("overclocking, voltage, heat and firmware look the same as a broken part")
        record = whea_record(evidence)
        if record is not None and record.simulated:
            case.against.append("the record says that the error was injected by a test tool")
        if record is None:
            case.absent(2, "error record")
        if p1 == _DEVICE_DRIVER:
            case.against.append("a device's own driver reported the error: it may misread its device")
        sure = p1 != _DEVICE_DRIVER and (record is not None or p1 in WHEA_SOURCES)
        return case.verdict("hardware", None, "high" if sure else "medium", whea_words(evidence, record))
    if case.code == 0x9C:
        return case.verdict("hardware", None, "high", ["bug check 0x9c: the processor reported a machine check"])
    if case.code in (0x12B, 0x2E):
        because = [f"bug check {case.code:#x}: memory did not hold what was written to it"]
        return case.verdict("hardware", None, "medium", because)
    if case.code == 0x1A:
        found = _by_damaged_tables(case)
        if found is not None:
            return found
    words = storage_words(evidence, case.record)
    if words is not None:
        case.against.append("behind a virtual machine this may be the host's storage, not a device")
        because = [words, "the storage did not give back a page: the disk, its path, or the host's storage"]
        return case.verdict("hardware", None, "medium", because)
    if case.exception_code == _ILLEGAL and evidence.dump.machine == "x64":
        return _by_illegal_instruction(case)
    return None


#: 0x124, parameter 1: the error was reported by a device's driver, not by processor or firmware.
_DEVICE_DRIVER = 0x10
#: 0x1A, parameter 1 -> parameters whose values should be the same ("found, expected" on its page).
_EQUAL = {0x403: (3, 4), 0x404: (2, 3), 0x5200: (3, 4)}
_PAGE_FILE_CRC = 0x3F


def _by_damaged_tables(case: CrashCase) -> Culprit | None:
    """0x1A: a single wrong bit in what memory management found, or a page that came back from the page file changed."""
    values = case.evidence.parameters
    kind, entry = values[0], values[1]
    if kind == _PAGE_FILE_CRC:
        because = [
            f"parameter 1 is 0x3f: a page came back from the page file with the checksum {values[2]:#x}, and had "
            f"{values[3]:#x} when it was written: the storage or the memory changed it"
        ]
        case.against.append("behind a virtual machine this may be the host's storage or memory")
        return case.verdict("hardware", None, "medium", because)
    if kind in (0x41792, 0x41201):
        bit = one_bit(values[2])
        found = f"page-table entry at {entry:#x}"
        place = f"parameter 3, the contents of the {found}, is {values[2]:#x}: exactly one bit is set"
    elif kind in _EQUAL:
        first, second = _EQUAL[kind]
        one, other = values[first - 1], values[second - 1]
        bit = one_bit(one ^ other)
        found = f"parameters {first} and {second} of 0x1a/{kind:#x}"
        place = f"parameters {first} and {second} ({one:#x}, {other:#x}) differ in exactly one bit"
    else:
        return None
    if bit is None:
        return None
    case.flipped_bits.append((bit, found))
    case.against.append("a driver that sets one bit through a stale pointer would leave the same picture")
    if case.process:
        case.others.append(f"{case.process}, the current process, only touched the page")
    case.others.append("the kernel, which found the damage, and every driver on the stack: none wrote this entry there")
    because = [
        f"{place} (bit {bit}): a flipped bit, not a wrong value",
        "memory that flips a bit (a failing module, overclocking or a memory profile beyond its rating) does this",
    ]
    return case.verdict("hardware", None, "medium", because)


def _by_illegal_instruction(case: CrashCase) -> Culprit | None:
    """An illegal instruction exception on bytes that every processor can execute accuses the processor."""
    fault = case.fault
    if fault is None:
        return None
    found = judge_illegal(case.evidence, fault.ip)
    if found.kind != "common" and not found.has:
        return None
    whose = "every x64 processor executes"
    if found.has:
        whose = f"this processor has (CPUID in the dump: {found.feature})"
        case.against.append("firmware or a hypervisor may have switched the feature off")
    because = [
        f"the processor reported an illegal instruction at {case.label(fault.ip)}, where memory holds "
        f"{found.data.hex(' ')} = {found.text}, which {whose}"
    ]
    sure = False
    word = case.evidence.word(fault.sp)
    if is_function_start(case.evidence, fault.ip) and word is not None and not case.words.is_possible(word):
        because.append(
            f"the address is a function's first byte, but [RSP] = {word:#x} is no return address: the registers are "
            "not those of the place that was reported"
        )
        sure = True
    case.against.append("code that was damaged in memory and repaired since would look the same")
    case.others.append(f"{case.label(fault.ip)} is only where the processor failed")
    for frame in case.frames[1:]:
        if frame.module is not None and not case.evidence.modules.is_kernel(frame.module):
            case.others.append(f"{case.label(frame.ip)} on the stack ({frame.method}): its code was not running")
    return case.verdict("hardware", None, "medium" if sure else "low", because)
