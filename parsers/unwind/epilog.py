"""Epilogs of x64 functions: whether an address lies in one, and what its rest does to the stack.

Version 1 of the unwind data does not say where epilogs are: they are recognised by their code, which the ABI
restricts to a few instructions ("x64 prolog and epilog", MicrosoftDocs/cpp-docs:
docs/build/prolog-and-epilog.md). Which jumps end a function was measured: emulated functions of lxml, numpy and
cryptography, compared with the stack they really had (`benchmarks/unwind_truth.py` repeats it). Version 2 lists
the epilogs (dotnet/runtime: src/coreclr/unwinder/amd64/unwinder.cpp).
"""

from __future__ import annotations

from typing import NamedTuple

from parsers.errors import ReadError, StopcodeError
from parsers.limits import MAX_UNWIND_CHAIN
from parsers.pe_pdata import RuntimeFunction
from parsers.unwind.image import CodeImage
from parsers.unwind.unwind_info import (
    ALLOC_SMALL,
    PUSH_MACHFRAME,
    PUSH_NONVOL,
    UnwindInfo,
    read_unwind_info,
    resolve,
)

__all__ = ["Epilog", "code_at", "epilog_by_code", "epilog_by_descriptor", "primary_of"]

#: LLVM puts it between the pops and the return, where the ABI has no place for it; it does nothing to the stack. Seen
#: in pydantic_core, and held there against the emulator.
_VZEROUPPER = b"\xc5\xf8\x77"
#: The longest epilog: add rsp, imm32; 15 pops of two bytes; vzeroupper; add rsp, 8; a jump of eight bytes.
_LONGEST = 7 + 30 + 3 + 4 + 8
_PAGE = 0x1000


class Epilog(NamedTuple):
    """The rest of an epilog.

    Attributes:
        frame_displacement: `lea rsp, [frame register + displacement]` comes first; None when it does not.
        add: bytes that `add rsp` drops first.
        pops: registers popped, by number, in order; None for `popfq`.
        drop: bytes dropped behind the pops (an error code).
        machine_frame: ends with `iretq`.

    """

    frame_displacement: int | None
    add: int
    pops: tuple[int | None, ...]
    drop: int
    machine_frame: bool


def code_at(image: CodeImage, rva: int, length: int) -> bytes:
    """Return as many code bytes at an RVA as there are, up to `length`; none is no error."""
    try:
        return image.read_rva(rva, length)
    except ReadError:
        try:
            return image.read_rva(rva, min(length, _PAGE - rva % _PAGE))
        except ReadError:
            return b""


def primary_of(image: CodeImage, row: RuntimeFunction) -> tuple[RuntimeFunction, UnwindInfo]:
    """Return the end of a row's chain: the function's first part, and its unwind data.

    Raises:
        ReadError: a record on the way is not there.
        FormatError: one is damaged. A chain longer than MAX_UNWIND_CHAIN ends where the limit is.

    """
    row = resolve(image, row)
    info = read_unwind_info(image, row.unwind)
    for _step in range(MAX_UNWIND_CHAIN):
        if info.chained is None:
            break
        row = resolve(image, info.chained)
        info = read_unwind_info(image, row.unwind)
    return row, info


class _MissingCodeError(Exception):
    """The code ends before the epilog is decided."""


