"""Partition tables: GPT and MBR, the copy of a GPT at the end of the disk, and disks of 4,096-byte sectors.

Our own because dissect.volume, which is the second reader in the tests, takes a GPT unchecked and never its copy, loses
the last sector of each GPT partition, and follows a loop of extended partitions for ever.

References: UEFI Specification 2.10, section 5.3 (GPT); MicrosoftDocs/win32 (PARTITION_INFORMATION_GPT, the types);
util-linux (libfdisk: gpt.c, dos.c). Integers are little-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_EXTENDED_PARTITIONS, MAX_GPT_ENTRIES

__all__ = [
    "GPT_TYPES",
    "LDM_METADATA",
    "LDM_TYPES",
    "MBR_TYPES",
    "Partition",
    "PartitionTable",
    "gpt_copies",
    "read_partitions",
]

#: What is known of GPT partition types, by their GUID.
GPT_TYPES: Final = {
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "basic data",
    "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "recovery",
    "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "LDM metadata",
    "af9b60a0-1431-4f62-bc68-3311714a69ad": "LDM data",
    "e75caf8f-f680-4cee-afa3-b001e56efc2d": "Storage Spaces",
    "db97dba9-0840-4bae-97f0-ffb9a327c7e1": "cluster metadata",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux file system",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
}
#: What is known of MBR partition types, by their number in hex.
MBR_TYPES: Final = {
    "01": "FAT12",
    "04": "FAT16 up to 32 MB",
    "06": "FAT16",
    "07": "NTFS or exFAT",
    "0b": "FAT32",
    "0c": "FAT32, LBA",
    "0e": "FAT16, LBA",
    "27": "Windows recovery",
    "42": "LDM, a dynamic disk",
    "82": "Linux swap",
    "83": "Linux",
    "8e": "Linux LVM",
    "ef": "EFI system",
    "fd": "Linux RAID",
}
#: The partition that holds a dynamic disk's database (GPT).
LDM_METADATA: Final = "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"
#: Types of partitions that belong to a dynamic disk's database or lie under its volumes.
LDM_TYPES: Final = ("42", LDM_METADATA, "af9b60a0-1431-4f62-bc68-3311714a69ad")
_PROTECTIVE: Final = 0xEE
_EXTENDED: Final = (0x05, 0x0F, 0x85)
_MBR_ENTRY = struct.Struct("<B3xB3xII")
_GPT_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_GPT_ENTRY = struct.Struct("<16s16sQQQ72s")
_NO_TYPE: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition.

    Attributes:
        number: its number in the table, from 1.
        offset, size: bytes.
        type: "07" (MBR, hex) or a GUID (GPT).
        active: whether the MBR marks it for booting.
        guid: its own GUID (GPT), bytes as stored; b"" in an MBR.
        name: its name (GPT); "" in an MBR.

    """

    number: int
    offset: int
    size: int
    type: str
    active: bool = False
    guid: bytes = b""
    name: str = ""


@dataclass(slots=True)
class PartitionTable:
    """A disk's partitions.

    Attributes:
        scheme: "gpt" or "mbr".
        sector_size: bytes that the table counts in.
        signature: the MBR's disk signature, which MountedDevices and the BCD name.
        partitions: in the table's order.
        problems: what is wrong with the table, in sentences.
        disk_guid: the disk's own GUID (GPT), bytes as stored; b"" for an MBR.

    """

    scheme: Literal["gpt", "mbr"]
    sector_size: int
    signature: int
    partitions: list[Partition]
    problems: list[str] = field(default_factory=list)
    disk_guid: bytes = b""


def read_partitions(source: ByteSource, sector_size: int = 512) -> PartitionTable | None:
    """Return a disk's partition table, or None when it has none.

    A valid GPT wins over the MBR before it, when that protects it or says nothing itself. Where `sector_size` gives no
    GPT the other usual size is tried: a raw image does not tell the size of its disk's sectors.

    Raises:
        ReadError: the table's place cannot be read.

    """
    first = source.read_at(0, 512)
    valid_mbr = len(first) == 512 and first[510:] == b"\x55\xaa"
    entries = _mbr_entries(first) if valid_mbr else []
    if not entries or any(kind == _PROTECTIVE for _, kind, _, _ in entries):
        sizes = [sector_size, *(size for size in (512, 4096) if size != sector_size)]
        for size in sizes:
            table = _gpt(source, size)
            if table is not None:
                table.signature = int.from_bytes(first[440:444], "little")
                return table
    if not entries:
        return None
    signature = int.from_bytes(first[440:444], "little")
    table = PartitionTable("mbr", sector_size, signature, [])
    if any(kind == _PROTECTIVE for _, kind, _, _ in entries):
        table.problems.append("the disk once had a GPT, and neither it nor its copy can be read")
    _mbr(source, sector_size, entries, table)
    return table


def _mbr_entries(sector: bytes) -> list[tuple[int, int, int, int]]:
    """Return status, type, first sector and number of sectors of the entries in use; none when it is no table."""
    found: list[tuple[int, int, int, int]] = [_MBR_ENTRY.unpack_from(sector, 446 + 16 * n) for n in range(4)]
    if any(status not in (0, 0x80) for status, _, _, _ in found):
        return []
    return [entry for entry in found if entry[1] and entry[3]]


