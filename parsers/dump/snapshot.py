"""The body of a dump that holds physical pages: memory, kernel block, modules and the crashing processor."""

from __future__ import annotations

from functools import cached_property

from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.dump.header import DumpHeader
from parsers.dump.kdbg import KdDebuggerData, read_kdbg
from parsers.dump.memory import NO_PAGE_TABLE, EmptyMemory, Memory
from parsers.dump.modules import LoadedModule, UnloadedDriver, first_module, walk_modules, walk_unloaded
from parsers.dump.pages import StoredPages, read_pages, read_ranges
from parsers.dump.paging import Arm64Paging, Paging, X64Paging
from parsers.dump.paging_x86 import X86PaePaging, X86Paging
from parsers.dump.physical import PhysicalMemory
from parsers.dump.processor import STACK_POINTER_OFFSET, Processor, crashing_processor, processors, stack_range
from parsers.dump.virtual import VirtualMemory
from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_MEMORY_RUNS

__all__ = ["Snapshot", "open_snapshot"]


class Snapshot:
    """A dump with physical pages.

    Attributes:
        dump_type: the type believed.
        physical: its pages.
        memory: virtual memory with the header's page tables.
        complete: every page that the map names is in the file.

    """

    def __init__(self, source: ByteSource, header: DumpHeader, stored: StoredPages, diagnostics: Diagnostics) -> None:
        self.dump_type = stored.dump_type
        self._source = source
        self._header = header
        self._diagnostics = diagnostics
        self._knows_limit = stored.knows_limit
        self.physical = PhysicalMemory(source, stored.pages, stored.first_page)
        self.memory = self._choose_memory()
        self._take_long_run_table()
        self.complete = self._check_end()

    @property
    def end(self) -> int:
        """File offset behind the last page: secondary data begins there."""
        return self.physical.end

    def _check_end(self) -> bool:
        if self.end <= self._source.size:
            return True
        missing = -(-(self.end - self._source.size) // 0x1000)
        self._diagnostics.error(
            "dump.truncated",
            f"the dump is cut: {missing} of {self.physical.pages.count} pages are behind the end of the file",
            hint="copy the file again from the machine; what is there was read",
        )
        return False

    # -- address translation --------------------------------------------------------------------------------------

    def _candidates(self) -> list[Paging]:
        """Return the translations that this machine may use, the likely one first."""
        header, directory = self._header, self._header.directory_table_base
        if directory is None:
            return []
        build = header.minor_version or 0
        limit = self.physical.pages.limit if self._knows_limit else None
        if header.machine == "x64":
            return [X64Paging(self.physical, directory, build=build, limit=limit, levels=levels) for levels in (4, 5)]
        if header.machine == "arm64":
            return [Arm64Paging(self.physical, directory, build=build, limit=limit)]
        if header.machine == "x86":
            pae = X86PaePaging(self.physical, directory, build=build, limit=limit)
            plain = X86Paging(self.physical, directory, build=build, limit=limit)
            return [pae, plain] if header.pae_enabled == 1 else [plain, pae]
        return []

    def _fits(self, memory: Memory) -> bool:
        """Tell whether a translation finds what the header names: the kernel's block, or the list of modules."""
        header = self._header
        try:
            block = header.kd_debugger_data_block
            if block is not None and memory.read(block + 0x10, 4) == b"KDBG":
                return True
        except ReadError:
            pass
        try:
            if header.ps_loaded_module_list is not None:
                first = memory.pointer(header.ps_loaded_module_list)
                return memory.pointer(first + memory.pointer_size) == header.ps_loaded_module_list
        except ReadError:
            pass
        return False

    def _choose_memory(self) -> Memory:
        """Nothing in the header tells LA57, and PaeEnabled may be unset: what finds the kernel is right."""
        width = 8 if self._header.is_64bit else 4
        candidates = [VirtualMemory(self.physical, paging, pointer_size=width) for paging in self._candidates()]
        for memory in candidates:
            if self._fits(memory):
                return memory
        if not candidates:
            self._diagnostics.error(
                "dump.no-translation",
                f"virtual memory cannot be read: no page tables, or none that stopcode walks ({self._header.machine})",
            )
            return EmptyMemory("no page tables to walk", reason=NO_PAGE_TABLE, pointer_size=width)
        self._diagnostics.warning(
            "dump.kernel-not-mapped", "the header's page tables lead neither to the kernel's block nor to its modules"
        )
        return candidates[0]

    def _take_long_run_table(self) -> None:
        """Where the header's buffer holds only a part of the runs, take the table of the kernel itself."""
        described = self._header.physical_memory
        if self.dump_type != 1 or described is None or described.number_of_runs <= len(described.runs):
            return
        runs: list[tuple[int, int]] = []
        try:
            pointer = self.kdbg.value("MmPhysicalMemoryBlock") if self.kdbg is not None else None
            if pointer is not None and described.number_of_runs <= MAX_MEMORY_RUNS:
                width = self.memory.pointer_size
                table = self.memory.pointer(pointer)
                for index in range(self.memory.u32(table)):
                    at = table + 2 * width + index * 2 * width
                    runs.append((self.memory.pointer(at), self.memory.pointer(at + width)))
                    if index >= described.number_of_runs:
                        break
        except ReadError:
            runs = []
        if tuple(runs[: len(described.runs)]) == described.runs:
            self.physical.pages = read_ranges(runs, self._diagnostics)
            return
        self._diagnostics.warning(
            "dump.runs-cut",
            f"the machine had {described.number_of_runs} runs of memory; pages beyond the first {len(described.runs)} "
            "cannot be located",
        )

    # -- facts ----------------------------------------------------------------------------------------------------

    @cached_property
    def kdbg(self) -> KdDebuggerData | None:
        """The kernel's debugger block: where the header points, else decoded or searched for; None when absent."""
        address = self._header.kd_debugger_data_block
        why = "the header does not name the kernel's debugger block"
        if address is not None:
            try:
                return read_kdbg(self.memory, address)
            except (ReadError, FormatError) as error:
                why = f"the kernel's debugger block cannot be read: {error.message}"
        found = self._search_kdbg(address)
        if found is not None:
            self._diagnostics.info("dump.kdbg-found", f"{why}; it was {found[1]} at {found[0].address:#x}")
            return found[0]
        code = "dump.kdbg-missing" if address is None else "dump.kdbg-damaged"
        self._diagnostics.warning(code, why)
        return None

    def _search_kdbg(self, address: int | None) -> tuple[KdDebuggerData, str] | None:
        """Look for the block with what the list of modules says of the kernel: it is the first of them."""
        head = self._header.ps_loaded_module_list
        if head is None:
            return None
        from parsers.dump.kdbg_search import find_block

        kernel = first_module(self.memory, head, self._header.minor_version or 0)
        if kernel is None or not kernel.base:
            return None
        return find_block(self.memory, address, (kernel.base, kernel.size_of_image), head)

    def modules(self) -> list[LoadedModule]:
        """Walk PsLoadedModuleList."""
        head = self._header.ps_loaded_module_list
        if head is None and self.kdbg is not None:
            head = self.kdbg.value("PsLoadedModuleList")
        if head is None:
            self._diagnostics.error("dump.modules-unreadable", "the header does not name the list of loaded modules")
            return []
        return walk_modules(self.memory, head, self._header.minor_version or 0, self._diagnostics)

    def unloaded(self) -> list[UnloadedDriver]:
        """Read the kernel's ring of unloaded drivers."""
        return walk_unloaded(self.memory, self.kdbg, self._diagnostics) if self.kdbg is not None else []

    @property
    def _stack_pointer(self) -> int | None:
        record, offset = self._header.context_record, STACK_POINTER_OFFSET.get(self._header.machine)
        if record is None or offset is None:
            return None
        return int.from_bytes(record[offset : offset + self.memory.pointer_size], "little") or None

    @cached_property
    def processor(self) -> Processor | None:
        """The processor that crashed, None when it cannot be told."""
        if self.kdbg is None:
            return None
        found = processors(self.memory, self.kdbg, self._header.number_processors or 0)
        return crashing_processor(self.memory, self.kdbg, found, self._header.machine, self._stack_pointer)

    def current_stack_range(self) -> tuple[int, int] | None:
        """Return the limits of the stack that the header's stack pointer lies in."""
        if self.kdbg is None or self.processor is None:
            return None
        return stack_range(self.memory, self.kdbg, self.processor, self._stack_pointer)

    @property
    def prcb_address(self) -> int | None:
        """Address of the crashing processor's block."""
        return self.processor.address if self.processor is not None else None

    @property
    def thread_address(self) -> int | None:
        """Address of the crashing processor's current thread."""
        return self.processor.thread if self.processor is not None else None

    @cached_property
    def process_address(self) -> int | None:
        """Address of the current thread's process."""
        offset = self.kdbg.value("OffsetKThreadApcProcess") if self.kdbg is not None else None
        if self.thread_address is None or offset is None:
            return None
        try:
            return self.memory.pointer(self.thread_address + offset) or None
        except ReadError:
            return None

    @cached_property
    def prcb(self) -> bytes | None:
        """Bytes of the crashing processor's block, None when they are not all in the dump."""
        size = self.kdbg.value("SizePrcb") if self.kdbg is not None else None
        if self.prcb_address is None or size is None:
            return None
        try:
            return self.memory.read(self.prcb_address, size)
        except ReadError:
            return None


def open_snapshot(source: ByteSource, header: DumpHeader, diagnostics: Diagnostics) -> Snapshot:
    """Open the body of a dump with physical pages.

    Raises:
        StopcodeError: its page map is missing or damaged beyond use.

    """
    return Snapshot(source, header, read_pages(source, header, diagnostics), diagnostics)
