"""The stack of an ARM64 crash: by unwind data where it is at hand, else by the chain of frame pointers.

Windows keeps x29 in every function that calls another, so the chain is exact too while it is consistent; unwind data
goes further: through functions whose prolog has not run yet, and gives the saved registers.
"""

from __future__ import annotations

from forensics.crash.context import CrashContext
from forensics.crash.evidence import Evidence
from forensics.crash.stack import Frame, StackWalker
from parsers.errors import StopcodeError
from parsers.limits import MAX_STACK_FRAMES
from parsers.unwind.arm64 import Arm64Registers, unwind_arm64
from parsers.unwind.arm64_info import FP, LR
from parsers.unwind.frame_pointer import arm64_chain

__all__ = ["walk_arm64"]


def walk_arm64(evidence: Evidence, walker: StackWalker, context: CrashContext) -> list[Frame]:
    """Return the frames from a context outward."""
    known = {number: context.registers[f"x{number}"] for number in range(29) if f"x{number}" in context.registers}
    known |= {FP: context.registers.get("fp", 0), LR: context.registers.get("lr", 0)}
    regs = Arm64Registers(context.ip, context.sp, known)
    frames = [Frame(context.ip, context.sp, evidence.modules.at(context.ip), "trap", "exact", interrupted=True)]
    seen = {(context.ip, context.sp)}
    interrupted = True
    while len(frames) < MAX_STACK_FRAMES:
        found = _by_table(evidence, walker, regs, interrupted=interrupted) or _by_chain(evidence, regs)
        if found is None:
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
    if step.method == "leaf" and not _is_call_before(evidence, step.regs.pc):
        return None
    if not evidence.is_code(step.regs.pc):
        return None
    of = evidence.modules.at(step.regs.pc)
    return Frame(step.regs.pc, step.regs.sp, of, "exact", "exact", image.source, interrupted=step.trap), step.regs


def _is_call_before(evidence: Evidence, address: int) -> bool:
    """Tell whether BL or BLR (or one that authenticates) stands right before an address."""
    data = evidence.code_bytes(address - 4, 4)
    word = int.from_bytes(data, "little") if len(data) == 4 else 0
    return word >> 26 == 0x25 or word & 0xFEFFF800 == 0xD63F0000


def _by_chain(evidence: Evidence, regs: Arm64Registers) -> tuple[Frame, Arm64Registers] | None:
    """One step by the frame pointer."""
    around = evidence.stack_around(regs.sp)
    if around is None or FP not in regs.known:
        return None
    link = next(arm64_chain(regs.known[FP], evidence.memory, low=max(around[0], regs.sp & -16), high=around[1]), None)
    if link is None or not evidence.is_code(link.ip):
        return None
    frame = Frame(link.ip, link.sp, evidence.modules.at(link.ip), "exact-chain", "exact")
    return frame, Arm64Registers(link.ip, link.sp, {FP: link.fp})
