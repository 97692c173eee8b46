"""Microsoft cabinets (.cab), as error reporting packs small dumps: members of stored, MSZIP and LZX folders.

Source: Microsoft [MS-CAB] (CFHEADER, CFFOLDER, CFFILE, CFDATA) and [MS-MCI] (MSZIP: each block begins `CK`, then
deflate with the 32 KiB before it as history); parsers/lzx.py for LZX. 7-Zip agrees on what the tests make. Quantum
folders are named and not read.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator
from functools import reduce
from operator import xor
from typing import NamedTuple

from parsers import lzx
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
_STORED, _MSZIP, _QUANTUM, _LZX = 0, 1, 2, 3


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
    readers: dict[int, _Reader] = {}
    for _file in range(min(files, MAX_PACKED_MEMBERS + 1)):
        size, offset, folder, _date, _time, _attributes = _FILE.unpack(
            read_exact(source, at, _FILE.size, format="CFFILE")
        )
        name, at = _text_at(source, at + _FILE.size)
        # 0xFFFD to 0xFFFF: the file goes on in another cabinet.
        if folder < len(table):
            if folder not in readers:
                readers[folder] = _Reader(source, table[folder], data_extra)
            yield name, readers[folder].file(offset, size)


def _text_at(source: ByteSource, offset: int) -> tuple[str, int]:
    """Return (text, offset behind its zero)."""
    raw, zero, _rest = source.read_at(offset, _MAX_NAME + 1).partition(b"\0")
    if not zero:
        raise FormatError("cabinet", "a name without an end", offset=offset)
    return raw.decode("utf-8", "replace"), offset + len(raw) + 1


class _Reader:
    """A folder's stream, read forward: files stand in it in their order, so that it is unpacked once for all."""

    def __init__(self, source: ByteSource, folder: _Folder, extra: int) -> None:
        self._source, self._folder, self._extra = source, folder, extra
        self._blocks = _blocks(source, folder, extra)
        #: The last block that was unpacked, and how many bytes stand in front of it.
        self._block, self._before = b"", 0

    def file(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield a file's bytes, which begin at `offset`."""
        if offset < self._before:
            self._blocks = _blocks(self._source, self._folder, self._extra)
            self._block, self._before = b"", 0
        while size > 0:
            first = max(0, offset - self._before)
            part = self._block[first : first + size]
            size -= len(part)
            offset += len(part)
            if part:
                yield part
            if size > 0:
                block = next(self._blocks, None)
                if block is None:
                    raise TruncatedError("cabinet", "its folder ends inside a file", offset=self._folder.offset)
                self._before += len(self._block)
                self._block = block


def _blocks(source: ByteSource, folder: _Folder, extra: int) -> Iterator[bytes]:
    """Yield the unpacked blocks of a folder."""
    unpack = _unpacker(folder.method)
    at = folder.offset
    for _block in range(folder.blocks):
        head = read_exact(source, at, _DATA.size + extra, format="CFDATA")
        checksum, length, unpacked = _DATA.unpack_from(head)
        data = read_exact(source, at + len(head), length, format="CFDATA")
        # 7-Zip counts the reserved bytes in, libmspack does not.
        if checksum and checksum not in (_checksum(data, _checksum(head[4:end])) for end in {_DATA.size, len(head)}):
            raise FormatError("CFDATA", "damaged: its checksum is another", offset=at, expected=checksum)
        if unpacked > _BLOCK:
            raise FormatError("CFDATA", "too large", offset=at, expected=f"<= {_BLOCK}", found=unpacked)
        try:
            data = unpack(data, unpacked)
        except (FormatError, zlib.error) as error:
            raise FormatError("CFDATA", f"damaged block: {error}", offset=at) from error
        if len(data) != unpacked:
            raise FormatError("CFDATA", "wrong length", offset=at, expected=unpacked, found=len(data))
        yield data
        at += len(head) + length


def _checksum(data: bytes, seed: int = 0) -> int:
    """Return the checksum of [MS-CAB] 3.1: words of 32 bits, and the rest in the reverse order, by exclusive or."""
    whole = len(data) & ~3
    words = array("I", data[:whole])
    if sys.byteorder == "big":
        words.byteswap()
    return reduce(xor, words, seed) ^ int.from_bytes(data[whole:], "big")


def _unpacker(method: int) -> Callable[[bytes, int], bytes]:
    """Return what unpacks one block of a folder after another, given how long it becomes."""
    kind = method & 0xF
    if kind == _STORED:
        return lambda data, _size: data
    if kind == _LZX:
        return lzx.Stream(method >> 8 & 0x1F).unpack
    if kind != _MSZIP:
        name = "Quantum" if kind == _QUANTUM else f"method {kind}"
        raise UnsupportedError(f"the cabinet is compressed with {name}", hint="unpack it with expand or cabextract")
    history = b""

    def inflate(data: bytes, _size: int) -> bytes:
        nonlocal history
        if data[:2] != b"CK":
            raise FormatError("MSZIP", "no block", expected="CK", found=data[:2])
        out = zlib.decompressobj(-zlib.MAX_WBITS, zdict=history).decompress(data[2:], _BLOCK)
        history = (history + out)[-_BLOCK:]
        return out

    return inflate
