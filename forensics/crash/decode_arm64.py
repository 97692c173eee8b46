"""One ARM64 instruction: what it does to memory, with the addresses that a set of registers gives.

The classes of loads and stores are told apart by the instruction word itself, for the size of an access is in no
operand; capstone says whether the word is an instruction at all, and its text. Only what is certain is said: scalable
vectors, memory copies, tags, authenticated loads, cache and system instructions are `open`. Checked against an emulator
that runs made-up instructions with nothing mapped (tests/forensics/crash/test_decode_random.py).

Source: Arm Architecture Reference Manual for A-profile (DDI 0487), C4.1 "A64 instruction set encoding", loads and
stores; C6.2 of each instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from forensics.crash.access import Access, Instruction

__all__ = ["decode_arm64", "decoder_arm64"]

_MASK = (1 << 64) - 1
_MASK32 = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class _Touch:
    """One access before its address is known.

    Attributes:
        base: number of the register, 31 = the stack pointer, -1 = the instruction itself.
        offset: added to it.
        size: bytes.
        load: 1 = reads, 0 = writes, 2 = both.
        index: number of a further register, 31 = zero, None = none.
        extend: how that is widened (option field).
        shift: how far that is moved.
        aligned: the boundary that the address must lie on whatever the memory is.

    """

    base: int
    offset: int
    size: int
    load: int
    index: int | None = None
    extend: int = 3
    shift: int = 0
    aligned: int = 1


#: What a class of instructions gives: its access, "none" (a hint: no access that can fail), or None (not known).
_Found = _Touch | str | None


@lru_cache(maxsize=1)
def decoder_arm64() -> Any:
    """Return capstone's decoder of ARM64 code; imported only now."""
    import capstone

    return capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _ordered(word: int) -> _Found:
    """Exclusive and ordered loads and stores, compare and swap."""
    size, base = word >> 30, word >> 5 & 31
    load = word >> 22 & 1
    if not word >> 21 & 1:
        return _Touch(base, 0, 1 << size, load, aligned=1 << size)
    if word >> 23 & 1:
        return _Touch(base, 0, 1 << size, 2, aligned=1 << size)
    if word >> 31:
        # A pair of words or doublewords.
        return _Touch(base, 0, 2 << size, load, aligned=2 << size)
    # A pair to compare and swap.
    width = 16 if word >> 30 & 1 else 8
    return _Touch(base, 0, width, 2, aligned=width)


def _literal(word: int) -> _Found:
    kind, vector = word >> 30, word >> 26 & 1
    offset = _signed(word >> 5 & 0x7FFFF, 19) * 4
    if vector:
        return _Touch(-1, offset, 4 << kind, 1) if kind < 3 else None
    return "none" if kind == 3 else _Touch(-1, offset, (4, 8, 4)[kind], 1)


def _pair(word: int) -> _Found:
    kind, vector, mode, load = word >> 30, word >> 26 & 1, word >> 23 & 3, word >> 22 & 1
    if kind == 3 or (not vector and kind == 1 and (not load or mode == 0)):
        return None
    size = 4 << kind if vector else (4, 4, 8)[kind]
    # Indexed after the access: the offset does not count.
    offset = 0 if mode == 1 else _signed(word >> 15 & 0x7F, 7) * size
    return _Touch(word >> 5 & 31, offset, 2 * size, load)


def _single_size(word: int) -> tuple[int, int] | str | None:
    """Return (log2 of the size, 1 = a load) of a load or store of one register."""
    size, vector, kind = word >> 30, word >> 26 & 1, word >> 22 & 3
    if vector:
        if kind & 2:
            return (4, kind & 1) if size == 0 else None
        return size, kind
    if kind == 2 and size == 3:
        return "none"
    if kind == 3 and size >= 2:
        return None
    return size, 1 if kind else 0


def _single(word: int) -> _Found:
    """Loads and stores of one register: every way to address, and the atomic ones."""
    base = word >> 5 & 31
    if not word >> 24 & 1 and word >> 21 & 1 and word >> 10 & 3 != 2:
        # Atomic operations share the room; authenticated loads lie beside them.
        return _atomic(word) if not word >> 26 & 1 and word >> 10 & 3 == 0 else None
    found = _single_size(word)
    if found is None or isinstance(found, str):
        # A prefetch has no form with an index, where its room is not used.
        return found if word >> 24 & 1 or word >> 21 & 1 or word >> 10 & 3 == 0 else None
    log, load = found
    if word >> 24 & 1:
        return _Touch(base, (word >> 10 & 0xFFF) << log, 1 << log, load)
    if word >> 21 & 1:
        extend = word >> 13 & 7
        if not extend & 2:
            return None
        return _Touch(base, 0, 1 << log, load, word >> 16 & 31, extend, log if word >> 12 & 1 else 0)
    offset = 0 if word >> 10 & 3 == 1 else _signed(word >> 12 & 0x1FF, 9)
    return _Touch(base, offset, 1 << log, load)


def _atomic(word: int) -> _Found:
    size, base, operation = 1 << (word >> 30), word >> 5 & 31, word >> 12 & 0xF
    if operation <= 8:
        return _Touch(base, 0, size, 2, aligned=size)
    # A load with acquire semantics has its place among them.
    if operation == 0xC and word >> 16 & 31 == 31 and word >> 22 & 3 == 2:
        return _Touch(base, 0, size, 1, aligned=size)
    return None


