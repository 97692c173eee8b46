"""What NTFS writes into a record of its journal: what to do again, how to undo it, and where."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from parsers.errors import FormatError
from parsers.ntfs.journal.records import LogRecord
from parsers.ntfs.journal.restart import FORMAT

__all__ = ["Action", "Op", "Way"]

_HEADER = struct.Struct("<HHHHHHHHHHHHQ")
_LCNS = 0x20
_NO_REDO = 2
_NO_UNDO = 4


class Op(IntEnum):
    """The operations, by the names that ntfs-3g and ntfs3 give them."""

    NOOP = 0x00
    COMPENSATION = 0x01
    INITIALIZE_RECORD = 0x02
    DEALLOCATE_RECORD = 0x03
    WRITE_END_OF_RECORD = 0x04
    CREATE_ATTRIBUTE = 0x05
    DELETE_ATTRIBUTE = 0x06
    UPDATE_RESIDENT = 0x07
    UPDATE_NONRESIDENT = 0x08
    UPDATE_MAPPING_PAIRS = 0x09
    DELETE_DIRTY_CLUSTERS = 0x0A
    SET_SIZES = 0x0B
    ADD_ROOT_ENTRY = 0x0C
    DELETE_ROOT_ENTRY = 0x0D
    ADD_BLOCK_ENTRY = 0x0E
    DELETE_BLOCK_ENTRY = 0x0F
    WRITE_END_OF_BLOCK = 0x10
    SET_ROOT_VCN = 0x11
    SET_BLOCK_VCN = 0x12
    UPDATE_ROOT_NAME = 0x13
    UPDATE_BLOCK_NAME = 0x14
    SET_BITS = 0x15
    CLEAR_BITS = 0x16
    HOT_FIX = 0x17
    END_TOP_LEVEL = 0x18
    PREPARE = 0x19
    COMMIT = 0x1A
    FORGET = 0x1B
    OPEN_ATTRIBUTE = 0x1C
    ATTRIBUTES_DUMP = 0x1D
    NAMES_DUMP = 0x1E
    DIRTY_DUMP = 0x1F
    TRANSACTIONS_DUMP = 0x20
    UPDATE_ROOT_DATA = 0x21
    UPDATE_BLOCK_DATA = 0x22
    ZERO_END_OF_RECORD = 0x25


@dataclass(frozen=True, slots=True)
class Action:
    """One record of type 1.

    Attributes:
        lsn: of the record.
        redo, undo: numbers of the operations.
        redo_data, undo_data: what they need; None where the record says that it has some and does not hold it.
        redo_length, undo_length: bytes of these, as the record says.
        target: key of the attribute in the table of open attributes.
        record_offset: where in its page (a file record, an index block) the change is.
        attribute_offset: where in the attribute, or in the index block.
        within: where the page begins, in bytes from the cluster `vcn`.
        vcn: cluster of the attribute.
        lcns: the clusters of the volume from there on; none when no page is changed.

    """

    lsn: int
    redo: int
    undo: int
    redo_data: bytes | None
    undo_data: bytes | None
    redo_length: int
    undo_length: int
    target: int
    record_offset: int
    attribute_offset: int
    within: int
    vcn: int
    lcns: tuple[int, ...]

    @classmethod
    def parse(cls, record: LogRecord) -> Action:
        """Read what NTFS wrote.

        Raises:
            FormatError: it is cut.

        """
        data = record.data
        if len(data) < _HEADER.size:
            raise FormatError(FORMAT, f"the record {record.lsn:#x} is cut", found=len(data))
        (redo, undo, redo_at, redo_length, undo_at, undo_length, target, count, record_offset, attribute_offset,
         block, _, vcn) = _HEADER.unpack_from(data)  # fmt: skip
        if _LCNS + 8 * count > len(data):
            raise FormatError(FORMAT, f"the record {record.lsn:#x} is cut", found=len(data))
        return cls(
            record.lsn,
            redo,
            undo,
            _part(data, redo_at, redo_length, held=not record.flags & _NO_REDO),
            _part(data, undo_at, undo_length, held=not record.flags & _NO_UNDO),
            redo_length,
            undo_length,
            target,
            record_offset,
            attribute_offset,
            block << 9,
            vcn,
            struct.unpack_from(f"<{count}Q", data, _LCNS),
        )


@dataclass(frozen=True, slots=True)
class Way:
    """Which way a record is gone: done again, or undone.

    Attributes:
        undo: whether it is undone.
        op: number of the operation.
        new: the bytes that it brings; None where the journal does not hold them.
        new_length: how many these are, as the record says.
        old: those that have to stand there: when it is done again those that it would put back, or what it brings
            where that was written already; when it is undone what it wrote, and nothing else. None where the journal
            does not hold them.
        old_length: how many these are, as the record says.

    """

    undo: bool
    op: int
    new: bytes | None
    new_length: int
    old: bytes | None
    old_length: int

    @classmethod
    def forward(cls, action: Action) -> Way:
        """Do a record again."""
        return cls(False, action.redo, action.redo_data, action.redo_length, action.undo_data, action.undo_length)

    @classmethod
    def back(cls, action: Action) -> Way:
        """Undo a record."""
        return cls(True, action.undo, action.undo_data, action.undo_length, action.redo_data, action.redo_length)

    def fits(self, held: bytes | bytearray) -> bool:
        """Tell whether bytes that stand where the change is made are those that have to stand there."""
        if self.undo:
            return held == self.old
        return self.old is None or held in (self.old, self.new)


def _part(data: bytes, at: int, length: int, *, held: bool) -> bytes | None:
    part = data[at : at + length]
    return part if len(part) == length and (held or not length) else None
