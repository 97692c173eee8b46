"""The stack of an x86 crash: the chain of ebp, and where functions without a frame break it, a scan.

A function without a frame drops out of the chain unseen, so a frame of it is `likely` at most. Where the chain breaks
(the innermost function uses ebp for something else) the first stack word with a call before it goes on, a `guess` as
everything behind it; the word below it may be the saved ebp, which takes the chain up again.

A trap's frame begins with copies of the interrupted Ebp and Eip (DbgEbp, DbgEip), and the kernel's entry code points
ebp to it, so that the chain goes through it: there the place is an interrupted one, and no call stands before it.
"""

from __future__ import annotations

from forensics.crash.context import CrashContext
from forensics.crash.evidence import Evidence
from forensics.crash.stack import Confidence, Frame, StackWalker
from forensics.crash.trap_frames import at_pointer
from parsers.limits import MAX_STACK_FRAMES
from parsers.unwind.frame_pointer import ChainFrame, x86_chain

__all__ = ["walk_x86"]

#: Stack words that one gap is searched through.
_MAX_GAP_WORDS = 1024


def walk_x86(evidence: Evidence, walker: StackWalker, context: CrashContext, *, scan: bool) -> list[Frame]:
    """Return the frames from a context outward; `scan`: bridge breaks of the chain."""
    frames = [Frame(context.ip, context.sp, evidence.modules.at(context.ip), "trap", "exact", interrupted=True)]
    around = evidence.stack_around(context.sp)
    if around is None:
        return frames
    high = around[1]
    sp, ebp = context.sp & -4, context.registers.get("ebp", 0)
    sure: Confidence = "likely"
    while len(frames) < MAX_STACK_FRAMES:
        for link in x86_chain(ebp, evidence.memory, low=max(around[0], sp), high=high):
            trap = _trap_at(evidence, link, sure)
            if trap is not None and len(frames) < MAX_STACK_FRAMES:
                frames.append(trap)
                sp, ebp = trap.sp, link.fp
                continue
            if not walker.words.is_possible(link.ip) or len(frames) >= MAX_STACK_FRAMES:
                break
            frames.append(Frame(link.ip, link.sp, evidence.modules.at(link.ip), "exact-chain", sure))
            sp, ebp = link.sp, link.fp
        if not ebp and len(frames) > 1:
            # The first frame of a thread saved an ebp of zero: the chain is whole.
            break
        slot = _scan(evidence, walker, sp, high) if scan else None
        word = evidence.word(slot) if slot is not None else None
        if slot is None or word is None:
            break
        sure, sp = "guess", slot + 4
        frames.append(Frame(word, sp, evidence.modules.at(word), "scan-call", sure))
        ebp = evidence.word(slot - 4) or 0xFFFFFFFF
    return frames


def _trap_at(evidence: Evidence, link: ChainFrame, sure: Confidence) -> Frame | None:
    """Return the interrupted place, when a link is the beginning of a trap frame with the kernel's mark."""
    found = at_pointer(evidence, link.sp - 8, ip=link.ip, fault_address=None)
    if found is None or not found.frame.marked or found.frame.registers["ebp"] != link.fp:
        return None
    frame = found.frame
    if not evidence.is_code(frame.ip):
        return None
    return Frame(
        frame.ip, frame.sp, evidence.modules.at(frame.ip), "exact-chain", sure, interrupted=True,
        trapped=dict(frame.registers),
    )  # fmt: skip


def _scan(evidence: Evidence, walker: StackWalker, low: int, high: int) -> int | None:
    """Return where the first word lies that a call precedes; None when there is none."""
    for base, data in evidence.pieces(low, min(high, low + 4 * _MAX_GAP_WORDS)):
        for at in range(-base % 4, len(data) - 3, 4):
            word = int.from_bytes(data[at : at + 4], "little")
            if evidence.modules.at(word) is not None and evidence.is_code(word) and walker.words.call_before(word):
                return base + at
    return None
