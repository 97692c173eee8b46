"""Unwind data of ARM64 functions: packed words and .xdata records, as one list of operations.

Source: Microsoft "ARM64 exception handling" (MicrosoftDocs/cpp-docs: docs/build/arm64-exception-handling.md). The
order of packed prologs beyond its tables after `llvm/llvm-project: llvm/tools/llvm-readobj/ARMWinEHPrinter.cpp`; which
codes stand for no instruction, and the kernel's own frames, after `dotnet/runtime: src/coreclr/unwinder/arm64`.
Checked against real functions run in an emulator (tests/parsers/unwind/test_arm64_execution.py).
"""

from __future__ import annotations

from typing import NamedTuple

from parsers.errors import FormatError, ReadError, UnsupportedError
from parsers.limits import MAX_ARM64_CODES
from parsers.unwind.image import CodeImage

__all__ = ["UNCOUNTED", "Arm64Function", "Op", "instructions", "read_function"]

FP, LR = 29, 30
#: Numbers of the double registers d0 to d31 in `Op.registers`.
DOUBLE = 64
#: Operations that move sp by what they say.
_TAKES = ("save", "alloc")
#: Operations that no instruction of a prolog or an epilog stands for.
UNCOUNTED = frozenset({"clear", "trap", "machine", "context", "stop"})


class Op(NamedTuple):
    """One operation, as the unwinder undoes it: every one but a few stands for one instruction.

    Attributes:
        kind: "save" (registers from [sp + offset], then sp += add), "alloc" (sp += add), "set_fp" (sp = x29 - add),
            "sign" (lr is signed), "nop", "home" (an instruction of the prolog that epilogs have not), "next" (the pair
            after the one that the following save names), "end", "end_c", and what stands for no instruction
            (`UNCOUNTED`): "clear" (the next pc is no return address), "trap" (a KTRAP_FRAME at sp), "machine" (sp and
            pc at sp), "context" (a CONTEXT at sp), "stop" (a frame whose layout is not public).
        registers: x0 to x30 by number, d registers from DOUBLE on.
        offset: bytes.
        add: bytes.
        stride: bytes from one register's place to the next; 16 for vector registers, of which the low half counts.

    """

    kind: str
    registers: tuple[int, ...] = ()
    offset: int = 0
    add: int = 0
    stride: int = 8


class Arm64Function(NamedTuple):
    """One function, or a part of one.

    Attributes:
        begin: RVA.
        length: bytes.
        ops: for the body, in the order in which they are undone.
        prolog: how many of them, from the first on, are of this part's own prolog.
        epilogs: (offset of its first instruction, its operations), ascending. One without "end" does not leave the
            function: it gives some registers back and goes on with the frame.

    """

    begin: int
    length: int
    ops: tuple[Op, ...]
    prolog: int
    epilogs: tuple[tuple[int, tuple[Op, ...]], ...]


def instructions(ops: tuple[Op, ...]) -> int:
    """Return how many instructions of four bytes a sequence stands for."""
    return sum(op.kind not in UNCOUNTED for op in ops)


def read_function(image: CodeImage, begin: int, data: int) -> Arm64Function:
    """Read the unwind data of a row of the function table.

    Args:
        image: the module.
        begin: the row's first word.
        data: the row's second word.

    Raises:
        ReadError: the record is not at hand.
        FormatError: it contradicts itself.
        UnsupportedError: scalable vectors, or another version.

    """
    flag = data & 3
    if flag == 0:
        return _read_record(image, begin, data)
    if flag == 3:
        raise FormatError("ARM64 .pdata", "reserved form", offset=begin, found=f"{data:#x}")
    return _unpack(begin, data, fragment=flag == 2)


# -- packed ---------------------------------------------------------------------------------------------------------


def _unpack(begin: int, data: int, *, fragment: bool) -> Arm64Function:
    length = (data >> 2 & 0x7FF) * 4
    doubles, integers, homes = data >> 13 & 7, data >> 16 & 0xF, data >> 20 & 1
    chained, frame = data >> 21 & 3, (data >> 23 & 0x1FF) * 16
    if integers > 10:
        raise FormatError("ARM64 .pdata", "more registers than there are", offset=begin, found=integers)
    integer_size = integers * 8 + (8 if chained == 1 else 0)
    double_size = (doubles + 1) * 8 if doubles else 0
    saved = (integer_size + double_size + 64 * homes + 15) & ~15
    local = frame - saved
    if local < 0:
        raise FormatError("ARM64 .pdata", "a frame smaller than what it saves", offset=begin, found=f"{data:#x}")
    ops = [*_packed_frame(chained, local), *_packed_homes(homes, saved, bool(integers or doubles or chained == 1))]
    ops += _packed_doubles(doubles + 1 if doubles else 0, integer_size, saved, alone=not integers and chained != 1)
    ops += _packed_integers(integers, integer_size, saved, with_lr=chained == 1)
    if chained == 2:
        ops.append(Op("sign"))
    body = (*ops, Op("end"))
    if fragment:
        return Arm64Function(begin, length, body, 0, ())
    epilog = tuple(op for op in body if op.kind not in ("set_fp", "home"))
    # The authentication of lr, where it was signed, stands before the return.
    start = length - 4 * len(epilog)
    return Arm64Function(begin, length, body, len(ops), ((start, epilog),) if start >= 0 else ())


