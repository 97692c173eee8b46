"""Physical memory of a dump: pages located when touched, and a small cache of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NewType

from parsers.bytesource import ByteSource
from parsers.dump.bitmap import PageMap
from parsers.dump.memory import BEYOND_CUT, FILE_UNREADABLE, NOT_IN_DUMP, unreadable
from parsers.errors import ReadError

__all__ = ["PAGE_SIZE", "PhysicalAddress", "PhysicalMemory"]

#: Every Windows dump stores pages of 4 KiB, those of large pages too.
PAGE_SIZE = 0x1000
#: Pages kept at once (4 MiB): page tables are read over and over.
_CACHED_PAGES = 1024

PhysicalAddress = NewType("PhysicalAddress", int)


class PhysicalMemory:
    """Reads by physical address.

    Attributes:
        pages: which pages the dump holds.
        first_page: file offset of the first stored page.

    """

    def __init__(self, source: ByteSource, pages: PageMap, first_page: int) -> None:
        self.pages = pages
        self.first_page = first_page
        self._source = source
        self._cache: dict[int, bytes] = {}

    @property
    def end(self) -> int:
        """File offset behind the last stored page of a whole dump."""
        return self.first_page + PAGE_SIZE * self.pages.count

    def file_offset(self, address: int) -> int | None:
        """Return where a physical address lies in the file, None when its page is not stored."""
        index = self.pages.index_of(address // PAGE_SIZE)
        return None if index is None else self.first_page + PAGE_SIZE * index + address % PAGE_SIZE

    def page(self, number: int) -> bytes:
        """Return a page by its number; shorter than 4 KiB only where the file is cut inside it.

        Raises:
            ReadError: not in the dump, beyond the cut, or the file cannot be read there.

        """
        data = self._cache.get(number)
        if data is not None:
            return data
        offset = self.file_offset(number * PAGE_SIZE)
        if offset is None:
            raise unreadable(number * PAGE_SIZE, NOT_IN_DUMP, "physical page")
        try:
            data = self._source.read_at(offset, PAGE_SIZE)
        except ReadError as error:
            raise unreadable(number * PAGE_SIZE, FILE_UNREADABLE, error.message) from error
        if not data:
            raise unreadable(number * PAGE_SIZE, BEYOND_CUT, f"physical page at file offset {offset:#x}")
        if len(self._cache) >= _CACHED_PAGES:
            self._cache.pop(next(iter(self._cache)))
        self._cache[number] = data
        return data

    def read(self, address: int, length: int) -> bytes:
        """Return exactly `length` bytes from a physical address; it may run over pages.

        Raises:
            ReadError: a part is not in the dump, or beyond the cut.

        """
        parts: list[bytes] = []
        at, end = address, address + length
        while at < end:
            inside = at % PAGE_SIZE
            wanted = min(end - at, PAGE_SIZE - inside)
            part = self.page(at // PAGE_SIZE)[inside : inside + wanted]
            if len(part) < wanted:
                raise unreadable(at + len(part), BEYOND_CUT, "physical address")
            parts.append(part)
            at += wanted
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def page_numbers(self) -> Iterator[int]:
        """Yield the numbers of the stored pages, ascending."""
        return self.pages.numbers()
