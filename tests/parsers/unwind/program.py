"""A PE file as the emulator runs it: mapped by pefile, with the rows of its unwind data as plain numbers.

None of it uses the PE reader or the unwinder under test.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import capstone
import pefile

STUB = 0x7D00_0000_0000
#: Where the stub of imports that must leave every register alone lies: stack probes.
QUIET_STUB = STUB + 0x80
STACK_PROBES = {b"__chkstk", b"_chkstk", b"___chkstk_ms", b"__alloca_probe"}
_CAPSTONE = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16)))


@dataclass
class Row:
    """One row of .pdata with its record's header; `primary` is the Begin at the end of its chain."""

    begin: int
    end: int
    info: int
    version: int = 0
    flags: int = 0
    prolog: int = 0
    frame_register: int = 0
    codes: bytes = b""
    count: int = 0
    parent: int = 0
    primary: int = 0

    def ops(self) -> list[tuple[int, int]]:
        """(op, slots) by walking the slots, as far as counting needs."""
        return [(op, slots) for _offset, op, _info, slots in self.walk()]

    def walk(self) -> list[tuple[int, int, int, int]]:
        """(offset in the prolog, op, info, slots) of each code."""
        found = []
        i = 0
        while i < self.count:
            offset, op, info = self.codes[i * 2], self.codes[i * 2 + 1] & 15, self.codes[i * 2 + 1] >> 4
            slots = {1: 2 + (info == 1), 4: 2, 5: 3, 8: 2, 9: 3}.get(op, 1)
            found.append((offset, op, info, slots))
            i += slots
        return found


class Original:
    """Bytes of which any number of writable copies can be had at once; only the pages that are written cost memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as copies are made
        self._file.write(data)
        self._file.flush()

    def copy(self) -> Copy:
        """Return a fresh one."""
        return Copy(self._file.fileno(), self.size)


class Copy:
    """A writable copy; `address` is where it lies in this process."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._mapping = mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
        self._first = ctypes.c_char.from_buffer(self._mapping)
        self.address = ctypes.addressof(self._first)


@dataclass
class Mapped:
    """A PE file's sections where they lie in memory, its imports all answered.

    Attributes:
        base, size: where it lies.
        image: its bytes there.
        code: [start, end) of its executable sections.
        pdata: (RVA, size) of its function table.

    """

    base: int
    size: int
    image: bytes
    code: list[tuple[int, int]]
    pdata: tuple[int, int]


def mapped(path: Path, answer: Callable[[bytes | None], int]) -> Mapped:
    """Map a file by pefile; `answer` says where an import's function lies, by its name (None: by number)."""
    pe = pefile.PE(str(path), fast_load=True)
    pe.parse_data_directories(directories=[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
    base: int = pe.OPTIONAL_HEADER.ImageBase
    image = bytearray((pe.OPTIONAL_HEADER.SizeOfImage + 0xFFF) & ~0xFFF)
    raw = pe.__data__[: pe.OPTIONAL_HEADER.SizeOfHeaders]
    image[: len(raw)] = raw
    code = []
    for section in pe.sections:
        data = section.get_data()[: section.Misc_VirtualSize or None]
        start = section.VirtualAddress
        image[start : start + len(data)] = data
        if section.Characteristics & 0x20000000:
            code.append((start, start + max(section.Misc_VirtualSize, len(data))))
    for entry in getattr(pe, "DIRECTORY_ENTRY_IMPORT", []):
        for symbol in entry.imports:
            at = symbol.address - base
            image[at : at + 8] = struct.pack("<Q", answer(symbol.name))
    table = pe.OPTIONAL_HEADER.DATA_DIRECTORY[3]
    pe.close()
    return Mapped(base, len(image), bytes(image), code, (table.VirtualAddress, table.Size))


class Program:
    """A mapped PE file.

    Attributes:
        path: the file.
        base, size: where it lies.
        image: its bytes there.
        code: [start, end) of its executable sections.
        rows: of its unwind data, in the file's order.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        file = mapped(path, lambda name: QUIET_STUB if name in STACK_PROBES else STUB)
        self.base, self.size, self.image, self.code = file.base, file.size, file.image, file.code
        self.original = Original(self.image)
        self.rows = self._rows(*file.pdata)
        self._begins = [row.begin for row in self.rows]
        self.begins = {row.begin for row in self.rows}

    def _rows(self, rva: int, size: int) -> list[Row]:
        rows = [Row(*struct.unpack_from("<III", self.image, at)) for at in range(rva, rva + size - 11, 12)]
        rows = [row for row in rows if row.begin]
        by_begin = {row.begin: row for row in rows}
        for row in rows:
            first, row.prolog, row.count, frame = self.image[row.info : row.info + 4]
            row.version, row.flags, row.frame_register = first & 7, first >> 3, frame & 15
            row.codes = self.image[row.info + 4 : row.info + 4 + row.count * 2]
            if row.flags & 4:
                row.parent = struct.unpack_from("<I", self.image, row.info + 4 + 2 * ((row.count + 1) & ~1))[0]
        for row in rows:
            row.primary = self._chain(row, by_begin)[-1].begin
        return rows

    @staticmethod
    def _chain(row: Row, by_begin: dict[int, Row]) -> list[Row]:
        chain = [row]
        while chain[-1].flags & 4 and len(chain) < 32:
            chain.append(by_begin[chain[-1].parent])
        return chain

    def chain(self, row: Row) -> list[Row]:
        """The row and those that it is chained to, up to the function's first."""
        return self._chain(row, {one.begin: one for one in self.rows})

    def row_at(self, rva: int) -> Row | None:
        """The row that covers an RVA, by this harness's own search."""
        i = bisect.bisect_right(self._begins, rva) - 1
        return self.rows[i] if i >= 0 and rva < self.rows[i].end else None

    def gap_at(self, rva: int) -> str:
        """The stretch between two rows that an RVA lies in."""
        i = bisect.bisect_right(self._begins, rva)
        low = self.rows[i - 1].end if i else 0
        high = self.rows[i].begin if i < len(self.rows) else self.size
        return f"{low:#x}..{high:#x}"

    def is_code(self, rva: int) -> bool:
        """Whether an RVA lies in an executable section."""
        return any(low <= rva < high for low, high in self.code)

    def functions(self) -> list[Row]:
        """Rows that can be called: not the parts of others, nor those that begin inside a frame.

        The latter are GCC's cold parts, and assembler written by hand whose row begins where Rsp is taken from a
        register that the code before it has set.
        """
        rows = [row for row in self.rows if not row.flags & 4 and (row.prolog or not row.count)]
        return [row for row in rows if not self._takes_rsp(row.begin)]

    def _takes_rsp(self, rva: int) -> bool:
        for _at, _size, name, operands in _CAPSTONE.disasm_lite(self.image[rva : rva + 16], rva, 1):
            target, _comma, value = operands.partition(", ")
            return name in ("lea", "mov") and target == "rsp" and "rsp" not in value
        return False
