"""Triage dumps ("small memory dumps", type 4): copies of a few structures, and scattered blocks of memory.

Two kinds exist: cut out of the page file at the next boot (full driver paths, hundreds of small blocks), and written
by the crashing kernel itself (base names, about 50 blocks, stale bytes behind the end). The areas stand in another
order in each: only the offsets are used here. Measured on real dumps of builds 19041, 22000 (ARM64) and 26100.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.dump.blocks import BlockMemory
from parsers.dump.extents import Extent
from parsers.dump.header import Attributes, DumpHeader
from parsers.dump.kdbg import KdDebuggerData
from parsers.dump.layouts import TRIAGE_DUMP32, TRIAGE_DUMP64
from parsers.dump.memory import Memory
from parsers.dump.modules import LoadedModule, UnloadedDriver, base_name
from parsers.errors import ReadError, StopcodeError, TruncatedError
from parsers.limits import MAX_DATA_BLOCKS, MAX_DRIVER_LIST, MAX_PROCESSORS, MAX_STRING_CHARS, MAX_UNLOADED_DRIVERS

__all__ = ["TriageDump", "TriageHeader", "parse_triage"]

_BLOCK64 = struct.Struct("<QII")
_BLOCK32 = struct.Struct("<III")
# DRIVER_ENTRY64/32 of layouts.py, compiled: name offset, exception table and size (64-bit only), base, entry point,
# size of image, CheckSum, TimeDateStamp. A test proves that both read alike.
_DRIVER64 = struct.Struct("<I20xQI20xQQI52xI4xI4x")
_DRIVER32 = struct.Struct("<I24xIII28xII")
_UNLOADED64 = struct.Struct("<H14x24sQQ")
_UNLOADED32 = struct.Struct("<H6x24sII")
#: A row with the long form of KLDR_DATA_TABLE_ENTRY, which current type information has (`can1357/selene`), and where
#: TimeDateStamp stands there. No dump with such rows was seen.
_LONG_ROW, _LONG_STAMP, _LONGEST_ROW = 0xA8, 0xA4, 0x200
_VALID = b"TRGD"


@dataclass(frozen=True, slots=True)
class TriageHeader:
    """TRIAGE_DUMP32/64: offsets are file offsets, sizes bytes; 0 = absent. Names are the vendor's."""

    service_pack_build: int
    size_of_dump: int
    valid_offset: int
    context_offset: int
    exception_offset: int
    mm_offset: int
    unloaded_drivers_offset: int
    prcb_offset: int
    process_offset: int
    thread_offset: int
    call_stack_offset: int
    size_of_call_stack: int
    driver_list_offset: int
    driver_count: int
    string_pool_offset: int
    string_pool_size: int
    broken_driver_offset: int
    triage_options: int
    top_of_stack: int
    data_page_address: int
    data_page_offset: int
    data_page_size: int
    debugger_data_offset: int
    debugger_data_size: int
    data_blocks_offset: int
    data_blocks_count: int


