"""Microsoft cabinets (.cab), as error reporting packs small dumps: members of stored and MSZIP folders.

Source: Microsoft [MS-CAB] (CFHEADER, CFFOLDER, CFFILE, CFDATA) and [MS-MCI] (MSZIP: each block begins `CK`, then
deflate with the 32 KiB before it as history). 7-Zip agrees on what the tests make. LZX and Quantum folders are named
and not read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from parsers.bytesource import ByteSource, read_exact
from parsers.errors import FormatError, TruncatedError, UnsupportedError
from parsers.limits import MAX_PACKED_MEMBERS

__all__ = ["read_cabinet"]

_HEADER = struct.Struct("<4s4xI4xI4xBBHHHHH")
_FOLDER = struct.Struct("<IHH")
_FILE = struct.Struct("<IIHHHH")
_DATA = struct.Struct("<IHH")
_PREVIOUS, _NEXT, _RESERVE = 1, 2, 4
_MAX_NAME = 256
#: A block holds at most 32 KiB of bytes.
_BLOCK = 0x8000
_STORED, _MSZIP = 0, 1
_METHODS = {2: "Quantum", 3: "LZX"}


class _Folder(NamedTuple):
    offset: int
    blocks: int
    method: int


def read_cabinet(source: ByteSource) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield (name, blocks of bytes) of each file that lies wholly in this cabinet, in its order.

    Raises:
        FormatError: no cabinet, or its tables are damaged.

    """
    raw = read_exact(source, 0, _HEADER.size, format="cabinet")
    signature, _size, files_at, _minor, major, folders, files, flags, _set, _index = _HEADER.unpack(raw)
    if signature != b"MSCF" or major != 1:
        raise FormatError("cabinet", "not one", offset=0, expected="MSCF, version 1", found=(signature, major))
    at, folder_extra, data_extra = _HEADER.size, 0, 0
    if flags & _RESERVE:
        header_extra, folder_extra, data_extra = struct.unpack("<HBB", read_exact(source, at, 4, format="cabinet"))
        at += 4 + header_extra
    for bit in (_PREVIOUS, _NEXT):
        if flags & bit:
            # Name of the neighbouring cabinet, and of its disk.
            for _text in range(2):
                at = _text_at(source, at)[1]
    table = []
    for _folder in range(folders):
        table.append(_Folder(*_FOLDER.unpack(read_exact(source, at, _FOLDER.size, format="CFFOLDER"))))
        at += _FOLDER.size + folder_extra
    at = files_at
    for _file in range(min(files, MAX_PACKED_MEMBERS + 1)):
        size, offset, folder, _date, _time, _attributes = _FILE.unpack(
            read_exact(source, at, _FILE.size, format="CFFILE")
        )
        name, at = _text_at(source, at + _FILE.size)
        # 0xFFFD to 0xFFFF: the file goes on in another cabinet.
        if folder < len(table):
            yield name, _contents(source, table[folder], offset, size, data_extra)


def _text_at(source: ByteSource, offset: int) -> tuple[str, int]:
    """Return (text, offset behind its zero)."""
    raw, zero, _rest = source.read_at(offset, _MAX_NAME + 1).partition(b"\0")
    if not zero:
        raise FormatError("cabinet", "a name without an end", offset=offset)
    return raw.decode("utf-8", "replace"), offset + len(raw) + 1


def _contents(source: ByteSource, folder: _Folder, offset: int, size: int, extra: int) -> Iterator[bytes]:
    """Yield a file's bytes: the folder is one stream, in which the file begins at `offset`."""
    passed = 0
    for block in _blocks(source, folder, extra):
        first = max(0, offset - passed)
        passed += len(block)
        part = block[first : first + size]
        size -= len(part)
        if part:
            yield part
        if size <= 0:
            return
    if size > 0:
        raise TruncatedError("cabinet", "its folder ends inside a file", offset=folder.offset)


def _blocks(source: ByteSource, folder: _Folder, extra: int) -> Iterator[bytes]:
    """Yield the unpacked blocks of a folder."""
    method = folder.method & 0xF
    if method not in (_STORED, _MSZIP):
        kind = _METHODS.get(method, f"method {method}")
        raise UnsupportedError(f"the cabinet is compressed with {kind}", hint="unpack it with expand or cabextract")
    at, history = folder.offset, b""
    for _block in range(folder.blocks):
        _checksum, length, unpacked = _DATA.unpack(read_exact(source, at, _DATA.size, format="CFDATA"))
        data = read_exact(source, at + _DATA.size + extra, length, format="CFDATA")
        at += _DATA.size + extra + length
        if method == _MSZIP:
            if data[:2] != b"CK" or unpacked > _BLOCK:
                raise FormatError("MSZIP", "no block", offset=at, expected="CK", found=data[:2])
            stream = zlib.decompressobj(-zlib.MAX_WBITS, zdict=history)
            try:
                data = stream.decompress(data[2:], _BLOCK)
            except zlib.error as error:
                raise FormatError("MSZIP", f"damaged block: {error}", offset=at) from error
            history = (history + data)[-_BLOCK:]
        if len(data) != unpacked:
            raise FormatError("CFDATA", "wrong length", offset=at, expected=unpacked, found=len(data))
        yield data
