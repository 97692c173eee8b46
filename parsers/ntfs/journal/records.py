"""The records of `$LogFile`: where each one stands, and which is the last."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from parsers.errors import FormatError
from parsers.limits import MAX_JOURNAL_RECORD_BYTES, MAX_JOURNAL_RECORDS
from parsers.ntfs.journal.pages import LogPages
from parsers.ntfs.journal.restart import FORMAT, Restart

__all__ = ["CLIENT_RECORD", "CLIENT_RESTART", "LogReader", "LogRecord"]

CLIENT_RECORD: Final = 1
CLIENT_RESTART: Final = 2
_SPANS: Final = 1
#: Pages behind the end of the log that are looked at for records which are newer than its last one.
_LOOK_AHEAD: Final = 16

_HEADER = struct.Struct("<QQQIHHIIH6x")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record.

    Attributes:
        lsn: its number, which is also its place.
        previous, undo_next: LSNs of the record of the same transaction before it, and of the one to undo after it.
        kind: `CLIENT_RECORD` or `CLIENT_RESTART`.
        transaction: its key in the table of transactions.
        flags: 1: it goes on in the next page; 2, 4 (seen in logs of Windows 10): it holds no data to do it again, and
            none to undo it.
        data: what NTFS wrote.
        next: LSN that a record behind it would have.

    """

    lsn: int
    previous: int
    undo_next: int
    kind: int
    transaction: int
    flags: int
    data: bytes
    next: int


class LogReader:
    """Reads records by their LSN.

    Args:
        pages: the log's pages.
        restart: what its restart page tells.

    Attributes:
        end_problem: set when the end of the log was reached: why it may not be what was written last; "" when it is.

    """

    def __init__(self, pages: LogPages, restart: Restart) -> None:
        self._pages = pages
        self._restart = restart
        self.end_problem = ""
        self._mask = (1 << restart.offset_bits) - 1

    def offset(self, lsn: int) -> int:
        """Return the place of a record in the log."""
        return (lsn & self._mask) << 3

    def read(self, lsn: int) -> LogRecord | None:
        """Return the record of an LSN, or None when the log does not hold it: not yet, not any more, or torn.

        Raises:
            FormatError: it is there, and longer than is sane.
            ReadError: a place cannot be read.

        """
        restart = self._restart
        start = self.offset(lsn)
        size = restart.page
        place = start - start % size
        within = start - place
        if not restart.first <= place < self._pages.end or not restart.data <= within <= size - _HEADER.size:
            return None
        page = self._pages.page(place)
        if page is None:
            return None
        this, previous, undo_next, length, sequence, index, kind, transaction, flags = _HEADER.unpack_from(
            page.data, within
        )
        if this != lsn or sequence != restart.client_sequence or index != 0:
            return None
        if kind not in (CLIENT_RECORD, CLIENT_RESTART):
            raise FormatError(FORMAT, "a record of an unknown kind", offset=start, found=kind)
        if length > min(MAX_JOURNAL_RECORD_BYTES, restart.size // 2):
            raise FormatError(FORMAT, "a record is too long", offset=start, found=length)
        at = within + _HEADER.size
        data = page.data[at : at + length]
        at += len(data)
        parts = [data]
        missing = length - len(data)
        lap = lsn >> restart.offset_bits
        if missing and not flags & _SPANS:
            raise FormatError(FORMAT, "a record ends behind its page", offset=start, found=length)
        while missing:
            behind = self._pages.following(place)
            lap += behind < place
            place = behind
            page = self._pages.page(place)
            if page is None or page.last < lsn:
                return None
            data = page.data[restart.data : restart.data + missing]
            at = restart.data + len(data)
            missing -= len(data)
            parts.append(data)
        at = (at + 7) & ~7
        if page.last == lsn or at + _HEADER.size > size:
            behind = self._pages.following(place)
            lap += behind < place
            place, at = behind, restart.data
        following = lap << restart.offset_bits | (place + at) >> 3
        return LogRecord(lsn, previous, undo_next, kind, transaction, flags, b"".join(parts), following)

    def forward(self, start: int) -> Iterator[LogRecord]:
        """Yield the record of an LSN and all behind it, to the end of the log.

        Raises:
            FormatError: there is no such record; behind the sound ones: the log goes on behind a damaged place, or it
                has more records than is sane.
            ReadError: a place cannot be read.

        """
        lsn = start
        last = 0
        for _ in range(MAX_JOURNAL_RECORDS):
            record = self.read(lsn)
            if record is None:
                break
            yield record
            last, lsn = record.lsn, record.next
            if lsn <= last or lsn - start > self._mask:
                raise FormatError(FORMAT, "the records form a loop", offset=self.offset(last))
        else:
            raise FormatError(FORMAT, "too many records", expected=f"<= {MAX_JOURNAL_RECORDS}")
        if not last:
            raise FormatError(FORMAT, "the checkpoint's record is not there", offset=self.offset(start))
        self._check_end(last, lsn)

    def _check_end(self, last: int, following: int) -> None:
        """Hold what ended the log against what is known to be in it.

        Raises:
            FormatError: newer records lie behind.

        """
        where = self.offset(following)
        if self._restart.current > last:
            raise FormatError(FORMAT, "records are missing before its newest one", offset=where)
        place = where - where % self._restart.page
        damaged = self._pages.lost_copy
        for _ in range(_LOOK_AHEAD):
            page = self._pages.page(place)
            if page is not None and page.last_end > last:
                raise FormatError(FORMAT, "newer records lie behind a damaged place", offset=where)
            damaged |= page is None and self._pages.damaged(place)
            place = self._pages.following(place)
        if damaged:
            self.end_problem = "the end of the log is damaged: what was written last is not known"