class _Code:
    """Bytes that tell when they end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def peek(self, offset: int = 0) -> int:
        place = self.at + offset
        if place >= len(self.data):
            raise _MissingCodeError
        return self.data[place]

    def signed(self, offset: int, size: int) -> int:
        place = self.at + offset
        if place + size > len(self.data):
            raise _MissingCodeError
        return int.from_bytes(self.data[place : place + size], "little", signed=True)

    def skip(self, instruction: bytes) -> None:
        if self.peek() == instruction[0] and self.data[self.at : self.at + len(instruction)] == instruction:
            self.at += len(instruction)


def epilog_by_code(image: CodeImage, row: RuntimeFunction, info: UnwindInfo, rva: int) -> tuple[Epilog | None, bool]:
    """Recognise the rest of a version 1 epilog at an RVA.

    Returns:
        The epilog or None when the address is in none, and whether that is certain: False when code bytes (or the
        unwind data of a jump's target) that decide it are not there.

    """
    code = _Code(code_at(image, rva, _LONGEST))
    machine = info.has_machine_frame
    try:
        displacement, add = _adjustment(code, info.frame_register)
        pops = _pops(code, flags=False)
        code.skip(_VZEROUPPER)
        drop = 0
        if machine:
            if not add or pops:
                _none, drop = _adjustment(code, 0)
            if code.peek() == 0x48 and code.peek(1) == 0xCF:
                return Epilog(displacement, add, pops, drop, True), True
            return None, True
        target = _ending(code, rva)
        if target is None:
            return None, True
        if target >= 0 and not _leaves(image, row, target):
            return None, True
    except _MissingCodeError:
        return None, False
    except StopcodeError:
        return None, False
    return Epilog(displacement, add, pops, 0, False), True


def epilog_by_descriptor(
    image: CodeImage, row: RuntimeFunction, info: UnwindInfo, rva: int
) -> tuple[Epilog | None, bool]:
    """Return the rest of a version 2 epilog at an RVA, as `epilog_by_code` does."""
    into = 0
    for distance in info.epilogs:
        start = row.end - distance
        if start <= rva < start + info.epilog_size:
            into = rva - start
            break
    else:
        return None, True
    code = _Code(code_at(image, rva, info.epilog_size - into))
    try:
        pops = _pops(code, flags=True)
        machine = code.peek() == 0x48 and code.peek(1) == 0xCF
        # Described as an epilog: any jump here leaves the function.
        if machine or _is_ending(code):
            return Epilog(None, 0, pops, 0, machine), True
    except _MissingCodeError:
        pass
    return _epilog_from_pushes(image, row, into), True


def _epilog_from_pushes(image: CodeImage, row: RuntimeFunction, into: int) -> Epilog:
    """Build a described epilog from the primary row's pushes: the code itself is not there."""
    _row, info = primary_of(image, row)
    codes = list(info.codes)
    while codes and codes[0].op != PUSH_NONVOL:
        codes.pop(0)
    at = 0
    pops: list[int | None] = []
    machine = False
    drop = 0
    for code in codes:
        if code.op == PUSH_NONVOL:
            if at >= into:
                pops.append(code.info)
            at += 1 if code.info < 8 else 2
        elif code.op == ALLOC_SMALL and code.operand == 8:
            if at >= into:
                pops.append(None)
            at += 1
        elif code.op == PUSH_MACHFRAME:
            machine = True
            drop = 8 if code.info else 0
            break
        else:
            break
    return Epilog(None, 0, tuple(pops), drop, machine)


def _adjustment(code: _Code, frame_register: int) -> tuple[int | None, int]:
    """Take `add rsp, imm` or `lea rsp, [frame register + disp]`."""
    first = code.peek()
    if first == 0x48 and code.peek(1) in (0x81, 0x83) and code.peek(2) == 0xC4:
        wide = code.peek(1) == 0x81
        value = code.signed(3, 4 if wide else 1)
        if value < 0:
            return None, 0
        code.at += 7 if wide else 4
        return None, value
    if frame_register and first in (0x48, 0x49) and code.peek(1) == 0x8D:
        modrm = code.peek(2)
        mode = modrm >> 6
        register = modrm & 7 | (first & 1) << 3
        # [r12 + disp] needs a SIB byte: 0x24.
        sib = 1 if modrm & 7 == 4 else 0
        if modrm >> 3 & 7 == 4 and mode in (1, 2) and register == frame_register and (not sib or code.peek(3) == 0x24):
            size = 1 if mode == 1 else 4
            value = code.signed(3 + sib, size)
            code.at += 3 + sib + size
            return value, 0
    return None, 0


def _pops(code: _Code, *, flags: bool) -> tuple[int | None, ...]:
    pops: list[int | None] = []
    while True:
        first = code.peek()
        if 0x58 <= first <= 0x5F and first != 0x5C:
            pops.append(first - 0x58)
            code.at += 1
        elif first == 0x41 and 0x58 <= code.peek(1) <= 0x5F:
            pops.append(code.peek(1) - 0x58 + 8)
            code.at += 2
        elif flags and first == 0x9D:
            pops.append(None)
            code.at += 1
        else:
            return tuple(pops)
        if len(pops) > 16:
            return tuple(pops)


def _ending(code: _Code, rva: int) -> int | None:
    """Return -1 for a return or a jump that ends a function by its form, a direct jump's target, else None."""
    at = 1 if code.peek() == 0xF2 and code.peek(1) in (0xC3, 0xC2, 0xE9) else 0  # bnd
    first = code.peek(at)
    if first in (0xC3, 0xC2) or (first == 0xF3 and code.peek(1) == 0xC3):
        return -1
    if first == 0xEB:
        return (rva + code.at + at + 2 + code.signed(at + 1, 1)) & 0xFFFFFFFF
    if first == 0xE9:
        return (rva + code.at + at + 5 + code.signed(at + 1, 4)) & 0xFFFFFFFF
    if 0x48 <= first <= 0x4F and code.peek(1) == 0xFF and code.peek(2) >> 3 & 7 == 4:
        # Compilers put the otherwise useless REX.W on jumps that end a function; without it: a switch's.
        return -1
    if first == 0xFF and code.peek(1) == 0x25:
        return -1
    return None


def _is_ending(code: _Code) -> bool:
    at = 1 if 0x40 <= code.peek() <= 0x4F else 0
    if code.peek(at) == 0xFF and code.peek(at + 1) >> 3 & 7 == 4:
        return True
    return _ending(code, 0) is not None


def _leaves(image: CodeImage, row: RuntimeFunction, target: int) -> bool:
    """Whether a direct jump to `target` leaves the function of `row`.

    Raises:
        StopcodeError: the unwind data that tells is not there.

    """
    primary, info = primary_of(image, row)
    if target == primary.begin:
        # A function that calls itself at its very end, from any of its parts. A loop back to its first instruction
        # is the same to the stack: nothing is pushed there yet (unless the part starts inside a frame).
        return not _undoes_at_start(info)
    if row.begin <= target < row.end:
        return False
    if not 0 <= target < image.size:
        return True
    other = image.function_at(target)
    if other is None:
        return True
    theirs, info = primary_of(image, other)
    # GCC gives a function's cold part an unchained row of its own, whose frame is there from its first byte: nobody
    # who has taken his frame down jumps into one.
    begins_in_frame = not info.prolog_size and bool(info.codes)
    return theirs.begin != primary.begin and not begins_in_frame


def _undoes_at_start(info: UnwindInfo) -> bool:
    return any(info.prolog_size == 0 or code.offset == 0 for code in info.codes)
