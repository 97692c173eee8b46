"""Virtual memory over physical memory and page tables: the address space of full, kernel and bitmap dumps."""

from __future__ import annotations

from parsers.dump.memory import BEYOND_CUT, FILE_UNREADABLE, NOT_IN_DUMP, Memory, unreadable
from parsers.dump.paging import Paging, VirtualAddress
from parsers.dump.physical import PAGE_SIZE, PhysicalMemory
from parsers.errors import ReadError

__all__ = ["VirtualMemory"]

#: Translations kept at once.
_CACHED_TRANSLATIONS = 8192


class VirtualMemory(Memory):
    """Reads by virtual address through page tables.

    Args:
        physical: the pages.
        paging: the translation.
        pointer_size: 8 or 4.

    """

    def __init__(self, physical: PhysicalMemory, paging: Paging, *, pointer_size: int = 8) -> None:
        super().__init__(pointer_size)
        self.paging = paging
        self._physical = physical
        self._cache: dict[int, int] = {}
        self._mask = (1 << (8 * pointer_size)) - 1

    def translate(self, address: int) -> int:
        """Return the physical address.

        Raises:
            ReadError: not present, paged out, or a page table is not in the dump.

        """
        page = address & ~(PAGE_SIZE - 1)
        frame = self._cache.get(page)
        if frame is None:
            frame = self.paging.translate(VirtualAddress(page))
            if len(self._cache) >= _CACHED_TRANSLATIONS:
                self._cache.clear()
            self._cache[page] = frame
        return frame | (address & (PAGE_SIZE - 1))

    def read_available(self, address: int, length: int) -> bytes:
        """Return the bytes from `address` up to the first one that cannot be read; raises ReadError."""
        parts: list[bytes] = []
        at, end = address, min(address + length, self._mask + 1)
        if address > self._mask or address < 0:
            raise unreadable(address, NOT_IN_DUMP, "no such address on this machine")
        while at < end:
            try:
                part = self._part(at, end - at)
            except ReadError:
                if at == address:
                    raise
                break
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, address: int, length: int) -> bytes:
        """Return the bytes of one page from `address` on, at least one."""
        physical = self.translate(address)
        inside = physical % PAGE_SIZE
        try:
            data = self._physical.page(physical // PAGE_SIZE)[inside : inside + length]
        except ReadError as error:
            reason = next((why for why in (BEYOND_CUT, FILE_UNREADABLE) if why in error.message), NOT_IN_DUMP)
            raise unreadable(address, reason, f"physical address {physical:#x}") from error
        if not data:
            raise unreadable(address, BEYOND_CUT, f"physical address {physical:#x}")
        return data
