"""Changes to a file record, as the journal describes them, held against what stands there.

A change is made only where all of it fits: the attribute stands where the journal says, its old bytes are those that
the journal would put back, and the record is sound before and after. Everything else is a doubt, and raises.

Truth: `ntfsrecover` on a copy, and torvalds/linux fs/ntfs3/fslog.c for what each operation means. Where the two differ
Windows' own records decide (told in each function). `PROVEN` in `replay` names the operations that were held against
the judge; the others are doubts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from parsers.errors import FormatError
from parsers.ntfs.journal.action import Op, Way
from parsers.ntfs.journal.entries import Entries
from parsers.ntfs.journal.restart import FORMAT
from parsers.ntfs.record import DATA, FILE_NAME, INDEX_ROOT
from parsers.ntfs.runs import highest_cluster

__all__ = [
    "SEGMENT_HEADER",
    "SEGMENT_OPS",
    "bring_back",
    "change_segment",
    "check_segment",
    "in_use",
    "initialized",
    "resident_content",
]

_LINKS: Final = 0x12
_FIRST: Final = 0x14
_FLAGS: Final = 0x16
_USED: Final = 0x18
_NEXT_ID: Final = 0x28
_IN_USE: Final = 1
_END: Final = 0xFFFFFFFF
_HEADER: Final = 0x30
#: Bytes of a record before its attributes: one that was freed is brought back by the first 24 of them.
SEGMENT_HEADER: Final = 0x2A


def _u16(page: bytearray | bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 2], "little")


def _u32(page: bytearray | bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 4], "little")


def _put(page: bytearray, at: int, size: int, value: int) -> None:
    page[at : at + size] = value.to_bytes(size, "little")


def _doubt(message: str) -> FormatError:
    return FormatError(FORMAT, message)


def check_segment(page: bytearray) -> list[int]:
    """Return where the attributes of a record stand, and behind them where the mark of their end does.

    Raises:
        FormatError: the record is damaged.

    """
    used, at = _u32(page, _USED), _u16(page, _FIRST)
    if page[:4] != b"FILE" or not _HEADER <= at <= used <= len(page) or at & 7:
        raise _doubt("the file record is damaged")
    found = []
    while True:
        found.append(at)
        if at + 4 > used:
            raise _doubt("the file record's attributes have no end")
        if _u32(page, at) == _END:
            break
        length = _u32(page, at + 4)
        if length < 24 or length & 7 or at + length > used:
            raise _doubt("an attribute's length is impossible")
        _check_attribute(page, at, length)
        at += length
    if used - at > 8:
        raise _doubt("the file record is longer than its attributes")
    return found


def _check_attribute(page: bytearray, at: int, length: int) -> None:
    if page[at + 8]:
        if length < 0x40 or not 0x40 <= _u16(page, at + 0x20) <= length:
            raise _doubt("an attribute's header is damaged")
    elif _u16(page, at + 0x14) + _u32(page, at + 0x10) > length:
        raise _doubt("an attribute's value is longer than it")


def _resize(page: bytearray, at: int, size: int, keep: int) -> None:
    """Give an attribute another size; of its bytes `keep` stay, what is new is zero, and what follows moves."""
    old, used = _u32(page, at + 4), _u32(page, _USED)
    if used - old + size > len(page) or size < 24:
        raise _doubt("the file record has no room for the change")
    rest = page[at + old : used]
    page[at + keep : at + size] = bytes(size - keep)
    page[at + size : at + size + len(rest)] = rest
    _put(page, at + 4, 4, size)
    _put(page, _USED, 4, used - old + size)


class _Change:
    """One change: the record, the attribute, and the bytes that come and go."""

    def __init__(self, page: bytearray, way: Way, at: int, within: int) -> None:
        self.page = page
        self.way = way
        self.at = at
        self.within = within
        self.new = way.new or b""
        self.places = check_segment(page)

    def attribute(self, *, resident: bool) -> int:
        """Return the size of the attribute that is changed."""
        if self.at not in self.places[:-1]:
            raise _doubt("no attribute stands where the journal has one")
        if bool(self.page[self.at + 8]) is resident:
            raise _doubt("the attribute is not of the kind that the journal changes")
        return _u32(self.page, self.at + 4)

    def expect(self, at: int) -> None:
        """Hold the bytes at a place against those that have to stand there."""
        if not self.way.fits(self.page[at : at + self.way.old_length]):
            raise _doubt("the file record does not hold what the journal expects")

    # What each operation does -----------------------------------------------------------------------------------

    def deallocate(self) -> None:
        """Free the record. Windows counts its sequence number up (a real log); ntfsrecover leaves it."""
        if not in_use(self.page):
            raise _doubt("the file record is free already")
        _put(self.page, _FLAGS, 2, _u16(self.page, _FLAGS) & ~_IN_USE)
        _put(self.page, 0x10, 2, _u16(self.page, 0x10) % 0xFFFF + 1)

    def write_end(self) -> None:
        """Replace everything from an attribute on."""
        end = self.at + len(self.new)
        if self.at not in self.places or end > len(self.page):
            raise _doubt("no attribute stands where the journal has one")
        self.expect(self.at)
        self.page[self.at : end] = self.new
        _put(self.page, _USED, 4, (end + 7) & ~7)

    def create(self) -> None:
        """Insert an attribute."""
        size, used = _u32(self.new, 4), _u32(self.page, _USED)
        if self.at not in self.places or len(self.new) < 24 or size & 7 or not size - 8 < len(self.new) <= size:
            raise _doubt("the attribute that the journal makes is damaged")
        if used + size > len(self.page):
            raise _doubt("the file record has no room for the attribute")
        self.page[self.at + size : used + size] = self.page[self.at : used]
        self.page[self.at : self.at + size] = self.new.ljust(size, b"\0")
        _put(self.page, _USED, 4, used + size)
        _put(self.page, _NEXT_ID, 2, max(_u16(self.page, _NEXT_ID), _u16(self.new, 14) + 1 & 0xFFFF))
        if _indexed(self.new):
            _put(self.page, _LINKS, 2, _u16(self.page, _LINKS) + 1 & 0xFFFF)

    def delete(self) -> None:
        """Remove an attribute."""
        if self.at not in self.places[:-1]:
            raise _doubt("no attribute stands where the journal has one")
        size, used = _u32(self.page, self.at + 4), _u32(self.page, _USED)
        gone = bytes(self.page[self.at : self.at + size])
        # Content of files is not in the journal.
        old = self.way.old
        if old is not None and gone[: len(old)] != old and not _content(gone):
            raise _doubt("the file record does not hold the attribute that the journal removes")
        self.page[self.at : used - size] = self.page[self.at + size : used]
        _put(self.page, _USED, 4, used - size)
        if _indexed(gone):
            _put(self.page, _LINKS, 2, max(0, _u16(self.page, _LINKS) - 1))

    def update_resident(self) -> None:
        """Overwrite a part of a value, or all of it from a place on."""
        size = self.attribute(resident=True)
        value, length = _u16(self.page, self.at + 0x14), _u32(self.page, self.at + 0x10)
        end = self.within + len(self.new)
        content = _content(self.page[self.at : self.at + size])
        if len(self.new) == self.way.old_length:
            if self.within < value or end > value + length:
                raise _doubt("the change lies outside of the attribute's value")
            if not content:
                self.expect(self.at + self.within)
        else:
            if self.within < value or self.within + self.way.old_length != value + length:
                raise _doubt("the attribute's value has not the length that the journal expects")
            if not content:
                self.expect(self.at + self.within)
            _resize(self.page, self.at, (end + 7) & ~7, min(self.within, size))
            _put(self.page, self.at + 0x10, 4, end - value)
        self.page[self.at + self.within : self.at + end] = self.new

    def update_pairs(self) -> None:
        """Replace the mapping pairs from a place on."""
        size = self.attribute(resident=False)
        pairs = _u16(self.page, self.at + 0x20)
        if not pairs <= self.within <= size:
            raise _doubt("the change lies outside of the attribute's mapping pairs")
        self.expect(self.at + self.within)
        end = self.within + len(self.new)
        _resize(self.page, self.at, (end + 7) & ~7, self.within)
        self.page[self.at + self.within : self.at + end] = self.new
        first = int.from_bytes(self.page[self.at + 0x10 : self.at + 0x18], "little")
        last = highest_cluster(bytes(self.page[self.at + pairs : self.at + _u32(self.page, self.at + 4)]), first)
        _put(self.page, self.at + 0x18, 8, last & 0xFFFFFFFFFFFFFFFF)

    def set_sizes(self) -> None:
        """Set the sizes of an attribute: allocated, valid, data, and total where it is compressed or sparse.

        Valid comes before data: records that Windows wrote say so. ntfsrecover has them the other way round.
        """
        self.attribute(resident=False)
        packed = _u16(self.page, self.at + 0x20) >= 0x48
        if len(self.new) not in (24, 32):
            raise _doubt("the sizes that the journal sets are cut")
        places = (0x28, 0x38, 0x30, 0x40)[: len(self.new) // 8 if packed else 3]
        new, old = self.new, self.way.old
        for number, place in enumerate(places):
            held, part = self.page[self.at + place :][:8], slice(8 * number, 8 * number + 8)
            if old is not None and held != old[part] and (self.way.undo or (old[part] and held != new[part])):
                raise _doubt("the attribute has not the sizes that the journal expects")
        for number, place in enumerate(places):
            self.page[self.at + place : self.at + place + 8] = new[8 * number : 8 * number + 8]

    # Entries of an index that stands in the record ----------------------------------------------------------------

    def _root(self) -> Entries:
        self.attribute(resident=True)
        if _u32(self.page, self.at) != INDEX_ROOT or _u32(self.page, self.at + 0x10) < 32:
            raise _doubt("the attribute is no index")
        value = self.at + _u16(self.page, self.at + 0x14)
        return Entries(self.page, value + 16, self.at + _u32(self.page, self.at + 4))

    def _grow_root(self, by: int) -> None:
        size = _u32(self.page, self.at + 4)
        _put(self.page, self.at + 0x10, 4, _u32(self.page, self.at + 0x10) + by)
        _resize(self.page, self.at, size + by, min(size, size + by))

    def add_entry(self) -> None:
        """Insert an entry."""
        entries, place = self._root(), self.at + self.within
        size = entries.size_of(self.new)
        entries.check(place)
        self._grow_root(size)
        entries.set_room(entries.room + size, self.at + _u32(self.page, self.at + 4))
        entries.insert(place, self.new)

    def delete_entry(self) -> None:
        """Remove an entry."""
        entries, place = self._root(), self.at + self.within
        size = entries.delete(place, self.way.old)
        entries.set_room(entries.room - size, self.at + _u32(self.page, self.at + 4))
        self._grow_root(-size)

    def set_entry_vcn(self) -> None:
        """Set the block that lies before an entry."""
        self._root().set_vcn(self.at + self.within, self.new, self.way)

    def update_entry_name(self) -> None:
        """Set times, sizes and flags of a name."""
        self._root().update_name(self.at + self.within, self.new, self.way)

    def zero_end(self) -> None:
        """Zero what lies behind the record's attributes, to its end."""
        start = self.at + self.within
        if start < self.places[-1] + 4 or start + self.way.new_length != len(self.page):
            raise _doubt("the journal zeroes what is in use")
        self.page[start:] = bytes(self.way.new_length)


