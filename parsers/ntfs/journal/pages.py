"""The record pages of `$LogFile`, the copies of the newest ones put in their places.

A page that is being filled is written to a place of its own first: to one of two tail pages (versions 1.x), or to one
of 32 fast pages (2.0). The copy stands for its page only where it is newer: most copies are left over.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from parsers.bytesource import ByteSource
from parsers.errors import StopcodeError
from parsers.ntfs.journal.restart import Restart
from parsers.ntfs.record import fix_up

__all__ = ["LogPage", "LogPages"]

#: last LSN; last LSN that ends in the page, at 0x20.
_HEADER = struct.Struct("<8xQ16xQ")
_HOME_2 = 0x3C
#: Bytes read at once: the log is read in order, and a remote disk pays for every request.
_CHUNK: Final = 0x10000
_CHUNKS_KEPT: Final = 16


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page.

    Attributes:
        data: its bytes, the ends of its sectors put back.
        last: LSN of the last record that has a part in it.
        last_end: LSN of the last record that ends in it.

    """

    data: bytes
    last: int
    last_end: int


class LogPages:
    """The pages of a log.

    Args:
        log: `$LogFile`'s bytes.
        restart: what its restart page tells.

    Attributes:
        end: where the last page ends.
        lost_copy: whether one of the places for copies holds a page that is torn or overwritten.

    """

    def __init__(self, log: ByteSource, restart: Restart) -> None:
        self._log = log
        self._restart = restart
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._kept: tuple[int, LogPage | None] = (-1, None)
        self.end = restart.size // restart.page * restart.page
        self.lost_copy = False
        self._copies = self._read_copies()

    def _raw(self, offset: int) -> bytes:
        number = offset // _CHUNK
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = self._log.read_at(number * _CHUNK, _CHUNK)
            if len(self._chunks) > _CHUNKS_KEPT:
                self._chunks.popitem(last=False)
        within = offset - number * _CHUNK
        return chunk[within : within + self._restart.page]

    def _parsed(self, offset: int) -> LogPage | None:
        data = self._raw(offset)
        if len(data) != self._restart.page:
            return None
        try:
            fixed = fix_up(data, b"RCRD", offset)
        except StopcodeError:
            return None
        last, last_end = _HEADER.unpack_from(fixed)
        return LogPage(fixed, last, last_end)

    def _read_copies(self) -> dict[int, LogPage]:
        restart = self._restart
        found: dict[int, LogPage] = {}
        for number in range(restart.copies):
            place = 2 * restart.system_page + number * restart.page
            copy = self._parsed(place)
            if copy is None:
                # Of the many places of version 2.0 some may never have been used; zeros there mean nothing.
                zeros = restart.version[0] != 1 and not any(self._raw(place))
                self.lost_copy |= not zeros and self.damaged(place)
                continue
            if restart.version[0] == 1:
                # The place of the page stands where a page has its last LSN.
                home, copy = copy.last, LogPage(copy.data, copy.last_end, copy.last_end)
            else:
                home = int.from_bytes(copy.data[_HOME_2 : _HOME_2 + 4], "little")
            if not restart.first <= home < self.end or home % restart.page:
                continue
            if home not in found or found[home].last_end < copy.last_end:
                found[home] = copy
        return found

    def page(self, offset: int) -> LogPage | None:
        """Return the page at a multiple of the page size, or None when it is torn or none was ever written.

        Raises:
            ReadError: the place cannot be read.

        """
        if self._kept[0] != offset:
            home = self._parsed(offset)
            copy = self._copies.get(offset)
            if copy is not None and (home is None or home.last_end < copy.last_end):
                home = copy
            self._kept = (offset, home)
        return self._kept[1]

    def damaged(self, offset: int) -> bool:
        """Tell whether a place holds what was no whole page; where none was ever written there is 0xFF.

        Raises:
            ReadError: the place cannot be read.

        """
        data = self._raw(offset)
        return self._parsed(offset) is None and data.count(0xFF) != len(data)

    def following(self, offset: int) -> int:
        """Return the place of the page that is written after the one at `offset`."""
        behind = offset + self._restart.page
        return behind if behind < self.end else self._restart.first
