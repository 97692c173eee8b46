"""Page tables: from virtual to physical addresses on x64 and ARM64, as Windows uses them (x86: paging_x86.py).

Entries that are not valid are read as Windows reads them: a page in transition is still in memory and is given; a
prototype entry is followed; the others say why nothing can be read. Sources: `volatilityfoundation/volatility:
plugins/overlays/windows` (_MMPTE_*), `volatilityfoundation/volatility3: framework/layers/intel.py`,
`ufrisk/MemProcFS: vmm/mm/mm_arm64.c` and `mm_win.c` (which reads entries of ARM64 that are not valid as those of x64,
and page file numbers by build), the processor manuals.
"""

from __future__ import annotations

from typing import NamedTuple, NewType

from parsers.dump.memory import NO_PAGE_TABLE, NOT_PRESENT, PAGED_OUT, unreadable
from parsers.dump.physical import PAGE_SIZE, PhysicalAddress, PhysicalMemory
from parsers.errors import ReadError
from parsers.limits import MAX_PROTOTYPE_DEPTH

__all__ = [
    "LARGE", "PROTOTYPE", "TRANSITION", "VALID", "Arm64Paging", "Mapping", "Paging", "VirtualAddress", "X64Paging",
]  # fmt: skip

VirtualAddress = NewType("VirtualAddress", int)

VALID = 1
LARGE = 1 << 7
PROTOTYPE = 1 << 10
TRANSITION = 1 << 11
_SWIZZLE = 1 << 4
#: Entries of builds before Windows 10 have no swizzle bit.
_WINDOWS_10 = 10240
#: Builds before Windows 10 1803 number page files in bits 4:1 of an entry, later ones in bits 15:12, and bit 2 tells
#: there whether there is such a page at all (`ufrisk/MemProcFS: vmm/mm/mm_win.c`).
_SOFTWARE_FORM_CHANGED = 17134
#: Prototype entries whose address is this mean: the answer is in the process's tree of address ranges.
_ASK_VAD = 0xFFFFFFFF0000
#: Page numbers in entries of 64-bit Windows are 36 bits wide.
_WINDOWS_FRAME = 0x0000FFFFFFFFF000


class Mapping(NamedTuple):
    """What the page tables say of an address, valid or not.

    Attributes:
        entry: the last entry that the walk came to.
        shift: its level: 12 = a page's own entry; above it (21, 22, 30 …) a large page's, or an absent table's.
        valid: it maps memory.
        writable: every level allows the kernel to write.
        executable: no level forbids the kernel to execute.

    """

    entry: int
    shift: int
    valid: bool
    writable: bool
    executable: bool


