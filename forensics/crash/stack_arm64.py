"""The stack of an ARM64 crash: by unwind data where it is at hand, else by the chain of frame pointers.

Windows keeps x29 in every function that calls another, so the chain is exact too while it is consistent; unwind data
goes further: through functions whose prolog has not run yet, and gives the saved registers.

A trap's frame ends in Lr, Fp and Pc (offsets 0x138, 0x140, 0x148), so a chain that leads to its Fp reads the
interrupted place where others have a return address. Such a place is told apart by the record around it: only when that
is a sound trap frame, with a reason in Esr, of code on this stack above it.
"""

from __future__ import annotations

from typing import Literal

from forensics.crash.context import CrashContext
from forensics.crash.evidence import Evidence
from forensics.crash.stack import Frame, StackWalker
from forensics.crash.trap_frames import at_pointer
from parsers.errors import StopcodeError
from parsers.limits import MAX_STACK_FRAMES
from parsers.unwind.arm64 import Arm64Registers, Arm64Step, unwind_arm64
from parsers.unwind.arm64_info import FP, LR
from parsers.unwind.frame_pointer import arm64_chain

__all__ = ["walk_arm64"]

_USER_END = 0x0000_8000_0000_0000
#: Offset of Fp in a trap frame: where a chain of frame pointers comes to.
_TRAP_FP = 0x140
_NAMES = {**{number: f"x{number}" for number in range(29)}, FP: "fp", LR: "lr"}
_NUMBERS = {name: number for number, name in _NAMES.items()}


def walk_arm64(evidence: Evidence, walker: StackWalker, context: CrashContext) -> list[Frame]:
    """Return the frames from a context outward."""
    known = {_NUMBERS[name]: value for name, value in context.registers.items() if name in _NUMBERS}
    regs = Arm64Registers(context.ip, context.sp, known)
    frames = [Frame(context.ip, context.sp, evidence.modules.at(context.ip), "trap", "exact", interrupted=True)]
    seen = {(context.ip, context.sp)}
    interrupted = True
    while len(frames) < MAX_STACK_FRAMES:
        found = _by_table(evidence, walker, regs, interrupted=interrupted) or _by_chain(evidence, regs)
        if found is None or (found[0].trapped is not None and found[0].ip < _USER_END):
            break
        frame, regs = found
        if (frame.ip, frame.sp) in seen:
            break
        seen.add((frame.ip, frame.sp))
        frames.append(frame)
        interrupted = frame.interrupted
    return frames


def _by_table(
    evidence: Evidence, walker: StackWalker, regs: Arm64Registers, *, interrupted: bool
) -> tuple[Frame, Arm64Registers] | None:
    """One step by unwind data; None when it is not at hand or leads to no code."""
    module = evidence.modules.at(regs.pc if interrupted else regs.pc - 4)
    if module is None:
        return None
    image = walker.image_of(module)
    if not image.has_table:
        return None
    image.used_file = False
    try:
        step = unwind_arm64(regs, image, evidence.memory, interrupted=interrupted)
    except StopcodeError:
        return None
    # A leaf has no row: without a call before it the word in lr may be an old one.
    if step.method == "leaf" and not walker.words.call_before(step.regs.pc):
        return None
    if not evidence.is_code(step.regs.pc):
        # A frame of the kernel's that leads to user mode ends the stack: the chain would go on in a dead part of it.
        return (_frame(evidence, step, image.source), step.regs) if step.frame and step.regs.pc < _USER_END else None
    return _frame(evidence, step, image.source), step.regs


def _frame(evidence: Evidence, step: Arm64Step, source: Literal["dump", "disk", "folder"] | None) -> Frame:
    trapped = _named(step.regs) if step.frame and step.trap else None
    of = evidence.modules.at(step.regs.pc)
    return Frame(
        step.regs.pc, step.regs.sp, of, "exact", "exact", source, interrupted=step.trap, trapped=trapped
    )  # fmt: skip


def _named(regs: Arm64Registers) -> dict[str, int]:
    return {_NAMES[number]: value for number, value in regs.known.items() if number in _NAMES} | {"sp": regs.sp}


def _by_chain(evidence: Evidence, regs: Arm64Registers) -> tuple[Frame, Arm64Registers] | None:
    """One step by the frame pointer."""
    around = evidence.stack_around(regs.sp)
    if around is None or FP not in regs.known:
        return None
    link = next(arm64_chain(regs.known[FP], evidence.memory, low=max(around[0], regs.sp & -16), high=around[1]), None)
    if link is None or not evidence.is_code(link.ip):
        return None
    trap = _trap_around(evidence, regs.known[FP], around)
    if trap is not None:
        return trap
    frame = Frame(link.ip, link.sp, evidence.modules.at(link.ip), "exact-chain", "exact")
    return frame, Arm64Registers(link.ip, link.sp, {FP: link.fp})


def _trap_around(evidence: Evidence, fp: int, around: tuple[int, int]) -> tuple[Frame, Arm64Registers] | None:
    """Return the interrupted place, when a frame pointer leads into a sound trap frame."""
    found = at_pointer(evidence, fp - _TRAP_FP, ip=None, fault_address=None) if fp - _TRAP_FP >= around[0] else None
    if found is None or found.frame.syndrome is None:
        return None
    frame = found.frame
    known = frame.active == 1 and found.frame.syndrome.value != 0 and found.frame.syndrome.is_known
    if not known or not fp + 0x10 <= frame.sp <= around[1] or not evidence.is_code(frame.ip):
        return None
    regs = Arm64Registers(
        frame.ip, frame.sp, {_NUMBERS[name]: value for name, value in frame.registers.items() if name in _NUMBERS}
    )
    made = Frame(
        frame.ip, frame.sp, evidence.modules.at(frame.ip), "exact-chain", "exact", interrupted=True,
        trapped=dict(frame.registers),
    )  # fmt: skip
    return made, regs
