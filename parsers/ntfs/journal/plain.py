"""Sectors that the journal changes and that are no pages of their own: bitmaps, lists of attributes, streams."""

from __future__ import annotations

from typing import Final

from parsers.bytesource import ByteSource
from parsers.errors import FormatError
from parsers.limits import MAX_JOURNAL_PAGES
from parsers.ntfs.journal.action import Op, Way
from parsers.ntfs.journal.places import GRANULE, Pieces
from parsers.ntfs.journal.restart import FORMAT

__all__ = ["BITS", "PlainSectors", "stretch"]

BITS: Final = (Op.SET_BITS, Op.CLEAR_BITS)
#: Bits of one page that one record may set or clear.
_MOST_BITS: Final = 8 << 16


def stretch(way: Way) -> tuple[int, int]:
    """Return where a change begins, in bytes from where the record puts it, and how many bytes it changes.

    Raises:
        FormatError: the change is cut, or larger than a page.

    """
    new = way.new
    if not new:
        raise FormatError(FORMAT, "a change without its bytes")
    if way.op not in BITS:
        return 0, len(new)
    if len(new) < 8:
        raise FormatError(FORMAT, "a range of bits that is cut")
    first, count = int.from_bytes(new[:4], "little"), int.from_bytes(new[4:8], "little")
    if first + count > _MOST_BITS:
        raise FormatError(FORMAT, "a range of bits that leaves its page")
    return first // 8, (first + count + 7) // 8 - first // 8


class PlainSectors:
    """Sectors of a volume, changed in memory.

    Args:
        source: the volume.

    Attributes:
        sectors: those that were changed, by their places.

    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.sectors: dict[int, bytearray] = {}

    def change(self, way: Way, pieces: Pieces) -> None:
        """Change the bytes or the bits of a stretch.

        Args:
            way: the change.
            pieces: where the stretch lies that `stretch` tells.

        Raises:
            FormatError: it is not there what is to be undone, or too many places are changed.
            ReadError: a place cannot be read.

        """
        held = b"".join(self._read(offset, size) for offset, size in pieces)
        new = way.new or b""
        if way.op in BITS:
            first, count = int.from_bytes(new[:4], "little"), int.from_bytes(new[4:8], "little")
            data = _with_bits(held, first % 8, count, on=way.op == Op.SET_BITS)
        else:
            if way.undo and not way.fits(held):
                raise FormatError(FORMAT, "the volume does not hold what is to be undone")
            data = new
        at = 0
        for offset, size in pieces:
            self._write(offset, data[at : at + size])
            at += size

    def _read(self, offset: int, size: int) -> bytes:
        data = bytearray()
        for granule in range(offset - offset % GRANULE, offset + size, GRANULE):
            if granule not in self.sectors:
                if len(self.sectors) >= 8 * MAX_JOURNAL_PAGES:
                    raise FormatError(FORMAT, "the journal changes too many places")
                self.sectors[granule] = bytearray(self._source.read_at(granule, GRANULE).ljust(GRANULE, b"\0"))
            data += self.sectors[granule]
        return bytes(data[offset % GRANULE :][:size])

    def _write(self, offset: int, data: bytes) -> None:
        at = 0
        while at < len(data):
            granule, within = (offset + at) // GRANULE * GRANULE, (offset + at) % GRANULE
            part = data[at : at + GRANULE - within]
            self.sectors[granule][within : within + len(part)] = part
            at += len(part)


def _with_bits(data: bytes, first: int, count: int, *, on: bool) -> bytes:
    """Return bytes with bits `first` to `first + count` set or cleared."""
    mask = ((1 << count) - 1) << first
    bits = int.from_bytes(data, "little")
    return (bits | mask if on else bits & ~mask).to_bytes(len(data), "little")