class TriageDump:
    """The body of a triage dump.

    Attributes:
        header: its second header.
        memory: data blocks, stack, KDBG, data page and the raw copies whose addresses are known.
        kdbg: the kernel's table, None when it is absent or damaged.
        prcb, process, thread: raw copies of KPRCB, EPROCESS, ETHREAD; None when absent.
        prcb_address, process_address, thread_address: where they lay in memory; None when not known.
        complete: the file holds all that its tables name.
        kernel_generated: the crashing kernel wrote the dump itself; else the next boot cut it out of the page file.

    """

    def __init__(
        self, source: ByteSource, dump_header: DumpHeader, header: TriageHeader, diagnostics: Diagnostics
    ) -> None:
        self.header = header
        self._source = source
        self._wide = dump_header.is_64bit
        self._pointer_size = 8 if self._wide else 4
        self._diagnostics = diagnostics
        self.kernel_generated = dump_header.has_attribute(Attributes.KERNEL_GENERATED_TRIAGE_DUMP)
        self.complete = self._check_end(dump_header)
        self.kdbg = self._read_kdbg(dump_header.kd_debugger_data_block)
        self.blocks = self._read_blocks()
        stack_and_tables = [
            Extent(header.top_of_stack, header.size_of_call_stack, header.call_stack_offset),
            Extent(dump_header.kd_debugger_data_block or 0, header.debugger_data_size, header.debugger_data_offset),
            Extent(header.data_page_address, header.data_page_size, header.data_page_offset),
        ]
        self.prcb = self._copy(header.prcb_offset, "SizePrcb")
        self.thread = self._copy(header.thread_offset, "SizeEThread")
        self.process = self._copy(header.process_offset, "SizeEProcess")
        known = self.blocks + [block for block in stack_and_tables if block.start and block.place]
        memory: Memory = BlockMemory(source, known, diagnostics, pointer_size=self._pointer_size)
        self.thread_address = self._pointer_in(self.prcb, "OffsetPrcbCurrentThread")
        self.process_address = self._pointer_in(self.thread, "OffsetKThreadApcProcess")
        self.prcb_address = self._find_prcb(memory)
        copies = [
            Extent(address, len(data), offset)
            for address, data, offset in (
                (self.prcb_address, self.prcb, header.prcb_offset),
                (self.thread_address, self.thread, header.thread_offset),
                (self.process_address, self.process, header.process_offset),
            )
            if address and data and not memory.is_readable(address, len(data))
        ]
        if copies:
            memory = BlockMemory(source, known + copies, diagnostics, pointer_size=self._pointer_size)
        self.memory = memory

    @property
    def end(self) -> int:
        """File offset behind the triage part: secondary data begins there."""
        return self.header.size_of_dump

    def _check_end(self, dump_header: DumpHeader) -> bool:
        """Tell of a cut file: the end mark is missing, or the file is shorter than a kernel-written dump says."""
        header, size = self.header, self._source.size
        if self._source.read_at(header.valid_offset, 4) != _VALID or header.size_of_dump > size:
            self._diagnostics.error(
                "dump.truncated",
                f"the dump is cut: its end mark at {header.valid_offset:#x} is missing, the file has {size:#x} bytes",
                hint="copy the file again from the machine; what is there was read",
            )
            return False
        wanted = dump_header.required_dump_space
        if self.kernel_generated and wanted is not None and wanted > size:
            self._diagnostics.warning(
                "dump.truncated", f"the dump is cut: {size:#x} of {wanted:#x} bytes are there; its tables are whole"
            )
            return False
        return True

    def _read_blocks(self) -> list[Extent]:
        """Read the table of memory blocks, as far as the file and the limit go."""
        header, layout = self.header, _BLOCK64 if self._wide else _BLOCK32
        count = header.data_blocks_count
        there = max(0, self._source.size - header.data_blocks_offset) // layout.size
        if count > min(there, MAX_DATA_BLOCKS):
            self._diagnostics.warning(
                "dump.blocks-cut", f"the dump claims {count} memory blocks; {min(there, MAX_DATA_BLOCKS)} can be there"
            )
            count = min(there, MAX_DATA_BLOCKS)
        data = self._source.read_at(header.data_blocks_offset, count * layout.size)
        limit = 1 << (64 if self._wide else 32)
        rows = layout.iter_unpack(data[: len(data) - len(data) % layout.size])
        blocks: list[Extent] = []
        beyond = 0
        for first, second, third in rows:
            address, offset, size = first, second, third
            if address + size > limit:
                continue
            beyond += offset + size > self._source.size
            blocks.append(Extent(address, size, offset))
        if beyond:
            self.complete = False
            self._diagnostics.warning("dump.blocks-cut", f"{beyond} memory blocks lie behind the end of the file")
        return blocks

    def _read_kdbg(self, address: int | None) -> KdDebuggerData | None:
        header = self.header
        if not header.debugger_data_offset or not header.debugger_data_size or address is None:
            return None
        data = self._source.read_at(header.debugger_data_offset, min(header.debugger_data_size, 0x1000))
        try:
            return KdDebuggerData(data, address, self._pointer_size)
        except StopcodeError as error:
            self._diagnostics.warning("dump.kdbg-damaged", f"the kernel's debugger block is damaged: {error.message}")
            return None

    def _copy(self, offset: int, size_field: str) -> bytes | None:
        """Return a raw copy of a structure; its size is the kernel's own."""
        size = self.kdbg.value(size_field) if self.kdbg is not None else None
        if not offset or size is None:
            return None
        data = self._source.read_at(offset, size)
        return data if len(data) == size else None

    def _pointer_in(self, data: bytes | None, offset_field: str) -> int | None:
        offset = self.kdbg.value(offset_field) if self.kdbg is not None else None
        if data is None or offset is None or offset + self._pointer_size > len(data):
            return None
        return int.from_bytes(data[offset : offset + self._pointer_size], "little") or None

    def _find_prcb(self, memory: Memory) -> int | None:
        """Return the address of the processor block that was copied: KiProcessorBlock at its own number."""
        if self.kdbg is None or self.prcb is None:
            return None
        table, number_at = self.kdbg.value("KiProcessorBlock"), self.kdbg.value("OffsetPrcbNumber")
        if table is None or number_at is None:
            return None
        number = int.from_bytes(self.prcb[number_at : number_at + 4], "little")
        if number >= MAX_PROCESSORS:
            return None
        try:
            return memory.pointer(table + number * self._pointer_size) or None
        except ReadError:
            return None

    def _pool_string(self, offset: int) -> str | None:
        """Return a string of the pool: u32 length in UTF-16 units, then the text; what follows it is stale."""
        header = self.header
        length = int.from_bytes(self._source.read_at(offset, 4), "little")
        if not offset or not 0 < length <= MAX_STRING_CHARS or 2 * length > max(header.string_pool_size, 0):
            return None
        data = self._source.read_at(offset + 4, 2 * length)
        return data.decode("utf-16-le", "replace") if len(data) == 2 * length else None

    def modules(self) -> list[LoadedModule]:
        """Return the driver list, in the file's order; the kernel is first."""
        header, layout = self.header, _DRIVER64 if self._wide else _DRIVER32
        stride = self._driver_row(layout.size)
        there = max(0, self._source.size - header.driver_list_offset) // stride
        count = min(header.driver_count, there, MAX_DRIVER_LIST) if header.driver_list_offset else 0
        if count < header.driver_count:
            self._diagnostics.warning(
                "dump.drivers-cut", f"the dump claims {header.driver_count} drivers; {count} can be there"
            )
        data = self._source.read_at(header.driver_list_offset, count * stride)
        modules: list[LoadedModule] = []
        nameless = 0
        for at in range(0, len(data) - stride + 1, stride):
            row = layout.unpack_from(data, at)
            if self._wide:
                name_at, table, table_size, base, entry, size, checksum, stamp = row
                if stride >= _LONG_ROW:
                    stamp = int.from_bytes(data[at + _LONG_STAMP : at + _LONG_STAMP + 4], "little")
            else:
                name_at, base, entry, size, checksum, stamp = row
                table = table_size = 0
            text = self._pool_string(name_at)
            if base == 0 and text is None:
                continue
            nameless += text is None
            path = text if text is not None and "\\" in text else ""
            modules.append(
                LoadedModule(base_name(text or ""), path, base, size, stamp, checksum, entry, table, table_size)
            )
        if nameless:
            self._diagnostics.warning("dump.driver-names", f"{nameless} drivers of the dump have no readable name")
        return modules

    def _driver_row(self, size: int) -> int:
        """Return the bytes of a row: those of every dump seen, unless the pool behind tells that they are more."""
        header = self.header
        span = header.string_pool_offset - header.driver_list_offset
        if not self._wide or not header.driver_count or span % header.driver_count:
            return size
        told = span // header.driver_count
        if not size < told <= _LONGEST_ROW:
            return size
        second = int.from_bytes(self._source.read_at(header.driver_list_offset + told, 4), "little")
        if not 0 <= second - header.string_pool_offset < header.string_pool_size:
            return size
        self._diagnostics.info("dump.driver-rows", f"the rows of the driver list have {told:#x} bytes, not {size:#x}")
        return told

    def unloaded(self) -> list[UnloadedDriver]:
        """Return the unloaded drivers, newest first; names are cut at 12 characters."""
        header, layout = self.header, _UNLOADED64 if self._wide else _UNLOADED32
        if not header.unloaded_drivers_offset:
            return []
        at = header.unloaded_drivers_offset
        claimed = int.from_bytes(self._source.read_at(at, self._pointer_size), "little")
        count = min(claimed, MAX_UNLOADED_DRIVERS)
        data = self._source.read_at(at + self._pointer_size, count * layout.size)
        data = data[: len(data) - len(data) % layout.size]
        if claimed > len(data) // layout.size:
            self._diagnostics.warning(
                "dump.unloaded-cut", f"the dump claims {claimed} unloaded drivers; {len(data) // layout.size} were read"
            )
        drivers = []
        for length, name, start, end in layout.iter_unpack(data):
            if start:
                text = name[: min(length, 24) & ~1].decode("utf-16-le", "replace").split("\0", 1)[0]
                drivers.append(UnloadedDriver(text, start, end, None))
        return drivers

    def broken_driver(self) -> str | None:
        """Return the driver that the kernel itself blamed (KiBugCheckDriver), where it named one."""
        return self._pool_string(self.header.broken_driver_offset)


def parse_triage(source: ByteSource, dump_header: DumpHeader, diagnostics: Diagnostics) -> TriageDump:
    """Read the body of a triage dump.

    Raises:
        TruncatedError: the file ends inside the second header.

    """
    layout = TRIAGE_DUMP64 if dump_header.is_64bit else TRIAGE_DUMP32
    data = source.read_at(dump_header.size, layout.sizeof())
    if len(data) < layout.sizeof():
        raise TruncatedError("TRIAGE_DUMP", "ends too early", offset=dump_header.size, found=f"{len(data)} bytes")
    fields = layout.parse(data)
    names = TriageHeader.__slots__
    header = TriageHeader(**{name: int(fields[name]) for name in names})
    return TriageDump(source, dump_header, header, diagnostics)
