"""Physical memory of a machine to be dumped, with real x64 page tables.

Layout: Intel SDM volume 3, 4-level paging; the bits that Windows keeps in a valid entry: _MMPTE_HARDWARE of 17763.
"""

from __future__ import annotations

import struct

__all__ = ["PAGE", "Memory"]

PAGE = 0x1000
_LEVELS = (39, 30, 21, 12)
#: Valid, writable, accessed, dirty, with a working-set age in the software bits, as Windows' entries look.
_ENTRY = 0x0A00000000000063
_TABLE = 0x0A00000000000863
_NO_EXECUTE = 1 << 63
_ADDRESS = 0x0000FFFFFFFFF000


class Memory:
    """Pages by their physical number, and the tables that map them.

    Args:
        root: physical page number of the top table.
        first: physical number of the first page that is handed out.
        self_map: slot of the top table that points to itself.

    """

    def __init__(self, root: int = 0x1AD, first: int = 0x3A40, self_map: int = 0x1ED) -> None:
        self.root = root
        self.pages: dict[int, bytearray] = {root: bytearray(PAGE)}
        self._next = first
        struct.pack_into("<Q", self.pages[root], self_map * 8, _NO_EXECUTE | _TABLE | root << 12)
        #: Address of the array of all page-table entries, which follows from the slot.
        self.pte_base = 0xFFFF000000000000 | self_map << 39

    def _new(self) -> int:
        number = self._next
        # Windows hands pages out in no order to speak of; a stride leaves holes in the bitmap.
        self._next += 3 if number % 5 else 1
        self.pages[number] = bytearray(PAGE)
        return number

    def _slot(self, address: int) -> tuple[int, int]:
        """Return table and offset of the last-level entry, making the tables above it."""
        table = self.root
        for shift in _LEVELS:
            at = (address >> shift & 0x1FF) * 8
            if shift == _LEVELS[-1]:
                return table, at
            entry = struct.unpack_from("<Q", self.pages[table], at)[0]
            if not entry & 1:
                entry = _TABLE | self._new() << 12
                struct.pack_into("<Q", self.pages[table], at, entry)
            table = (entry & _ADDRESS) >> 12
        raise AssertionError("unreachable")

    def physical(self, address: int) -> int | None:
        """Return the physical page number behind an address, or None."""
        table, at = self._slot(address)
        entry = struct.unpack_from("<Q", self.pages[table], at)[0]
        return (entry & _ADDRESS) >> 12 if entry & 1 else None

    def write(self, address: int, data: bytes, *, code: bool = False) -> None:
        """Write to virtual memory; pages that are not mapped are."""
        done = 0
        while done < len(data):
            here = address + done
            page = self.physical(here)
            if page is None:
                page = self._new()
                table, at = self._slot(here)
                struct.pack_into("<Q", self.pages[table], at, _ENTRY | page << 12 | (0 if code else _NO_EXECUTE))
            part = data[done : done + PAGE - here % PAGE]
            self.pages[page][here % PAGE : here % PAGE + len(part)] = part
            done += len(part)

    def pack(self, address: int, layout: str, *values: int | bytes) -> None:
        """Write a little-endian structure."""
        self.write(address, struct.pack("<" + layout, *values))