def _mbr(source: ByteSource, sector_size: int, entries: list[tuple[int, int, int, int]], table: PartitionTable) -> None:
    number = 1
    extended = 0
    for status, kind, first, count in entries:
        if kind == _PROTECTIVE:
            continue
        if kind in _EXTENDED:
            extended = extended or first
            continue
        table.partitions.append(
            Partition(number, first * sector_size, count * sector_size, f"{kind:02x}", status == 0x80)
        )
        number += 1
    number = max(number, 5)
    place = extended
    seen: set[int] = set()
    while place:
        if place in seen or len(seen) >= MAX_EXTENDED_PARTITIONS:
            table.problems.append("the chain of extended partitions has a loop")
            return
        seen.add(place)
        sector = source.read_at(place * sector_size, 512)
        if sector[510:] != b"\x55\xaa":
            table.problems.append("the chain of extended partitions is broken")
            return
        following = 0
        for _, kind, first, count in _mbr_entries(sector):
            if kind in _EXTENDED:
                following = extended + first
            else:
                table.partitions.append(
                    Partition(number, (place + first) * sector_size, count * sector_size, f"{kind:02x}")
                )
                number += 1
        place = following


def _gpt(source: ByteSource, sector_size: int) -> PartitionTable | None:
    """Return the first of a GPT's two copies that is whole; else what the first one with a signature says."""
    last = source.size // sector_size - 1
    doubtful: PartitionTable | None = None
    for place, problem in (
        (1, ""),
        (last, "the GPT at the beginning of the disk is damaged; its copy at the end was taken"),
    ):
        if place < 1:
            continue
        try:
            table, whole = _gpt_at(source, place, sector_size)
        except FormatError:
            continue
        if whole:
            table.problems += [problem] if problem else []
            return table
        doubtful = doubtful or table
    if doubtful is not None:
        doubtful.problems.append("the GPT's checksums are wrong and its copy is no better")
    return doubtful


def _gpt_at(source: ByteSource, place: int, sector_size: int) -> tuple[PartitionTable, bool]:
    offset = place * sector_size
    header = source.read_at(offset, sector_size)
    if len(header) < _GPT_HEADER.size or header[:8] != b"EFI PART":
        raise FormatError("GPT", "no header", offset=offset, expected="EFI PART", found=header[:8].hex())
    (_, _, length, check, _, _, _, _, _, disk_guid, at, count, each, array_check) = _GPT_HEADER.unpack_from(header)
    if not _GPT_HEADER.size <= length <= sector_size:
        raise FormatError("GPT", "the header's length is impossible", offset=offset, found=length)
    if each < 128 or each > 4096 or each & 127 or not 0 < count <= MAX_GPT_ENTRIES:
        raise FormatError("GPT", "the size of the table is impossible", offset=offset, found=f"{count} x {each}")
    array = source.read_at(at * sector_size, count * each)
    whole = len(array) == count * each and zlib.crc32(array) == array_check
    whole = whole and zlib.crc32(header[:16] + bytes(4) + header[20:length]) == check
    partitions = []
    for number in range(len(array) // each):
        kind, guid, first, last, _, name = _GPT_ENTRY.unpack_from(array, number * each)
        if kind == _NO_TYPE or not 0 < first <= last:
            continue
        size = (last - first + 1) * sector_size
        kind_text = str(UUID(bytes_le=kind))
        called = name.decode("utf-16-le", "replace").split("\0", 1)[0]
        partitions.append(Partition(number + 1, first * sector_size, size, kind_text, guid=guid, name=called))
    return PartitionTable("gpt", sector_size, 0, partitions, disk_guid=disk_guid), whole


def gpt_copies(source: ByteSource, sector_size: int) -> tuple[str, str, int]:
    """Return the state of a GPT's two copies, and how far the second one lies before the disk's last sector, in bytes.

    The second copy is looked for where the first one says that it is, else in the last sector. A disk that was enlarged
    has it where its end was.

    Args:
        source: the disk.
        sector_size: bytes that the table counts in.

    Returns:
        Each state is "ok", "damaged" (its checksums are wrong), "missing" (nothing of the kind is there), "unreadable"
        (the place cannot be read); of the second also "different" (sound, with other partitions).

    """
    last = source.size // sector_size - 1
    first, primary = _state_at(source, 1, sector_size)
    place = last
    if first == "ok":
        place = int.from_bytes(source.read_at(sector_size + 0x20, 8), "little")
    second, backup = _state_at(source, place, sector_size)
    if primary is not None and backup is not None and first == second == "ok":
        same = (primary.partitions, primary.disk_guid) == (backup.partitions, backup.disk_guid)
        second = "ok" if same else "different"
    return first, second, max(0, last - place) * sector_size if second != "missing" else 0


def _state_at(source: ByteSource, place: int, sector_size: int) -> tuple[str, PartitionTable | None]:
    try:
        table, whole = _gpt_at(source, place, sector_size)
    except FormatError:
        return "missing", None
    except ReadError:
        return "unreadable", None
    return ("ok" if whole else "damaged"), table
