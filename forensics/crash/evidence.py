"""The dump under analysis with everything that its parts share: memory, modules, images, stack, control registers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from forensics.crash.images import FoundImage, ImageFinder
from forensics.crash.module_map import ModuleMap
from parsers.bytesource import ByteSource
from parsers.dump.cpuid import Leaves, read_leaves
from parsers.dump.memory import Memory
from parsers.dump.modules import LoadedModule
from parsers.dump.open import Dump
from parsers.errors import ReadError, StopcodeError
from parsers.pe import PeImage

if TYPE_CHECKING:
    # Symbol files are read for those who name some: nobody else pays for the import.
    from forensics.crash.symbol_files import SymbolSource
    from parsers.pe_debug import CodeView

__all__ = ["Evidence", "MemorySource"]

#: Largest stack range believed: the kernel's largest is 96 KiB on x64, some 512 KiB with verifier's expansions.
_MAX_STACK = 0x100000


class MemorySource:
    """A stretch of virtual memory as a byte source: a read ends where the memory does."""

    def __init__(self, memory: Memory, base: int, size: int) -> None:
        self._memory = memory
        self._base = base
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; none when they are not in the dump."""
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        try:
            return self._memory.read_available(self._base + offset, min(length, self._size - offset))
        except ReadError:
            return b""


