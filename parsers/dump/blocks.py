"""Memory made of scattered blocks of the file: the address space of a triage dump.

Blocks are not sorted in the file, may touch (a read then runs over several) and may overlap (the earlier one wins;
in real dumps both hold the same bytes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.dump.extents import Extent, ExtentMap
from parsers.dump.memory import BEYOND_CUT, FILE_UNREADABLE, NOT_IN_DUMP, Memory, unreadable
from parsers.errors import ReadError
from parsers.limits import MAX_OVERLAP_COMPARED

__all__ = ["BlockMemory"]


class BlockMemory(Memory):
    """Virtual memory over blocks of a file.

    Args:
        source: the dump.
        blocks: virtual address, bytes, file offset; in order of precedence.
        diagnostics: told when overlapping blocks differ.
        pointer_size: 8 or 4.

    """

    def __init__(
        self, source: ByteSource, blocks: Iterable[Extent], diagnostics: Diagnostics, *, pointer_size: int = 8
    ) -> None:
        super().__init__(pointer_size)
        self._source = source
        self._map = ExtentMap(blocks)
        self._compare(diagnostics)

    @property
    def blocks(self) -> Sequence[Extent]:
        """The blocks, sorted by address and made disjoint."""
        return self._map.extents

    def _compare(self, diagnostics: Diagnostics) -> None:
        """Tell when overlapping blocks hold different bytes."""
        budget = MAX_OVERLAP_COMPARED
        differing = 0
        for one, two in self._map.overlaps:
            common = min(one.end, two.end) - two.start
            if 0 < common <= budget:
                budget -= common
                mine = self._source.read_at(two.place, common)
                differing += mine != self._source.read_at(one.place + two.start - one.start, common)
        if differing:
            diagnostics.warning(
                "dump.blocks-differ",
                f"{differing} overlapping memory blocks of the dump hold different bytes; the first one is believed",
            )

    def read_available(self, address: int, length: int) -> bytes:
        """Return the bytes from `address` to the end of what is there, at most `length`; raises ReadError."""
        if length <= 0:
            return b""
        index = self._map.index(address)
        if index is None:
            raise unreadable(address, NOT_IN_DUMP, "no block of the triage dump holds it")
        extents = self._map.extents
        parts: list[bytes] = []
        at, end = address, address + length
        while index < len(extents) and at < end and extents[index].start <= at:
            block = extents[index]
            wanted = min(end, block.end) - at
            try:
                part = self._source.read_at(block.place + at - block.start, wanted)
            except ReadError as error:
                if at == address:
                    raise unreadable(address, FILE_UNREADABLE, error.message) from error
                break
            parts.append(part)
            at += len(part)
            if len(part) < wanted:
                break
            index += 1
        if at == address:
            raise unreadable(address, BEYOND_CUT, "the file ends before this block of memory")
        return parts[0] if len(parts) == 1 else b"".join(parts)
