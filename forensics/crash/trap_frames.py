"""Trap frames on a kernel stack: found by scan or by a pointer, believed only when every rule of their machine holds.

Stale frames of earlier interrupts look like the fault's, so a frame that a search found counts only when its
instruction is the one that the bug check names, or nothing better is asked for and its reason is the bug check's. What
a frame of each machine looks like: trap_frame_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from forensics.crash.evidence import Evidence
from forensics.crash.trap_frame_kinds import KINDS, TrapFrame, TrapFrameKind
from parsers.errors import StopcodeError
from parsers.limits import MAX_STACK_SCAN_BYTES

__all__ = ["FoundTrapFrame", "at_pointer", "search"]

#: How far above a frame of the same stack the interrupted stack pointer lies (x64: the processor aligns it first).
_ABOVE_X64 = (0x190, 0x198)


@dataclass(frozen=True, slots=True)
class FoundTrapFrame:
    """A trap frame with its address and what speaks for it."""

    address: int
    frame: TrapFrame
    checks: tuple[str, ...]


def _checks(
    evidence: Evidence, address: int, frame: TrapFrame, ip: int | None, fault_address: int | None
) -> tuple[str, ...]:
    """Return the sentences that speak for a frame."""
    found = []
    if ip is not None and frame.ip == ip:
        name = KINDS[evidence.dump.machine].ip_name
        found.append(f"{name} of the trap frame is the instruction address that the bug check names ({ip:#x})")
    if fault_address is not None and frame.fault_address == fault_address:
        found.append(f"the trap frame's fault address is the address that the bug check names ({fault_address:#x})")
    if frame.active == 1:
        found.append("the trap frame is marked as an exception's (ExceptionActive 1)")
    if frame.active is None and frame.marked:
        found.append("the trap frame carries the kernel's mark (0xbadb0d00)")
    if evidence.dump.machine == "x64" and frame.sp - address in _ABOVE_X64:
        found.append("the interrupted stack pointer lies directly above the trap frame")
    if evidence.cr2 is not None and frame.fault_address == evidence.cr2 and frame.fault_address:
        found.append(f"CR2 of the processor equals the trap frame's fault address ({evidence.cr2:#x})")
    if frame.syndrome is not None and frame.active == 1 and frame.syndrome.value and frame.syndrome.is_known:
        found.append(f"Esr of the trap frame ({frame.syndrome.value:#x}) tells why: {frame.syndrome.words}")
    return tuple(found)


def search(
    evidence: Evidence, *, ip: int | None, fault_address: int | None, above: int | None
) -> FoundTrapFrame | None:
    """Search the crash stack for the trap frame of the fault.

    Args:
        evidence: the dump.
        ip: instruction address that the bug check names: only frames with it count. None: the innermost sound
            exception frame that can be the fault's.
        fault_address: the address that the bug check says was touched; frames with it rank first.
        above: stack pointer of the bug check call: what lies below it on the same stack is dead.

    """
    kind = KINDS.get(evidence.dump.machine)
    if evidence.stack is None or kind is None:
        return None
    low, high = evidence.stack
    if above is not None and low <= above < high:
        low = above
    start = (low + kind.step - 1) & -kind.step
    best: tuple[tuple[int, int, int], FoundTrapFrame] | None = None
    for base, data in evidence.pieces(start, min(high, start + MAX_STACK_SCAN_BYTES)):
        for offset in _places(kind, base, data, ip):
            address = base + offset
            frame = kind.read(evidence, address, data[offset : offset + kind.size])
            if frame is None or not frame.marked or (ip is None and not kind.innermost(evidence, address, frame)):
                continue
            checks = _checks(evidence, address, frame, ip, fault_address)
            matches = fault_address is not None and frame.fault_address == fault_address
            key = (0 if matches else 1, -len(checks), address)
            if best is None or key < best[0]:
                best = (key, FoundTrapFrame(address, frame, checks))
    return best[1] if best is not None else None


def _places(kind: TrapFrameKind, base: int, data: bytes, ip: int | None) -> list[int]:
    """Return the offsets of a stretch of the stack where a frame is worth reading."""
    last = len(data) - kind.size
    if ip is None:
        return [at for at in range(-base % kind.step, last + 1, kind.step) if kind.quick(data, at)]
    wanted = (ip & (1 << 8 * kind.pointer) - 1).to_bytes(kind.pointer, "little")
    places = []
    at = data.find(wanted)
    while at >= 0:
        start = at - kind.ip_at
        if 0 <= start <= last and (base + start) % kind.step == 0:
            places.append(start)
        at = data.find(wanted, at + 1)
    return places


def at_pointer(evidence: Evidence, address: int, *, ip: int | None, fault_address: int | None) -> FoundTrapFrame | None:
    """Return the trap frame that something points to, if it is sound (and has the instruction that is named)."""
    kind = KINDS.get(evidence.dump.machine)
    if kind is None or address < kind.lowest or address % kind.pointer:
        return None
    data = evidence.bytes_at(address, kind.size)
    if data is None:
        return None
    try:
        frame = kind.read(evidence, address, data)
    except StopcodeError:
        return None
    if frame is None or (ip is not None and frame.ip != ip):
        return None
    return FoundTrapFrame(address, frame, _checks(evidence, address, frame, ip, fault_address))
