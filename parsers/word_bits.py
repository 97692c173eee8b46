"""Bits as LZX packs them: in words of 16, little-endian, the highest bit of each first."""

from __future__ import annotations

from typing import Final

from parsers.errors import FormatError
from parsers.prefix_code import LENGTH_BITS, LENGTH_MASK

__all__ = ["AHEAD", "WordBits"]

#: Bytes behind the end that may be looked at: words are read ahead.
AHEAD: Final = 4


class WordBits:
    """A stream of bits with bytes between them.

    Attributes:
        data: the bytes, and AHEAD zeros.
        end: how many bytes they are.
        at: where the next word is taken from.
        hold: bits that were taken and not used, the lowest used last.
        count: how many those are.

    """

    def __init__(self, data: bytes, format: str) -> None:
        self._format = format
        self.end = len(data)
        self.data = data + bytes(AHEAD)
        self.at = 0
        self.hold = 0
        self.count = 0

    def fill(self) -> None:
        """Have at least 16 bits."""
        if self.count < 16:
            at = self.at
            if at > self.end + AHEAD:
                raise FormatError(self._format, "ends too early", offset=self.end)
            word = self.data[at + 1] << 8 | self.data[at] if at < self.end + 2 else 0
            self.hold = self.hold << 16 | word
            self.at += 2
            self.count += 16

    def take(self, width: int) -> int:
        """Return the next bits, at most 32."""
        if width > 16:
            return self.take(width - 16) << 16 | self.take(16)
        self.fill()
        self.count -= width
        value = self.hold >> self.count
        self.hold &= (1 << self.count) - 1
        return value

    def symbol(self, table: list[int], bits: int) -> int:
        """Return the next symbol of a code."""
        self.fill()
        found = table[self.hold >> (self.count - bits) & (1 << bits) - 1]
        if not found:
            raise FormatError(self._format, "bits that mean nothing", offset=min(self.at, self.end))
        self.count -= found & LENGTH_MASK
        self.hold &= (1 << self.count) - 1
        return found >> LENGTH_BITS

    def plain(self, length: int) -> bytes:
        """Return bytes that stand in the stream as they are; it is at the end of a word."""
        data = self.data[self.at : min(self.at + length, self.end)]
        if len(data) < length:
            raise FormatError(self._format, "ends too early", offset=self.end)
        self.at += length
        return data

    def align(self) -> None:
        """Skip to the end of a word; at one, a whole word."""
        self.fill()
        self.at -= self.count // 16 * 2
        if self.count % 16 == 0:
            self.at += 2
        self.hold = self.count = 0
