"""Records of the master file table: fixed up, checked, and cut into attributes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from parsers.errors import FormatError

__all__ = [
    "ATTRIBUTE_LIST",
    "DATA",
    "FILE_NAME",
    "INDEX_ALLOCATION",
    "INDEX_ROOT",
    "REPARSE_POINT",
    "STANDARD_INFORMATION",
    "VOLUME_INFORMATION",
    "VOLUME_NAME",
    "Attribute",
    "Record",
    "fix_up",
    "record_number",
]

STANDARD_INFORMATION: Final = 0x10
ATTRIBUTE_LIST: Final = 0x20
FILE_NAME: Final = 0x30
VOLUME_NAME: Final = 0x60
VOLUME_INFORMATION: Final = 0x70
DATA: Final = 0x80
INDEX_ROOT: Final = 0x90
INDEX_ALLOCATION: Final = 0xA0
REPARSE_POINT: Final = 0xC0
_END: Final = 0xFFFFFFFF

#: Bytes that one number of the update sequence guards, on disks of any sector size.
_STRIDE: Final = 512
_IN_USE: Final = 1
_FOLDER: Final = 2

_RECORD = struct.Struct("<4sHHQHHHHIIQ")
_HEADER = struct.Struct("<IIBBHHH")
_RESIDENT = struct.Struct("<IH")
_NON_RESIDENT = struct.Struct("<QQHB5xQQQ")


def record_number(reference: int) -> int:
    """Return the number of the record that a reference names."""
    return reference & 0xFFFFFFFFFFFF


def fix_up(data: bytes, magic: bytes, offset: int) -> bytes:
    """Return a record or an index block with the ends of its sectors put back in place.

    Each sector's last two bytes hold the update sequence number while on disk: where one differs, the write that
    brought it was cut off.

    Raises:
        FormatError: another magic, an update sequence out of bounds, or a torn write.

    """
    if data[:4] != magic:
        raise FormatError("NTFS", "damaged structure", offset=offset, expected=magic.decode(), found=data[:4].hex())
    at, count = struct.unpack_from("<HH", data, 4)
    sectors = len(data) // _STRIDE
    if at & 1 or count != sectors + 1 or at + 2 * count > min(len(data), _STRIDE):
        raise FormatError("NTFS", "the update sequence is damaged", offset=offset, found=f"{count} at {at:#x}")
    fixed = bytearray(data)
    number = data[at : at + 2]
    for sector in range(sectors):
        end = (sector + 1) * _STRIDE
        if data[end - 2 : end] != number:
            raise FormatError("NTFS", "a torn write: sectors of different age", offset=offset + end - _STRIDE)
        fixed[end - 2 : end] = data[at + 2 * sector + 2 : at + 2 * sector + 4]
    return bytes(fixed)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a record, or one stretch of it where it is spread over several.

    Attributes:
        type: number of its type.
        name: its name; "" for the unnamed one.
        flags: low byte: compressed; 0x4000: encrypted; 0x8000: sparse.
        value: its bytes when they stand in the record, else None.
        lowest, highest: first and last cluster (VCN) that this stretch maps.
        pairs: the mapping pairs.
        unit: clusters of a compression unit, as log2; 0 when it is not compressed.
        size, initialized: bytes, and how many of them were ever written (valid where lowest is 0).
        offset: file offset of the record, for errors.

    """

    type: int
    name: str
    flags: int
    value: bytes | None
    lowest: int
    highest: int
    pairs: bytes
    unit: int
    size: int
    initialized: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the master file table.

    Attributes:
        number: its number.
        sequence: how often the number was used.
        in_use: whether it stands for a file.
        is_dir: whether that is a folder.
        base: number of the record that it is an extension of; 0 when it is none.
        attributes: what stands in it.
        offset: byte offset in the table.

    """

    number: int
    sequence: int
    in_use: bool
    is_dir: bool
    base: int
    attributes: tuple[Attribute, ...]
    offset: int

    @classmethod
    def parse(cls, data: bytes, number: int, offset: int) -> Record:
        """Read a record.

        Raises:
            FormatError: it is damaged.

        """
        fixed = fix_up(data, b"FILE", offset)
        (_, _, _, _, sequence, _links, first, flags, used, _, base) = _RECORD.unpack_from(fixed)
        if not _RECORD.size <= first <= used <= len(fixed):
            raise FormatError("NTFS", "the record's bounds are impossible", offset=offset, found=used)
        attributes = tuple(_attributes(fixed[:used], first, offset))
        return cls(number, sequence, bool(flags & _IN_USE), bool(flags & _FOLDER), record_number(base), attributes,
                   offset)  # fmt: skip

    def find(self, kind: int, name: str = "") -> Attribute | None:
        """Return the first attribute of that type and name that stands in this very record."""
        for attribute in self.attributes:
            if attribute.type == kind and attribute.name == name:
                return attribute
        return None


def _attributes(data: bytes, at: int, offset: int) -> list[Attribute]:
    found: list[Attribute] = []
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == _END:
            break
        if length < 24 or length & 7 or at + length > len(data):
            raise FormatError("NTFS", "an attribute's length is impossible", offset=offset + at, found=length)
        found.append(_attribute(data[at : at + length], offset + at))
        at += length
    return found


def _attribute(data: bytes, offset: int) -> Attribute:
    kind, length, non_resident, name_length, name_at, flags, _ = _HEADER.unpack_from(data)
    if name_at + 2 * name_length > length:
        raise FormatError("NTFS", "an attribute's name is longer than it", offset=offset, found=name_length)
    name = data[name_at : name_at + 2 * name_length].decode("utf-16-le", "replace") if name_length else ""
    if not non_resident:
        size, at = _RESIDENT.unpack_from(data, 16)
        if at + size > length:
            raise FormatError("NTFS", "an attribute's value is longer than it", offset=offset, found=size)
        return Attribute(kind, name, flags, data[at : at + size], 0, 0, b"", 0, size, size, offset)
    if length < 64:
        raise FormatError("NTFS", "an attribute's header is cut", offset=offset, found=length)
    lowest, highest, pairs, unit, _allocated, size, initialized = _NON_RESIDENT.unpack_from(data, 16)
    if not 64 <= pairs <= length:
        raise FormatError("NTFS", "an attribute's mapping pairs lie outside of it", offset=offset, found=pairs)
    return Attribute(kind, name, flags, None, lowest, highest, data[pairs:], unit, size, initialized, offset)
