"""A block allocation table, read piece by piece: disks of many terabytes have tables of many megabytes."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator

from parsers.bytesource import ByteSource
from parsers.disk.reading import read_present

__all__ = ["EntryTable", "numbers"]

_PAGE_BYTES = 0x10000
#: Pages kept: 8 MiB of table.
_PAGES_KEPT = 128


def numbers(data: bytes, width: int, byteorder: str) -> array[int]:
    """Return unsigned integers of 4 or 8 bytes; `data` holds a whole number of them."""
    # array("I") has four bytes on every platform that CPython supports; array("Q") always has eight.
    values = array("I" if width == 4 else "Q", data)
    if byteorder != sys.byteorder:
        values.byteswap()
    return values


class EntryTable:
    """Fixed-size integers at a place of a file.

    Args:
        source: the container file.
        offset: where the table begins.
        count: entries in it.
        width: bytes of an entry: 4 or 8.
        byteorder: "big" or "little".
        format: name of the container's format, for messages.

    """

    def __init__(self, source: ByteSource, offset: int, count: int, *, width: int, byteorder: str, format: str) -> None:
        self._source = source
        self._offset = offset
        self._count = count
        self._width = width
        self._byteorder = byteorder
        self._format = format
        self._pages: dict[int, array[int]] = {}
        self._per_page = _PAGE_BYTES // width

    @property
    def count(self) -> int:
        """Entries in the table."""
        return self._count

    def _page(self, number: int) -> array[int]:
        page = self._pages.get(number)
        if page is None:
            first = number * self._per_page
            length = min(self._per_page, self._count - first) * self._width
            where = self._offset + first * self._width
            data = read_present(
                self._source, where, length, end=self._source.size, format=self._format, what="the allocation table"
            )
            page = numbers(data, self._width, self._byteorder)
            while len(self._pages) >= _PAGES_KEPT:
                del self._pages[next(iter(self._pages))]
            self._pages[number] = page
        return page

    def entry(self, index: int) -> int:
        """Return one entry.

        Raises:
            IndexError: there is no such entry.
            ReadError: the file does not hold it.

        """
        if not 0 <= index < self._count:
            raise IndexError(index)
        number, within = divmod(index, self._per_page)
        return self._page(number)[within]

    def pages(self) -> Iterator[tuple[int, array[int]]]:
        """Yield (index of its first entry, entries) for each piece of the table, in order."""
        for number in range((self._count + self._per_page - 1) // self._per_page):
            yield number * self._per_page, self._page(number)