def _indexed(attribute: bytes) -> bool:
    return _u32(attribute, 0) == FILE_NAME and not attribute[8] and bool(attribute[0x16] & 1)


def _content(attribute: bytes | bytearray) -> bool:
    return _u32(attribute, 0) == DATA and not attribute[8]


SEGMENT_OPS: Final[dict[int, Callable[[_Change], None]]] = {
    Op.DEALLOCATE_RECORD: _Change.deallocate,
    Op.WRITE_END_OF_RECORD: _Change.write_end,
    Op.CREATE_ATTRIBUTE: _Change.create,
    Op.DELETE_ATTRIBUTE: _Change.delete,
    Op.UPDATE_RESIDENT: _Change.update_resident,
    Op.UPDATE_MAPPING_PAIRS: _Change.update_pairs,
    Op.SET_SIZES: _Change.set_sizes,
    Op.ADD_ROOT_ENTRY: _Change.add_entry,
    Op.DELETE_ROOT_ENTRY: _Change.delete_entry,
    Op.SET_ROOT_VCN: _Change.set_entry_vcn,
    Op.UPDATE_ROOT_NAME: _Change.update_entry_name,
    Op.ZERO_END_OF_RECORD: _Change.zero_end,
}


def change_segment(page: bytearray, way: Way, at: int, within: int) -> None:
    """Make one change to a file record whose sectors' ends are put back.

    Args:
        page: the record.
        way: the change; its operation is one of `SEGMENT_OPS`.
        at: where the attribute stands in the record.
        within: where the change is in the attribute.

    Raises:
        FormatError: the change does not fit; the record may be half changed then.

    """
    SEGMENT_OPS[way.op](_Change(page, way, at, within))
    check_segment(page)


