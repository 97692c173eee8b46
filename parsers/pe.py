"""PE images (drivers, the kernel, DLLs): headers, sections, exports and the unwind table, read lazily.

An image is read as it lies in a file (`layout="file"`: an RVA goes through the section table) or as the loader
mapped it into memory (`layout="memory"`: an RVA is an offset). Only the headers are read at once, in one or two
reads; everything else when it is asked for. Layouts, as documentation, in `parsers.pe_layouts`; the hot path here
uses `struct`, and a test holds the two against each other.

Source: Microsoft "PE Format" (MicrosoftDocs/win32: desktop-src/Debug/pe-format.md); the rounding of raw offsets
is the loader's and was seen in pefile's source as well.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from typing import Literal

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, ReadError, StopcodeError, TruncatedError
from parsers.limits import (
    MAX_PE_EXPORT_BYTES,
    MAX_PE_EXPORT_NAME,
    MAX_PE_EXPORTS,
    MAX_PE_HEADERS,
    MAX_PE_READ,
    require_count,
)
from parsers.pe_pdata import RuntimeFunction, RuntimeFunctions

__all__ = [
    "DIRECTORY_DEBUG",
    "DIRECTORY_EXCEPTION",
    "DIRECTORY_EXPORT",
    "DIRECTORY_IMPORT",
    "DIRECTORY_RESOURCE",
    "MACHINE_AMD64",
    "MACHINE_ARM64",
    "MACHINE_I386",
    "PeImage",
    "RuntimeFunction",
    "RuntimeFunctions",
    "Section",
]

MACHINE_I386 = 0x014C
MACHINE_AMD64 = 0x8664
MACHINE_ARM64 = 0xAA64

DIRECTORY_EXPORT = 0
DIRECTORY_IMPORT = 1
DIRECTORY_RESOURCE = 2
DIRECTORY_EXCEPTION = 3
DIRECTORY_DEBUG = 6

_FORMAT = "PE"
_FIRST_READ = 0x1000
_PAGE = 0x1000
_SECTOR = 0x200
_EXECUTE = 0x20000000

_FILE_HEADER = Struct("<HHIIIHH")
_DIRECTORY = Struct("<II")
_SECTION = Struct("<8sIIIIIIHHI")
_EXPORTS = Struct("<IIHHIIIIIII")


@dataclass(frozen=True, slots=True)
class Section:
    """One row of the section table.

    Attributes:
        name: up to 8 characters, without trailing NULs.
        rva: VirtualAddress.
        virtual_size: bytes in memory (VirtualSize; 0 means: as many as in the file).
        raw_offset: PointerToRawData as stored.
        raw_size: SizeOfRawData.
        characteristics: IMAGE_SCN_* flags.

    """

    name: str
    rva: int
    virtual_size: int
    raw_offset: int
    raw_size: int
    characteristics: int

    @property
    def mapped_size(self) -> int:
        """Bytes the section has in memory: VirtualSize, or as many of the file's as share its last page."""
        if not self.virtual_size:
            return self.raw_size
        rounded = (self.virtual_size + _PAGE - 1) & -_PAGE
        return max(self.virtual_size, min(self.raw_size, rounded))

    @property
    def is_executable(self) -> bool:
        """Whether IMAGE_SCN_MEM_EXECUTE is set."""
        return bool(self.characteristics & _EXECUTE)


