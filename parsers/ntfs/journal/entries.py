"""Changes to the entries of an index, in a block of its own or in a file record."""

from __future__ import annotations

import struct
from typing import Final

from parsers.errors import FormatError
from parsers.ntfs.journal.action import Way
from parsers.ntfs.journal.restart import FORMAT

__all__ = ["Entries"]

_HEADER = struct.Struct("<III")
_LAST: Final = 2
_HAS_BLOCK: Final = 1
#: Where times, sizes and flags of a name stand in an entry, and how long they are.
_NAME_AT: Final = 0x18
_NAME_LENGTH: Final = 0x38


def _doubt(message: str) -> FormatError:
    return FormatError(FORMAT, message)


class Entries:
    """The entries of one node.

    Args:
        page: what the node stands in.
        header: where its index header stands: offset of the first entry, bytes used and bytes there are, from itself.
        end: where the room for it ends.

    Raises:
        FormatError: the node is damaged.

    """

    def __init__(self, page: bytearray, header: int, end: int) -> None:
        self._page = page
        self._header = header
        self._end = end
        self._places = self._walk()

    @property
    def used(self) -> int:
        """Bytes used, the header counted."""
        return int(_HEADER.unpack_from(self._page, self._header)[1])

    @property
    def room(self) -> int:
        """Bytes there are, the header counted."""
        return int(_HEADER.unpack_from(self._page, self._header)[2])

    def _walk(self) -> list[int]:
        if self._header + 16 > self._end:
            raise _doubt("an index node is cut")
        first, used, room = _HEADER.unpack_from(self._page, self._header)
        at, end = self._header + first, self._header + used
        if first < 16 or first & 7 or not used <= room or self._header + room > self._end:
            raise _doubt("an index node is damaged")
        found = []
        while True:
            if at + 16 > end:
                raise _doubt("an index node has no last entry")
            size, key, flags = struct.unpack_from("<HHH", self._page, at + 8)
            if size < 16 or size & 7 or at + size > end or 16 + key + 8 * (flags & _HAS_BLOCK) > size:
                raise _doubt("an index entry's length is impossible")
            found.append(at)
            at += size
            if flags & _LAST:
                break
        if at != end:
            raise _doubt("an index node is longer than its entries")
        return found

    def check(self, place: int) -> int:
        """Return the size of the entry at a place.

        Raises:
            FormatError: none stands there.

        """
        if place not in self._places:
            raise _doubt("no index entry stands where the journal has one")
        return int.from_bytes(self._page[place + 8 : place + 10], "little")

    @staticmethod
    def size_of(entry: bytes) -> int:
        """Return the size of an entry that the journal brings.

        Raises:
            FormatError: it is damaged.

        """
        size = int.from_bytes(entry[8:10], "little") if len(entry) >= 16 else 0
        if size < 16 or size & 7 or not size - 8 < len(entry) <= size or entry[12] & _LAST:
            raise _doubt("the index entry that the journal brings is damaged")
        return size

    def _set_used(self, used: int) -> None:
        struct.pack_into("<I", self._page, self._header + 4, used)

    def set_room(self, room: int, end: int) -> None:
        """Set the bytes there are, and where they end."""
        struct.pack_into("<I", self._page, self._header + 8, room)
        self._end = end

    def insert(self, place: int, entry: bytes) -> None:
        """Insert an entry before the one at a place."""
        self.check(place)
        size, used = self.size_of(entry), self.used
        if used + size > self.room:
            raise _doubt("the index node has no room for the entry")
        if self._page[place : place + len(entry)] == entry:
            raise _doubt("the index holds the entry already")
        end = self._header + used
        self._page[place + size : end + size] = self._page[place:end]
        self._page[place : place + size] = entry.ljust(size, b"\0")
        self._set_used(used + size)
        self._places = self._walk()

    def delete(self, place: int, expected: bytes | None) -> int:
        """Remove the entry at a place and return its size."""
        size = self.check(place)
        gone = self._page[place : place + size]
        if expected is not None and gone[: len(expected)] != expected:
            raise _doubt("the index does not hold the entry that the journal removes")
        if gone[12] & _LAST:
            raise _doubt("the journal removes the end of an index")
        used = self.used
        end = self._header + used
        self._page[place : end - size] = self._page[place + size : end]
        self._page[end - size : end] = bytes(size)
        self._set_used(used - size)
        self._places = self._walk()
        return size

    def write_end(self, place: int, data: bytes, way: Way) -> None:
        """Replace all entries from a place on."""
        self.check(place)
        used = place - self._header + len(data)
        if used > self.room:
            raise _doubt("the index node has no room for the entries")
        if way.undo and not way.fits(self._page[place : self._header + self.used]):
            raise _doubt("the index does not hold what is to be undone")
        self._page[place : place + len(data)] = data
        self._set_used(used)
        self._places = self._walk()

    def set_vcn(self, place: int, new: bytes, way: Way) -> None:
        """Set the block that lies before an entry: its last eight bytes."""
        end = place + self.check(place)
        if len(new) != 8 or not self._page[place + 12] & _HAS_BLOCK:
            raise _doubt("the index entry has no block before it")
        self._overwrite(end - 8, new, way)

    def update_name(self, place: int, new: bytes, way: Way) -> None:
        """Set times, sizes and flags of a name."""
        size = self.check(place)
        if len(new) != _NAME_LENGTH or size < _NAME_AT + _NAME_LENGTH or self._page[place + 12] & _LAST:
            raise _doubt("the index entry holds no name")
        self._overwrite(place + _NAME_AT, new, way)

    def _overwrite(self, at: int, new: bytes, way: Way) -> None:
        if not way.fits(self._page[at : at + way.old_length]):
            raise _doubt("the index does not hold what the journal expects")
        self._page[at : at + len(new)] = new
