"""A BitLocker volume as Windows sees it: what of it is encrypted, plain, moved, or BitLocker's own.

Source: fox-it/dissect.fve 4.6 (`bde.py`, `eow.py`), held against real volumes. Its own stream is not used: it is some
fifteen times as slow, joins short reads, takes a volume whose map of encrypted parts is damaged for one that is
encrypted throughout, and miscounts that map where a read begins within a byte of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Final

from forensics.disk.foreign import SourceFile, as_ours
from parsers.bytesource import ByteSource
from parsers.disk.sector_cipher import SectorCipher
from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_BITLOCKER_MAP

__all__ = ["DecryptedVolume", "Layout", "Region", "read_regions"]

#: Bytes that are decrypted at once.
_PIECE: Final = 0x40000


class _Kind(Enum):
    ENCRYPTED = "encrypted"
    PLAIN = "plain"
    #: BitLocker's own; Windows shows zeros there.
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a volume that is encrypted piece by piece, whenever something is written.

    Attributes:
        offset, size: bytes of the volume.
        chunk: bytes of a piece.
        bits: which pieces are encrypted, lowest bit first.

    """

    offset: int
    size: int
    chunk: int
    bits: bytes

    def encrypted(self, chunk: int) -> bool:
        """Return whether a piece is encrypted."""
        return bool(self.bits[chunk >> 3] >> (chunk & 7) & 1)


class _BoundedFile(SourceFile):
    """A file of which only so much is read."""

    def __init__(self, source: ByteSource, limit: int) -> None:
        super().__init__(source)
        self.strict = True
        self._left = limit

    def read(self, length: int | None = -1) -> bytes:
        self._left -= max(length or 0, 0)
        if self._left < 0:
            raise FormatError("BitLocker", f"the map of encrypted parts has more than {MAX_BITLOCKER_MAP} bytes")
        return super().read(length)


