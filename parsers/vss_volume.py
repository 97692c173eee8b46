"""A volume as a shadow copy of it has it: what changed since comes from the copy's store, the rest from the volume.

A store holds blocks of 16 KiB as they were before they were overwritten the first time. What an older copy does not
hold itself is what the next newer one has, and behind the newest one the volume. Places that were not in use when the
newest copy was made are zeros here, as in libvshadow; Windows gives no certain bytes for them.

Sources: libyal/libvshadow (documentation, "Volume Shadow Snapshot (VSS)"; libvshadow_store_descriptor.c and
libvshadow_block_tree.c, what a forwarder and an overlay mean for an older copy). Both copies of vsstest.qcow2 equal
those of libvshadow byte for byte; it has overlays and no forwarders, for which only what is made in the tests speaks.
Integers are little-endian, places are bytes on the volume.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_SHADOW_BLOCKS
from parsers.vss import BLOCK, ShadowCopy, read_blocks

__all__ = ["ShadowVolume"]

_DESCRIPTOR = struct.Struct("<QQQII")
_FORWARDER, _OVERLAY, _UNUSED = 1, 2, 4
_INDEX, _BITMAP = 3, 6
_SECTOR: Final = 512


@dataclass(slots=True)
class _Overlay:
    """Sectors of one block, by the bits of a mask, that lie at the same place of another."""

    offset: int
    mask: int


@dataclass(slots=True)
class _Store:
    """The tables of one copy, by the blocks' numbers.

    Attributes:
        bases: where a block is; where it is forwarded, one less than the negative of the place it is forwarded to.
        overlays: what lies over a block, or over what newer copies have of it.
        reverse: the number of the block that a forwarder leads away from, by where it leads to.
        bitmap, previous: which blocks held nothing; of the newest copy alone.

    """

    bases: dict[int, int] = field(default_factory=dict)
    overlays: dict[int, _Overlay] = field(default_factory=dict)
    reverse: dict[int, int] = field(default_factory=dict)
    bitmap: bytes = b""
    previous: bytes | None = None

    def add(self, original: int, relative: int, offset: int, flags: int, mask: int) -> None:
        """Take one descriptor, in the order of the list."""
        if flags & _UNUSED:
            return
        number = original // BLOCK
        if flags & _OVERLAY:
            self.overlays.setdefault(number, _Overlay(offset, 0)).mask |= mask
            return
        forwarded = bool(flags & _FORWARDER)
        if number in self.reverse:
            # Where a forwarder led to is now told by this one.
            number = self.reverse.pop(number)
            if forwarded and number == relative // BLOCK:
                return
        self.bases[number] = -1 - relative if forwarded else offset
        if forwarded:
            self.reverse[relative // BLOCK] = number

    def is_unused(self, number: int) -> bool:
        """Tell whether a block held nothing when the copy was made."""
        if number in self.reverse or not _bit(self.bitmap, number):
            return False
        return self.previous is None or _bit(self.previous, number)


def _bit(bitmap: bytes, number: int) -> bool:
    return number // 8 < len(bitmap) and bool(bitmap[number // 8] >> number % 8 & 1)


class ShadowVolume:
    """A volume at the time of one of its shadow copies.

    Args:
        volume: the volume as it is.
        copies: its shadow copies, the oldest one first.
        index: which of them.

    Raises:
        FormatError, TruncatedError: the copy, or a newer one, is damaged: then what it holds is not known.
        ReadError: a table cannot be read.

    """

    def __init__(self, volume: ByteSource, copies: Sequence[ShadowCopy], index: int) -> None:
        self._volume = volume
        self._size = min(copies[index].volume_size, volume.size)
        self._stores: list[_Store] = []
        left = MAX_SHADOW_BLOCKS
        for copy in copies[index:]:
            store, left = _store(volume, copy, left)
            self._stores.append(store)
        if len(self._stores) == 1:
            # The bitmaps count for the newest copy alone.
            newest, store = copies[index], self._stores[0]
            store.bitmap = b"".join(read_blocks(volume, newest.bitmap, _BITMAP))
            if newest.previous_bitmap:
                store.previous = b"".join(read_blocks(volume, newest.previous_bitmap, _BITMAP))

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end.

        Raises:
            ReadError: a place of the volume cannot be read, or the volume ends before.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        end = min(offset + length, self._size)
        return b"".join(self._read(place, size, offset) for place, size in _merged(self._places(offset, end)))

    def _read(self, place: int, length: int, wanted: int) -> bytes:
        if place < 0:
            return bytes(length)
        data = self._volume.read_at(place, length)
        if len(data) != length:
            raise ReadError("the volume ends before a block of the shadow copy", address=wanted)
        return data

    def _places(self, offset: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield (place on the volume, bytes) of what makes a stretch; a place of -1 is zeros."""
        while offset < end:
            number = offset // BLOCK
            stop = min(end, (number + 1) * BLOCK)
            within = offset - number * BLOCK
            base = self._base(number)
            overlay = self._stores[0].overlays.get(number)
            if overlay is None:
                yield base + within if base >= 0 else -1, stop - offset
                offset = stop
                continue
            sector_end = min(stop, (offset // _SECTOR + 1) * _SECTOR)
            if overlay.mask >> within // _SECTOR & 1:
                yield overlay.offset + within, sector_end - offset
            else:
                yield base + within if base >= 0 else -1, sector_end - offset
            offset = sector_end

    def _base(self, number: int) -> int:
        """Return where on the volume a block is, its overlay aside; -1 for one that held nothing."""
        last = len(self._stores) - 1
        for position, store in enumerate(self._stores):
            place = store.bases.get(number)
            if place is not None:
                if place >= 0:
                    return place
                if position == last:
                    return -1 - place
                number = (-1 - place) // BLOCK
            elif position == last == 0 and store.is_unused(number):
                return -1
        return number * BLOCK


def _store(volume: ByteSource, copy: ShadowCopy, left: int) -> tuple[_Store, int]:
    """Return the tables of one copy, and how many blocks of tables may still be read."""
    if copy.problem:
        raise FormatError("VSS", f"the shadow copy {copy.id or copy.store} is damaged: {copy.problem}")
    made = _Store()
    for data in read_blocks(volume, copy.blocks, _INDEX, left):
        left -= 1
        for descriptor in _DESCRIPTOR.iter_unpack(data[: len(data) // _DESCRIPTOR.size * _DESCRIPTOR.size]):
            if any(descriptor):
                made.add(*descriptor)
    return made, left


def _merged(places: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join what lies behind one another."""
    at, size = next(places)
    for place, length in places:
        if place == at + size if at >= 0 else place < 0:
            size += length
        else:
            yield at, size
            at, size = place, length
    yield at, size
