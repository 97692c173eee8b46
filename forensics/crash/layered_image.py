"""A module's bytes for the unwinder: what the dump holds, and where it holds none, the identical file's."""

from __future__ import annotations

from typing import Literal

from parsers.dump.memory import Memory
from parsers.dump.modules import LoadedModule
from parsers.errors import ReadError, StopcodeError
from parsers.pe import DIRECTORY_EXCEPTION, PeImage
from parsers.pe_pdata import RuntimeFunction, RuntimeFunctions

__all__ = ["LayeredImage"]


class LayeredImage:
    """One module as CodeImage.

    Args:
        module: from the dump's list.
        memory: the dump's memory.
        mapped: headers as the dump holds them, or None.
        file: the identical file, or None.
        kind: what a frame says of unwind data from that file.
        machine: "x64" or "arm64": rows of the function table differ.

    Attributes:
        used_file: whether a byte came from the file since the flag was last cleared.

    """

    def __init__(
        self,
        module: LoadedModule,
        memory: Memory,
        mapped: PeImage | None,
        file: PeImage | None,
        kind: Literal["disk", "folder"] = "disk",
        machine: str = "x64",
    ) -> None:
        self._module = module
        self._memory = memory
        self._file = file
        self._kind: Literal["disk", "folder"] = kind
        self.used_file = False
        self._pdata = RuntimeFunctions(self.read_rva, *self._table(mapped), row_size=8 if machine == "arm64" else 12)

    def _table(self, mapped: PeImage | None) -> tuple[int, int]:
        """Return (RVA, size) of the function table: the loader's word, else the headers'."""
        module = self._module
        rva = module.exception_table - module.base
        if module.exception_table and 0 < rva < module.size_of_image:
            return rva, min(module.exception_table_size, module.size_of_image - rva)
        for image in (self._file, mapped):
            if image is not None:
                return image.data_directory(DIRECTORY_EXCEPTION)
        return 0, 0

    @property
    def base(self) -> int:
        """Virtual address of the first byte."""
        return self._module.base

    @property
    def size(self) -> int:
        """SizeOfImage in bytes."""
        return self._module.size_of_image

    @property
    def has_table(self) -> bool:
        """Whether a place for the function table is known at all."""
        return len(self._pdata) > 0

    @property
    def source(self) -> Literal["dump", "disk", "folder"]:
        """Where the bytes since the last clearing came from."""
        return self._kind if self.used_file else "dump"

    def read_rva(self, rva: int, n: int) -> bytes:
        """Return up to `n` bytes at an RVA.

        Raises:
            ReadError: neither the dump nor a file holds even the first.

        """
        if not 0 <= rva < self.size or n <= 0:
            raise ReadError(f"RVA {rva:#x} is outside the module", address=self.base + rva)
        n = min(n, self.size - rva)
        data = b""
        try:
            data = self._memory.read_available(self.base + rva, n)
        except ReadError:
            if self._file is None:
                raise
        if len(data) < n and self._file is not None:
            try:
                data += self._file.read_rva(rva + len(data), n - len(data))
                self.used_file = True
            except StopcodeError:
                if not data:
                    raise
        return data

    def function_at(self, rva: int) -> RuntimeFunction | None:
        """Return the row of the function table that covers an RVA, or None when none does.

        Raises:
            ReadError: the table is not at hand, or not known: no answer, which is another thing than None.
            FormatError: it is damaged.

        """
        if not self.has_table:
            raise ReadError(f"no function table of {self._module.name} is known", address=self.base + rva)
        return self._pdata.function_at(rva)
