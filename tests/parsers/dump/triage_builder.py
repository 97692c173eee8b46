"""Small dumps of the machines of builder.py, 64- and 32-bit, as Windows cuts them out or writes them itself.

Plain struct packing after the published layouts, like builder.py; nothing of parsers is imported here.
"""

from __future__ import annotations

import struct

from tests.parsers.dump.builder import Machine, Module

#: What the crashing kernel itself writes: Attributes bit 3, TriageOptions 0x41.
KERNEL_GENERATED = 0x8


class _Body:
    """What follows the second header; areas in any order, each 8-aligned."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.data = bytearray()

    def add(self, data: bytes) -> int:
        at = self.start + len(self.data)
        self.data += data.ljust((len(data) + 7) // 8 * 8, b"\0")
        return at


def _driver(module: Module, place: int, wide: bool, whole: bool, size: int) -> bytes:
    """One row: the short form of KLDR_DATA_TABLE_ENTRY behind the place of the name, or the long one (0xA8)."""
    row = bytearray(size)
    struct.pack_into("<I", row, 0, place)
    if wide:
        struct.pack_into("<Q", row, 0x38, module.base)
        struct.pack_into("<I", row, 0x48, module.size)
        struct.pack_into("<I", row, 0x80, module.checksum)
        struct.pack_into("<I", row, 0xA4 if size >= 0xA8 else 0x88, module.timestamp)
        if whole:
            struct.pack_into("<QI", row, 0x18, module.base + 0x3000, 0x123)
            struct.pack_into("<Q", row, 0x40, module.base + 0x1000)
    else:
        struct.pack_into("<III", row, 0x1C, module.base, module.base + 0x1000, module.size)
        struct.pack_into("<II", row, 0x44, module.checksum, module.timestamp)
    return bytes(row)


def _unloaded(rows: list[tuple[str, int, int]], wide: bool) -> bytes:
    table = struct.pack("<Q" if wide else "<I", len(rows))
    for name, start, end in rows:
        raw = name.encode("utf-16-le")[:24]
        table += struct.pack("<HHIQ24sQQ" if wide else "<HHI24sII", len(raw), len(raw), 0, *((0,) if wide else ()),
                             raw, start, end)  # fmt: skip
    return table


def read(machine: Machine, va: int, length: int) -> bytes:
    """Return what lies at a virtual address of the machine."""
    found = b""
    while len(found) < length:
        at = va + len(found)
        place = machine.physical(at & ~0xFFF)
        assert place is not None, hex(at)
        page = machine.pages[place >> 12]
        found += bytes(page[at % 0x1000 : at % 0x1000 + length - len(found)])
    return found


def triage_dump(
    header: bytes | bytearray,
    machine: Machine,
    *,
    stack: tuple[int, int],
    kdbg: tuple[int, int],
    copies: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
    unloaded: list[tuple[str, int, int]],
    blocks: list[tuple[int, int]],
    by_kernel: bool,
    tail: bytes = b"",
    row: int = 0,
) -> bytes:
    """Type 4: every stretch is (address, bytes); `copies` are KPRCB, EPROCESS and ETHREAD, `tail` secondary data."""
    wide = machine.pointer == 8
    start = len(header) + (0x80 if wide else 0x68)
    body = _Body(start)
    mm = body.add(struct.pack("<II", 1, 0x50) + bytes(0x48))
    rows = _unloaded(unloaded, wide)
    # The two kinds differ in the order of their areas; only the offsets tell where each is.
    early = 0 if by_kernel else body.add(rows)
    prcb, process, thread = (body.add(read(machine, *copy)) for copy in copies)
    stack_at, kdbg_at = body.add(read(machine, *stack)), body.add(read(machine, *kdbg))
    rows_at = early or body.add(rows)
    names = [module.name if by_kernel else module.path or module.name for module in machine.modules]
    list_at = body.start + len(body.data)
    row = row or (0x90 if wide else 0x4C)
    size = row * len(names)
    pool_at = list_at + (size + 7) // 8 * 8
    pool, places = b"", []
    for name in names:
        places.append(pool_at + len(pool))
        text = struct.pack("<I", len(name)) + name.encode("utf-16-le") + b"\0\0"
        # Behind the terminator lies what was there before.
        pool += text.ljust((len(text) + 7) // 8 * 8, b"\x1c")
    drivers = (
        _driver(module, place, wide, by_kernel, row) for module, place in zip(machine.modules, places, strict=True)
    )
    assert body.add(b"".join(drivers)) == list_at
    assert body.add(pool) == pool_at
    table = b"".join(
        struct.pack("<QII", at, body.add(read(machine, at, length)), length)
        if wide
        else struct.pack("<III", at, body.add(read(machine, at, length)), length)
        for at, length in blocks
    )
    table_at = body.add(table)
    end = body.add(b"TRGD") + 4
    context, exception = (0x348, 0xF00) if wide else (0x320, 0x7D0)
    fields = [0, end, end - 4, context, exception, mm, rows_at, prcb, process, thread, stack_at, stack[1], list_at,
              len(names), pool_at, len(pool), 0, 0x41 if by_kernel else 0xFFFFFFFF]  # fmt: skip
    second = struct.pack("<18I", *fields)
    if wide:
        second += struct.pack("<Q16xQII", stack[0], 0, 0, 0)
    else:
        second += struct.pack("<IIII", stack[0], 0, 0, 0)
    second += struct.pack("<IIII", kdbg_at, kdbg[1], table_at, len(blocks))
    data = bytearray(bytes(header) + second + bytes(body.data))[:end] + tail
    if by_kernel:
        # Zeros follow, and RequiredDumpSpace is the whole file.
        data += bytes(0x1000)
        struct.pack_into("<Q", data, 0xFA0, len(data))
    return bytes(data)