def _packed_frame(chained: int, local: int) -> list[Op]:
    ops: list[Op] = []
    if chained in (2, 3):
        ops.append(Op("set_fp"))
        ops.append(Op("save", (FP, LR), 0, local if local <= 512 else 0))
        if local <= 512:
            return ops
    if local > 4080:
        return [*ops, Op("alloc", add=local - 4080), Op("alloc", add=4080)]
    return [*ops, Op("alloc", add=local)] if local else ops


def _packed_homes(homes: int, saved: int, others: bool) -> list[Op]:
    """x0 to x7 stored for variable arguments: never restored; the first store may make the room."""
    if not homes:
        return []
    return [Op("home"), Op("home"), Op("home"), Op("home") if others else Op("alloc", add=saved)]


def _packed_doubles(count: int, first: int, saved: int, *, alone: bool) -> list[Op]:
    ops = []
    for pair in range((count + 1) // 2 - 1, -1, -1):
        at = first + 16 * pair
        registers: tuple[int, ...] = (DOUBLE + 8 + 2 * pair, DOUBLE + 9 + 2 * pair)
        if pair == (count + 1) // 2 - 1 and count % 2:
            registers = registers[:1]
        ops.append(Op("save", registers, 0 if alone and pair == 0 else at, saved if alone and pair == 0 else 0))
    return ops


def _packed_integers(count: int, size: int, saved: int, *, with_lr: bool) -> list[Op]:
    ops: list[Op] = []
    if with_lr and count % 2 == 0:
        ops.append(Op("save", (LR,), 0, saved) if count == 0 else Op("save", (LR,), size - 8))
    for pair in range((count + 1) // 2 - 1, -1, -1):
        registers: tuple[int, ...] = (19 + 2 * pair, 20 + 2 * pair)
        if pair == (count + 1) // 2 - 1 and count % 2:
            registers = (19 + 2 * pair, LR) if with_lr else (19 + 2 * pair,)
            if with_lr and pair == 0:
                # No single instruction does it: the room is made first.
                ops += [Op("save", registers), Op("alloc", add=saved)]
                continue
        ops.append(Op("save", registers, 16 * pair if pair else 0, 0 if pair else saved))
    return ops


# -- records ----------------------------------------------------------------------------------------------------------


def _words(image: CodeImage, rva: int, count: int) -> bytes:
    data = image.read_rva(rva, 4 * count)
    if len(data) < 4 * count:
        raise ReadError(f"no unwind record at RVA {rva:#x}", address=rva)
    return data


def _read_record(image: CodeImage, begin: int, rva: int) -> Arm64Function:
    head = int.from_bytes(_words(image, rva, 1), "little")
    length = (head & 0x3FFFF) * 4
    if head >> 18 & 3:
        raise UnsupportedError(f"ARM64 unwind data of version {head >> 18 & 3}")
    single, count, words = head >> 21 & 1, head >> 22 & 0x1F, head >> 27
    at = rva + 4
    if not count and not words and not single:
        more = int.from_bytes(_words(image, at, 1), "little")
        count, words = more & 0xFFFF, more >> 16 & 0xFF
        at += 4
    scopes: list[tuple[int, int]] = []
    if not single and count:
        raw = _words(image, at, count)
        at += 4 * count
        for number in range(count):
            scope = int.from_bytes(raw[4 * number : 4 * number + 4], "little")
            scopes.append(((scope & 0x3FFFF) * 4, scope >> 22))
    codes = _words(image, at, words) if words else b""
    ops = _ended(_decode(codes, 0), ())
    prolog = next((index for index, op in enumerate(ops) if op.kind in ("end", "end_c")), len(ops))
    if single:
        epilog = _ended(_decode(codes, count), ops)
        scopes_of = [(length - 4 * instructions(epilog), epilog)]
    else:
        scopes_of = [(start, _ended(_decode(codes, index), ops)) for start, index in scopes]
    epilogs = tuple(sorted((start, epilog) for start, epilog in scopes_of if 0 <= start < length))
    return Arm64Function(begin, length, ops, prolog, epilogs)


def _decode(codes: bytes, start: int) -> tuple[Op, ...]:
    """Decode the codes from an index up to `end`, or to their last one."""
    ops: list[Op] = []
    at = start
    while at < len(codes) and len(ops) < MAX_ARM64_CODES:
        size = _size(codes[at])
        raw = codes[at : at + size]
        if len(raw) < size:
            raise FormatError("ARM64 unwind codes", "cut inside one", offset=at, found=codes[at:].hex())
        op = _op(raw)
        ops.append(op)
        at += size
        if op.kind == "end":
            return tuple(ops)
    return tuple(ops)


def _ended(ops: tuple[Op, ...], body: tuple[Op, ...]) -> tuple[Op, ...]:
    """Add the `end` that codes have not, where they give all of the stack back that the body has.

    Codes that fill their words have none: seen in the ARM64 build of cryptography. Others have none because they do
    not leave the function, and `nop` up to the end of the words: seen in lxml's etree, and held there against what the
    emulator does. Windows takes both for epilogs with an end (RtlpUnwindFunctionFull in dotnet/runtime:
    src/coreclr/unwinder/arm64/unwinder.cpp) and loses the frame in the second.
    """
    if ops and ops[-1].kind == "end":
        return ops
    if sum(op.add for op in ops if op.kind in _TAKES) >= sum(op.add for op in body if op.kind in _TAKES):
        return (*ops, Op("end"))
    while ops and ops[-1].kind == "nop":
        ops = ops[:-1]
    return ops


def _size(first: int) -> int:
    if first < 0xC0 or first in range(0xE3, 0xE7):
        return 1
    if first < 0xE0 or first == 0xE2:
        return 2
    return {0xE0: 4, 0xE1: 1, 0xE7: 3, 0xF8: 2, 0xF9: 3, 0xFA: 4, 0xFB: 5}.get(first, 1)


_PLAIN = {0xE3: "nop", 0xE4: "end", 0xE5: "end_c", 0xE6: "next", 0xEC: "clear", 0xFC: "sign", 0xE1: "set_fp",
          0xE8: "trap", 0xE9: "machine", 0xEA: "context", 0xEB: "stop"}  # fmt: skip


def _op(raw: bytes) -> Op:
    """Decode one code; its bytes are big-endian."""
    first, value = raw[0], int.from_bytes(raw, "big")
    if first < 0x20:
        return Op("alloc", add=(first & 0x1F) * 16)
    if first < 0x40:
        return Op("save", (19, 20), 0, (first & 0x1F) * 8)
    if first < 0x80:
        return Op("save", (FP, LR), (first & 0x3F) * 8)
    if first < 0xC0:
        return Op("save", (FP, LR), 0, ((first & 0x3F) + 1) * 8)
    if first < 0xC8:
        return Op("alloc", add=(value & 0x7FF) * 16)
    if first < 0xE0:
        return _save(first, value)
    if first in _PLAIN:
        return Op(_PLAIN[first])
    if first == 0xE0:
        return Op("alloc", add=(value & 0xFFFFFF) * 16)
    if first == 0xE2:
        return Op("set_fp", add=raw[1] * 8)
    if first == 0xE7:
        return _save_any(raw)
    raise UnsupportedError(f"ARM64 unwind code {raw.hex(' ')}")


def _save(first: int, value: int) -> Op:
    """Decode the two-byte saves 0xC8 to 0xDF."""
    low = (value & 0x3F) * 8
    grown = ((value & 0x3F) + 1) * 8
    register = value >> 6 & 0xF
    if first < 0xCC:
        return Op("save", (19 + register, 20 + register), low)
    if first < 0xD0:
        return Op("save", (19 + register, 20 + register), 0, grown)
    if first < 0xD4:
        return Op("save", (19 + register,), low)
    if first < 0xD6:
        return Op("save", (19 + (value >> 5 & 0xF),), 0, ((value & 0x1F) + 1) * 8)
    if first < 0xD8:
        return Op("save", (19 + 2 * (value >> 6 & 7), LR), low)
    double = DOUBLE + 8 + (value >> 6 & 7)
    if first < 0xDA:
        return Op("save", (double, double + 1), low)
    if first < 0xDC:
        return Op("save", (double, double + 1), 0, grown)
    if first < 0xDE:
        return Op("save", (double,), low)
    if first == 0xDE:
        return Op("save", (DOUBLE + 8 + (value >> 5 & 7),), 0, ((value & 0x1F) + 1) * 8)
    raise UnsupportedError("ARM64 unwind code alloc_z: a frame of scalable vectors")


def _save_any(raw: bytes) -> Op:
    """Decode save_any_reg: x, d or q registers, single or in a pair, with or without a moved stack pointer."""
    pair, indexed, register = raw[1] >> 6 & 1, raw[1] >> 5 & 1, raw[1] & 0x1F
    kind, number = raw[2] >> 6, raw[2] & 0x3F
    if raw[1] & 0x80 or kind == 3:
        raise UnsupportedError("ARM64 unwind code of scalable vectors")
    scale = 16 if pair or indexed or kind == 2 else 8
    base = register if kind == 0 else DOUBLE + register
    registers = (base, base + 1) if pair else (base,)
    offset, add = (0, (number + 1) * scale) if indexed else (number * scale, 0)
    return Op("save", registers, offset, add, 16 if kind == 2 else 8)
