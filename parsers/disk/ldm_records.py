"""The records of a dynamic disk's database: volumes, their components (plexes), parts, and disks.

A record is a row of fields; most have a byte before them that tells their length. A volume is made of components, each
of which is a whole copy of it; a component is made of parts, each a stretch of one disk.

Sources: mdbooth/libldm (src/ldm.c); torvalds/linux (block/partitions/ldm.c); the disks in libldm's tests. Integers are
big-endian, places and sizes are in sectors.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from parsers.errors import FormatError, TruncatedError, UnsupportedError

__all__ = ["ComponentRecord", "DiskRecord", "PartRecord", "Record", "VolumeRecord", "parse_record"]

_HEAD = struct.Struct(">HBBI")
#: Flags that tell which optional fields follow.
_COLUMNS: Final = 0x10
_INDEX: Final = 0x08
_ID1, _ID2, _SIZE2, _HINT = 0x08, 0x20, 0x80, 0x02


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """A volume.

    Attributes:
        id: number in the database.
        name: as Windows named it ("Volume1").
        state: "ACTIVE" when it is in use.
        components: how many copies of it there are.
        size: sectors.
        guid: its identifier.
        drive: the drive letter it had when it was written last ("C:"); "" where none is told.

    """

    id: int
    name: str
    state: str
    components: int
    size: int
    guid: UUID
    drive: str


@dataclass(frozen=True, slots=True)
class ComponentRecord:
    """One whole copy of a volume.

    Attributes:
        id: number in the database.
        state: "ACTIVE" when it is in use.
        layout: 1: striped; 2: its parts one after another; 3: RAID-5.
        parts: how many there are.
        volume: number of its volume.

    """

    id: int
    state: str
    layout: int
    parts: int
    volume: int


@dataclass(frozen=True, slots=True)
class PartRecord:
    """A stretch of a disk.

    Attributes:
        id: number in the database.
        start: sectors from the beginning of the disk's data.
        at: where in its component it belongs.
        size: sectors.
        component: number of its component.
        disk: number of its disk.

    """

    id: int
    start: int
    at: int
    size: int
    component: int
    disk: int


@dataclass(frozen=True, slots=True)
class DiskRecord:
    """A disk of the group.

    Attributes:
        id: number in the database.
        name: as Windows named it ("Disk1").
        guid: what its private header calls it.

    """

    id: int
    name: str
    guid: UUID


Record = VolumeRecord | ComponentRecord | PartRecord | DiskRecord


class _Fields:
    """The fields of one record, from the first on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = _HEAD.size

    def fixed(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise TruncatedError("LDM", "a record of the database ends in a field")
        found = self._data[self._at : end]
        self._at = end
        return found

    def _sized(self) -> bytes:
        return self.fixed(self.fixed(1)[0])

    def number(self) -> int:
        found = self._sized()
        if len(found) > 8:
            raise FormatError("LDM", "a number in the database is too long", expected="at most 8", found=len(found))
        return int.from_bytes(found, "big")

    def text(self) -> str:
        return self._sized().decode("utf-8", "replace")


def parse_record(data: bytes) -> Record | None:
    """Return what a record says, or None for one of another kind (a disk group).

    Args:
        data: the record, pieces joined, without the headers of the pieces.

    Raises:
        FormatError, TruncatedError: its fields contradict each other.
        UnsupportedError: its layout is one that is not known.

    """
    if len(data) < _HEAD.size:
        raise TruncatedError("LDM", "a record of the database is shorter than its head")
    _, flags, kind, _ = _HEAD.unpack_from(data)
    fields = _Fields(data)
    if kind == 0x51:
        return _volume(fields, flags)
    if kind == 0x32:
        return _component(fields)
    if kind == 0x33:
        return _part(fields)
    if kind in (0x34, 0x44):
        return _disk(fields, kind)
    if kind & 15 in (1, 2, 3, 4):
        raise UnsupportedError(f"LDM: records of type {kind:#04x} in the database are of a kind that is not read")
    return None


def _volume(fields: _Fields, flags: int) -> VolumeRecord:
    number, name = fields.number(), fields.text()
    fields.text()  # "gen" or "raid5"
    fields.text()
    state = fields.fixed(14).rstrip(b"\0").decode("ascii", "replace")
    fields.fixed(1 + 1 + 1 + 3 + 1)  # type, unknown, number, unknown, flags
    components = fields.number()
    fields.fixed(8 + 8)  # number of the change that wrote it, unknown
    size = fields.number()
    fields.fixed(4 + 1)  # unknown, type of partition
    guid = UUID(bytes=fields.fixed(16))
    for flag in (_ID1, _ID2):
        if flags & flag:
            fields.text()
    if flags & _SIZE2:
        fields.number()
    drive = fields.text() if flags & _HINT else ""
    return VolumeRecord(number, name, state, components, size, guid, drive)


def _component(fields: _Fields) -> ComponentRecord:
    number = fields.number()
    fields.text()
    state = fields.text()
    layout = fields.fixed(1)[0]
    fields.fixed(4)
    parts = fields.number()
    fields.fixed(8 + 8)  # number of the change that wrote it, unknown
    return ComponentRecord(number, state, layout, parts, fields.number())


def _part(fields: _Fields) -> PartRecord:
    number = fields.number()
    fields.text()
    fields.fixed(4 + 8)  # unknown, number of the change that wrote it
    start, at = struct.unpack(">QQ", fields.fixed(16))
    size = fields.number()
    return PartRecord(number, start, at, size, fields.number(), fields.number())


def _disk(fields: _Fields, kind: int) -> DiskRecord:
    number, name = fields.number(), fields.text()
    if kind == 0x44:
        return DiskRecord(number, name, UUID(bytes=fields.fixed(16)))
    text = fields.text()
    try:
        return DiskRecord(number, name, UUID(text))
    except ValueError as error:
        raise FormatError("LDM", f"the identifier of {name!r} is none", found=text[:40]) from error
