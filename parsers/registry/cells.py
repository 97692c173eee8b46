"""Cells of a hive: bounded, cached reads of what an offset points at.

The hive is read in blocks of 8 KiB when something in them is asked for: a control set's services touch about a tenth
of a SYSTEM hive, and a SOFTWARE hive of 100 MB must not be read for forty values.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from typing import Final

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, TruncatedError
from parsers.limits import MAX_HIVE_BLOCKS

__all__ = ["FIRST_BIN", "NO_CELL", "Cells"]

#: File offset of the first hive bin, from which cell offsets count.
FIRST_BIN: Final = 4096
#: The offset that stands for "none".
NO_CELL: Final = 0xFFFFFFFF
_BIN_HEADER: Final = 32
_SHIFT: Final = 13
_BLOCK: Final = 1 << _SHIFT
_SIZE = struct.Struct("<i")


class Cells:
    """The cells of one hive.

    Args:
        source: the hive file.
        bins_size: what the base block says of the length of the hive bins.

    """

    def __init__(self, source: ByteSource, bins_size: int) -> None:
        self._source = source
        self.end = FIRST_BIN + bins_size
        self.available = min(self.end, source.size)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from a file offset; fewer where the hive ends.

        Raises:
            ReadError: the place cannot be read.

        """
        number = offset >> _SHIFT
        at = offset & (_BLOCK - 1)
        if at + length <= _BLOCK:
            block = self._blocks.get(number)
            if block is None:
                block = self._load(number)
            return block[at : at + length]
        last = (offset + length - 1) >> _SHIFT
        if last - number > 4:
            return self._source.read_at(offset, length)
        data = b"".join(self._blocks.get(n) or self._load(n) for n in range(number, last + 1))
        return data[at : at + length]

    def _load(self, number: int) -> bytes:
        block = self._source.read_at(number << _SHIFT, _BLOCK)
        self._blocks[number] = block
        if len(self._blocks) > MAX_HIVE_BLOCKS:
            self._blocks.popitem(last=False)
        return block

    def locate(self, cell: int, needed: int, what: str) -> tuple[int, int]:
        """Return the file offset and the length of a cell's content.

        Args:
            cell: offset of the cell as another cell gives it.
            needed: bytes that the content must have at least.
            what: what is looked for, for the error.

        Raises:
            FormatError: the offset leads out of the hive bins, or to a free or a too short cell.
            ReadError: the place cannot be read.

        """
        at = FIRST_BIN + cell
        if cell < _BIN_HEADER or cell & 7 or at + 8 > self.end:
            raise FormatError("regf", f"{what}: the offset of a cell leads nowhere", found=f"{cell:#x}", offset=at)
        head = self.read(at, 4)
        if len(head) < 4:
            raise TruncatedError("regf", f"{what} lies behind the end of the hive", offset=at)
        size: int = _SIZE.unpack(head)[0]
        if size >= 0:
            raise FormatError("regf", f"{what}: the cell is free", offset=at)
        length = -size - 4
        if length < needed or at - size > self.end:
            raise FormatError(
                "regf", f"{what}: the cell's size is impossible", expected=f">= {needed}", found=length, offset=at
            )
        return at + 4, length

    def begin(self, cell: int, needed: int, more: int, what: str) -> tuple[int, int, bytes]:
        """Return a cell's file offset and length as `locate` does, and the first bytes of its content.

        Most cells are a record and a short name: so both are had by one read.

        Args:
            cell: offset of the cell as another cell gives it.
            needed: bytes that the content must have at least.
            more: bytes to return behind these, where the content has them.
            what: what is looked for, for the error.

        Raises:
            FormatError: as `locate`.
            TruncatedError: the hive ends within the bytes that are needed.
            ReadError: the place cannot be read.

        """
        at = FIRST_BIN + cell
        within, wanted = at & (_BLOCK - 1), needed + more
        block = self._blocks.get(at >> _SHIFT)
        if block is not None and within + 4 + wanted <= len(block) and at + 8 <= self.end and not cell & 7:
            # The same as below, in one go: hives have a hundred thousand of such cells.
            size = _SIZE.unpack_from(block, within)[0]
            length = -size - 4
            if needed <= length and at - size <= self.end and cell >= _BIN_HEADER:
                return at + 4, length, block[within + 4 : within + 4 + (wanted if wanted < length else length)]
        at, length = self.locate(cell, needed, what)
        data = self.read(at, min(length, wanted))
        if len(data) < needed:
            raise TruncatedError("regf", f"{what} lies behind the end of the hive", offset=at)
        return at, length, data
