"""The registers at the fault: which record holds them depends on the bug check.

Most bug checks name a CONTEXT, a trap frame or an exception record in a parameter; the paging and IRQL ones name the
instruction, and the trap frame with that Rip is searched on the stack; the header's CONTEXT is the fault only in
dumps whose code carries 0x10000000. Everything else has no fault: its context is the call of KeBugCheckEx.

Sources: Microsoft's pages of the bug checks (MicrosoftDocs/windows-driver-docs, CC BY 4.0); what the pages call
reserved and the tables' exceptions were measured on real dumps (docs/crash.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from forensics.crash.bugchecks import masked
from forensics.crash.context_search import contexts_on_stack, exception_pointers
from forensics.crash.evidence import Evidence
from forensics.crash.trap_frames import FoundTrapFrame, at_pointer, search
from parsers.dump.context import Arm64Context, ExceptionRecord, X64Context, X86Context
from parsers.dump.syndrome import Syndrome
from parsers.errors import StopcodeError

__all__ = ["HUNG_AT", "CrashContext", "bugcheck_context", "exception_record", "fault_context", "header_is_fault"]

Origin = Literal["header", "context", "trap-frame", "processor", "machine-frame", "switch-frame"]

#: code -> parameter that points to a CONTEXT.
_CONTEXT_AT: dict[int, int] = {
    0x7E: 4, 0x3B: 3, 0x23: 3, 0x24: 3, 0x26: 3, 0x27: 3, 0x9B: 3, 0x12C: 3, 0x108: 3, 0x3D: 2, 0x10F: 2, 0x135: 2,
    0x149: 3, 0x18D: 4, 0x1AA: 3, 0x1AB: 3,
}  # fmt: skip
#: code -> parameter that points to an EXCEPTION_RECORD.
_RECORD_AT: dict[int, int] = {
    0x7E: 3, 0x23: 2, 0x24: 2, 0x26: 2, 0x27: 2, 0x9B: 2, 0x12C: 2, 0x108: 2, 0x3D: 1, 0x10F: 1, 0x139: 3, 0x149: 2,
    0x18D: 3, 0x1AA: 4,
}  # fmt: skip
#: code -> parameter that points to a KTRAP_FRAME. 0xBE and 0xFC: the page says reserved; real dumps hold one there.
_TRAP_FRAME_AT: dict[int, tuple[int, ...]] = {
    0x8E: (3,), 0xBE: (3,), 0xFC: (3,), 0x139: (2,), 0x151: (2,), 0x2B: (1,), 0x30: (3,), 0x7F: (2,),
}  # fmt: skip
#: code -> (parameter with the instruction address, parameter with the address touched or 0).
_SEARCH: dict[int, tuple[int, int]] = {
    0x0A: (4, 1), 0xD1: (4, 1), 0xD4: (4, 1), 0x50: (3, 1), 0xCC: (3, 1), 0xCD: (3, 1), 0xD5: (3, 1), 0xD6: (3, 1),
    0x1E: (2, 0), 0x7E: (2, 0), 0x3B: (2, 0), 0x8E: (2, 0), 0x151: (1, 0),
}  # fmt: skip
#: Bug checks of a trap, or of a fault whose instruction they do not name: the innermost exception frame. The number is
#: of the parameter with the address touched, 0 where there is none.
_SEARCH_ANY: dict[int, int] = {0x7F: 0, 0xBE: 1, 0xFC: 1, 0x139: 0}
#: Bug checks that another processor raised than the one that hung -> parameter with the KPRCB of that one.
HUNG_AT: dict[int, int] = {0x101: 3, 0x102: 2}


@dataclass(frozen=True, slots=True)
class CrashContext:
    """Registers, and where they came from.

    Attributes:
        ip: instruction pointer.
        sp: stack pointer.
        registers: by lower-case name, as far as known; "rip"/"eip"/"pc" is not among them.
        origin: what kind of record.
        address: its address; None for the header's.
        where: the record in words, for a person ("CONTEXT at parameter 4, 0x…").
        is_fault: the registers at the fault; else at the bug check call.
        checks: sentences that speak for it.
        flags: EFlags or CPSR.
        fault_address: the trap frame's; None when it holds none.
        file_offset: of the header's in the dump.
        by_looks: no parameter names the record or its place: only what it looks like speaks for it.
        syndrome: ESR_EL1 of an ARM64 trap frame.

    """

    ip: int
    sp: int
    registers: dict[str, int]
    origin: Origin
    address: int | None
    where: str
    is_fault: bool
    checks: tuple[str, ...] = ()
    flags: int | None = None
    fault_address: int | None = None
    file_offset: int | None = field(default=None)
    by_looks: bool = False
    syndrome: Syndrome | None = None


def header_is_fault(code_raw: int) -> bool:
    """Tell whether the header's CONTEXT is the faulting one: WinDbg's mark (0x1000007E) says so."""
    return masked(code_raw) != code_raw


def _parse(
    evidence: Evidence, data: bytes, origin: Origin, address: int | None, where: str, *, is_fault: bool
) -> CrashContext | None:
    """Read a CONTEXT of the dump's machine; None when the bytes are none."""
    try:
        if evidence.dump.machine == "x64":
            x64 = X64Context.parse(data)
            if not x64.is_plausible():
                return None
            return CrashContext(x64.rip, x64.rsp, x64.registers, origin, address, where, is_fault, flags=x64.e_flags)
        if evidence.dump.machine == "arm64":
            arm = Arm64Context.parse(data)
            registers = {f"x{i}": value for i, value in enumerate(arm.x)}
            registers |= {"fp": arm.fp, "lr": arm.lr, "sp": arm.sp}
            if not arm.pc or not arm.sp:
                return None
            return CrashContext(arm.pc, arm.sp, registers, origin, address, where, is_fault, flags=arm.cpsr)
        if evidence.dump.machine == "x86":
            x86 = X86Context.parse(data)
            if not x86.eip or not x86.esp:
                return None
            return CrashContext(x86.eip, x86.esp, x86.registers, origin, address, where, is_fault, flags=x86.e_flags)
    except StopcodeError:
        return None
    return None


