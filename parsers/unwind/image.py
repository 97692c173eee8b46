"""What an unwinder needs of memory and of a module: two protocols and the usual implementation of the second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from parsers.errors import ReadError
from parsers.pe import PeImage
from parsers.pe_pdata import RuntimeFunction, RuntimeFunctions

__all__ = ["CodeImage", "MappedImage", "MemoryReader"]

_PAGE = 0x1000


class MemoryReader(Protocol):
    """Virtual memory of the crashed machine."""

    def read(self, va: int, n: int) -> bytes:
        """Return exactly `n` bytes at a virtual address.

        Raises:
            ReadError: not all of them are there.

        """
        ...


class CodeImage(Protocol):
    """A loaded module: where it lies, its bytes by RVA and its function table."""

    @property
    def base(self) -> int:
        """Virtual address of its first byte."""
        ...

    @property
    def size(self) -> int:
        """SizeOfImage in bytes."""
        ...

    def read_rva(self, rva: int, n: int) -> bytes:
        """Return up to `n` bytes at an RVA; raises ReadError when not even the first is there."""
        ...

    def function_at(self, rva: int) -> RuntimeFunction | None:
        """Return the row of the function table that covers an RVA, or None when none does."""
        ...


class MappedImage:
    """A module: the identical file from a disk, or what the dump's memory holds of it.

    Args:
        base: virtual address of the module.
        size: SizeOfImage.
        read_rva: gives up to n bytes at an RVA or raises ReadError.
        pdata: the function table.

    """

    def __init__(self, base: int, size: int, read_rva: Callable[[int, int], bytes], pdata: RuntimeFunctions) -> None:
        self._base = base
        self._size = size
        self._read_rva = read_rva
        self.pdata = pdata

    @property
    def base(self) -> int:
        """Virtual address of the first byte."""
        return self._base

    @property
    def size(self) -> int:
        """SizeOfImage in bytes."""
        return self._size

    def read_rva(self, rva: int, n: int) -> bytes:
        """Return up to `n` bytes at an RVA.

        Raises:
            ReadError: not even the first byte is there.

        """
        return self._read_rva(rva, n)

    def function_at(self, rva: int) -> RuntimeFunction | None:
        """Return the row of the function table that covers an RVA, or None.

        Raises:
            ReadError: the table lies where it cannot be read.
            FormatError: it is damaged.

        """
        return self.pdata.function_at(rva)

    @classmethod
    def from_pe(cls, image: PeImage, base: int) -> MappedImage:
        """Return a module whose bytes come from its file (or from a mapped copy of it)."""
        return cls(base, image.size_of_image, image.read_rva, image.pdata)

    @classmethod
    def from_memory(
        cls, memory: MemoryReader, base: int, size: int, *, table_rva: int, table_size: int, row_size: int = 12
    ) -> MappedImage:
        """Return a module whose bytes come from a dump, with the function table where the module list says.

        Args:
            memory: the dump's virtual memory.
            base: virtual address of the module.
            size: SizeOfImage.
            table_rva: RVA of the function table (ExceptionTable - base).
            table_size: its size in bytes.
            row_size: 12 (x64) or 8 (ARM64).

        """

        def read_rva(rva: int, n: int) -> bytes:
            if not 0 <= rva < size or n <= 0:
                raise ReadError(f"RVA {rva:#x} is outside the module", address=base + rva)
            n = min(n, size - rva)
            try:
                return memory.read(base + rva, n)
            except ReadError:
                # The bytes up to the end of the page may be there although the next page is not; a triage dump
                # may hold fewer still, so halve down to what is there.
                n = min(n, _PAGE - (base + rva) % _PAGE)
                while n > 8:
                    try:
                        return memory.read(base + rva, n)
                    except ReadError:
                        n //= 2
                return memory.read(base + rva, n)

        return cls(base, size, read_rva, RuntimeFunctions(read_rva, table_rva, table_size, row_size=row_size))
