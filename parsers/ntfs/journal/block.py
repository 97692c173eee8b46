"""Changes to a block of an index, as the journal describes them, held against what stands there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from parsers.errors import FormatError
from parsers.ntfs.journal.action import Op
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


def _insert(entries: Entries, place: int, new: bytes, _old: bytes | None) -> None:
    entries.insert(place, new)


def _delete(entries: Entries, place: int, _new: bytes, old: bytes | None) -> None:
    entries.delete(place, old)


def _write_end(entries: Entries, place: int, new: bytes, _old: bytes | None) -> None:
    entries.write_end(place, new)


BLOCK_OPS: Final[dict[int, Callable[[Entries, int, bytes, bytes | None], object]]] = {
    Op.ADD_BLOCK_ENTRY: _insert,
    Op.DELETE_BLOCK_ENTRY: _delete,
    Op.WRITE_END_OF_BLOCK: _write_end,
    Op.SET_BLOCK_VCN: Entries.set_vcn,
    Op.UPDATE_BLOCK_NAME: Entries.update_name,
}


def change_block(page: bytearray, op: int, place: int, new: bytes, old: bytes | None) -> None:
    """Make one change to a block.

    Args:
        page: the block.
        op: one of `BLOCK_OPS`.
        place: where the entry stands in it.
        new: the bytes that the journal brings.
        old: those it would put back; None where it does not tell them.

    Raises:
        FormatError: the change does not fit; the block may be half changed then.

    """
    BLOCK_OPS[op](check_block(page), place, new, old)
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
