"""Changes to a block of an index, as the journal describes them, held against what stands there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from parsers.errors import FormatError
from parsers.ntfs.journal.action import Op, Way
from parsers.ntfs.journal.entries import Entries
from parsers.ntfs.journal.restart import FORMAT

__all__ = ["BLOCK_OPS", "change_block", "check_block", "new_block"]

_HEADER: Final = 0x18


def check_block(page: bytearray) -> Entries:
    """Return the entries of a block whose sectors' ends are put back.

    Raises:
        FormatError: it is damaged.

    """
    if page[:4] != b"INDX":
        raise FormatError(FORMAT, "the index block is damaged")
    return Entries(page, _HEADER, len(page))


def _insert(entries: Entries, place: int, new: bytes, _way: Way) -> None:
    entries.insert(place, new)


def _delete(entries: Entries, place: int, _new: bytes, way: Way) -> None:
    entries.delete(place, way.old)


BLOCK_OPS: Final[dict[int, Callable[[Entries, int, bytes, Way], None]]] = {
    Op.ADD_BLOCK_ENTRY: _insert,
    Op.DELETE_BLOCK_ENTRY: _delete,
    Op.WRITE_END_OF_BLOCK: Entries.write_end,
    Op.SET_BLOCK_VCN: Entries.set_vcn,
    Op.UPDATE_BLOCK_NAME: Entries.update_name,
}


def change_block(page: bytearray, way: Way, place: int) -> None:
    """Make one change to a block.

    Args:
        page: the block.
        way: the change; its operation is one of `BLOCK_OPS`.
        place: where the entry stands in the block.

    Raises:
        FormatError: the change does not fit; the block may be half changed then.

    """
    BLOCK_OPS[way.op](check_block(page), place, way.new or b"", way)
    check_block(page)


def new_block(data: bytes, size: int, vcn: int) -> bytearray:
    """Return the block that an operation brings as a whole.

    Raises:
        FormatError: it is damaged.

    """
    page = bytearray(data.ljust(size, b"\0"))
    if len(page) != size or len(data) < _HEADER + 16:
        raise FormatError(FORMAT, "the index block that the journal makes is damaged")
    at, count = struct.unpack_from("<HH", page, 4)
    if at & 1 or count != size // 512 + 1 or not 0x28 <= at <= 512 - 2 * count:
        raise FormatError(FORMAT, "the index block that the journal makes is damaged")
    if int.from_bytes(page[16:24], "little") != vcn:
        raise FormatError(FORMAT, "the index block that the journal makes names another place")
    check_block(page)
    return page
