"""Verdicts that name no driver: started by a person, the boot volume, a process that died, the machine itself."""

from __future__ import annotations

from forensics.crash.case import CrashCase
from forensics.crash.hardware import one_bit, storage_words, whea_record, whea_words
from forensics.crash.instruction import is_function_start, judge_illegal
from forensics.crash.live import live_because
from forensics.crash.ntstatus import describe_status
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
        if case.code in (0x7B, 0xED) and evidence.parameters[1] & 0xFFFFFFFF >= 0x80000000:
            because.append(f"parameter 2 is {describe_status(evidence.parameters[1])}")
        case.others.append("the stack of this bug check always runs through the kernel's start-up: it names nobody")
        return case.verdict("boot", None, "high" if sure == "high" else "medium", because)
    if case.code in _PROCESS:
        return _by_process(case)
    return None


def _by_process(case: CrashCase) -> Culprit:
    evidence = case.evidence
    because = [f"bug check {case.code:#x}: {_PROCESS[case.code]}"]
    address = {0xEF: evidence.parameters[0], 0xF4: evidence.parameters[1], 0x9E: evidence.parameters[0]}.get(
        case.code, 0
    )
    if case.code == 0xF4 and evidence.parameters[2]:
        text = (evidence.bytes_at(evidence.parameters[2], 16) or b"").partition(b"\0")[0]
        if text and all(0x20 <= byte < 0x7F for byte in text):
            because.append(f"parameter 3 names the image {text.decode('ascii')}")
    name = _process_at(case, address)
    if name is not None:
        because.append(f"the process object at {address:#x} is {name}")
        if case.code == 0x9E:
            case.against.append(f"{name} was waited for: what held it up may be storage or the network")
    case.against.append("why the process ended is not in the bug check: its own dump or the event log may tell")
    return case.verdict("process", None, "high" if name is not None else "medium", because)


def by_hardware(case: CrashCase) -> Culprit | None:
    """Return the verdict when the machine itself is accused."""
    evidence = case.evidence
    p1, p2, p3, p4 = evidence.parameters
    if case.code == 0x124 and p1 != 0x10:
        case.against.append("overclocking, voltage, heat and firmware look the same as a broken part")
        record = whea_record(evidence)
        if record is not None and record.simulated:
            case.against.append("the record says that the error was injected by a test tool")
        return case.verdict("hardware", None, "high", whea_words(evidence, record))
    if case.code == 0x9C:
        return case.verdict("hardware", None, "high", ["bug check 0x9c: the processor reported a machine check"])
    if case.code in (0x12B, 0x2E):
        because = [f"bug check {case.code:#x}: memory did not hold what was written to it"]
        return case.verdict("hardware", None, "medium", because)
    if case.code == 0x1A:
        found = _page_table_bit(case, p1, p2, p3, p4)
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


def _page_table_bit(case: CrashCase, kind: int, entry: int, value: int, other: int) -> Culprit | None:
    if kind in (0x41792, 0x41201):
        bit = one_bit(value)
        place = (
            f"parameter 3, the contents of the page-table entry at {entry:#x}, is {value:#x}: exactly one bit is set"
        )
    elif kind == 0x403:
        bit = one_bit(value ^ other)
        place = f"parameters 3 and 4 ({value:#x}, {other:#x}) differ in exactly one bit"
    else:
        return None
    if bit is None:
        return None
    case.flipped_bits.append((bit, f"page-table entry at {entry:#x}"))
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