def read_regions(source: ByteSource, offsets: list[int], sector: int) -> tuple[list[Region], list[tuple[int, int]]]:
    """Return the map of a volume that is encrypted piece by piece, and the places and sizes of all that it consists of.

    Args:
        source: the volume.
        offsets: where its description and the copy of it lie.
        sector: bytes of a sector.

    Raises:
        FormatError: neither is sound, or a part of the map is damaged: then nobody knows what is encrypted.
        ReadError: a place in it cannot be read.

    """
    from dissect.fve.bde.eow import EowBitmap, EowInformation

    fh: Any = _BoundedFile(source, MAX_BITLOCKER_MAP)
    found = None
    for offset in offsets:
        try:
            with as_ours("BitLocker"):
                copy = EowInformation(fh, offset)
        except (FormatError, ReadError):
            continue
        if copy.is_valid():
            found = copy
            break
    if found is None:
        raise FormatError(
            "BitLocker", "it is encrypted in part, and the map of which parts is damaged, and so is its copy"
        )
    with as_ours("BitLocker"):
        chunk = int(found.chunk_size)
        if chunk < sector or chunk % sector:
            raise FormatError("BitLocker", "the map of what is encrypted counts in odd pieces", found=chunk)
        own = [(offset, int(found.size)) for offset in offsets]
        regions = []
        for at in found.header.BitmapOffsets:
            bitmap = EowBitmap(fh, int(at))
            regions.append(_region(bitmap, chunk))
            own += [(int(at), int(bitmap.size)), (int(bitmap.conv_log_offset), int(found.conv_log_size))]
    regions.sort(key=lambda region: region.offset)
    for before, after in pairwise(regions):
        if before.offset + before.size > after.offset:
            raise FormatError("BitLocker", "two parts of the map of what is encrypted overlap", offset=after.offset)
    if any(region.offset % sector or region.size % sector for region in regions):
        raise FormatError("BitLocker", "the map of what is encrypted cuts sectors in two")
    return regions, [(offset, -(-size // sector) * sector) for offset, size in own]


def _region(bitmap: Any, chunk: int) -> Region:
    records = bitmap.records
    if not (bitmap.is_valid() and records and all(record.is_valid() for record in records)):
        raise FormatError("BitLocker", "a part of the map of what is encrypted is damaged", offset=bitmap.offset)
    latest = max(records, key=lambda record: int(record.sequence_number))
    size = int(bitmap.region_size)
    wanted = -(-size // chunk)
    if wanted > int(latest.bitmap_size) or wanted > 8 * len(latest.bitmap):
        raise FormatError("BitLocker", "a part of the map of what is encrypted is too short", offset=bitmap.offset)
    return Region(int(bitmap.region_offset), size, chunk, bytes(latest.bitmap))


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands where.

    Attributes:
        sector_size: bytes.
        moved: bytes of the volume's beginning that stand elsewhere.
        moved_to: where.
        hidden: places and sizes of what is BitLocker's own, in order.
        encrypted_to: bytes from the beginning that are encrypted; None where `regions` tell.
        regions: the map of a volume that is encrypted piece by piece.

    """

    sector_size: int
    moved: int
    moved_to: int
    hidden: tuple[tuple[int, int], ...]
    encrypted_to: int | None = None
    regions: tuple[Region, ...] = ()

    def runs(self, offset: int, end: int) -> Iterator[tuple[_Kind, int, int]]:
        """Yield what stands from `offset` to `end` of the volume as Windows sees it: kind, place, and length.

        Raises:
            ReadError: nobody knows whether a place is encrypted.

        """
        while offset < end:
            if offset < self.moved:
                stop = min(end, self.moved)
                yield from self._stored(offset + self.moved_to, stop + self.moved_to)
                offset = stop
                continue
            stop = end
            hidden = False
            for start, size in self.hidden:
                if start <= offset < start + size:
                    hidden, stop = True, min(stop, start + size)
                    break
                if offset < start:
                    stop = min(stop, start)
                    break
            if hidden:
                yield _Kind.HIDDEN, offset, stop - offset
            else:
                yield from self._stored(offset, stop)
            offset = stop

    def _stored(self, offset: int, end: int) -> Iterator[tuple[_Kind, int, int]]:
        if self.encrypted_to is not None:
            border = min(max(self.encrypted_to, offset), end)
            if border > offset:
                yield _Kind.ENCRYPTED, offset, border - offset
            if end > border:
                yield _Kind.PLAIN, border, end - border
            return
        starts = [region.offset for region in self.regions]
        while offset < end:
            at = bisect_right(starts, offset) - 1
            region = self.regions[at] if at >= 0 else None
            if region is None or offset >= region.offset + region.size:
                raise ReadError("BitLocker's map does not tell whether this place is encrypted", address=offset)
            chunk = (offset - region.offset) // region.chunk
            stop = min(end, region.offset + min((chunk + 1) * region.chunk, region.size))
            yield _Kind.ENCRYPTED if region.encrypted(chunk) else _Kind.PLAIN, offset, stop - offset
            offset = stop


class DecryptedVolume:
    """A BitLocker volume as Windows sees it.

    Args:
        source: the volume as it is stored.
        layout: what stands where.
        cipher: decrypts sectors; None where nothing is encrypted.

    """

    def __init__(self, source: ByteSource, layout: Layout, cipher: SectorCipher | None) -> None:
        self._source = source
        self._layout = layout
        self._cipher = cipher

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end.

        Raises:
            ReadError: a place cannot be read, or nobody knows whether it is encrypted.

        """
        if offset < 0 or length <= 0 or offset >= self.size:
            return b""
        end = min(offset + length, self.size)
        sector = self._layout.sector_size
        first = offset // sector * sector
        # The last sector may reach over the volume's end; what is read there is short, and checked below.
        pieces: list[bytes] = []
        short = False
        for kind, place, size in self._layout.runs(first, -(-end // sector) * sector):
            for at in range(0, size, _PIECE):
                wanted = min(_PIECE, size - at)
                if short:
                    raise ReadError("the volume ends before this place", address=place + at)
                pieces.append(self._read(kind, place + at, wanted))
                short = len(pieces[-1]) < wanted
        data = b"".join(pieces)[offset - first : end - first]
        if len(data) != end - offset:
            raise ReadError(f"{len(data)} of {end - offset} bytes came from offset {offset:#x}", address=offset)
        return data

    def _read(self, kind: _Kind, place: int, size: int) -> bytes:
        if kind is _Kind.HIDDEN:
            return bytes(size)
        data = self._source.read_at(place, size)
        if kind is _Kind.PLAIN or self._cipher is None:
            return data
        # Of a sector that the end cuts in two nothing can be decrypted.
        sector = self._layout.sector_size
        whole = len(data) // sector * sector
        return self._cipher(data[:whole], place // sector) if whole else b""