def _context_size(evidence: Evidence) -> int:
    return {"x64": X64Context.SIZE, "arm64": Arm64Context.SIZE, "x86": X86Context.SIZE}.get(evidence.dump.machine, 0)


def _header(evidence: Evidence, *, is_fault: bool) -> CrashContext | None:
    offset = 0x348 if evidence.dump.pointer_size == 8 else 0x320
    found = _parse(
        evidence, evidence.dump.context(), "header", None, f"CONTEXT in the dump's header ({offset:#x})",
        is_fault=is_fault,
    )  # fmt: skip
    if found is None:
        return None
    return CrashContext(
        found.ip,
        found.sp,
        found.registers,
        "header",
        None,
        found.where,
        is_fault,
        flags=found.flags,
        file_offset=offset,
    )


def bugcheck_context(evidence: Evidence) -> CrashContext | None:
    """Return the registers at the bug check call; None when no record of them is in the dump.

    The header's CONTEXT; where that one is the fault's, the CONTEXT that the processor block points to.
    """
    if not header_is_fault(evidence.code_raw):
        return _header(evidence, is_fault=False)
    kdbg, prcb = evidence.dump.kdbg, evidence.dump.prcb
    offset = kdbg.value("OffsetPrcbContext") if kdbg is not None else None
    if prcb is None or offset is None or offset + 8 > len(prcb):
        return None
    address = int.from_bytes(prcb[offset : offset + evidence.dump.pointer_size], "little")
    data = evidence.bytes_at(address, _context_size(evidence)) if address else None
    if not data:
        return None
    where = f"CONTEXT of the crashing processor's block, at {address:#x}"
    return _parse(evidence, data, "processor", address, where, is_fault=False)


def exception_record(evidence: Evidence) -> tuple[int, ExceptionRecord] | None:
    """Return (address, record) of the exception that the bug check's parameter names, or None.

    The record in the dump's header is not used: in real dumps it is a dummy.
    """
    number = _RECORD_AT.get(evidence.code)
    pair = exception_pointers(evidence)
    if number is None and pair is None:
        return None
    address = pair[0] if pair is not None else evidence.parameters[(number or 1) - 1]
    data = evidence.bytes_at(address, 0x98 if evidence.dump.pointer_size == 8 else 0x50) if address else None
    if data is None:
        return None
    try:
        record = ExceptionRecord.parse(data, evidence.dump.pointer_size)
    except StopcodeError:
        return None
    return (address, record) if record.code else None


def _from_trap_frame(found: FoundTrapFrame, where: str, *, by_looks: bool = False) -> CrashContext:
    frame = found.frame
    return CrashContext(
        frame.ip, frame.sp, dict(frame.registers), "trap-frame", found.address, where, True, found.checks, frame.flags,
        frame.fault_address, by_looks=by_looks, syndrome=frame.syndrome,
    )  # fmt: skip


def _by_context_parameter(evidence: Evidence) -> CrashContext | None:
    number = _CONTEXT_AT.get(evidence.code)
    pair = exception_pointers(evidence)
    address, named = (0, "") if number is None else (evidence.parameters[number - 1], f"at parameter {number}")
    if pair is not None:
        address, named = pair[1], "that a parameter's EXCEPTION_POINTERS names"
    data = evidence.bytes_at(address, _context_size(evidence)) if address else None
    return _named_context(evidence, data, address, f"CONTEXT {named}, {address:#x}") if data else None


