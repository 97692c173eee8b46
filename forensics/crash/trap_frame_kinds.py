"""What a trap frame of each machine looks like: which records can be one, and what one says.

The processor pushes (x64, x86) or the kernel stores (ARM64) where the interrupted code was, with its state; the kernel
builds the KTRAP_FRAME around it. Each rule is one that no sound frame of interrupted kernel code breaks:

* x64: segments 0x10 and 0x18 (or 0), the fixed bits of EFlags, ExceptionActive 0 or 1, Rsp a kernel address on an
  8-byte boundary. Measured on real dumps of builds 19041 and 26100 (docs/crash.md).
* ARM64: SPSR is of AArch64 at EL1 with its reserved bits 0 (Arm ARM, DDI 0487, "SPSR_EL1"), ExceptionActive 0 or
  1, Sp a kernel address on a 16-byte boundary (the hardware demands it), and Esr no reason that only user mode has.
* x86: the mark 0xBADB0D00 or segment 8, the fixed bits of EFlags.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from forensics.crash.evidence import Evidence
from parsers.dump.syndrome import Syndrome
from parsers.dump.trap_frame import Arm64TrapFrame, X64TrapFrame, X86TrapFrame

__all__ = ["KINDS", "TrapFrame", "TrapFrameKind"]

_USER_END = 0x0000_8000_0000_0000
_USER_END32 = 0x8000_0000
#: EFlags bits that are never set in a sound frame (reserved ones, and those above ID).
_EFLAGS_ZERO = 0xFFC08028
#: SPSR_EL1: bits that are reserved, or say AArch32.
_SPSR_ZERO = 0x0C0FC030
#: The modes of EL1 in bits 3:0: EL1t, EL1h.
_EL1 = (4, 5)
#: Parameter of BRK in __fastfail (ARM64_FASTFAIL of ksarm64.h).
_FASTFAIL = 0xF003


@dataclass(frozen=True, slots=True)
class TrapFrame:
    """What a sound trap frame says.

    Attributes:
        ip, sp: the interrupted place and its stack pointer.
        registers: those that the frame surely holds, the stack pointer among them, by the names of a CONTEXT.
        flags: EFlags or SPSR.
        active: ExceptionActive; None where the machine's frames do not have it.
        fault_address: what a page fault touched; None where the machine's frames do not have it.
        syndrome: ESR_EL1 of ARM64.
        marked: False where a mark that the machine's frames carry is not there: not to be found by search.

    """

    ip: int
    sp: int
    registers: dict[str, int]
    flags: int
    active: int | None = None
    fault_address: int | None = None
    syndrome: Syndrome | None = None
    marked: bool = True


@dataclass(frozen=True, slots=True)
class TrapFrameKind:
    """The trap frames of a machine.

    Attributes:
        size: bytes.
        step: the boundary that they lie on.
        ip_at: offset of the instruction pointer.
        pointer: its width in bytes.
        lowest: first address of the kernel.
        ip_name: how the machine calls the instruction pointer.
        read: (evidence, address, bytes) -> what it says; None when the record cannot be a frame.
        quick: (bytes, offset) -> whether it is worth reading, for searches that know no instruction.
        innermost: (evidence, address, frame) -> whether it can be the fault's although no instruction is named.

    """

    size: int
    step: int
    ip_at: int
    pointer: int
    lowest: int
    ip_name: str
    read: Callable[[Evidence, int, bytes], TrapFrame | None]
    quick: Callable[[bytes, int], bool]
    innermost: Callable[[Evidence, int, TrapFrame], bool]


def _fixed_bits(flags: int) -> bool:
    return bool(flags & 2) and not flags & _EFLAGS_ZERO


# -- x64 --------------------------------------------------------------------------------------------------------------


def _read_x64(_evidence: Evidence, _address: int, data: bytes) -> TrapFrame | None:
    frame = X64TrapFrame.parse(data)
    if frame.seg_cs != 0x10 or frame.seg_ss not in (0x18, 0x00) or not _fixed_bits(frame.e_flags):
        return None
    if frame.exception_active not in (0, 1) or frame.rsp % 8 or frame.rsp < _USER_END:
        return None
    # Rbx, Rdi and Rsi are saved on some paths only: what stands there may be stale, so they are left out.
    names = ("rax", "rcx", "rdx", "rbp", "r8", "r9", "r10", "r11")
    registers = {name: frame.registers[name] for name in names} | {"rsp": frame.rsp}
    return TrapFrame(frame.rip, frame.rsp, registers, frame.e_flags, frame.exception_active, frame.fault_address)


def _innermost_x64(evidence: Evidence, address: int, frame: TrapFrame) -> bool:
    """An exception in code, on the same stack: the processor aligns Rsp to 16 before it pushes."""
    return frame.active == 1 and evidence.is_code(frame.ip) and frame.sp - address in (0x190, 0x198)


# -- ARM64 ------------------------------------------------------------------------------------------------------------


def _read_arm64(_evidence: Evidence, _address: int, data: bytes) -> TrapFrame | None:
    frame = Arm64TrapFrame.parse(data)
    if frame.spsr & _SPSR_ZERO or frame.spsr & 0xF not in _EL1:
        return None
    if frame.exception_active not in (0, 1) or frame.sp % 16 or frame.sp < _USER_END:
        return None
    syndrome = Syndrome(frame.esr)
    if syndrome.from_user:
        return None
    return TrapFrame(
        frame.pc, frame.sp, frame.registers, frame.spsr, frame.exception_active, frame.fault_address, syndrome
    )


def _innermost_arm64(evidence: Evidence, address: int, frame: TrapFrame) -> bool:
    """An exception on the same stack whose reason is the one that makes this bug check."""
    syndrome = frame.syndrome
    if frame.active != 1 or syndrome is None or not address + Arm64TrapFrame.SIZE <= frame.sp <= address + 0x10000:
        return False
    touched = evidence.parameters[0]
    if evidence.code == 0x139:
        return syndrome.breakpoint == _FASTFAIL and evidence.is_code(frame.ip)
    if evidence.code == 0xBE:
        return syndrome.kind == "write" and frame.fault_address == touched and evidence.is_code(frame.ip)
    return evidence.code == 0xFC and syndrome.kind == "execute" and frame.fault_address == touched == frame.ip


# -- x86 --------------------------------------------------------------------------------------------------------------


def _read_x86(evidence: Evidence, address: int, data: bytes) -> TrapFrame | None:
    frame = X86TrapFrame.parse(data, evidence.dump.reported_build or evidence.dump.header.minor_version or 0)
    if not (frame.marked or frame.seg_cs == 8) or not _fixed_bits(frame.e_flags):
        return None
    # Frames of kernel code end before HardwareEsp: the stack pointer was right behind.
    sp = address + X86TrapFrame.SIZE
    return TrapFrame(frame.eip, sp, frame.registers | {"esp": sp}, frame.e_flags, marked=frame.marked)


#: By the machine's name.
KINDS = {
    "x64": TrapFrameKind(
        X64TrapFrame.SIZE, 16, 0x168, 8, _USER_END, "Rip", _read_x64,
        lambda data, at: data[at + 0x170 : at + 0x172] == b"\x10\0", _innermost_x64,
    ),
    "arm64": TrapFrameKind(
        Arm64TrapFrame.SIZE, 16, 0x148, 8, _USER_END, "Pc", _read_arm64,
        lambda data, at: data[at] == 1 and data[at + 0x90] & 0x3F in _EL1, _innermost_arm64,
    ),
    # A frame of x86 does not tell an exception from an interrupt: without an instruction none can be chosen.
    "x86": TrapFrameKind(
        X86TrapFrame.SIZE, 4, 0x68, 4, _USER_END32, "Eip", _read_x86,
        lambda _data, _at: False, lambda _evidence, _address, _frame: False,
    ),
}  # fmt: skip
