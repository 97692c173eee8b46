"""Dynamic disks (Windows' Logical Disk Manager): which volumes lie on a disk, and on which stretches of it.

Every disk of a disk group holds the same database of one megabyte, which describes all volumes of the group. Our own
reader, because dissect.volume 3.18 has declarations of the structures and nothing that reads them.

Sources: mdbooth/libldm (src/ldm.c, whose `ldmtool` is the second reader in the tests); torvalds/linux
(block/partitions/ldm.c); the disks of Windows Server 2003 R2 and 2008 R2, with MBR and GPT, in libldm's tests. No
disk of 4,096-byte sectors was had: there, as in libldm, all places count in the disk's sectors.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from parsers.bytesource import ByteSource, read_exact
from parsers.disk.ldm_records import ComponentRecord, DiskRecord, PartRecord, Record, VolumeRecord, parse_record
from parsers.disk.partitions import LDM_METADATA, PartitionTable
from parsers.errors import FormatError, StopcodeError, UnsupportedError
from parsers.limits import MAX_LDM_DATABASE, MAX_LDM_RECORDS, require_count

__all__ = ["DynamicDisk", "DynamicVolume", "Part", "read_dynamic_disk"]

_PRIVATE_SECTOR: Final = 6
#: Sectors of a database as Windows makes it, and where in it the copies of the private header are.
_USUAL: Final = 2048
_PRIVATE_COPIES: Final = (1856, 2047)
_PRIVATE = struct.Struct(">8s4xHH32x64s64x64s32s11xQQQQ")
_REGION = struct.Struct(">8s2xQQ8x")
_DATABASE = struct.Struct(">4sIIIHHH31s64sQQIIII")
_PIECE = struct.Struct(">4sIIHH")

Kind = Literal["simple", "spanned", "striped", "mirrored", "raid5", "unknown"]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a disk of the group.

    Attributes:
        disk: the disk's name in the group.
        here: whether it is the disk that was read.
        offset: bytes on the disk; what is not on this disk has the offset from the beginning of the other's data.
        at: where it belongs in the volume, bytes.
        size: bytes.

    """

    disk: str
    here: bool
    offset: int
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class DynamicVolume:
    """A volume of the group.

    Attributes:
        name: as Windows named it.
        guid: its identifier.
        kind: how it lies on its disks.
        size: bytes.
        drive: the drive letter it had when the database was written; "" where none is told.
        copies: its copies, each a list of parts in the volume's order; a mirrored volume has two.
        states: state of the volume, then of each copy; "ACTIVE" is the sound one.

    """

    name: str
    guid: UUID
    kind: Kind
    size: int
    drive: str
    copies: tuple[tuple[Part, ...], ...]
    states: tuple[str, ...]


@dataclass(slots=True)
class DynamicDisk:
    """What a disk says of its group.

    Attributes:
        name: the disk's name in the group; "" where the database does not know it.
        id: the disk's identifier.
        group: the group's name.
        group_id: its identifier.
        disks: names of the group's disks.
        volumes: those of the group, in the order of the database.
        problems: what is damaged or unfinished, in sentences.

    """

    name: str
    id: UUID
    group: str
    group_id: str
    disks: list[str] = field(default_factory=list)
    volumes: list[DynamicVolume] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Private:
    disk_id: UUID
    group_id: str
    group: str
    data_start: int
    config_start: int
    config_size: int


def read_dynamic_disk(source: ByteSource, table: PartitionTable) -> DynamicDisk:
    """Return what a dynamic disk's database says.

    Args:
        source: the disk.
        table: its partition table, which says that it is one.

    Raises:
        FormatError, TruncatedError: neither the private header nor one of its copies is there, or the database is
            damaged.
        ReadError: a place cannot be read.
        UnsupportedError: a version that is not known.

    """
    sector = table.sector_size
    private, first = _private_header(source, table)
    made = DynamicDisk("", private.disk_id, private.group, private.group_id)
    if not first:
        made.problems.append("the first private header is damaged; a copy of it was used")
    require_count(private.config_size * sector, MAX_LDM_DATABASE, format="LDM", what="bytes of the database")
    start, size = _config_region(source, private, sector)
    records = _records(source, start, size, made.problems)
    _assemble(made, records, private, sector)
    return made


