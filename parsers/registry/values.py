"""Values of a key, and what their bytes mean."""

from __future__ import annotations

import struct
from typing import Final

from parsers.errors import FormatError, TruncatedError
from parsers.limits import MAX_REGISTRY_VALUE
from parsers.registry.cells import Cells

__all__ = ["TYPE_NAMES", "Value", "decode", "decode_name"]

#: Names of the types (winnt.h). Device properties use others: 0xFFFF0000 or-ed with a DEVPROPTYPE.
TYPE_NAMES: Final = (
    "REG_NONE",
    "REG_SZ",
    "REG_EXPAND_SZ",
    "REG_BINARY",
    "REG_DWORD",
    "REG_DWORD_BIG_ENDIAN",
    "REG_LINK",
    "REG_MULTI_SZ",
    "REG_RESOURCE_LIST",
    "REG_FULL_RESOURCE_DESCRIPTOR",
    "REG_RESOURCE_REQUIREMENTS_LIST",
    "REG_QWORD",
)
_SZ, _EXPAND_SZ, _DWORD, _DWORD_BIG_ENDIAN, _LINK, _MULTI_SZ, _QWORD = 1, 2, 4, 5, 6, 7, 11

_RECORD = struct.Struct("<2sHIIIHH")
_ONE_BYTE_NAME: Final = 1
#: Bytes of a name that are read together with the record; few names are longer.
_SHORT_NAME: Final = 32
_IN_PLACE: Final = 0x80000000
#: Bytes of one segment of big data.
_SEGMENT: Final = 16344
#: Version 1.4 brought big data.
_BIG_DATA_SINCE: Final = 4


def decode_name(data: bytes, one_byte: bool) -> str:
    """Return a name: Latin-1 where it has one byte a character, else UTF-16; lone surrogates become U+FFFD."""
    return data.decode("latin-1") if one_byte else data.decode("utf-16-le", "replace")


def decode(kind: int, data: bytes) -> int | str | list[str] | bytes:
    """Return a value's data by its type.

    Texts end at their first NUL; a list keeps empty texts inside (PendingFileRenameOperations pairs a name with an
    empty one) and loses its end mark. Types without a meaning of their own give the bytes.

    Raises:
        FormatError: a number of the wrong length.

    """
    if kind in (_SZ, _EXPAND_SZ, _LINK):
        return _text(data).partition("\0")[0]
    if kind == _MULTI_SZ:
        texts = _text(data).split("\0")
        # The last piece stands behind the last NUL; the one before is the end mark.
        if texts[-1] == "":
            texts.pop()
        if texts and texts[-1] == "":
            texts.pop()
        return texts
    if kind in (_DWORD, _DWORD_BIG_ENDIAN, _QWORD):
        wanted = 8 if kind == _QWORD else 4
        if len(data) != wanted:
            raise FormatError("regf", f"a {TYPE_NAMES[kind]} of another length", expected=wanted, found=len(data))
        return int.from_bytes(data, "big" if kind == _DWORD_BIG_ENDIAN else "little")
    return data


def _text(data: bytes) -> str:
    return data[: len(data) & ~1].decode("utf-16-le", "replace")


class Value:
    """One value of a key.

    Attributes:
        name: its name; "" for the unnamed one.
        type: number of its type.
        size: length of its data in bytes, as the record claims.
        offset: file offset of its record (the `vk` signature).

    Raises:
        FormatError: the record is damaged.

    """

    __slots__ = ("_at", "_cells", "_minor", "_size", "name", "offset", "type")

    def __init__(self, cells: Cells, cell: int, minor_version: int) -> None:
        offset, length, record = cells.begin(cell, _RECORD.size, _SHORT_NAME, "a value")
        signature, name_length, size, at, kind, flags, _spare = _RECORD.unpack_from(record)
        if signature != b"vk":
            raise FormatError("regf", "not a value", offset=offset, expected="vk", found=signature.hex())
        if name_length > length - _RECORD.size:
            raise FormatError("regf", "a value's name is longer than its cell", offset=offset, found=name_length)
        name = record[_RECORD.size : _RECORD.size + name_length]
        if name_length > _SHORT_NAME:
            name = cells.read(offset + _RECORD.size, name_length)
        self.name = decode_name(name, bool(flags & _ONE_BYTE_NAME))
        self.type: int = kind
        self.offset = offset
        self._size: int = size
        self._at: int = at
        self._cells = cells
        self._minor = minor_version

    @property
    def size(self) -> int:
        """Length of its data in bytes, as the record claims."""
        return self._size & ~_IN_PLACE

    @property
    def type_name(self) -> str:
        """Its type ("REG_DWORD"); an unknown one by its number ("REG_0xFFFF0010")."""
        return TYPE_NAMES[self.type] if self.type < len(TYPE_NAMES) else f"REG_0x{self.type:X}"

    @property
    def data(self) -> bytes:
        """Its bytes.

        Raises:
            FormatError: the data lead out of the hive, to a free or a too short cell, or are longer than is sane.
            ReadError: their place cannot be read.

        """
        size = self.size
        if self._size & _IN_PLACE:
            if size > 4:
                raise FormatError("regf", "data in place of more than four bytes", offset=self.offset, found=size)
            return self._at.to_bytes(4, "little")[:size]
        if size == 0:
            return b""
        if size > MAX_REGISTRY_VALUE:
            raise FormatError("regf", "a value's data are too long", offset=self.offset, found=size)
        if size > _SEGMENT and self._minor >= _BIG_DATA_SINCE:
            return self._big_data(size)
        return self._read(self._at, size)

    def _read(self, cell: int, size: int) -> bytes:
        offset, _length = self._cells.locate(cell, size, "a value's data")
        data = self._cells.read(offset, size)
        if len(data) < size:
            raise TruncatedError("regf", "a value's data lie behind the end of the hive", offset=offset)
        return data

    def _big_data(self, size: int) -> bytes:
        head = self._read(self._at, 8)
        if head[:2] != b"db":
            # Seen in hives that an older Windows wrote: one large cell.
            return self._read(self._at, size)
        count = int.from_bytes(head[2:4], "little")
        if count != -(-size // _SEGMENT):
            raise FormatError("regf", "big data with another number of segments", offset=self.offset, found=count)
        listed = self._read(int.from_bytes(head[4:8], "little"), count * 4)
        parts = []
        for number, (cell,) in enumerate(struct.iter_unpack("<I", listed)):
            parts.append(self._read(cell, min(_SEGMENT, size - number * _SEGMENT)))
        return b"".join(parts)

    def decoded(self) -> int | str | list[str] | bytes:
        """Return its data by its type (see `decode`).

        Raises:
            FormatError: the data are damaged, or a number has the wrong length.

        """
        return decode(self.type, self.data)
