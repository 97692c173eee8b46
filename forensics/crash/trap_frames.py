"""Trap frames on an x64 kernel stack: found by scan, believed only when every rule holds.

The processor pushes Rip, Cs, EFlags, Rsp and Ss; the kernel builds the KTRAP_FRAME below them. Stale frames of earlier
interrupts look alike, so a frame counts only when its Rip is the one that the bug check names, or nothing better is
asked for. Rules measured on real dumps of builds 19041 and 26100 (docs/crash.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from forensics.crash.evidence import Evidence
from parsers.dump.trap_frame import X64TrapFrame
from parsers.errors import ReadError, StopcodeError
from parsers.limits import MAX_STACK_SCAN_BYTES

__all__ = ["FoundTrapFrame", "at_pointer", "is_sound", "read_trap_frame", "search"]

_USER_END = 0x0000_8000_0000_0000
#: EFlags bits that are never set in a sound frame (reserved ones, and those above ID).
_EFLAGS_ZERO = 0xFFC08028
_CS = 0x170


@dataclass(frozen=True, slots=True)
class FoundTrapFrame:
    """A trap frame with its address and what speaks for it."""

    address: int
    frame: X64TrapFrame
    checks: tuple[str, ...]


def is_sound(evidence: Evidence, frame: X64TrapFrame, *, active: tuple[int, ...] = (0, 1)) -> bool:
    """Tell whether a record can be a trap frame of kernel code that was interrupted."""
    if frame.seg_cs != 0x10 or frame.seg_ss not in (0x18, 0x00):
        return False
    if not frame.e_flags & 2 or frame.e_flags & _EFLAGS_ZERO:
        return False
    if frame.exception_active not in active:
        return False
    return frame.rsp % 8 == 0 and frame.rsp >= _USER_END


def read_trap_frame(evidence: Evidence, address: int) -> X64TrapFrame | None:
    """Read a trap frame; None when it is not wholly in the dump."""
    data = evidence.bytes_at(address, X64TrapFrame.SIZE)
    if data is None:
        return None
    try:
        return X64TrapFrame.parse(data)
    except StopcodeError:
        return None


def _checks(
    evidence: Evidence, address: int, frame: X64TrapFrame, ip: int | None, fault_address: int | None
) -> tuple[str, ...]:
    """Return the sentences that speak for a frame."""
    found = []
    if ip is not None and frame.rip == ip:
        found.append(f"Rip of the trap frame is the instruction address that the bug check names ({ip:#x})")
    if fault_address is not None and frame.fault_address == fault_address:
        found.append(f"the trap frame's fault address is the address that the bug check names ({fault_address:#x})")
    if frame.exception_active == 1:
        found.append("the trap frame is marked as an exception's (ExceptionActive 1)")
    if frame.rsp - address in (0x190, 0x198):
        found.append("the interrupted stack pointer lies directly above the trap frame")
    if evidence.cr2 is not None and frame.fault_address == evidence.cr2 and frame.fault_address:
        found.append(f"CR2 of the processor equals the trap frame's fault address ({evidence.cr2:#x})")
    return tuple(found)


def search(
    evidence: Evidence, *, ip: int | None, fault_address: int | None, above: int | None
) -> FoundTrapFrame | None:
    """Search the crash stack for the trap frame of the fault.

    Args:
        evidence: the dump.
        ip: instruction address that the bug check names: only frames with this Rip count. None: the innermost sound
            exception frame whose Rip is code.
        fault_address: the address that the bug check says was touched; frames with it rank first.
        above: stack pointer of the bug check call: what lies below it on the same stack is dead.

    """
    if evidence.stack is None or evidence.dump.machine != "x64":
        return None
    low, high = evidence.stack
    if above is not None and low <= above < high:
        low = above
    start = (low + 15) & -16
    best: tuple[tuple[int, int, int], FoundTrapFrame] | None = None
    for base, data in _pieces(evidence, start, min(high, start + MAX_STACK_SCAN_BYTES)):
        first = -base % 16
        for offset in range(first, len(data) - X64TrapFrame.SIZE + 1, 16):
            if data[offset + _CS : offset + _CS + 2] != b"\x10\0":
                continue
            if ip is not None and int.from_bytes(data[offset + 0x168 : offset + 0x170], "little") != ip:
                continue
            frame = X64TrapFrame.parse(data[offset : offset + X64TrapFrame.SIZE])
            address = base + offset
            wanted = (0, 1) if ip is not None else (1,)
            if not is_sound(evidence, frame, active=wanted):
                continue
            if ip is None and (not evidence.is_code(frame.rip) or frame.rsp - address not in (0x190, 0x198)):
                continue
            checks = _checks(evidence, address, frame, ip, fault_address)
            matches = fault_address is not None and frame.fault_address == fault_address
            key = (0 if matches else 1, -len(checks), address)
            if best is None or key < best[0]:
                best = (key, FoundTrapFrame(address, frame, checks))
    return best[1] if best is not None else None


def at_pointer(evidence: Evidence, address: int, *, ip: int | None, fault_address: int | None) -> FoundTrapFrame | None:
    """Return the trap frame that something points to, if it is sound (and has the Rip that is named)."""
    if address < _USER_END or address % 8:
        return None
    frame = read_trap_frame(evidence, address)
    if frame is None or not is_sound(evidence, frame) or (ip is not None and frame.rip != ip):
        return None
    return FoundTrapFrame(address, frame, _checks(evidence, address, frame, ip, fault_address))


def _pieces(evidence: Evidence, low: int, high: int) -> list[tuple[int, bytes]]:
    """Return the readable stretches of a range, as (address, bytes)."""
    pieces: list[tuple[int, bytes]] = []
    at = low
    while at < high:
        try:
            data = evidence.memory.read_available(at, high - at)
        except ReadError:
            at = (at & -0x1000) + 0x1000
            continue
        if pieces and pieces[-1][0] + len(pieces[-1][1]) == at:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + data)
        else:
            pieces.append((at, data))
        at += len(data)
    return pieces