def _private_header(source: ByteSource, table: PartitionTable) -> tuple[_Private, bool]:
    """Return the private header, and whether it is the first one."""
    sector = table.sector_size
    total = source.size // sector
    metadata = next((item for item in table.partitions if item.type == LDM_METADATA), None)
    if metadata is not None:
        start = metadata.offset // sector
        places = [start + metadata.size // sector - 1, *(start + at for at in reversed(_PRIVATE_COPIES))]
    else:
        places = [_PRIVATE_SECTOR, *(total - _USUAL + at for at in _PRIVATE_COPIES)]
    wrong: StopcodeError | None = None
    for number, place in enumerate(places):
        try:
            return _private(source, place * sector, total), number == 0
        except StopcodeError as error:
            wrong = wrong or error
    assert wrong is not None
    raise wrong


def _private(source: ByteSource, offset: int, total: int) -> _Private:
    data = read_exact(source, offset, _PRIVATE.size, format="LDM")
    magic, major, minor, disk_id, group_id, name, start, size, config, length = _PRIVATE.unpack(data)
    if magic != b"PRIVHEAD":
        raise FormatError("LDM", "no private header", offset=offset, expected="PRIVHEAD", found=magic.hex())
    if major != 2:
        raise UnsupportedError(f"LDM: a private header of version {major}.{minor}, which is not known")
    if not size or not length or config + length > total:
        raise FormatError("LDM", "the private header places the database outside the disk", offset=offset)
    try:
        identity = UUID(_text(disk_id))
    except ValueError as error:
        raise FormatError("LDM", "the private header's identifier is none", offset=offset) from error
    return _Private(identity, _text(group_id), _text(name), start, config, length)


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _config_region(source: ByteSource, private: _Private, sector: int) -> tuple[int, int]:
    """Return where the region with the records begins, and its bytes, from one of the tables of contents."""
    size = private.config_size
    for place in (1, 2, size - 3, size - 2):
        offset = (private.config_start + place) * sector
        data = read_exact(source, offset, 36 + 2 * _REGION.size, format="LDM") if 0 < place < size else b""
        if not data.startswith(b"TOCBLOCK"):
            continue
        for at in (36, 36 + _REGION.size):
            name, start, length = _REGION.unpack_from(data, at)
            if _text(name) == "config" and 0 < start < size and 0 < length <= size - start:
                return (private.config_start + start) * sector, length * sector
    raise FormatError("LDM", "no table of contents of the database is sound", offset=private.config_start * sector)


def _records(source: ByteSource, start: int, size: int, problems: list[str]) -> list[Record]:
    """Return the records of the database."""
    head = read_exact(source, start, _DATABASE.size, format="LDM")
    magic, last, length, first, state, major, minor, _, _, committed, pending, *counts = _DATABASE.unpack(head)
    if magic != b"VMDB":
        raise FormatError("LDM", "no database", offset=start, expected="VMDB", found=magic.hex())
    if major != 4:
        raise UnsupportedError(f"LDM: a database of version {major}.{minor}, which is not known")
    if not 64 <= length <= 4096 or first < _DATABASE.size or last * length > size:
        raise FormatError("LDM", "the database's records do not fit in it", offset=start, found=f"{last} x {length}")
    if state != 1 or committed != pending:
        problems.append("a change of the configuration was under way; the database is read as it stands")
    data = read_exact(source, start + first, max(0, last * length - first), format="LDM")
    numbered: dict[tuple[type[Record], int], Record] = {}
    twice = False
    for count, record in enumerate(_joined(data, length, problems), 1):
        require_count(count, MAX_LDM_RECORDS, format="LDM", what="number of records")
        try:
            parsed = parse_record(record)
        except StopcodeError as error:
            problems.append(f"a record of the database is not read: {error.message}")
        else:
            if parsed is not None:
                twice |= numbered.setdefault((type(parsed), parsed.id), parsed) is not parsed
    if twice:
        # Every copy and part so belongs to one volume, and putting volumes together takes no longer than reading them.
        problems.append("several records of the database have one number; the first of them is taken")
    found = list(numbered.values())
    kinds = (VolumeRecord, ComponentRecord, PartRecord, DiskRecord)
    if [sum(isinstance(record, kind) for record in found) for kind in kinds] != counts:
        problems.append("the database does not hold as many records as it says")
    return found


def _joined(data: bytes, length: int, problems: list[str]) -> Iterator[bytes]:
    """Yield the records, those of several pieces joined."""
    pieces: dict[int, dict[int, bytes]] = {}
    wanted: dict[int, int] = {}
    for at in range(0, len(data) - length + 1, length):
        magic, _, group, piece, of = _PIECE.unpack_from(data, at)
        if magic != b"VBLK":
            break
        if of and piece < of:
            pieces.setdefault(group, {})[piece] = data[at + _PIECE.size : at + length]
            wanted[group] = max(of, wanted.get(group, 0))
    for group, found in pieces.items():
        if len(found) != wanted[group]:
            problems.append("a record of the database is not whole")
        else:
            yield b"".join(found[number] for number in sorted(found))


def _assemble(made: DynamicDisk, records: list[Record], private: _Private, sector: int) -> None:
    disks = {record.id: record for record in records if isinstance(record, DiskRecord)}
    made.disks = [disk.name for disk in disks.values()]
    made.name = next((disk.name for disk in disks.values() if disk.guid == made.id), "")
    if not made.name:
        made.problems.append("the database does not know the disk that it is on")
    parts: dict[int, list[Part]] = {}
    for record in records:
        if isinstance(record, PartRecord):
            disk = disks.get(record.disk)
            here = disk is not None and disk.guid == made.id
            offset = (record.start + (private.data_start if here else 0)) * sector
            name = disk.name if disk is not None else f"disk {record.disk}"
            part = Part(name, here, offset, record.at * sector, record.size * sector)
            parts.setdefault(record.component, []).append(part)
    components: dict[int, list[ComponentRecord]] = {}
    for record in records:
        if isinstance(record, ComponentRecord):
            components.setdefault(record.volume, []).append(record)
            if len(parts.get(record.id, ())) != record.parts:
                made.problems.append("a part of a volume is not in the database")
    for record in records:
        if isinstance(record, VolumeRecord):
            owned = components.get(record.id, [])
            if len(owned) != record.components or not owned:
                made.problems.append(f"a copy of {record.name} is not in the database")
            copies = tuple(tuple(sorted(parts.get(each.id, ()), key=lambda part: part.at)) for each in owned)
            states = (record.state, *(each.state for each in owned))
            kind = _kind(owned, copies)
            size = record.size * sector
            made.volumes.append(DynamicVolume(record.name, record.guid, kind, size, record.drive, copies, states))


def _kind(components: list[ComponentRecord], copies: tuple[tuple[Part, ...], ...]) -> Kind:
    layouts = {component.layout for component in components}
    if layouts == {2}:
        if len(components) > 1:
            return "mirrored"
        return "spanned" if len(copies[0]) > 1 else "simple"
    if len(components) == 1:
        return "striped" if layouts == {1} else "raid5" if layouts == {3} else "unknown"
    return "unknown"