class PeImage:
    """A PE image.

    Args:
        source: the file, or the mapped image from its first byte.
        layout: how `source` is laid out.

    Attributes:
        machine: IMAGE_FILE_HEADER.Machine.
        timestamp: TimeDateStamp (seconds since 1970, or a hash in reproducible builds).
        checksum: CheckSum (0: none).
        size_of_image: bytes in memory.
        size_of_headers: bytes of headers that the loader maps.
        image_base: preferred load address.
        entry_point: RVA of the entry, 0 for none.
        sections: the section table, in file order.
        is_64: PE32+ (else PE32).

    Raises:
        FormatError: the bytes are not a PE image, or its headers are cut off (TruncatedError).
        ReadError: the headers lie where the source cannot be read.

    """

    def __init__(self, source: ByteSource, *, layout: Literal["file", "memory"] = "file") -> None:
        self.source = source
        self.layout = layout
        head = source.read_at(0, _FIRST_READ)
        if len(head) < 0x40:
            raise TruncatedError(_FORMAT, "ends inside the DOS header", offset=0, expected=0x40, found=len(head))
        if head[:2] != b"MZ":
            raise FormatError(_FORMAT, "no DOS header", offset=0, expected=b"MZ", found=head[:2])
        at = int.from_bytes(head[0x3C:0x40], "little")
        if at + 0x18 > MAX_PE_HEADERS:
            raise FormatError(_FORMAT, "e_lfanew out of range", offset=0x3C, found=f"{at:#x}")
        head = self._more(head, at + 0x18)
        if head[at : at + 4] != b"PE\0\0":
            raise FormatError(_FORMAT, "no PE signature", offset=at, expected=b"PE\0\0", found=head[at : at + 4])
        self.nt_offset = at
        (self.machine, section_count, self.timestamp, _symbols, _symbol_count, optional_size, self.characteristics) = (
            _FILE_HEADER.unpack_from(head, at + 4)
        )
        table = at + 0x18 + optional_size
        end = table + section_count * _SECTION.size
        if end > MAX_PE_HEADERS:
            raise FormatError(_FORMAT, "headers too long", offset=at + 6, expected=MAX_PE_HEADERS, found=end)
        head = self._more(head, end)
        self._read_optional_header(head, at + 0x18, optional_size)
        self.sections: tuple[Section, ...] = tuple(
            Section(row[0].rstrip(b"\0").decode("latin-1"), row[2], row[1], row[4], row[3], row[9])
            for row in (_SECTION.unpack_from(head, table + i * _SECTION.size) for i in range(section_count))
        )

    def _more(self, head: bytes, length: int) -> bytes:
        if len(head) < length:
            head = self.source.read_at(0, length)
        if len(head) < length:
            raise TruncatedError(_FORMAT, "ends inside the headers", offset=0, expected=length, found=len(head))
        return head

    def _read_optional_header(self, head: bytes, at: int, size: int) -> None:
        magic = int.from_bytes(head[at : at + 2], "little") if size >= 2 else 0
        if magic not in (0x10B, 0x20B):
            raise FormatError(_FORMAT, "optional header magic", offset=at, expected="0x10b or 0x20b", found=hex(magic))
        self.is_64 = magic == 0x20B
        fixed = 0x70 if self.is_64 else 0x60
        if size < fixed:
            raise TruncatedError(_FORMAT, "optional header too short", offset=at, expected=fixed, found=size)

        def u32(offset: int) -> int:
            return int.from_bytes(head[at + offset : at + offset + 4], "little")

        self.entry_point = u32(0x10)
        self.image_base = int.from_bytes(head[at + 0x18 : at + 0x20], "little") if self.is_64 else u32(0x1C)
        self.section_alignment = u32(0x20)
        self.size_of_image = u32(0x38)
        self.size_of_headers = u32(0x3C)
        self.checksum = u32(0x40)
        self.subsystem = int.from_bytes(head[at + 0x44 : at + 0x46], "little")
        # NumberOfRvaAndSizes may claim more than 16 (the loader looks no further) or more than the header holds.
        count = min(u32(fixed - 4), 16, (size - fixed) // _DIRECTORY.size)
        self._directories = tuple(_DIRECTORY.unpack_from(head, at + fixed + i * _DIRECTORY.size) for i in range(count))

    def data_directory(self, index: int) -> tuple[int, int]:
        """Return (RVA, size in bytes) of a data directory; (0, 0) when the image has none."""
        if 0 <= index < len(self._directories):
            rva, size = self._directories[index]
            return rva, size
        return 0, 0

    def section_at(self, rva: int) -> Section | None:
        """Return the section that holds an RVA, or None (headers, gaps, outside)."""
        for section in self.sections:
            if section.rva <= rva < section.rva + section.mapped_size:
                return section
        return None

    def is_executable(self, rva: int) -> bool:
        """Whether an RVA lies in a section that may be executed."""
        section = self.section_at(rva)
        return section is not None and section.is_executable

    def file_offset(self, rva: int) -> int | None:
        """Return where an RVA lies in the source, or None when no byte of the source backs it."""
        if self.layout == "memory":
            return rva if 0 <= rva < self.size_of_image else None
        section = self.section_at(rva)
        if section is None:
            return rva if 0 <= rva < self.size_of_headers else None
        inside = rva - section.rva
        return self._raw_start(section) + inside if inside < self._raw_length(section) else None

    def _raw_start(self, section: Section) -> int:
        # The loader rounds PointerToRawData down to a sector, save in images of a section alignment below a page.
        return section.raw_offset & -_SECTOR if self.section_alignment >= _PAGE else section.raw_offset

    def _raw_length(self, section: Section) -> int:
        return min(section.raw_size, section.mapped_size) if section.raw_offset else 0

    def read_rva(self, rva: int, length: int) -> bytes:
        """Return up to `length` bytes at an RVA; fewer at the end of a section, the headers or a cut file.

        One read gives at most MAX_PE_READ bytes.

        What a section has in memory beyond its raw data reads as zeros; raw data that the file should hold and
        does not never does.

        Raises:
            ReadError: no byte of the image stands there (outside, in a gap, behind the cut).

        """
        if length <= 0:
            return b""
        if self.layout == "memory":
            length = min(length, self.size_of_image - rva)
            data = self.source.read_at(rva, length) if rva >= 0 and length > 0 else b""
        else:
            data = self._read_file(rva, length)
        if not data:
            raise ReadError(f"no bytes of the image at RVA {rva:#x}", address=rva)
        return data

    def _read_file(self, rva: int, length: int) -> bytes:
        section = self.section_at(rva)
        if section is None:
            return self.source.read_at(rva, min(length, self.size_of_headers - rva)) if rva >= 0 else b""
        inside = rva - section.rva
        length = min(length, section.mapped_size - inside, MAX_PE_READ)
        stored = min(length, max(0, self._raw_length(section) - inside))
        data = self.source.read_at(self._raw_start(section) + inside, stored) if stored else b""
        return data if len(data) < stored else data + bytes(length - stored)

    @cached_property
    def pdata(self) -> RuntimeFunctions:
        """The unwind table (data directory 3); empty for machines that have none."""
        rva, size = self.data_directory(DIRECTORY_EXCEPTION)
        row = {MACHINE_AMD64: 12, MACHINE_ARM64: 8}.get(self.machine, 0)
        return RuntimeFunctions(self.read_rva, rva, size if row else 0, row_size=row or 12)

    def exports(self) -> list[tuple[str, int]]:
        """Return (name, RVA) of every export with a name and an address in this image, by RVA.

        Forwarders (whose "address" is a text in the export directory) and exports by number alone are left out.

        Raises:
            FormatError: the table contradicts itself.
            ReadError: it lies where the image cannot be read.

        """
        rva, size = self.data_directory(DIRECTORY_EXPORT)
        if not rva or size < _EXPORTS.size:
            return []
        # Directory, tables and names mostly lie in one piece: one read gives them all.
        whole = self.read_rva(rva, min(size, MAX_PE_EXPORT_BYTES))
        if len(whole) < _EXPORTS.size:
            raise TruncatedError(_FORMAT, "export directory cut off", expected=_EXPORTS.size, found=len(whole))

        def bytes_at(place: int, length: int) -> bytes:
            if rva <= place and place + length <= rva + len(whole):
                return whole[place - rva : place - rva + length]
            return self.read_rva(place, length)

        row = _EXPORTS.unpack_from(whole)
        functions, names = row[6], row[7]
        require_count(functions, MAX_PE_EXPORTS, format=_FORMAT, what="NumberOfFunctions")
        require_count(names, MAX_PE_EXPORTS, format=_FORMAT, what="NumberOfNames")
        if not functions or not names:
            return []
        address_table = bytes_at(row[8], functions * 4)
        name_table = bytes_at(row[9], names * 4)
        ordinal_table = bytes_at(row[10], names * 2)
        found: list[tuple[str, int]] = []
        for i in range(min(len(name_table) // 4, len(ordinal_table) // 2)):
            index = int.from_bytes(ordinal_table[i * 2 : i * 2 + 2], "little")
            target = int.from_bytes(address_table[index * 4 : index * 4 + 4], "little")
            if not target or rva <= target < rva + size:
                continue
            place = int.from_bytes(name_table[i * 4 : i * 4 + 4], "little")
            if rva <= place < rva + len(whole):
                end = whole.find(b"\0", place - rva, place - rva + MAX_PE_EXPORT_NAME)
                text = whole[place - rva : end] if end >= 0 else b""
            else:
                text = self.read_rva(place, MAX_PE_EXPORT_NAME).partition(b"\0")[0]
            if text:
                found.append((text.decode("ascii", "backslashreplace"), target))
        found.sort(key=lambda item: (item[1], item[0]))
        return found

    @cached_property
    def _export_index(self) -> tuple[list[int], list[str]]:
        try:
            found = self.exports()
        except StopcodeError:
            found = []
        return [rva for _name, rva in found], [name for name, _rva in found]

    def nearest_export(self, rva: int) -> tuple[str, int] | None:
        """Return (name, distance in bytes) of the last export at or before an RVA in the same section, or None.

        A damaged export table gives None: a missing name is no reason to lose a stack.
        """
        addresses, names = self._export_index
        i = bisect_right(addresses, rva) - 1
        if i < 0:
            return None
        section = self.section_at(rva)
        if section is None or not section.rva <= addresses[i]:
            return None
        # Of several names for one address the first by alphabet, so that the answer is always the same one.
        while i and addresses[i - 1] == addresses[i]:
            i -= 1
        return names[i], rva - addresses[i]
