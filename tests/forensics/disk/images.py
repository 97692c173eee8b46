"""Disks for the tests of containers: sectors that carry their number, and writers for what qemu-img cannot make."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

SECTOR = 512


def partitioned(sectors: int = 12_003, tag: int = 0) -> bytes:
    """A disk with an MBR of one partition that ends where the disk does; every other sector says which one it is.

    Some stretches are zero, so that sparse formats leave them out; the size is no multiple of anything larger.
    """
    out = bytearray(
        b"".join(
            bytes(SECTOR) if number // 700 % 4 == 2 else (number << 16 | tag).to_bytes(16, "little") * 32
            for number in range(sectors)
        )
    )
    entry = bytes([0, 0, 0, 0, 7, 0, 0, 0]) + struct.pack("<II", 2048, sectors - 2048)
    out[0:SECTOR] = (b"\x33\xc0" + b"boot" * 20).ljust(446, b"\0") + entry + bytes(48) + b"\x55\xaa"
    return bytes(out)


def qemu_img(*words: object) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def converted(folder: Path, data: bytes, name: str, kind: str, *options: str) -> Path:
    """The disk in another format, by qemu-img."""
    raw = folder / "source.raw"
    raw.write_bytes(data)
    qemu_img("convert", "-f", "raw", "-O", kind, *options, raw, folder / name)
    raw.unlink()
    return folder / name


def vdi(
    data: bytes,
    *,
    block: int = 0x10000,
    order: Sequence[int] | None = None,
    unique: int = 1,
    modified: int = 2,
    parent: tuple[int, int] = (0, 0),
) -> bytes:
    """Write a VDI. Layout: VirtualBox, src/VBox/Storage/VDICore.h.

    Args:
        data: what it holds.
        block: bytes of a block.
        order: the blocks that are stored, in the order in which they lie in the file.
        unique, modified: its ids.
        parent: the ids of its parent.

    """
    count = -(-len(data) // block)
    stored = list(range(count)) if order is None else list(order)
    places = {number: index for index, number in enumerate(stored)}
    out = bytearray(0x1000)
    out[0:40] = b"<<< a disk for tests >>>".ljust(40)
    struct.pack_into("<III", out, 0x40, 0xBEDA107F, 0x10001, 0x190)
    struct.pack_into("<I", out, 0x4C, 4 if any(parent) else 1)
    struct.pack_into("<II", out, 0x154, 0x200, 0x1000)
    struct.pack_into("<QIIII", out, 0x170, len(data), block, 0, count, len(stored))
    struct.pack_into("<QQQQQQQQ", out, 0x188, unique, 0, modified, 0, parent[0], 0, parent[1], 0)
    table = [places.get(number, 0xFFFFFFFF) for number in range(count)]
    assert len(table) * 4 <= 0x1000 - 0x200
    struct.pack_into(f"<{count}I", out, 0x200, *table)
    return bytes(out) + b"".join(data[n * block : (n + 1) * block].ljust(block, b"\0") for n in stored)
