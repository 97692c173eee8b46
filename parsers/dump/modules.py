"""Loaded and unloaded modules, from PsLoadedModuleList and the kernel's table of unloaded drivers.

Offsets of KLDR_DATA_TABLE_ENTRY: public listings of Windows 7 to 11, 32-bit ones `rizinorg/rizin:
librz/bin/format/dmp/dmp_specs.h`; of UNLOADED_DRIVERS: `can1357/selene: resources/sdk/nt`. The user-mode LDR entry
has TimeDateStamp elsewhere (0x80): not to be mixed up.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from construct import Int16ul, Int32ul, Int64ul, Padding, Struct

from parsers.diagnostics import Diagnostics
from parsers.dump.kdbg import KdDebuggerData
from parsers.dump.memory import Memory
from parsers.errors import ReadError
from parsers.limits import MAX_LOADED_MODULES, MAX_STRING_CHARS, MAX_UNLOADED_DRIVERS

__all__ = [
    "KLDR_DATA_TABLE_ENTRY32",
    "KLDR_DATA_TABLE_ENTRY64",
    "LoadedModule",
    "UnloadedDriver",
    "base_name",
    "first_module",
    "read_unicode_string",
    "walk_modules",
    "walk_unloaded",
]


class LoadedModule(NamedTuple):
    """A driver, or the kernel, as it was loaded.

    Attributes:
        name: base name as stored ("Wdf01000.sys").
        path: full NT path, or "" when the dump holds base names alone.
        base: load address.
        size_of_image: bytes.
        timestamp: the PE header's TimeDateStamp; 0 = not known. A hash in reproducible builds, never a date then.
        checksum: the PE header's CheckSum; 0 = not known.
        entry_point: address, 0 = not known.
        exception_table: address of `.pdata`, 0 = not known.
        exception_table_size: bytes.

    """

    name: str
    path: str
    base: int
    size_of_image: int
    timestamp: int
    checksum: int
    entry_point: int = 0
    exception_table: int = 0
    exception_table_size: int = 0

    @property
    def end(self) -> int:
        """First address behind the image."""
        return self.base + self.size_of_image

    def holds(self, address: int) -> bool:
        """Tell whether an address lies inside the image."""
        return self.base <= address < self.end


class UnloadedDriver(NamedTuple):
    """A driver that was loaded once.

    Attributes:
        name: in triage dumps cut at 12 characters: match it as a prefix.
        start: first address of its former range (ranges are used again: look among loaded modules first).
        end: first address behind.
        time: FILETIME of the unloading; None in triage dumps, which do not keep it.

    """

    name: str
    start: int
    end: int
    time: int | None


#: KLDR_DATA_TABLE_ENTRY of 64-bit Windows 10 and later, 0xA0 bytes; up to 0x7C also that of Windows 7 and 8.
KLDR_DATA_TABLE_ENTRY64 = Struct(
    "flink" / Int64ul,  # 0x00
    "blink" / Int64ul,
    "exception_table" / Int64ul,  # 0x10
    "exception_table_size" / Int32ul,  # 0x18
    Padding(4),
    "gp_value" / Int64ul,
    "non_paged_debug_info" / Int64ul,
    "dll_base" / Int64ul,  # 0x30
    "entry_point" / Int64ul,  # 0x38
    "size_of_image" / Int32ul,  # 0x40
    Padding(4),
    "full_length" / Int16ul,  # 0x48 FullDllName, bytes
    "full_maximum_length" / Int16ul,
    Padding(4),
    "full_buffer" / Int64ul,  # 0x50
    "base_length" / Int16ul,  # 0x58 BaseDllName, bytes
    "base_maximum_length" / Int16ul,
    Padding(4),
    "base_buffer" / Int64ul,  # 0x60
    "flags" / Int32ul,  # 0x68
    "load_count" / Int16ul,
    Padding(2),
    "section_pointer" / Int64ul,  # 0x70
    "check_sum" / Int32ul,  # 0x78
    Padding(0x20),
    "time_date_stamp" / Int32ul,  # 0x9C builds from 10240 on
)

#: KLDR_DATA_TABLE_ENTRY of 32-bit Windows up to CheckSum, 0x44 bytes.
KLDR_DATA_TABLE_ENTRY32 = Struct(
    "flink" / Int32ul,
    "blink" / Int32ul,
    "exception_table" / Int32ul,  # 0x08
    "exception_table_size" / Int32ul,
    "gp_value" / Int32ul,
    "non_paged_debug_info" / Int32ul,
    "dll_base" / Int32ul,  # 0x18
    "entry_point" / Int32ul,
    "size_of_image" / Int32ul,  # 0x20
    "full_length" / Int16ul,  # 0x24
    "full_maximum_length" / Int16ul,
    "full_buffer" / Int32ul,  # 0x28
    "base_length" / Int16ul,  # 0x2C
    "base_maximum_length" / Int16ul,
    "base_buffer" / Int32ul,  # 0x30
    "flags" / Int32ul,  # 0x34
    "load_count" / Int16ul,
    Padding(2),
    "section_pointer" / Int32ul,
    "check_sum" / Int32ul,  # 0x40
)

# The same layouts, compiled: flink, exception table and size, base, entry, size of image, full name length and
# buffer, base name length and buffer, CheckSum (, TimeDateStamp). A test proves that both read alike.
_ENTRY64 = struct.Struct("<Q8xQI20xQQI4xH6xQH6xQ16xI32xI")
_ENTRY64_SHORT = struct.Struct("<Q8xQI20xQQI4xH6xQH6xQ16xI")
_ENTRY32 = struct.Struct("<I4xII8xIIIH2xIH2xI12xI")
_UNLOADED64 = struct.Struct("<H6xQQQQ")
_UNLOADED32 = struct.Struct("<H2xIIIQ")
#: Builds from the first Windows 10 on keep TimeDateStamp in the loader's record.
_FIRST_WITH_TIMESTAMP = 10240
#: The kernel's table of unloaded drivers is a ring of so many rows.
_UNLOADED_ROWS = 50


def base_name(path: str) -> str:
    """Return the last component of an NT path."""
    return path.rpartition("\\")[2]


def read_unicode_string(memory: Memory, buffer: int, length: int) -> str:
    """Return the UTF-16 text of `length` bytes at `buffer`, at most MAX_STRING_CHARS characters.

    Raises:
        ReadError: it cannot be read.

    """
    length = min(length & ~1, 2 * MAX_STRING_CHARS)
    return memory.read(buffer, length).decode("utf-16-le", "replace")


def _string(memory: Memory, buffer: int, length: int) -> str:
    try:
        return read_unicode_string(memory, buffer, length)
    except ReadError:
        return ""


def _image_header(memory: Memory, base: int) -> tuple[int, int, int] | None:
    """Return (TimeDateStamp, CheckSum, SizeOfImage) of the image's header page when the dump holds it."""
    try:
        head = memory.read_available(base, 0x400)
    except ReadError:
        return None
    if head[:2] != b"MZ" or len(head) < 0x40:
        return None
    at = int.from_bytes(head[0x3C:0x40], "little")
    if head[at : at + 4] != b"PE\0\0" or len(head) < at + 0x5C:
        return None
    # Offsets from the PE signature; the optional header has these fields at the same place in PE32 and PE32+.
    stamp, size, checksum = (int.from_bytes(head[at + k : at + k + 4], "little") for k in (0x08, 0x50, 0x58))
    return stamp, checksum, size


