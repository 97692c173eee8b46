"""Page tables of x86, with and without physical address extension, as Windows uses them.

Sources: `volatilityfoundation/volatility: plugins/overlays/windows` (_MMPTE_*); Intel SDM volume 3A, chapter 4.
"""

from __future__ import annotations

from parsers.dump.memory import NOT_PRESENT, PAGED_OUT, unreadable
from parsers.dump.paging import LARGE, PROTOTYPE, TRANSITION, VALID, Mapping, Paging
from parsers.dump.physical import PhysicalAddress

__all__ = ["X86PaePaging", "X86Paging"]


class X86PaePaging(Paging):
    """x86 with physical address extension: three levels, entries of 8 bytes."""

    _FRAME = 0x0000000FFFFFF000

    def _walk(self, address: int, depth: int) -> PhysicalAddress:
        if address >> 32:
            raise unreadable(address, NOT_PRESENT, "not a 32-bit address")
        table = self._directory & 0xFFFFFFE0
        for shift in (30, 21, 12):
            entry = self._entry(table, address >> shift & (3 if shift == 30 else 0x1FF), 8, address)
            if entry & VALID:
                if shift == 21 and entry & LARGE:
                    return PhysicalAddress((entry & self.FRAME & ~0x1FFFFF) | (address & 0x1FFFFF))
                table = entry & self.FRAME
            elif entry & PROTOTYPE:
                if shift != 12:
                    raise unreadable(address, NOT_PRESENT, "prototype entry in a directory")
                # The high half is the shared entry's address.
                table = self._prototype(entry >> 32, address, depth, self.FRAME)
            elif entry & TRANSITION and shift != 30:
                table = self._transition(entry, self.FRAME)
            else:
                raise self._software(entry, address, shift != 12)
        return PhysicalAddress(table | (address & 0xFFF))

    def mapping(self, address: int) -> Mapping:
        """Return the entry that decides about an address; raises ReadError."""
        if address >> 32:
            raise unreadable(address, NOT_PRESENT, "not a 32-bit address")
        table = self._directory & 0xFFFFFFE0
        writable = executable = True
        entry = shift = 0
        for shift in (30, 21, 12):
            entry = self._entry(table, address >> shift & (3 if shift == 30 else 0x1FF), 8, address)
            if not entry & VALID:
                return Mapping(entry, shift, False, False, False)
            # The four entries at the top have no rights of their own.
            if shift != 30:
                writable, executable = writable and bool(entry & 2), executable and not entry >> 63
            if shift == 21 and entry & LARGE:
                break
            table = entry & self.FRAME
        return Mapping(entry, shift, True, writable, executable)


class X86Paging(Paging):
    """x86 without physical address extension: two levels, entries of 4 bytes."""

    FRAME = 0xFFFFF000

    def _walk(self, address: int, depth: int) -> PhysicalAddress:
        if address >> 32:
            raise unreadable(address, NOT_PRESENT, "not a 32-bit address")
        table = self._directory & 0xFFFFF000
        for shift in (22, 12):
            entry = self._entry(table, address >> shift & 0x3FF, 4, address)
            if entry & VALID:
                if shift == 22 and entry & LARGE:
                    # PSE-36: bits 16:13 are address bits 35:32.
                    high = (entry >> 13 & 0xF) << 32
                    return PhysicalAddress(high | (entry & 0xFFC00000) | (address & 0x3FFFFF))
                table = entry & 0xFFFFF000
            elif entry & PROTOTYPE:
                raise unreadable(address, NOT_PRESENT, "prototype entry")
            elif entry & TRANSITION:
                table = entry & 0xFFFFF000
            elif entry >> 12:
                raise unreadable(address, PAGED_OUT, f"page file {entry >> 1 & 0xF}")
            else:
                raise unreadable(address, NOT_PRESENT, "demand zero" if entry else "")
        return PhysicalAddress(table | (address & 0xFFF))

    def mapping(self, address: int) -> Mapping:
        """Return the entry that decides about an address; raises ReadError. Nothing forbids execution."""
        if address >> 32:
            raise unreadable(address, NOT_PRESENT, "not a 32-bit address")
        table = self._directory & 0xFFFFF000
        writable = True
        entry = shift = 0
        for shift in (22, 12):
            entry = self._entry(table, address >> shift & 0x3FF, 4, address)
            if not entry & VALID:
                return Mapping(entry, shift, False, False, False)
            writable = writable and bool(entry & 2)
            if shift == 22 and entry & LARGE:
                break
            table = entry & self.FRAME
        return Mapping(entry, shift, True, writable, True)
