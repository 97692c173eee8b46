"""A volume of 4 MiB with shadow copies, as libyal's document has them; it shares no layout with the reader.

What changed after a copy was made is kept as Windows keeps it: the old block in the copy's store.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from uuid import UUID

BLOCK = 0x4000
BLOCKS = 256
MAGIC = UUID("3808876b-c176-4e48-b7ae-04046e6cc752").bytes_le
#: 2021-01-02 and one day more for each copy.
FIRST = 132_540_192_000_000_000
DAY = 864_000_000_000


def numbered(number: int, generation: int) -> bytes:
    """Return the content of a block: its number and its generation in every sector."""
    return struct.pack("<II", number, generation) * (BLOCK // 8)


def block(kind: int, place: int, following: int = 0, content: bytes = b"", length: int = 0) -> bytes:
    """Return one block of tables."""
    head = MAGIC + struct.pack("<IIQQQQ", 1, kind, 0, place * BLOCK, following * BLOCK, length)
    return (head.ljust(128, b"\0") + content).ljust(BLOCK, b"\0")


def guid(number: int) -> bytes:
    return UUID(int=0xABCD_0000 + number).bytes_le


@dataclass
class Store:
    """One shadow copy.

    `descriptors` are (original, relative, store, flags, mask), in blocks; `unused` are blocks that held nothing.
    """

    descriptors: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    unused: set[int] = field(default_factory=set)
    previously_unused: set[int] | None = None


def volume(stores: list[Store], current: dict[int, bytes]) -> bytearray:
    """Return a volume.

    Args:
        stores: its shadow copies, the oldest one first.
        current: blocks that do not hold their number in generation 0.

    """
    made = bytearray(b"".join(current.get(number, numbered(number, 0)) for number in range(BLOCKS)))
    boot = bytearray(BLOCK)
    boot[0:11] = b"\xebR\x90NTFS    "
    struct.pack_into("<HB", boot, 0x0B, 512, 8)
    boot[0x15] = 0xF8
    struct.pack_into("<Q", boot, 0x28, BLOCKS * BLOCK // 512)
    struct.pack_into("<QQbxxxb", boot, 0x30, 4, 8, -10, 1)
    boot[510:512] = b"\x55\xaa"
    catalog = 10 * BLOCK if stores else 0
    header = MAGIC + struct.pack("<IIQQQQQ", 1, 1, 0x1E00, 0x1E00, 0, catalog, 0) + guid(1000) + guid(1001)
    boot[0x1E00 : 0x1E00 + len(header)] = header
    made[:BLOCK] = boot
    # The order of the catalog is not that of the copies' age.
    entries = b""
    for number, store in reversed(list(enumerate(stores))):
        place = 20 + 10 * number
        size = BLOCKS * BLOCK
        made_at = FIRST + number * DAY
        entries += (struct.pack("<QQ", 2, size) + guid(number) + struct.pack("<QQQ", number, 0x40, made_at)).ljust(
            128, b"\0"
        )
        previous = (place + 4) * BLOCK if store.previously_unused is not None else 0
        entries += (
            struct.pack("<QQ", 3, (place + 1) * BLOCK)
            + guid(number)
            + struct.pack("<QQQQQQ", place * BLOCK, (place + 2) * BLOCK, (place + 3) * BLOCK, 99, 5 * BLOCK, previous)
        ).ljust(128, b"\0")
        machine = "machine-π".encode("utf-16-le")
        information = (
            bytes(16) + guid(100 + number) + guid(200 + number) + struct.pack("<IIII", 9, 1, 0x42_0009, 0)
            + struct.pack("<H", len(machine)) + machine + struct.pack("<H", len(machine)) + machine
        )  # fmt: skip
        descriptors = b"".join(
            struct.pack("<QQQII", original * BLOCK, relative * BLOCK, at * BLOCK, flags, mask)
            for original, relative, at, flags, mask in store.descriptors
        )
        tables = [
            block(4, place, 0, information, len(information)),
            # The list is split into two blocks, the second one behind all others.
            block(3, place + 1, place + 5, descriptors[:64]),
            block(5, place + 2, 0, struct.pack("<QQQ", place * BLOCK, 0, 6 * BLOCK)),
            block(6, place + 3, 0, _bits(store.unused)),
            block(6, place + 4, 0, _bits(store.previously_unused or set())),
            block(3, place + 5, 0, descriptors[64:]),
        ]
        made[place * BLOCK : (place + 6) * BLOCK] = b"".join(tables)
    if stores:
        made[10 * BLOCK : 11 * BLOCK] = block(2, 10, 11, entries[:256])
        made[11 * BLOCK : 12 * BLOCK] = block(2, 11, 0, bytes(128) + entries[256:])
    return made


def _bits(numbers: set[int]) -> bytes:
    bits = bytearray(BLOCKS // 8)
    for number in numbers:
        bits[number // 8] |= 1 << number % 8
    return bytes(bits)


def kept(before: bytes, after: bytes) -> bytes:
    """Return a volume as it is now, with one shadow copy of what it was; the store lies behind its file system."""
    changed = [
        at // BLOCK
        for at in range(0, len(before), BLOCK)
        if before[at : at + BLOCK] != after[at : at + BLOCK] and at >= BLOCK
    ]
    first = -(-len(after) // BLOCK)
    table, data = first + 4, first + 4 + -(-len(changed) // 508)
    header = MAGIC + struct.pack("<IIQQQQQ", 1, 1, 0x1E00, 0x1E00, 0, first * BLOCK, 0) + guid(1000) + guid(1001)
    catalog = (struct.pack("<QQ", 2, len(before)) + guid(0) + struct.pack("<QQQ", 0, 0x40, FIRST)).ljust(128, b"\0")
    catalog += (
        struct.pack("<QQ", 3, table * BLOCK)
        + guid(0)
        + struct.pack("<QQQQQQ", (first + 1) * BLOCK, (first + 2) * BLOCK, (first + 3) * BLOCK, 99, 0, 0)
    )
    information = bytes(16) + guid(100) + guid(200) + struct.pack("<IIII", 9, 1, 0x42_0009, 0) + bytes(4)
    made = bytearray(after.ljust(first * BLOCK, b"\0"))
    made[0x1E00 : 0x1E00 + len(header)] = header
    made += block(2, first, 0, catalog)
    made += block(4, first + 1, 0, information, len(information))
    made += block(5, first + 2) + block(6, first + 3)
    for place in range(table, data):
        some = changed[(place - table) * 508 : (place - table + 1) * 508]
        stored = data + (place - table) * 508
        descriptors = b"".join(
            struct.pack("<QQQII", number * BLOCK, 0, (stored + at) * BLOCK, 0x88, 0) for at, number in enumerate(some)
        )
        made += block(3, place, place + 1 if place + 1 < data else 0, descriptors)
    for number in changed:
        made += before[number * BLOCK : (number + 1) * BLOCK].ljust(BLOCK, b"\0")
    return bytes(made)