def _named_context(evidence: Evidence, data: bytes, address: int, where: str) -> CrashContext | None:
    """Read a CONTEXT, and say so where its instruction is the one that the bug check names."""
    found = _parse(evidence, data, "context", address, where, is_fault=True)
    named = _SEARCH.get(evidence.code)
    if found is None or named is None or evidence.parameters[named[0] - 1] != found.ip:
        return found
    check = f"its instruction pointer is the address in parameter {named[0]} ({found.ip:#x})"
    return replace(found, checks=(check,))


def _of_hung_processor(evidence: Evidence) -> CrashContext | None:
    """Return the CONTEXT of the processor that a parameter names as the one that hung: its block points to one."""
    number = HUNG_AT.get(evidence.code)
    kdbg = evidence.dump.kdbg
    offset = kdbg.value("OffsetPrcbContext") if kdbg is not None else None
    if number is None or offset is None or not evidence.parameters[number - 1]:
        return None
    address = evidence.word(evidence.parameters[number - 1] + offset)
    data = evidence.bytes_at(address, _context_size(evidence)) if address else None
    if not data or address is None:
        return None
    which = f" {evidence.parameters[3]}" if evidence.code == 0x101 else ""
    where = f"CONTEXT of the hung processor{which} (block at parameter {number}), {address:#x}"
    return _parse(evidence, data, "processor", address, where, is_fault=True)


def _by_trap_frame_parameter(evidence: Evidence) -> CrashContext | None:
    for number in _TRAP_FRAME_AT.get(evidence.code, ()):
        address = evidence.parameters[number - 1]
        if evidence.code == 0x7F and evidence.parameters[0] != 8:
            continue
        found = at_pointer(evidence, address, ip=None, fault_address=None)
        # 0xFC is the attempt to execute data: there the instruction is at the address that parameter 1 names; 0x8E
        # names the instruction in parameter 2.
        named = evidence.parameters[1 if evidence.code == 0x8E else 0]
        if found is not None and (evidence.is_code(found.frame.ip) or found.frame.ip == named):
            return _from_trap_frame(found, f"trap frame at parameter {number}, {address:#x}")
    return None


def _by_search(evidence: Evidence) -> CrashContext | None:
    named = _SEARCH.get(evidence.code)
    call = None if header_is_fault(evidence.code_raw) else _header(evidence, is_fault=False)
    above = call.sp if call is not None else None
    if named is None:
        if evidence.code not in _SEARCH_ANY:
            return None
        number = _SEARCH_ANY[evidence.code]
        touched = evidence.parameters[number - 1] if number else None
        frame = search(evidence, ip=None, fault_address=touched, above=above)
        if frame is None:
            return None
        proven = bool(touched) and frame.frame.fault_address == touched
        where = f"trap frame found on the stack at {frame.address:#x}"
        return _from_trap_frame(frame, where, by_looks=not proven)
    ip = evidence.parameters[named[0] - 1]
    touched = evidence.parameters[named[1] - 1] if named[1] else None
    if not ip:
        return None
    frame = search(evidence, ip=ip, fault_address=touched, above=above)
    if frame is not None:
        return _from_trap_frame(frame, f"trap frame found on the stack at {frame.address:#x}")
    # The exception may have been raised on another stack: the bug check call's registers still point to its frame.
    for name, value in call.registers.items() if call is not None else ():
        frame = at_pointer(evidence, value, ip=ip, fault_address=touched)
        if frame is not None:
            return _from_trap_frame(
                frame, f"trap frame that {name} points to at the bug check call, {frame.address:#x}"
            )
    for address, data in contexts_on_stack(evidence, ip, above):
        found = _named_context(evidence, data, address, f"CONTEXT found on the stack at {address:#x}")
        if found is not None:
            return found
    return None


def fault_context(evidence: Evidence) -> CrashContext | None:
    """Return the registers at the fault; None when the bug check has no fault, or its record is not in the dump."""
    if header_is_fault(evidence.code_raw):
        found = _header(evidence, is_fault=True)
        if found is not None:
            record = _by_context_parameter(evidence)
            checks = ["the code carries 0x10000000: the header holds the faulting registers"]
            if record is not None and record.ip == found.ip and record.registers == found.registers:
                checks.append(f"they equal the {record.where}")
            return CrashContext(
                found.ip, found.sp, found.registers, "header", None, found.where, True, tuple(checks), found.flags,
                file_offset=found.file_offset,
            )  # fmt: skip
    return (
        _by_context_parameter(evidence)
        or _by_trap_frame_parameter(evidence)
        or _by_search(evidence)
        or _of_hung_processor(evidence)
    )
