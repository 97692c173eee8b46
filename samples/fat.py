"""Make a FAT32 volume of a folder: the EFI system partition of a generation 2 machine.

Layout: Microsoft, FAT32 File System Specification 1.03. Long names as well as short ones; everything contiguous.
"""

from __future__ import annotations

import struct
from datetime import datetime
from pathlib import Path

__all__ = ["make_fat"]

_SECTOR, _RESERVED, _FATS = 512, 32, 2
_END = 0x0FFFFFFF


def _short(name: str, taken: set[str]) -> bytes:
    """Return an 8.3 name that is not taken in its folder."""
    stem, _, suffix = name.upper().rpartition(".") if "." in name else (name.upper(), "", "")
    stem = "".join(character for character in stem if character.isalnum() or character in "_-")
    suffix = suffix[:3]
    short = stem[:8]
    number = 0
    while short + "." + suffix in taken or (number == 0 and len(stem) > 8):
        number += 1
        short = f"{stem[:6]}~{number}"
    taken.add(short + "." + suffix)
    return short.ljust(8).encode() + suffix.ljust(3).encode()


def _long(name: str, short: bytes) -> bytes:
    """Return the entries of a long name, the last part first."""
    checksum = 0
    for byte in short:
        checksum = ((checksum >> 1) + ((checksum & 1) << 7) + byte) & 0xFF
    raw = name.encode("utf-16-le") + b"\0\0"
    parts = [raw[at : at + 26].ljust(26, b"\xff") for at in range(0, len(raw), 26)]
    if len(name) % 13 == 0:
        # A name that fills its last entry has no terminator.
        parts = parts[: len(name) // 13]
    rows = []
    for number, part in enumerate(parts, 1):
        order = number | (0x40 if number == len(parts) else 0)
        rows.append(struct.pack("<B10sBBB12sH4s", order, part[:10], 0x0F, 0, checksum, part[10:22], 0, part[22:26]))
    return b"".join(reversed(rows))


class _Volume:
    def __init__(self, size: int, moment: datetime) -> None:
        self.sectors = size // _SECTOR
        self.fat = [0x0FFFFFF8, _END]
        self.data = bytearray()
        self.date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
        self.time = moment.hour << 11 | moment.minute << 5 | moment.second // 2

    def put(self, content: bytes) -> int:
        """Store a file or folder; return its first cluster (0 for an empty one)."""
        if not content:
            return 0
        first, count = len(self.fat), -(-len(content) // _SECTOR)
        self.fat += [*range(first + 1, first + count), _END]
        self.data += content.ljust(count * _SECTOR, b"\0")
        return first

    def entry(self, short: bytes, attributes: int, cluster: int, size: int) -> bytes:
        return struct.pack(
            "<11sBBBHHHHHHHI", short, attributes, 0, 0, self.time, self.date, self.date, cluster >> 16, self.time,
            self.date, cluster & 0xFFFF, size,
        )  # fmt: skip

    def folder(self, path: Path, parent: int, *, root: bool) -> int:
        """Store a folder and what is in it; return its cluster."""
        names = sorted(path.iterdir(), key=lambda item: item.name)
        taken: set[str] = set()
        shorts = [_short(item.name, taken) for item in names]
        length = sum(len(_long(item.name, short)) + 32 for item, short in zip(names, shorts, strict=True))
        # Room first: what lies below must know where its parent is.
        here = self.put(bytes(max(length + (0 if root else 64), 32)))
        rows = b"" if root else self.entry(b".          ", 0x10, here, 0) + self.entry(b"..         ", 0x10, parent, 0)
        for item, short in zip(names, shorts, strict=True):
            if item.is_dir():
                row = self.entry(short, 0x10, self.folder(item, 0 if root else here, root=False), 0)
            else:
                content = item.read_bytes()
                row = self.entry(short, 0x20, self.put(content), len(content))
            rows += _long(item.name, short) + row
        at = (here - 2) * _SECTOR
        self.data[at : at + len(rows)] = rows
        return here


def make_fat(path: Path, tree: Path, *, size: int, first_sector: int, serial: int, moment: datetime) -> None:
    """Make a FAT32 volume of a folder's files, clusters of one sector.

    Args:
        path: file to make; it is sparse.
        tree: folder that becomes the root.
        size: bytes.
        first_sector: of the partition.
        serial: of the volume.
        moment: time of every entry.

    """
    volume = _Volume(size, moment)
    volume.folder(tree, 0, root=True)
    clusters = (volume.sectors - _RESERVED) * 128 // (128 + _FATS)
    fat_sectors = -(-(clusters + 2) * 4 // _SECTOR)
    boot = bytearray(_SECTOR)
    struct.pack_into(
        "<3s8sHBHBHHBH", boot, 0, b"\xeb\x58\x90", b"MSDOS5.0", _SECTOR, 1, _RESERVED, _FATS, 0, 0, 0xF8, 0
    )
    struct.pack_into("<HHIIIHHIHH", boot, 24, 63, 255, first_sector, volume.sectors, fat_sectors, 0, 0, 2, 1, 6)
    struct.pack_into("<BBBI11s8s", boot, 64, 0x80, 0, 0x29, serial, b"NO NAME    ", b"FAT32   ")
    boot[510:] = b"\x55\xaa"
    info = bytearray(_SECTOR)
    used = len(volume.fat)
    struct.pack_into("<4s480x4sII12xI", info, 0, b"RRaA", b"rrAa", clusters + 2 - used, used, 0xAA550000)
    table = struct.pack(f"<{len(volume.fat)}I", *volume.fat)
    with path.open("wb") as file:
        file.truncate(size)
        for place, data in ((0, boot), (1, info), (6, boot), (7, info)):
            file.seek(place * _SECTOR)
            file.write(data)
        for number in range(_FATS):
            file.seek((_RESERVED + number * fat_sectors) * _SECTOR)
            file.write(table)
        file.seek((_RESERVED + _FATS * fat_sectors) * _SECTOR)
        file.write(volume.data)
