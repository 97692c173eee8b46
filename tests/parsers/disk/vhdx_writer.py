"""Write VHDXs that no program at hand makes: shuffled blocks, 4K sectors, chains with partly present blocks, logs.

Written from [MS-VHDX], field by field at its offset; shares no layout with the reader.
"""

from __future__ import annotations

import functools
import random
import struct
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

MIB = 1 << 20
LOG_AT, METADATA_AT, TABLE_AT, DATA_AT = 1 * MIB, 2 * MIB, 3 * MIB, 4 * MIB
WRITTEN = uuid.UUID(int=7)
NO_LOG = uuid.UUID(int=0)
SESSION = uuid.UUID("12345678-1111-2222-3333-444444444444")


def _table() -> list[int]:
    out = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        out.append(number)
    return out


_CRC = _table()


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


@functools.cache
def seal(data: bytes) -> bytes:
    """Put the checksum at 4."""
    blank = data[:4] + bytes(4) + data[8:]
    return data[:4] + struct.pack("<I", crc32c(blank)) + data[8:]


def header(
    sequence: int,
    *,
    data_write: uuid.UUID = WRITTEN,
    log: uuid.UUID = NO_LOG,
    log_length: int = MIB,
    version: int = 1,
    log_version: int = 0,
) -> bytes:
    out = bytearray(4096)
    out[0:4] = b"head"
    struct.pack_into("<Q", out, 0x08, sequence)
    out[0x10:0x20] = uuid.UUID(int=99).bytes_le
    out[0x20:0x30] = data_write.bytes_le
    out[0x30:0x40] = log.bytes_le
    struct.pack_into("<HHIQ", out, 0x40, log_version, version, log_length, LOG_AT)
    return seal(bytes(out))


def regions(table_at: int = TABLE_AT, table_length: int = MIB, extra: bytes = b"") -> bytes:
    out = bytearray(0x10000)
    out[0:4] = b"regi"
    entries = [
        uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le + struct.pack("<QII", table_at, table_length, 1),
        uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le + struct.pack("<QII", METADATA_AT, MIB, 1),
    ]
    if extra:
        entries.append(extra)
    struct.pack_into("<I", out, 8, len(entries))
    out[16 : 16 + 32 * len(entries)] = b"".join(entries)
    return seal(bytes(out))


def locator(pairs: Mapping[str, str]) -> bytes:
    at = 20 + 12 * len(pairs)
    entries, texts = b"", b""
    for key, value in pairs.items():
        key16, value16 = key.encode("utf-16-le"), value.encode("utf-16-le")
        entries += struct.pack("<IIHH", at, at + len(key16), len(key16), len(value16))
        texts += key16 + value16
        at += len(key16) + len(value16)
    kind = uuid.UUID("b04aefb7-d19e-4a81-b789-25b8e9445913").bytes_le
    return kind + struct.pack("<HH", 0, len(pairs)) + entries + texts


def metadata(size: int, block: int, sector: int, parent: Mapping[str, str] | None) -> bytes:
    items = [
        ("caa16737-fa36-4d43-b3b6-33f0aa44e76b", struct.pack("<II", block, 2 if parent is not None else 0), 4),
        ("2fa54224-cd1b-4876-b211-5dbed83bf4b8", struct.pack("<Q", size), 6),
        ("beca12ab-b2e6-4523-93ef-c309e000c746", uuid.UUID(int=5).bytes_le, 6),
        ("8141bf1d-a96f-4709-ba47-f233a8faab5f", struct.pack("<I", sector), 6),
        ("cda348c7-445d-4471-9cc9-e9885251c556", struct.pack("<I", 4096), 6),
    ]
    if parent is not None:
        items.append(("a8d35f2d-b30b-454d-abf7-d3d84834ab0c", locator(parent), 4))
    out = bytearray(0x20000)
    out[0:8] = b"metadata"
    struct.pack_into("<H", out, 0x0A, len(items))
    at = 0x10000
    for index, (guid, data, flags) in enumerate(items):
        entry = uuid.UUID(guid).bytes_le + struct.pack("<IIII", at, len(data), flags, 0)
        out[32 + 32 * index : 64 + 32 * index] = entry
        out[at : at + len(data)] = data
        at += len(data)
    return bytes(out)


def linkage(parent: uuid.UUID, name: str) -> dict[str, str]:
    return {
        "parent_linkage": f"{{{parent}}}",
        "relative_path": f".\\{name}",
        "absolute_win32_path": f"\\\\?\\c:\\{name}",
    }


@dataclass(repr=False)
class Vhdx:
    """The parts of a file, so that a test can damage one and put the rest together."""

    headers: list[bytes]
    regions: list[bytes]
    metadata: bytes
    table: bytes
    blocks: bytes
    log: bytes = bytes(MIB)

    def file(self) -> bytes:
        out = bytearray(DATA_AT)
        out[0:8] = b"vhdxfile"
        creator = "tests".encode("utf-16-le")
        out[8 : 8 + len(creator)] = creator
        for at, part in (
            (0x10000, self.headers[0]),
            (0x20000, self.headers[1]),
            (0x30000, self.regions[0]),
            (0x40000, self.regions[1]),
            (LOG_AT, self.log),
            (METADATA_AT, self.metadata),
            (TABLE_AT, self.table),
        ):
            out[at : at + len(part)] = part
        return bytes(out) + self.blocks


