"""The version resource of a PE file, from its headers and the way through .rsrc alone.

A scan reads the versions of some 430 drivers: this reads two to four stretches of a few KiB of each file, where
pefile's full parse costs ten times as much. It is held against pefile on real Windows binaries in the tests; no
file was found that pefile reads and this does not, so pefile is a judge in the tests and no fallback here.

Source: Microsoft "VS_VERSIONINFO", "VS_FIXEDFILEINFO", "StringFileInfo" (MicrosoftDocs/win32:
desktop-src/menurc/vs-versioninfo.md and its neighbours) and "The .rsrc Section" of "PE Format". That value lengths
of strings count characters in some compilers' output and bytes in others' was seen in real files; the text is
therefore taken up to its NUL inside its node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, ReadError, TruncatedError
from parsers.limits import MAX_VERSION_NODES, MAX_VERSION_RESOURCE, require_count
from parsers.pe import DIRECTORY_RESOURCE, PeImage
from parsers.version import Version

__all__ = ["VersionResource", "read_version", "version_of"]

_FORMAT = "VS_VERSIONINFO"
_RT_VERSION = 16
_DIRECTORY = Struct("<IIHHHH")
_ENTRY = Struct("<II")
_DATA_ENTRY = Struct("<IIII")
_FIXED = Struct("<13I")
_FIXED_SIGNATURE = 0xFEEF04BD
_SUBDIRECTORY = 0x80000000
_FIRST_READ = 0x400
#: Entries of one resource directory looked at; shell32.dll, the richest of Windows, has about 1,200.
_MAX_ENTRIES = 8192
_ENGLISH_US = 0x409


@dataclass(frozen=True, slots=True)
class VersionResource:
    """What a file says of its version.

    Attributes:
        file_version: FileVersion of VS_FIXEDFILEINFO (what Windows and updates compare).
        product_version: ProductVersion of it.
        strings: the string table of the first translation (else the first table): CompanyName, FileDescription,
            OriginalFilename, FileVersion …
        language: language id of the resource taken (0x409: US English).
        flags: VS_FF_* flags that FileFlagsMask lets count (1 debug, 2 prerelease, 4 patched, 8 private build).
        offset: file offset of VS_FIXEDFILEINFO.

    """

    file_version: Version
    product_version: Version
    strings: dict[str, str] = field(default_factory=dict)
    language: int = 0
    flags: int = 0
    offset: int = 0


class _Node(NamedTuple):
    """A node of the version tree, with offsets in the resource."""

    key: str
    value: int
    value_length: int
    end: int


class _Resources:
    """The resource directory, read in few pieces."""

    def __init__(self, image: PeImage, rva: int, size: int) -> None:
        self._image = image
        self._rva = rva
        self._size = size
        self._buffer = image.read_rva(rva, min(size, _FIRST_READ))

    def _bytes(self, offset: int, length: int) -> bytes:
        if offset + length > len(self._buffer):
            data = self._image.read_rva(self._rva + offset, length)
        else:
            data = self._buffer[offset : offset + length]
        if len(data) < length:
            raise TruncatedError("PE .rsrc", "directory cut off", offset=offset, expected=length, found=len(data))
        return data

    def entries(self, offset: int) -> list[tuple[int, int]]:
        """Return (id or name, offset field) of a directory's rows."""
        row = _DIRECTORY.unpack(self._bytes(offset, _DIRECTORY.size))
        count = require_count(row[4] + row[5], _MAX_ENTRIES, format="PE .rsrc", what="entries", offset=offset)
        if not count:
            return []
        return list(_ENTRY.iter_unpack(self._bytes(offset + _DIRECTORY.size, count * _ENTRY.size)))

    def directory(self, rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the rows of the first subdirectory among `rows`."""
        for _name, target in rows:
            if target & _SUBDIRECTORY:
                return self.entries(target & ~_SUBDIRECTORY)
        return []

    def data(self, offset: int) -> tuple[int, int]:
        """Return (RVA, size) of a data entry."""
        row = _DATA_ENTRY.unpack(self._bytes(offset, _DATA_ENTRY.size))
        return row[0], row[1]


def read_version(source: ByteSource) -> VersionResource | None:
    """Return the version resource of a PE file, or None when it has none.

    Raises:
        FormatError: not a PE file, or its resource contradicts itself.
        ReadError: the way to it lies where the file cannot be read.

    """
    return version_of(PeImage(source))


def version_of(image: PeImage) -> VersionResource | None:
    """Return the version resource of an opened image; else as `read_version`.

    Zeros where resources should stand are damage: a linker writes no resource directory rather than an empty one.
    """
    rva, size = image.data_directory(DIRECTORY_RESOURCE)
    if not rva or size < _DIRECTORY.size:
        if any(section.name == ".rsrc" and section.raw_size for section in image.sections):
            raise FormatError("PE .rsrc", "the section is there, but the header names no resource directory")
        return None
    resources = _Resources(image, rva, size)
    rows = resources.entries(0)
    if not rows:
        raise FormatError("PE .rsrc", "the resource directory is empty", offset=image.file_offset(rva))
    types = [row for row in rows if row[0] == _RT_VERSION]
    languages = [row for row in resources.directory(resources.directory(types[:1])) if not row[1] & _SUBDIRECTORY]
    if not languages:
        # Two levels only (type, then language) are not what the format says; linkers exist that write it so.
        languages = [row for row in resources.directory(types[:1]) if not row[1] & _SUBDIRECTORY]
    if not languages:
        if types:
            raise FormatError("PE .rsrc", "the version resource is listed, but nothing stands there")
        return None
    language, entry = min(languages, key=lambda row: (row[0] != _ENGLISH_US, row[0] != 0, row[0]))
    data_rva, length = resources.data(entry)
    require_count(length, MAX_VERSION_RESOURCE, format=_FORMAT, what="size", offset=data_rva)
    try:
        data = image.read_rva(data_rva, length)
    except ReadError as error:
        raise FormatError(_FORMAT, "lies outside the file", found=f"RVA {data_rva:#x}") from error
    return _parse(data, image.file_offset(data_rva) or 0, language)


def _parse(data: bytes, where: int, language: int) -> VersionResource:
    root = _node(data, 0, len(data))
    if root is None or root.key != "VS_VERSION_INFO":
        raise FormatError(_FORMAT, "key", offset=where, expected="VS_VERSION_INFO", found=root and root.key[:32])
    if root.value_length < _FIXED.size or root.value + _FIXED.size > len(data):
        raise FormatError(_FORMAT, "no VS_FIXEDFILEINFO", offset=where + root.value, found=root.value_length)
    fixed = _FIXED.unpack_from(data, root.value)
    if fixed[0] != _FIXED_SIGNATURE:
        raise FormatError(
            _FORMAT,
            "VS_FIXEDFILEINFO signature",
            offset=where + root.value,
            expected=hex(_FIXED_SIGNATURE),
            found=hex(fixed[0]),
        )
    tables: dict[str, dict[str, str]] = {}
    translations: list[str] = []
    for child in _children(data, root.value + root.value_length, root.end):
        if child.key == "StringFileInfo":
            for table in _children(data, child.value, child.end):
                strings = {node.key: _text(data, node) for node in _children(data, table.value, table.end)}
                tables.setdefault(table.key.upper(), strings)
        elif child.key == "VarFileInfo":
            for var in _children(data, child.value, child.end):
                if var.key == "Translation":
                    pairs = data[var.value : min(var.value + var.value_length, var.end)]
                    translations += [
                        f"{int.from_bytes(pairs[i : i + 2], 'little'):04X}"
                        f"{int.from_bytes(pairs[i + 2 : i + 4], 'little'):04X}"
                        for i in range(0, len(pairs) - 3, 4)
                    ]
    chosen = next((tables[key] for key in translations if key in tables), next(iter(tables.values()), {}))
    return VersionResource(
        Version.unpack(fixed[2] << 32 | fixed[3]),
        Version.unpack(fixed[4] << 32 | fixed[5]),
        chosen,
        language,
        fixed[6] & fixed[7],
        where + root.value,
    )


def _node(data: bytes, offset: int, limit: int) -> _Node | None:
    """Return the node at an offset (a multiple of 4), or None when none can stand there."""
    if offset + 8 > limit:
        return None
    length = int.from_bytes(data[offset : offset + 2], "little")
    if length < 8:
        return None
    end = min(offset + length, limit)
    key_end = offset + 6
    while key_end + 1 < end and data[key_end : key_end + 2] != b"\0\0":
        key_end += 2
    key = data[offset + 6 : key_end].decode("utf-16-le", "backslashreplace")
    value = min((key_end + 2 + 3) & -4, end)
    return _Node(key, value, int.from_bytes(data[offset + 2 : offset + 4], "little"), end)


def _children(data: bytes, offset: int, end: int) -> Iterator[_Node]:
    for _count in range(MAX_VERSION_NODES):
        offset = (offset + 3) & -4
        node = _node(data, offset, end)
        if node is None:
            return
        yield node
        offset = node.end


def _text(data: bytes, node: _Node) -> str:
    if not node.value_length:
        return ""
    return data[node.value : node.end].decode("utf-16-le", "backslashreplace").partition("\0")[0]
