"""Put volumes into a disk: a partition table as a generation 1 (MBR) or generation 2 (GPT) machine has it.

Layouts: UEFI specification 2.10, chapter 5 (GPT, protective MBR); the MBR of Windows (signature at 440).
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BASIC_DATA", "EFI_SYSTEM", "MSR", "RECOVERY", "SECTOR", "Partition", "write_disk"]

SECTOR = 512
EFI_SYSTEM = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
MSR = uuid.UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae")
RECOVERY = uuid.UUID("de94bba4-06d1-4d40-a16a-bfd50179d6ac")
BASIC_DATA = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
_ENTRIES, _ENTRY = 128, 128
_NO_ID = uuid.UUID(int=0)


@dataclass(frozen=True)
class Partition:
    """One partition.

    Attributes:
        first: sector.
        count: sectors.
        volume: file with its content; None leaves it empty.
        id: GPT identifier.
        kind: GPT type.
        name: GPT name.
        active: of an MBR partition.

    """

    first: int
    count: int
    volume: Path | None = None
    id: uuid.UUID = _NO_ID
    kind: uuid.UUID = BASIC_DATA
    name: str = "Basic data partition"
    active: bool = False


def _mbr(signature: int, rows: Sequence[tuple[int, int, int, int]]) -> bytes:
    sector = bytearray(SECTOR)
    # Code that says "no boot code here": INT 18h, then a halt.
    sector[:4] = b"\xcd\x18\xf4\xeb"
    struct.pack_into("<I", sector, 440, signature)
    for number, (status, kind, first, count) in enumerate(rows):
        struct.pack_into(
            "<B3sB3sII", sector, 446 + 16 * number, status, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", first, count
        )
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def _gpt(size: int, disk_id: uuid.UUID, partitions: Sequence[Partition]) -> list[tuple[int, bytes]]:
    """Return (sector, bytes) of both copies of the table."""
    table = bytearray(_ENTRIES * _ENTRY)
    for number, part in enumerate(partitions):
        name = part.name.encode("utf-16-le").ljust(72, b"\0")
        struct.pack_into(
            "<16s16sQQQ72s", table, number * _ENTRY, part.kind.bytes_le, part.id.bytes_le, part.first,
            part.first + part.count - 1, 0, name,
        )  # fmt: skip
    last = size // SECTOR - 1
    blocks = []
    for here, other, entries in ((1, last, 2), (last, 1, last - 32)):
        header = bytearray(92)
        struct.pack_into(
            "<8sIIIIQQQQ16sQIII", header, 0, b"EFI PART", 0x10000, 92, 0, 0, here, other, 34, last - 33,
            disk_id.bytes_le, entries, _ENTRIES, _ENTRY, zlib.crc32(table),
        )  # fmt: skip
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        blocks += [(here, bytes(header)), (entries, bytes(table))]
    return blocks


def _copy_sparse(source: Path, target: int, offset: int) -> None:
    """Copy a file's data into an open file, holes left out."""
    with source.open("rb") as file:
        at, end = 0, source.stat().st_size
        while at < end:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return  # only a hole follows
            stop = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            while start < stop:
                block = file.read(min(1 << 20, stop - start))
                os.pwrite(target, block, offset + start)
                start += len(block)
            at = stop


def write_disk(
    path: Path, size: int, partitions: Sequence[Partition], *, signature: int = 0, gpt: uuid.UUID | None = None
) -> None:
    """Write a raw disk, sparse.

    Args:
        path: file to make.
        size: bytes.
        partitions: in the order of the table.
        signature: of an MBR disk.
        gpt: identifier of a GPT disk; None makes an MBR one.

    """
    with path.open("wb") as file:
        file.truncate(size)
        if gpt is None:
            rows = [(0x80 if part.active else 0, 7, part.first, part.count) for part in partitions]
            blocks = [(0, _mbr(signature, rows))]
        else:
            blocks = [(0, _mbr(0, [(0, 0xEE, 1, size // SECTOR - 1)])), *_gpt(size, gpt, partitions)]
        for sector, block in blocks:
            os.pwrite(file.fileno(), block, sector * SECTOR)
        for part in partitions:
            if part.volume is not None:
                _copy_sparse(part.volume, file.fileno(), part.first * SECTOR)
