"""Bytes with places that cannot be read, and files that can be written to a folder."""

from __future__ import annotations

from collections.abc import Sequence

from parsers.bytesource import BytesSource
from parsers.errors import ReadError


class BadSectors(BytesSource):
    """A medium with bad stretches; a read that touches one fails as a whole, as a disk's does."""

    def __init__(self, data: bytes, bad: Sequence[tuple[int, int]]) -> None:
        super().__init__(data)
        self.bad = bad
        self.reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        for start, size in self.bad:
            if offset < start + size and start < offset + length:
                raise ReadError("bad sector", address=start)
        return super().read_at(offset, length)