class Evidence:
    """One dump and what its analysis shares.

    Attributes:
        dump: the open dump.
        memory: its virtual memory.
        modules: loaded and unloaded modules.
        code: the bug check code, masked.
        code_raw: as stored.
        parameters: four values; an absent one is 0.
        images: the disk's driver files, None without a disk.
        symbols: the analyst's symbol files, None where there are none.

    """

    def __init__(
        self,
        dump: Dump,
        code: int,
        code_raw: int,
        parameters: tuple[int, ...],
        images: ImageFinder | None,
        symbols: SymbolSource | None = None,
    ) -> None:
        self.dump = dump
        self.memory = dump.memory
        self.modules = ModuleMap(dump.modules(), dump.unloaded())
        self.code = code
        self.code_raw = code_raw
        self.parameters = parameters
        self.images = images
        self.symbols = symbols
        self._headers: dict[int, PeImage | None] = {}
        self._found: dict[int, FoundImage] = {}
        self._searched: dict[int, FoundImage] = {}
        self._codeviews: dict[int, CodeView | None] = {}

    # -- images -------------------------------------------------------------------------------------------------

    def found(self, module: LoadedModule) -> FoundImage:
        """Return what the disk has for a module."""
        if self.images is None:
            return FoundImage("not-checked")
        answer = self._found.get(module.base)
        if answer is None:
            answer = self._found[module.base] = self.images.find(module)
        return answer

    def searched(self, module: LoadedModule) -> FoundImage:
        """Return what the disk has for a module after a search for the very build, for modules on a stack."""
        if self.images is None:
            return self.found(module)
        answer = self._searched.get(module.base)
        if answer is None:
            answer = self._searched[module.base] = self.images.find(module, deep=True)
        return answer

    def _file(self, module: LoadedModule) -> PeImage | None:
        """Return the identical file as far as it has been looked for."""
        return self._searched.get(module.base, self.found(module)).image

    def mapped_image(self, module: LoadedModule) -> PeImage | None:
        """Return the image as the dump's memory holds it; None when its headers are not there."""
        if module.base not in self._headers:
            source: ByteSource = MemorySource(self.memory, module.base, module.size_of_image)
            try:
                self._headers[module.base] = PeImage(source, layout="memory")
            except StopcodeError:
                self._headers[module.base] = None
        return self._headers[module.base]

    def image(self, module: LoadedModule) -> PeImage | None:
        """Return headers for a module: the identical file, else what the dump holds."""
        return self._file(module) or self.mapped_image(module)

    def codeview(self, module: LoadedModule) -> CodeView | None:
        """Return which PDB belongs to a module; None when neither the identical file nor the dump tells it."""
        if module.base not in self._codeviews:
            from parsers.pe_debug import codeview_of

            images = (self._file(module), self.mapped_image(module))
            found = (codeview_of(image) for image in images if image is not None)
            self._codeviews[module.base] = next((code for code in found if code is not None), None)
        return self._codeviews[module.base]

    # -- code -----------------------------------------------------------------------------------------------------

    def code_bytes(self, address: int, length: int) -> bytes:
        """Return up to `length` bytes of code: from the dump, else from the identical file; none when neither has them.

        Bytes of a file are the module's as linked; the kernel may have patched calls since, which changes no
        instruction's length.
        """
        try:
            data = self.memory.read_available(address, length)
        except ReadError:
            data = b""
        if len(data) >= length:
            return data[:length]
        module = self.modules.at(address)
        image = self._file(module) if module is not None else None
        if module is None or image is None:
            return data
        try:
            return data + image.read_rva(address + len(data) - module.base, length - len(data))
        except StopcodeError:
            return data

    def is_code(self, address: int) -> bool:
        """Tell whether an address lies in executable code of a loaded module.

        By the section table where it is at hand; else anything behind the module's first page.
        """
        module = self.modules.at(address)
        if module is None:
            return False
        image = self.image(module)
        if image is not None and image.sections:
            return image.is_executable(address - module.base)
        return address - module.base >= 0x1000

    @cached_property
    def cpuid(self) -> Leaves:
        """CPUID of the crashed machine; empty when the dump does not hold it."""
        try:
            return read_leaves(self.dump.source, self.dump.secondary())
        except ReadError:
            return {}

    # -- the stack --------------------------------------------------------------------------------------------------

    @cached_property
    def stack(self) -> tuple[int, int] | None:
        """(lowest, first behind the highest) address of the stack that the bug check ran on."""
        found = self.dump.current_stack_range()
        if found is None or not 0 < found[1] - found[0] <= _MAX_STACK:
            return None
        return found

    def stack_around(self, pointer: int) -> tuple[int, int] | None:
        """Return the readable memory from a stack pointer upward, when it lies on another stack than the known one.

        Interrupts, DPCs and double faults run on stacks of their own; what is readable there without a hole is taken.
        """
        known = self.stack
        if known is not None and known[0] <= pointer < known[1]:
            return known
        if pointer <= 0 or pointer % self.dump.pointer_size:
            return None
        high = pointer
        while high - pointer < _MAX_STACK // 8:
            step = 0x1000 - high % 0x1000
            try:
                data = self.memory.read_available(high, step)
            except ReadError:
                break
            high += len(data)
        high -= high % self.dump.pointer_size
        return (pointer, high) if high > pointer else None

    def pieces(self, low: int, high: int) -> list[tuple[int, bytes]]:
        """Return the readable stretches of a range, as (address, bytes)."""
        found: list[tuple[int, bytes]] = []
        at = low
        while at < high:
            try:
                data = self.memory.read_available(at, high - at)
            except ReadError:
                at = (at & -0x1000) + 0x1000
                continue
            if found and found[-1][0] + len(found[-1][1]) == at:
                found[-1] = (found[-1][0], found[-1][1] + data)
            else:
                found.append((at, data))
            at += len(data)
        return found

    def word(self, address: int) -> int | None:
        """Return the pointer at an address, None when it is not there."""
        try:
            return self.memory.pointer(address)
        except ReadError:
            return None

    def attempt(self, read: Callable[[int, int], bytes], address: int, length: int) -> bytes | None:
        """Return what a read gives, None when it fails."""
        try:
            return read(address, length)
        except StopcodeError:
            return None

    def bytes_at(self, address: int, length: int) -> bytes | None:
        """Return exactly `length` bytes at an address, None when they are not all there."""
        return self.attempt(self.memory.read, address, length)

    @cached_property
    def cr2(self) -> int | None:
        """CR2 of the crashing processor as its KPRCB keeps it: the address of its last page fault."""
        return self._special_register(0x08)

    @cached_property
    def cr8(self) -> int | None:
        """CR8 of the crashing processor as its KPRCB keeps it: the interrupt level when the bug check was called."""
        return self._special_register(0xA0)

    def _special_register(self, at: int) -> int | None:
        """Return one of the KSPECIAL_REGISTERS of x64 in the crashing processor's block.

        Offsets: `volatilityfoundation/volatility: plugins/overlays/windows` (_KSPECIAL_REGISTERS of build 17763).
        """
        kdbg, prcb = self.dump.kdbg, self.dump.prcb
        if kdbg is None or prcb is None or self.dump.machine != "x64":
            return None
        offset = kdbg.value("OffsetPrcbProcStateSpecialReg")
        if offset is None or offset + at + 8 > len(prcb):
            return None
        return int.from_bytes(prcb[offset + at : offset + at + 8], "little")