def in_use(page: bytearray) -> bool:
    """Tell whether a file record is in use."""
    return bool(_u16(page, _FLAGS) & _IN_USE)


def initialized(data: bytes, size: int) -> bytearray:
    """Return the file record that an operation brings as a whole.

    Raises:
        FormatError: it is damaged.

    """
    page = bytearray(data.ljust(size, b"\0"))
    at, count = struct.unpack_from("<HH", page, 4)
    if len(page) != size or at & 1 or count != size // 512 + 1 or not 0x28 <= at <= 512 - 2 * count:
        raise _doubt("the file record that the journal makes is damaged")
    check_segment(page)
    return page


def bring_back(page: bytearray, data: bytes) -> None:
    """Bring a record back that was freed: Windows logs the beginning of its header alone, for the rest still stands.

    Raises:
        FormatError: the record is not free, or is not whole with that beginning.

    """
    if in_use(page) or len(data) != 24:
        raise _doubt("the file record that is to be brought back is not a free one")
    keep = bytes(page[4:16])
    page[: len(data)] = data
    if page[4:8] != keep[:4]:
        raise _doubt("the file record's update sequence stands elsewhere")
    page[8:16] = keep[4:]
    check_segment(page)


def resident_content(page: bytearray, at: int, *, only: bool) -> list[str]:
    """Return the names of the data that stand in a record from a place on (or at it only) and are not empty."""
    found = []
    for place in check_segment(page)[:-1]:
        wanted = place == at if only else place >= at
        if wanted and _content(page[place : place + 0x10]) and _u32(page, place + 0x10):
            name_at = place + _u16(page, place + 10)
            found.append(bytes(page[name_at : name_at + 2 * page[place + 9]]).decode("utf-16-le", "replace"))
    return found
