"""Write logs of hives: entries of Windows 8.1 and later, and the dirty sectors of before."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from parsers.registry.base_block import checksum
from parsers.registry.marvin import marvin32


def base_block(
    hive: bytes, *, kind: int = 0, sequence: tuple[int, int] = (1, 1), bins_size: int | None = None, sound: bool = True
) -> bytes:
    """The first 512 bytes of a hive, changed."""
    block = bytearray(hive[:512])
    struct.pack_into("<II", block, 4, *sequence)
    struct.pack_into("<I", block, 0x1C, kind)
    if bins_size is not None:
        struct.pack_into("<I", block, 0x28, bins_size)
    struct.pack_into("<I", block, 0x1FC, checksum(bytes(block)) ^ (not sound))
    return bytes(block)


def dirty(hive: bytes, primary: int = 9, secondary: int = 8, *, sound: bool = True) -> bytes:
    """The hive as it is when a write was begun and not ended."""
    return base_block(hive, sequence=(primary, secondary), sound=sound) + hive[512:]


def entry(sequence: int, bins_size: int, pages: Mapping[int, bytes], flags: int = 0) -> bytes:
    """One entry; places of pages count from the first hive bin."""
    content = b"".join(struct.pack("<II", at, len(page)) for at, page in pages.items()) + b"".join(pages.values())
    size = -(-(0x28 + len(content)) // 512) * 512
    content = content.ljust(size - 0x28, b"\0")
    head = struct.pack("<4sIIIIIQ", b"HvLE", size, flags, sequence, bins_size, len(pages), marvin32(content))
    return head + struct.pack("<Q", marvin32(head)) + content


def new_log(hive: bytes, entries: Sequence[bytes], *, sequence: int, sound: bool = True) -> bytes:
    """A log of Windows 8.1 and later, begun at a sequence number."""
    return base_block(hive, kind=6, sequence=(sequence, sequence), sound=sound) + b"".join(entries)


def old_log(hive: bytes, sectors: Mapping[int, bytes], *, sequence: tuple[int, int], cluster: int = 1) -> bytes:
    """A log of before; places of sectors count from the first hive bin."""
    block = bytearray(base_block(hive, kind=1, sequence=sequence))
    struct.pack_into("<I", block, 0x2C, cluster)
    struct.pack_into("<I", block, 0x1FC, checksum(bytes(block)))
    bins_size = int.from_bytes(hive[0x28:0x2C], "little")
    bitmap = bytearray(bins_size // 512 // 8)
    for at in sectors:
        bitmap[at // 512 // 8] |= 1 << at // 512 % 8
    stride = 512 * cluster
    marked = b"DIRT" + bytes(bitmap)
    marked = marked.ljust(-(-len(marked) // stride) * stride, b"\0")
    return bytes(block).ljust(stride, b"\0") + marked + b"".join(sectors[at] for at in sorted(sectors))


def differences(before: bytes, after: bytes, size: int = 4096) -> dict[int, bytes]:
    """The pages that differ, by their places from the first hive bin on."""
    return {
        at - 4096: after[at : at + size]
        for at in range(4096, len(after), size)
        if before[at : at + size] != after[at : at + size]
    }