def _entry(memory: Memory, address: int, build: int) -> tuple[int, LoadedModule]:
    """Read one record; return the next one's address and the module."""
    stamp = 0
    if memory.pointer_size == 8:
        if build >= _FIRST_WITH_TIMESTAMP:
            fields = _ENTRY64.unpack(memory.read(address, _ENTRY64.size))
            stamp = fields[11]
        else:
            fields = _ENTRY64_SHORT.unpack(memory.read(address, _ENTRY64_SHORT.size))
    else:
        fields = _ENTRY32.unpack(memory.read(address, _ENTRY32.size))
    flink, table, table_size, base, entry, size, full_length, full_buffer, base_length, base_buffer, checksum = fields[
        :11
    ]
    path = _string(memory, full_buffer, full_length)
    name = _string(memory, base_buffer, base_length) or base_name(path)
    header = _image_header(memory, base)
    if header is not None:
        stamp, checksum = header[0], header[1]
    return flink, LoadedModule(name, path, base, size, stamp, checksum, entry, table, table_size)


def walk_modules(memory: Memory, head: int, build: int, diagnostics: Diagnostics) -> list[LoadedModule]:
    """Walk PsLoadedModuleList in load order.

    Args:
        memory: the machine's memory.
        head: address of the list head.
        build: build number of the header; records of builds from 10240 on hold TimeDateStamp.
        diagnostics: told when the list is broken, circles or is endless; what was read before is returned.

    """
    modules: list[LoadedModule] = []
    seen = {head}
    try:
        at = memory.pointer(head)
    except ReadError as error:
        diagnostics.error("dump.modules-unreadable", f"the list of loaded modules cannot be read: {error.message}")
        return modules
    while at != head:
        if at in seen:
            diagnostics.error("dump.modules-cycle", f"the list of loaded modules runs in a circle at {at:#x}")
            break
        if len(modules) >= MAX_LOADED_MODULES:
            diagnostics.error("dump.modules-endless", f"the list of loaded modules has over {MAX_LOADED_MODULES} rows")
            break
        seen.add(at)
        try:
            at, module = _entry(memory, at, build)
        except ReadError as error:
            diagnostics.error(
                "dump.modules-broken", f"the list of loaded modules breaks after {len(modules)} rows: {error.message}"
            )
            break
        modules.append(module)
    return modules


def first_module(memory: Memory, head: int, build: int) -> LoadedModule | None:
    """Return the first row of PsLoadedModuleList, the kernel; None when it cannot be read."""
    try:
        at = memory.pointer(head)
        return _entry(memory, at, build)[1] if at != head else None
    except ReadError:
        return None


def walk_unloaded(memory: Memory, kdbg: KdDebuggerData, diagnostics: Diagnostics) -> list[UnloadedDriver]:
    """Read the kernel's ring of unloaded drivers, newest first; empty when it is not there."""
    pointer_at, last_at = kdbg.value("MmUnloadedDrivers"), kdbg.value("MmLastUnloadedDriver")
    if pointer_at is None or last_at is None:
        return []
    layout = _UNLOADED64 if memory.pointer_size == 8 else _UNLOADED32
    rows: list[UnloadedDriver] = []
    try:
        table = memory.pointer(pointer_at)
        if table == 0:
            return []
        last = memory.u32(last_at)
        data = memory.read(table, layout.size * _UNLOADED_ROWS)
    except ReadError as error:
        diagnostics.info("dump.unloaded-unreadable", f"the list of unloaded drivers cannot be read: {error.message}")
        return []
    for index in range(min(_UNLOADED_ROWS, MAX_UNLOADED_DRIVERS)):
        row = (last - 1 - index) % _UNLOADED_ROWS
        length, buffer, start, end, time = layout.unpack_from(data, row * layout.size)
        if start:
            rows.append(UnloadedDriver(_string(memory, buffer, length), start, end, time or None))
    return rows
