"""Which physical pages a dump holds, and where: a bitmap with a rank index, or a table of ranges.

Pages are stored in ascending order of the set bits (bitmap) or in the order of the table (runs, ranges). Memory use is
the bitmap's size plus one number per 4096 bits.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Protocol

from parsers.dump.extents import Extent, ExtentMap

__all__ = ["MAX_PAGE_NUMBER", "PageBitmap", "PageMap", "PageRanges"]

#: First page number that no machine has (52 bits of physical address).
MAX_PAGE_NUMBER = 1 << 40
_BLOCK_BITS = 4096
_BLOCK_BYTES = _BLOCK_BITS // 8


class PageMap(Protocol):
    """Where each page is stored.

    Attributes:
        count: pages that are stored.
        limit: first page number behind all that the map can name.

    """

    @property
    def count(self) -> int:
        """Pages that are stored."""
        ...

    @property
    def limit(self) -> int:
        """First page number behind all that the map can name."""
        ...

    def index_of(self, number: int) -> int | None:
        """Return the index of a page among the stored ones, None when it is not stored."""
        ...

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of the stored pages, ascending."""
        ...


class PageBitmap:
    """A bitmap: bit 0 of byte 0 is page 0.

    Args:
        bitmap: its bytes; may be shorter than `bits` says when the file is cut.
        bits: bits that count; later ones of the last byte are ignored.

    """

    def __init__(self, bitmap: bytes, bits: int) -> None:
        self._bits = min(bits, 8 * len(bitmap))
        self._bitmap = bitmap[: (self._bits + 7) // 8]
        spare = -self._bits % 8
        if spare and self._bitmap:
            self._bitmap = self._bitmap[:-1] + bytes([self._bitmap[-1] & (0xFF >> spare)])
        total = 0
        before = array("Q")
        for at in range(0, len(self._bitmap), _BLOCK_BYTES):
            before.append(total)
            total += int.from_bytes(self._bitmap[at : at + _BLOCK_BYTES], "little").bit_count()
        self._before = before
        self._count = total

    @property
    def count(self) -> int:
        """Bits that are set."""
        return self._count

    @property
    def limit(self) -> int:
        """Bits in the bitmap."""
        return self._bits

    def index_of(self, number: int) -> int | None:
        """Return how many bits below are set, None when this one is not."""
        if not 0 <= number < self._bits or not self._bitmap[number >> 3] >> (number & 7) & 1:
            return None
        block = number // _BLOCK_BITS
        start = block * _BLOCK_BYTES
        below = int.from_bytes(self._bitmap[start : (number >> 3) + 1], "little") & ((1 << number % _BLOCK_BITS) - 1)
        return self._before[block] + below.bit_count()

    def numbers(self) -> Iterator[int]:
        """Yield the set bits, ascending."""
        for at in range(0, len(self._bitmap), 8):
            word = int.from_bytes(self._bitmap[at : at + 8], "little")
            while word:
                low = word & -word
                yield at * 8 + low.bit_length() - 1
                word ^= low


class PageRanges:
    """A table of (first page number, page count), stored one after another in the table's order.

    Args:
        ranges: the table; where two overlap the first one is believed.

    """

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        extents = []
        stored = 0
        for first, count in ranges:
            extents.append(Extent(first, count, stored))
            stored += count
        self._map = ExtentMap(extents)
        self._count = stored

    @property
    def overlapping(self) -> int:
        """How many neighbours in the table name the same page."""
        return len(self._map.overlaps)

    @property
    def count(self) -> int:
        """Pages that are stored."""
        return self._count

    @property
    def limit(self) -> int:
        """First page number behind the last range."""
        return self._map.extents[-1].end if self._map.extents else 0

    def index_of(self, number: int) -> int | None:
        """Return the index of a page among the stored ones."""
        index = self._map.index(number)
        if index is None:
            return None
        extent = self._map.extents[index]
        return extent.place + number - extent.start

    def numbers(self) -> Iterator[int]:
        """Yield the page numbers, ascending."""
        for extent in self._map.extents:
            yield from range(extent.start, extent.end)