def vhdx(
    data: bytes,
    *,
    block: int = MIB,
    sector: int = 512,
    seed: int | None = None,
    states: Mapping[int, int] | None = None,
    absent: Collection[int] = (),
    own: Callable[[int], bool] | None = None,
    parent: Mapping[str, str] | None = None,
    data_write: uuid.UUID = WRITTEN,
) -> Vhdx:
    """Write a dynamic disk, or a differencing one when `own` says which logical sectors are its own.

    Args:
        data: what the disk holds.
        block: bytes of a block.
        sector: bytes of a logical sector.
        seed: stores the blocks in an order of its own.
        states: state of a block that is not stored (1 undefined, 2 zero, 3 unmapped).
        absent: blocks that are not stored, of state 0.
        own: which logical sectors the child holds; a block with some of them is partly present.
        parent: the pairs of the parent locator.
        data_write: by which a child names this file.

    """
    states = dict(states or {}) | dict.fromkeys(absent, 0)
    count = -(-len(data) // block)
    ratio = (1 << 23) * sector // block
    chunks = -(-count // ratio)
    table = bytearray(chunks * (ratio + 1) * 8)
    bitmaps = [bytearray(MIB) for _ in range(chunks)] if own is not None else []
    stored: list[int | tuple[int]] = [number for number in range(count) if number not in states]
    stored += [(chunk,) for chunk in range(len(bitmaps))]
    if seed is not None:
        random.Random(seed).shuffle(stored)
    bodies: dict[int, bytes] = {}
    state_of: dict[int, int] = {}
    for number in range(count):
        body = data[number * block : (number + 1) * block].ljust(block, b"\0")
        if own is not None and number not in states:
            first = number * block // sector
            mine = [own(first + index) for index in range(block // sector)]
            state_of[number] = 6 if all(mine) else 7
            body = b"".join(
                body[i * sector : (i + 1) * sector] if flag else b"\xee" * sector for i, flag in enumerate(mine)
            )
            for index, flag in enumerate(mine):
                bit = (number % ratio) * (block // sector) + index
                if flag:
                    bitmaps[number // ratio][bit // 8] |= 1 << bit % 8
        bodies[number] = body
    at, blocks = DATA_AT, []
    for item in stored:
        if isinstance(item, tuple):
            struct.pack_into("<Q", table, (item[0] * (ratio + 1) + ratio) * 8, at | 6)
            blocks.append(bytes(bitmaps[item[0]]))
            at += MIB
        else:
            struct.pack_into("<Q", table, (item + item // ratio) * 8, at | state_of.get(item, 6))
            blocks.append(bodies[item])
            at += block
    for number, state in states.items():
        struct.pack_into("<Q", table, (number + number // ratio) * 8, state)
    return Vhdx(
        headers=[header(5, data_write=data_write), header(6, data_write=data_write)],
        regions=[regions(), regions()],
        metadata=metadata(len(data), block, sector, parent if own is not None else None),
        table=bytes(table),
        blocks=b"".join(blocks),
    )


def log_entry(
    sequence: int,
    tail: int,
    changes: list[tuple[int, bytes | int]],
    *,
    flushed: int,
    last: int = 0,
    session: uuid.UUID = SESSION,
) -> bytes:
    """One entry: each change is (file offset, 4096 bytes to write) or (file offset, how many bytes to zero)."""
    descriptors, sectors = b"", b""
    for offset, what in changes:
        if isinstance(what, int):
            descriptors += b"zero" + bytes(4) + struct.pack("<QQQ", what, offset, sequence)
        else:
            descriptors += b"desc" + what[-4:] + what[:8] + struct.pack("<QQ", offset, sequence)
            sectors += (
                b"data" + struct.pack("<I", sequence >> 32) + what[8:-4] + struct.pack("<I", sequence & 0xFFFFFFFF)
            )
    front = 64 + len(descriptors)
    front += -front % 4096
    length = front + len(sectors)
    head = b"loge" + bytes(4) + struct.pack("<IIQII", length, tail, sequence, len(changes), 0)
    head += session.bytes_le + struct.pack("<QQ", flushed, last or flushed)
    return seal((head + descriptors).ljust(front, b"\0") + sectors)


def log(entries: Mapping[int, bytes], length: int = MIB) -> bytes:
    """A log with entries at their positions; one that reaches past the end goes on at the beginning."""
    out = bytearray(length)
    for position, entry in entries.items():
        first = entry[: length - position]
        out[position : position + len(first)] = first
        out[: len(entry) - len(first)] = entry[len(first) :]
    return bytes(out)
