"""Return addresses among stack words: what can be one, and what cannot.

A word is a possible return address when it lies in executable code of a loaded module; it is disproved when the
bytes before it are there and are no call, or when the function table is there and no function covers it. A call
before it proves that it was pushed once, not that it still counts: on a real stack four of twelve such words were
leftovers. So nothing here is ever more than a guess.

Encodings of CALL: Intel SDM volume 2 (CALL: E8 rel32, FF /2); ARM: A64 BL, BLR, BLRAA.
"""

from __future__ import annotations

from forensics.crash.evidence import Evidence
from parsers.errors import StopcodeError
from parsers.unwind.image import CodeImage

__all__ = ["ReturnAddresses", "is_call_before", "is_call_before_arm64"]

#: (bytes of a FF /2 form without prefix, ModRM of the register or memory forms that are that long)
_LENGTHS = (2, 3, 4, 6, 7)


def _is_indirect_call(data: bytes) -> bool:
    """Tell whether bytes are exactly one FF /2 instruction, without a REX prefix."""
    if len(data) < 2 or data[0] != 0xFF or data[1] >> 3 & 7 != 2:
        return False
    mod, rm = data[1] >> 6, data[1] & 7
    if mod == 3:
        length = 2
    elif mod == 0 and rm == 5:
        length = 6
    else:
        length = 2 + (rm == 4) + (0, 1, 4)[mod]
        if mod == 0 and rm == 4 and len(data) > 2 and data[2] & 7 == 5:
            length += 4
    return length == len(data)


def is_call_before(data: bytes) -> bool:
    """Tell whether the eight bytes that end right before an address end in an x64 call instruction."""
    if len(data) >= 5 and data[-5] == 0xE8:
        return True
    for length in _LENGTHS:
        if length > len(data):
            break
        if _is_indirect_call(data[-length:]):
            return True
        if length + 1 <= len(data) and data[-length - 1] & 0xF0 == 0x40 and _is_indirect_call(data[-length:]):
            return True
    return False


def is_call_before_arm64(data: bytes) -> bool:
    """Tell whether the four bytes that end right before an address are BL or BLR (or one that authenticates)."""
    word = int.from_bytes(data, "little") if len(data) == 4 else 0
    return word >> 26 == 0x25 or word & 0xFEFFF800 == 0xD63F0000


class ReturnAddresses:
    """Judges words of one dump; answers are kept, for the same words come up again and again."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._is_arm64 = evidence.dump.machine == "arm64"
        self._calls: dict[int, bool | None] = {}
        self._code: dict[int, bool] = {}

    def call_before(self, address: int) -> bool | None:
        """Tell whether a call stands right before an address; None when those bytes are not at hand."""
        if address not in self._calls:
            length, tell = (4, is_call_before_arm64) if self._is_arm64 else (8, is_call_before)
            data = self._evidence.code_bytes(address - length, length)
            self._calls[address] = tell(data) if len(data) == length else None
        return self._calls[address]

    def is_possible(self, address: int) -> bool:
        """Tell whether a word can be a return address: in code, and not disproved by the bytes before it."""
        if address not in self._code:
            self._code[address] = self._evidence.is_code(address) and self.call_before(address) is not False
        return self._code[address]

    def is_covered(self, address: int, image: CodeImage) -> bool | None:
        """Tell whether a function that can call covers the word; None when the function table is not at hand."""
        try:
            row = image.function_at(address - 1 - image.base)
        except StopcodeError:
            return None
        return row is not None