def _unscaled_ordered(word: int) -> _Found:
    size, kind = word >> 30, word >> 22 & 3
    if word >> 21 & 1 or word >> 10 & 3 or (kind == 2 and size == 3) or (kind == 3 and size >= 2):
        return None
    return _Touch(word >> 5 & 31, _signed(word >> 12 & 0x1FF, 9), 1 << size, 1 if kind else 0)


def _structures(word: int) -> _Found:
    """Vector loads and stores of several whole registers."""
    registers = {0: 4, 2: 4, 4: 3, 6: 3, 7: 1, 8: 2, 10: 2}.get(word >> 12 & 0xF)
    if registers is None or word >> 31 or (not word >> 23 & 1 and word >> 16 & 0x1F):
        return None
    return _Touch(word >> 5 & 31, 0, registers * (16 if word >> 30 & 1 else 8), word >> 22 & 1)


def _structure(word: int) -> _Found:
    """Vector loads and stores of one element of one to four registers."""
    if word >> 31 or (not word >> 23 & 1 and word >> 16 & 0x1F):
        return None
    operation, size = word >> 13 & 7, word >> 10 & 3
    registers = ((operation & 1) << 1 | (word >> 21 & 1)) + 1
    scale = operation >> 1
    if scale == 3:
        width = 1 << size
    elif scale == 2:
        width = 8 if size & 1 else 4
    else:
        width = 1 << scale
    return _Touch(word >> 5 & 31, 0, registers * width, word >> 22 & 1)


#: (mask, value) of bits 29 to 24 of the word, and what reads the class.
_CLASSES: tuple[tuple[int, int, Callable[[int], _Found]], ...] = (
    (0b111111, 0b001000, _ordered),
    (0b111111, 0b001100, _structures),
    (0b111111, 0b001101, _structure),
    (0b111111, 0b011001, _unscaled_ordered),
    (0b111011, 0b011000, _literal),
    (0b111010, 0b101000, _pair),
    (0b111010, 0b111000, _single),
)


def _touch(word: int) -> _Found:
    """Return what an instruction does to memory."""
    group = word >> 25 & 0xF
    if group in (8, 9, 5, 13, 7, 15):
        # Arithmetic on constants, registers and vectors.
        return "none"
    if group in (10, 11):
        # Branches; exceptions, system registers and cache instructions are told by their first byte.
        return "none" if word >> 24 not in (0xD4, 0xD5) or word & 0xFFFFF01F == 0xD503201F else None
    if group & 5 != 4:
        return None
    for mask, value, read in _CLASSES:
        if word >> 24 & mask == value:
            return read(word)
    return None


def _register(number: int, registers: Mapping[str, int], *, stack: bool) -> tuple[str, int | None]:
    """Return (name, value) of a register by its number."""
    if number == 31:
        return ("sp", registers.get("sp")) if stack else ("xzr", 0)
    name = {29: "fp", 30: "lr"}.get(number, f"x{number}")
    return name, registers.get(name)


def _access(touch: _Touch, address: int, registers: Mapping[str, int], text: str) -> Access:
    reads, writes = touch.load > 0, touch.load != 1
    shown = "[" + text.partition("[")[2].partition("]")[0] + "]" if "[" in text else "the literal"
    if touch.base < 0:
        return Access(shown, (address + touch.offset) & _MASK, touch.size, reads, writes)
    name, value = _register(touch.base, registers, stack=True)
    used = [name]
    if touch.index is not None:
        name, index = _register(touch.index, registers, stack=False)
        if name != "xzr":
            used.append(name)
        if value is not None and index is not None:
            if touch.extend in (2, 6):
                index = _signed(index & _MASK32, 32) if touch.extend == 6 else index & _MASK32
            value += index << touch.shift
        else:
            value = None
    at = None if value is None else (value + touch.offset) & _MASK
    return Access(shown, at, touch.size, reads, writes, tuple(used))


def _target(word: int, address: int) -> int | None:
    """Return where a direct branch goes."""
    if word >> 26 & 0x1F == 0b00101:
        return (address + _signed(word & 0x3FFFFFF, 26) * 4) & _MASK
    if word >> 24 == 0x54 or word >> 25 & 0x3F == 0b011010:
        return (address + _signed(word >> 5 & 0x7FFFF, 19) * 4) & _MASK
    if word >> 25 & 0x3F == 0b011011:
        return (address + _signed(word >> 5 & 0x3FFF, 14) * 4) & _MASK
    return None


def decode_arm64(data: bytes, address: int, registers: Mapping[str, int]) -> Instruction | None:
    """Decode the instruction at the beginning of `data`.

    Args:
        data: its four bytes, or more.
        address: where it lies.
        registers: as far as they are known: "x0" to "x28", "fp", "lr", "sp".

    Returns:
        The instruction; None when the bytes are none (or fewer than four).

    """
    if len(data) < 4:
        return None
    found = next(decoder_arm64().disasm(data[:4], address, 1), None)
    if found is None:
        return None
    word = int.from_bytes(data[:4], "little")
    text = f"{found.mnemonic} {found.op_str}".strip()
    touch, target = _touch(word), _target(word, address)
    if touch is None:
        return Instruction(address, data[:4], found.mnemonic, text, (), True, target=target)
    if isinstance(touch, str):
        return Instruction(address, data[:4], found.mnemonic, text, (), False, harmless=True, target=target)
    accesses = (_access(touch, address, registers, text),)
    return Instruction(address, data[:4], found.mnemonic, text, accesses, False, touch.aligned, target=target)
