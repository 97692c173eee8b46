"""The function table of a PE image (.pdata): sorted rows, found by binary search without reading them all.

The kernel's table has some 30,000 rows, and in a dump most of its pages are absent: a lookup reads about fifteen
rows, page by page, and an absent page costs only the functions whose search leads through it.

Source: Microsoft "x64 exception handling", RUNTIME_FUNCTION (MicrosoftDocs/cpp-docs:
docs/build/exception-handling-x64.md), and "ARM64 exception handling" (same place).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_PDATA_EMPTY_RUN, MAX_PDATA_ROWS

__all__ = ["RuntimeFunction", "RuntimeFunctions"]

_BLOCK = 0x1000
_CACHED_BLOCKS = 64


class RuntimeFunction(NamedTuple):
    """One row.

    Attributes:
        begin: RVA of the first byte.
        end: RVA behind the last byte; for ARM64 rows, which hold no end, the begin of the next row (or the begin
            + 1 GiB for the last): the true length stands in the unwind data.
        unwind: x64: RVA of UNWIND_INFO (bit 0 set: of another row); ARM64: the row's second word.

    """

    begin: int
    end: int
    unwind: int


class RuntimeFunctions:
    """A function table.

    Args:
        read_rva: gives up to n bytes at an RVA, or raises ReadError.
        rva: of the table.
        size: of the table in bytes.
        row_size: 12 (x64) or 8 (ARM64).

    """

    def __init__(self, read_rva: Callable[[int, int], bytes], rva: int, size: int, *, row_size: int = 12) -> None:
        self._read_rva = read_rva
        self.rva = rva
        self.row_size = row_size
        self._count = min(max(size, 0) // row_size, MAX_PDATA_ROWS) if rva else 0
        self._blocks: dict[int, bytes] = {}

    def __len__(self) -> int:
        return self._count

    def _bytes(self, rva: int, length: int) -> bytes:
        data = b""
        while length > 0:
            start = rva & -_BLOCK
            block = self._blocks.get(start)
            if block is None:
                # Never before the table: what lies there may be in another section, or absent.
                first = max(start, self.rva)
                last = min(start + _BLOCK, self.rva + self._count * self.row_size)
                block = bytes(first - start) + self._read_rva(first, last - first)
                if len(self._blocks) >= _CACHED_BLOCKS:
                    self._blocks.clear()
                self._blocks[start] = block
            part = block[rva - start : rva - start + length]
            if not part:
                raise ReadError(f"no bytes of the function table at RVA {rva:#x}", address=rva)
            data += part
            rva += len(part)
            length -= len(part)
        return data

    def row(self, index: int) -> RuntimeFunction:
        """Return a row by number.

        Raises:
            IndexError: no such row.
            ReadError: the row lies where the image cannot be read.

        """
        if not 0 <= index < self._count:
            raise IndexError(index)
        data = self._bytes(self.rva + index * self.row_size, self.row_size)
        begin = int.from_bytes(data[:4], "little")
        if self.row_size == 12:
            return RuntimeFunction(begin, int.from_bytes(data[4:8], "little"), int.from_bytes(data[8:12], "little"))
        end = begin + (1 << 30)
        if begin and index + 1 < self._count:
            following = int.from_bytes(self._bytes(self.rva + (index + 1) * 8, 4), "little")
            end = following if following > begin else end
        return RuntimeFunction(begin, end, int.from_bytes(data[4:8], "little"))

    def __iter__(self) -> Iterator[RuntimeFunction]:
        """Yield every row that is not empty, in the table's order."""
        for index in range(self._count):
            row = self.row(index)
            if row.begin or row.unwind:
                yield row

    def function_at(self, rva: int) -> RuntimeFunction | None:
        """Return the row that covers an RVA, or None.

        Raises:
            ReadError: a row on the way lies where the image cannot be read.
            FormatError: the table is mostly empty rows.

        """
        low, high = 0, self._count
        best: RuntimeFunction | None = None
        while low < high:
            middle = (low + high) // 2
            at = middle
            row = self.row(at)
            # Rows of zeros (linker slack, room for hot patches) say nothing of order: look at the one before.
            while not row.begin and not row.unwind and at > low:
                at -= 1
                if middle - at > MAX_PDATA_EMPTY_RUN:
                    raise FormatError("PE .pdata", "too many empty rows", offset=self.rva + at * self.row_size)
                row = self.row(at)
            if not row.begin and not row.unwind:
                low = middle + 1
            elif row.begin <= rva:
                best = row
                low = middle + 1
            else:
                high = at
        return best if best is not None and best.begin <= rva < best.end else None
