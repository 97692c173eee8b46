"""Write VHDs that no program at hand makes: shuffled blocks, chains with mixed bitmaps, old and damaged footers.

Written from Microsoft's specification, field by field at its offset; shares no layout with the reader.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

SECTOR = 512


def numbered(sectors: int, tag: int = 0) -> bytes:
    """A disk whose every sector says which one it is: its number and a tag, 32 times."""
    return b"".join((number << 16 | tag).to_bytes(16, "little") * 32 for number in range(sectors))


def put(buffer: bytearray, offset: int, value: int, width: int) -> None:
    buffer[offset : offset + width] = value.to_bytes(width, "big")


def seal(buffer: bytearray, offset: int) -> bytes:
    """Put the checksum at its offset: the ones' complement of the sum of all bytes."""
    put(buffer, offset, 0, 4)
    put(buffer, offset, 0xFFFFFFFF - sum(buffer), 4)
    return bytes(buffer)


def footer(size: int, kind: int, *, unique_id: bytes = b"\x11" * 16, header_at: int = 0x200) -> bytes:
    out = bytearray(512)
    out[0:8] = b"conectix"
    put(out, 0x08, 2, 4)
    put(out, 0x0C, 0x10000, 4)
    put(out, 0x10, 0xFFFFFFFFFFFFFFFF if kind == 2 else header_at, 8)
    out[0x1C:0x20] = b"win "
    put(out, 0x20, 0xA0000, 4)
    out[0x24:0x28] = b"Wi2k"
    put(out, 0x28, size, 8)
    put(out, 0x30, size, 8)
    put(out, 0x38, 65535, 2)
    put(out, 0x3A, 16, 1)
    put(out, 0x3B, 255, 1)
    put(out, 0x3C, kind, 4)
    out[0x44:0x54] = unique_id
    return seal(out, 0x40)


def fixed(data: bytes) -> bytes:
    return data + footer(len(data), 2)


def sparse(
    data: bytes,
    *,
    block: int = 0x80000,
    seed: int | None = None,
    absent: Collection[int] = (),
    own: Callable[[int], bool] | None = None,
    parent_id: bytes = bytes(16),
    parent_name: str = "",
    relative: str = "",
    unique_id: bytes = b"\x11" * 16,
) -> bytes:
    """Write a dynamic disk, or a differencing one when `own` says which sectors are its own.

    Args:
        data: what the disk holds; of a differencing disk the sectors that are its own.
        block: bytes of a block.
        seed: stores the blocks in an order of its own.
        absent: blocks that are not stored.
        own: which sectors of the disk the child holds.
        parent_id, parent_name, relative: what the child says of its parent.
        unique_id: this disk's own.

    """
    kind = 3 if own is None else 4
    count = -(-len(data) // block)
    order = [number for number in range(count) if number not in absent]
    if seed is not None:
        random.Random(seed).shuffle(order)
    bitmap_bytes = -(-(block // SECTOR // 8) // SECTOR) * SECTOR
    table_at = 0x800 if not relative else 0xA00
    table_bytes = -(-count * 4 // SECTOR) * SECTOR
    at = table_at + table_bytes
    table = bytearray(b"\xff" * table_bytes)
    stored = []
    for number in order:
        put(table, number * 4, at // SECTOR, 4)
        body = data[number * block : (number + 1) * block].ljust(block, b"\0")
        bits = bytearray(bitmap_bytes)
        for sector in range(block // SECTOR):
            if own is None or own(number * block // SECTOR + sector):
                bits[sector // 8] |= 0x80 >> sector % 8
        if own is not None:
            # What is the parent's stands here as garbage: a reader that ignores the bitmap is caught.
            body = b"".join(
                body[s * SECTOR : (s + 1) * SECTOR] if bits[s // 8] & (0x80 >> s % 8) else b"\xee" * SECTOR
                for s in range(block // SECTOR)
            )
        stored.append(bytes(bits) + body)
        at += bitmap_bytes + block
    header = bytearray(1024)
    header[0:8] = b"cxsparse"
    put(header, 0x08, 0xFFFFFFFFFFFFFFFF, 8)
    put(header, 0x10, table_at, 8)
    put(header, 0x18, 0x10000, 4)
    put(header, 0x1C, count, 4)
    put(header, 0x20, block, 4)
    header[0x28:0x38] = parent_id
    name = parent_name.encode("utf-16-be")
    header[0x40 : 0x40 + len(name)] = name
    locator = relative.encode("utf-16-le")
    if locator:
        header[0x240:0x244] = b"W2ru"
        put(header, 0x244, 512, 4)
        put(header, 0x248, len(locator), 4)
        put(header, 0x250, 0x800, 8)
    foot = footer(len(data), kind, unique_id=unique_id)
    out = foot + seal(header, 0x24)
    out = out.ljust(0x800, b"\0")
    if locator:
        out += locator.ljust(512, b"\0")
    return out + bytes(table) + b"".join(stored) + foot