class Paging:
    """Translation with one set of page tables.

    Args:
        physical: where the tables lie.
        directory: DirectoryTableBase; flag bits (PCID, ASID) are masked off.
        build: build number; tells the form of entries that are not valid.
        limit: first page number behind the installed memory, where known: entries in transition carry a mask above
            it on kernels with the L1TF mitigation.

    Attributes:
        limit: as given.
        FRAME: the bits of an entry that are a page's address.

    """

    FRAME = 0x000FFFFFFFFFF000

    def __init__(self, physical: PhysicalMemory, directory: int, *, build: int = 0, limit: int | None = None) -> None:
        self._physical = physical
        self._directory = directory
        self._build = build
        self.limit = limit
        self._known = (1 << (limit - 1).bit_length()) - 1 if limit else (1 << 33) - 1

    def translate(self, address: VirtualAddress) -> PhysicalAddress:
        """Return the physical address.

        Raises:
            ReadError: not present, paged out, or a page table is not in the dump.

        """
        return self._walk(address, 0)

    def _walk(self, address: int, depth: int) -> PhysicalAddress:
        """Translate; `depth` counts the prototype entries that led here."""
        raise NotImplementedError

    def mapping(self, address: int) -> Mapping:
        """Return the entry that decides about an address, as the processor would come to it.

        Raises:
            ReadError: no address of the machine, or a page table is not in the dump.

        """
        raise NotImplementedError

    def _entry(self, table: int, index: int, width: int, address: int) -> int:
        """Read one entry of a table."""
        try:
            return int.from_bytes(self._physical.read(table + index * width, width), "little")
        except ReadError as error:
            raise unreadable(address, NO_PAGE_TABLE, error.message) from error

    def _transition(self, entry: int, frame_mask: int) -> int:
        """Return the physical address of a page in transition."""
        number = (entry & frame_mask) // PAGE_SIZE
        return (number if entry & _SWIZZLE and self._build >= _WINDOWS_10 else number & self._known) * PAGE_SIZE

    def _software(self, entry: int, address: int, table: bool) -> ReadError:
        """Return why an entry that is neither valid nor in transition nor a prototype gives nothing."""
        if entry == 0:
            return unreadable(address, NOT_PRESENT)
        old = self._build < _SOFTWARE_FORM_CHANGED
        if entry >> 32 == 0 or not (old or entry & 0x4):
            return unreadable(address, NOT_PRESENT, "demand zero")
        number = entry >> 1 & 0xF if old else entry >> 12 & 0xF
        return unreadable(address, PAGED_OUT, ("its page table, " if table else "") + f"page file {number}")

    def _prototype(self, place: int, address: int, depth: int, frame_mask: int) -> int:
        """Follow a prototype entry to the shared page's own entry, which lies in paged pool."""
        if depth >= MAX_PROTOTYPE_DEPTH:
            raise unreadable(address, NOT_PRESENT, "prototype entry without an address")
        try:
            shared = int.from_bytes(self._physical.read(self._walk(place, depth + 1), 8), "little")
        except ReadError as error:
            raise unreadable(address, NO_PAGE_TABLE, f"prototype entry: {error.message}") from error
        if shared & VALID:
            return shared & frame_mask
        if shared & PROTOTYPE:
            raise unreadable(address, NOT_PRESENT, "in a file on the disk")
        if shared & TRANSITION:
            return self._transition(shared, frame_mask & _WINDOWS_FRAME)
        raise self._software(shared, address, False)

    def _prototype64(self, entry: int, address: int, depth: int, frame_mask: int) -> int:
        """Follow a prototype entry of a 64-bit machine: bits 63:16 are the shared entry's address."""
        place = entry >> 16
        if place == _ASK_VAD:
            raise unreadable(address, NOT_PRESENT, "prototype entry without an address")
        if place >> 47:
            place |= 0xFFFF000000000000
        return self._prototype(place, address, depth, frame_mask)


