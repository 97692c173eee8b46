"""One aligned block cache between a disk and everything that reads it.

File systems are read in pieces of 512 bytes to 64 KiB, often the same ones again. Blocks are small, so that a driver's
header does not cost 64 KiB of a remote disk, and neighbours that miss are fetched by one read; what is larger than
the cache should hold passes it by.
"""

from __future__ import annotations

from collections import OrderedDict

from parsers.bytesource import ByteSource
from parsers.errors import ReadError

__all__ = ["BLOCK", "BLOCKS_KEPT", "PASS_BY", "CachedSource"]

#: Bytes of a block. 430 drivers read in two places each are 14 MB with it.
BLOCK = 0x4000
#: Blocks kept: 16 MiB.
BLOCKS_KEPT = 1024
#: Reads from this size on are not kept: whoever asks for so much keeps it himself.
PASS_BY = 0x40000


class CachedSource:
    """A source whose small reads are kept.

    Args:
        source: what lies below; it is never asked for the same block twice while the block is kept.

    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._size = source.size
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`.

        Raises:
            ReadError: a part of these bytes (not of their neighbours in the block) cannot be read.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        length = min(length, self._size - offset)
        if length >= PASS_BY:
            return self._source.read_at(offset, length)
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        blocks = self._blocks
        if first == last and first in blocks:
            blocks.move_to_end(first)
            within = offset - first * BLOCK
            return blocks[first][within : within + length]
        try:
            data = self._gather(first, last)
        except ReadError:
            # The block reaches further than what was asked for; only that must be readable.
            return self._source.read_at(offset, length)
        within = offset - first * BLOCK
        return data[within : within + length]

    def _gather(self, first: int, last: int) -> bytes:
        """Return blocks `first` to `last`, reading those that are not kept, neighbours at once."""
        pieces: list[bytes] = []
        at = first
        while at <= last:
            block = self._blocks.get(at)
            if block is not None:
                self._blocks.move_to_end(at)
                pieces.append(block)
                at += 1
                continue
            stop = at + 1
            while stop <= last and stop not in self._blocks:
                stop += 1
            start = at * BLOCK
            wanted = min(stop * BLOCK, self._size) - start
            data = self._source.read_at(start, wanted)
            if len(data) != wanted:
                raise ReadError(f"{len(data)} of {wanted} bytes came from offset {start:#x}", address=start)
            for number in range(at, stop):
                within = (number - at) * BLOCK
                self._blocks[number] = data[within : within + BLOCK]
            pieces.append(data)
            at = stop
        while len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
