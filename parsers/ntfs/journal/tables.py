"""The tables of a checkpoint: open attributes, pages that were not written yet, transactions under way.

Two versions of them are known, and they do not go with the version of the log.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from parsers.errors import FormatError, UnsupportedError
from parsers.limits import MAX_JOURNAL_DIRTY_CLUSTERS
from parsers.ntfs.journal.records import CLIENT_RECORD, CLIENT_RESTART, LogReader
from parsers.ntfs.journal.restart import FORMAT

__all__ = ["Checkpoint", "OpenAttribute", "Transaction", "read_checkpoint"]

_RESTART = struct.Struct("<IIQQQQQIIII")
_TABLE = struct.Struct("<HHH6xIII")
_IN_USE: Final = 0xFFFFFFFF
_TRANSACTION = struct.Struct("<IB3xQQQ")

#: Bytes of an entry; where stand: bytes of an index block, type, file, LSN of its opening.
_ATTRIBUTE: Final = {0: (0x2C, 0x28, 0x1C, 0x08, 0x10), 1: (0x28, 0x04, 0x08, 0x10, 0x18)}
#: Bytes of an entry without its clusters; where stand: first cluster, LSN.
_DIRTY: Final = {0: (0x24, 0x14, 0x1C), 1: (0x20, 0x10, 0x18)}


@dataclass(frozen=True, slots=True)
class OpenAttribute:
    """An attribute whose data lie in clusters, as the journal names it.

    Attributes:
        file: reference of its file record.
        type: number of its type.
        block: bytes of a block, when it is an index; else 0.
        opened: LSN of the record that opened it.

    """

    file: int
    type: int
    block: int
    opened: int


@dataclass(slots=True)
class Transaction:
    """A transaction that is not ended.

    Attributes:
        first: LSN of its first record.
        undo_next: LSN of the record that is to be undone first; 0 when none is.
        committed: whether it is complete, and only its end was not written.

    """

    first: int
    undo_next: int
    committed: bool = False


@dataclass(slots=True)
class Checkpoint:
    """What a checkpoint knew.

    Attributes:
        version: of the tables.
        start: LSN behind which the log is to be read.
        attributes: open attributes by key.
        dirty: by (key, cluster) the LSN from which on the page was not written, and its place on the volume; 0: gone.
        transactions: by key.

    """

    version: int
    start: int
    attributes: dict[int, OpenAttribute]
    dirty: dict[tuple[int, int], tuple[int, int]]
    transactions: dict[int, Transaction]

    def open_attribute(self, data: bytes) -> OpenAttribute:
        """Read an entry of the table of open attributes.

        Raises:
            FormatError: it is cut.

        """
        size, *places = _ATTRIBUTE[self.version]
        if len(data) < size:
            raise FormatError(FORMAT, "an open attribute is cut", found=len(data))
        block, kind, file, opened = places
        return OpenAttribute(
            int.from_bytes(data[file : file + 8], "little"),
            int.from_bytes(data[kind : kind + 4], "little"),
            int.from_bytes(data[block : block + 4], "little"),
            int.from_bytes(data[opened : opened + 8], "little"),
        )


def read_checkpoint(reader: LogReader, lsn: int) -> Checkpoint:
    """Read the restart record of an LSN and the tables that it names.

    Raises:
        FormatError: one of them is not there or damaged.
        UnsupportedError: tables of an unknown version.
        ReadError: a place cannot be read.

    """
    record = reader.read(lsn)
    where = reader.offset(lsn)
    if record is None or record.kind != CLIENT_RESTART or len(record.data) < _RESTART.size:
        raise FormatError(FORMAT, "the checkpoint's record is not there", offset=where)
    (major, minor, start, attributes_at, _, dirty_at, transactions_at, attributes, _, dirty, transactions) = (
        _RESTART.unpack_from(record.data)
    )
    if major not in _ATTRIBUTE or minor:
        raise UnsupportedError(f"{FORMAT} has tables of version {major}.{minor}, which are not read")
    found = Checkpoint(major, start or lsn, {}, {}, {})
    if attributes:
        for key, entry in _table(reader, attributes_at, _ATTRIBUTE[major][0]).items():
            found.attributes[key] = found.open_attribute(entry)
    if dirty:
        for entry in _table(reader, dirty_at, _DIRTY[major][0] + 8).values():
            _add_dirty(found, entry, reader.offset(dirty_at))
    if transactions:
        for key, entry in _table(reader, transactions_at, 0x28).items():
            _, state, first, _, undo_next = _TRANSACTION.unpack_from(entry)
            found.transactions[key] = Transaction(first, undo_next, state != 1)
    return found


def _table(reader: LogReader, lsn: int, least: int) -> dict[int, bytes]:
    """Return the entries in use of a table, by their keys: their places in it."""
    record = reader.read(lsn)
    where = reader.offset(lsn)
    if record is None or record.kind != CLIENT_RECORD or len(record.data) < 0x20:
        raise FormatError(FORMAT, "a table of the checkpoint is not there", offset=where)
    at = int.from_bytes(record.data[4:6], "little")
    # The record's own length of the data has 16 bits; a table may be longer.
    table = record.data[at:]
    if len(table) < _TABLE.size:
        raise FormatError(FORMAT, "a table of the checkpoint is cut", offset=where)
    size, count, *_ = _TABLE.unpack_from(table)
    if size < least or size & 3 or _TABLE.size + size * count > len(table):
        raise FormatError(FORMAT, "a table of the checkpoint is damaged", offset=where, found=f"{count} x {size}")
    found = {}
    for key in range(_TABLE.size, _TABLE.size + size * count, size):
        if int.from_bytes(table[key : key + 4], "little") == _IN_USE:
            found[key] = table[key : key + size]
    return found


def _add_dirty(checkpoint: Checkpoint, entry: bytes, where: int) -> None:
    fixed, vcn_at, lsn_at = _DIRTY[checkpoint.version]
    target, _, count = struct.unpack_from("<III", entry, 4)
    vcn, oldest = (int.from_bytes(entry[at : at + 8], "little") for at in (vcn_at, lsn_at))
    if fixed + 8 * count > len(entry):
        raise FormatError(FORMAT, "a dirty page has too many clusters", offset=where, found=count)
    for number, lcn in enumerate(struct.unpack_from(f"<{count}Q", entry, fixed)):
        key = (target, vcn + number)
        # Windows may list a page twice where pages are smaller than clusters: the older number counts.
        kept = checkpoint.dirty.get(key)
        checkpoint.dirty[key] = (min(oldest, kept[0]) if kept else oldest, lcn)
    if len(checkpoint.dirty) > MAX_JOURNAL_DIRTY_CLUSTERS:
        raise FormatError(FORMAT, "too many dirty pages", offset=where, expected=f"<= {MAX_JOURNAL_DIRTY_CLUSTERS}")
