"""The chain of frame pointers: ARM64 (x29) and x86 (ebp).

Always there on ARM64, where Windows keeps x29 in every function that calls another; on x86 only in functions with
a frame. Exact while it is consistent: pointers rise, are aligned and stay inside the stack.

Source: Microsoft "ARM64 ABI conventions" (MicrosoftDocs/cpp-docs: docs/build/arm64-windows-abi-conventions.md);
for x86 the `push ebp; mov ebp, esp` prolog. Measured on a real ARM64 triage dump: four frames, then an end of zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from parsers.errors import ReadError
from parsers.limits import MAX_STACK_FRAMES
from parsers.unwind.image import MemoryReader

__all__ = ["ChainFrame", "arm64_chain", "without_signature", "x86_chain"]

#: Kernel addresses of ARM64 are 48 (or 52) bits wide; a signed return address carries its code above them.
_ARM64_BITS = 48


class ChainFrame(NamedTuple):
    """One caller.

    Attributes:
        ip: return address.
        sp: stack pointer behind the saved pair. On x86 that is the caller's; on ARM64 the caller's own lies above
            it by what the frame holds beside the pair.
        fp: the caller's frame pointer.

    """

    ip: int
    sp: int
    fp: int


def arm64_chain(fp: int, memory: MemoryReader, *, low: int, high: int) -> Iterator[ChainFrame]:
    """Yield the callers of a frame by its x29; ends where the chain does, without an error.

    Args:
        fp: x29 of the frame; [fp] is the caller's x29, [fp + 8] the return address.
        memory: the machine's memory.
        low: lowest address of the stack.
        high: the address behind the stack.

    """
    for _frame in range(MAX_STACK_FRAMES):
        pair = _pair(fp, memory, 8, low, high)
        if pair is None or not pair[1]:
            return
        following, address = pair
        yield ChainFrame(without_signature(address), fp + 16, following)
        if following <= fp:
            return
        fp = following


def x86_chain(ebp: int, memory: MemoryReader, *, low: int, high: int) -> Iterator[ChainFrame]:
    """Yield the callers of a frame by its ebp, as `arm64_chain` does with words of 4 bytes."""
    for _frame in range(MAX_STACK_FRAMES):
        pair = _pair(ebp, memory, 4, low, high)
        if pair is None or not pair[1]:
            return
        following, address = pair
        yield ChainFrame(address, ebp + 8, following)
        if following <= ebp:
            return
        ebp = following


def _pair(fp: int, memory: MemoryReader, word: int, low: int, high: int) -> tuple[int, int] | None:
    # ARM64 demands a stack of 16-byte steps, and x29 points to where Rsp stood when the pair was stored.
    if fp % (word if word == 4 else 16) or not low <= fp <= high - 2 * word:
        return None
    try:
        data = memory.read(fp, 2 * word)
    except ReadError:
        return None
    return int.from_bytes(data[:word], "little"), int.from_bytes(data[word:], "little")


def without_signature(address: int) -> int:
    """Remove a pointer authentication code: the bits above the address repeat bit 55."""
    low = address & ((1 << _ARM64_BITS) - 1)
    return low | ((1 << 64) - (1 << _ARM64_BITS)) if address >> 55 & 1 else low