class X64Paging(Paging):
    """x64 with four levels, or five (LA57)."""

    def __init__(
        self,
        physical: PhysicalMemory,
        directory: int,
        *,
        build: int = 0,
        limit: int | None = None,
        levels: int = 4,
    ) -> None:
        super().__init__(physical, directory, build=build, limit=limit)
        self.levels = levels
        self._top = 12 + 9 * (levels - 1)
        # Windows' own page numbers are 36 bits wide with four levels; the bits above are its working-set data.
        self._frame = _WINDOWS_FRAME if levels == 4 else 0x000FFFFFFFFFF000

    def _walk(self, address: int, depth: int) -> PhysicalAddress:
        sign = address >> (self._top + 8)
        if sign not in (0, (1 << (64 - self._top - 8)) - 1):
            raise unreadable(address, NOT_PRESENT, "not a canonical address")
        table = self._directory & 0x000FFFFFFFFFF000
        for shift in range(self._top, 11, -9):
            entry = self._entry(table, address >> shift & 0x1FF, 8, address)
            inside = (1 << shift) - 1
            if entry & VALID:
                if shift in (21, 30) and entry & LARGE:
                    return PhysicalAddress((entry & self._frame & ~inside) | (address & inside))
                table = entry & self._frame
            else:
                table = self._invalid(entry, address, shift, depth)
        return PhysicalAddress(table | (address & 0xFFF))

    def mapping(self, address: int) -> Mapping:
        """Return the entry that decides about an address; raises ReadError."""
        if address >> (self._top + 8) not in (0, (1 << (64 - self._top - 8)) - 1):
            raise unreadable(address, NOT_PRESENT, "not a canonical address")
        table = self._directory & 0x000FFFFFFFFFF000
        writable = executable = True
        entry = shift = 0
        for shift in range(self._top, 11, -9):
            entry = self._entry(table, address >> shift & 0x1FF, 8, address)
            if not entry & VALID:
                return Mapping(entry, shift, False, False, False)
            writable, executable = writable and bool(entry & 2), executable and not entry >> 63
            if shift in (21, 30) and entry & LARGE:
                break
            table = entry & self._frame
        return Mapping(entry, shift, True, writable, executable)

    def _invalid(self, entry: int, address: int, shift: int, depth: int) -> int:
        """Return the frame that an entry which is not valid still names, or raise ReadError."""
        if entry & PROTOTYPE:
            if shift != 12:
                raise unreadable(address, NOT_PRESENT, "prototype entry in a directory")
            return self._prototype64(entry, address, depth, self._frame)
        if entry & TRANSITION:
            return self._transition(entry, _WINDOWS_FRAME)
        raise self._software(entry, address, shift != 12)


class Arm64Paging(Paging):
    """ARM64 with pages of 4 KiB and 48-bit addresses; one root serves both halves in Windows."""

    def _walk(self, address: int, depth: int) -> PhysicalAddress:
        if address >> 48 not in (0, 0xFFFF):
            raise unreadable(address, NOT_PRESENT, "not a canonical address")
        table = self._directory & _WINDOWS_FRAME
        for shift in (39, 30, 21, 12):
            entry = self._entry(table, address >> shift & 0x1FF, 8, address)
            inside = (1 << shift) - 1
            is_table = entry & 2
            if entry & VALID:
                if not is_table:
                    if shift in (21, 30):
                        return PhysicalAddress((entry & _WINDOWS_FRAME & ~inside) | (address & inside))
                    raise unreadable(address, NOT_PRESENT, "reserved form of an entry")
                table = entry & _WINDOWS_FRAME
            elif shift != 12:
                raise unreadable(address, NOT_PRESENT)
            elif entry & PROTOTYPE:
                table = self._prototype64(entry, address, depth, _WINDOWS_FRAME)
            elif entry & TRANSITION:
                table = self._transition(entry, _WINDOWS_FRAME)
            else:
                raise self._software(entry, address, False)
        return PhysicalAddress(table | (address & 0xFFF))

    def mapping(self, address: int) -> Mapping:
        """Return the entry that decides about an address; raises ReadError.

        A page that is read-only by AP[2] may still be written where the processor (bit 51) or Windows (bit 55) says
        so: that is how a first write is noticed. Tables forbid for what lies below them: bit 62 writing, 59 execution.
        """
        if address >> 48 not in (0, 0xFFFF):
            raise unreadable(address, NOT_PRESENT, "not a canonical address")
        table = self._directory & self.FRAME
        writable = executable = True
        entry = shift = 0
        for shift in (39, 30, 21, 12):
            entry = self._entry(table, address >> shift & 0x1FF, 8, address)
            is_table = bool(entry & 2)
            if not entry & VALID or (not is_table and shift not in (21, 30)):
                return Mapping(entry, shift, False, False, False)
            if shift == 12 or not is_table:
                writable = writable and (not entry >> 7 & 1 or bool(entry >> 51 & 1 or entry >> 55 & 1))
                executable = executable and not entry >> 53 & 1
                break
            writable, executable = writable and not entry >> 62 & 1, executable and not entry >> 59 & 1
            table = entry & self.FRAME
        return Mapping(entry, shift, True, writable, executable)
