"""Write crash dumps: the header of a 64-bit dump, and bodies with pages (types 1, 5 and 6).

Layouts: DUMP_HEADER64 as 0vercl0k/kdmp-parser (kdmp-parser-structs.h) and the bitmap header as volatility3
(framework/symbols/windows/crash64.json) give them. kdmp-parser judges what this writes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from samples.memory import PAGE, Memory

__all__ = ["Dump", "write_benchmark_dumps", "write_dump", "write_large_dump"]


@dataclass(frozen=True)
class Dump:
    """What the header says.

    Attributes:
        code: bug check.
        parameters: of the bug check.
        context: CONTEXT at KeBugCheckEx.
        caller: address of KeBugCheckEx, where the header's exception record points.
        kdbg: address of KdDebuggerDataBlock.
        modules: address of PsLoadedModuleList.
        processes: address of PsActiveProcessHead.
        time: FILETIME.
        uptime: 100 ns.
        build: of Windows.
        processors: how many.
        product_type: 1 client, 2 domain controller, 3 server.
        runs: (first page, count) of the machine's memory.
        boot_id: boots counted.
        secondary: (GUID as stored, data) of the data behind the pages.

    """

    code: int
    parameters: tuple[int, int, int, int]
    context: bytes
    caller: int
    kdbg: int
    modules: int
    processes: int
    time: int
    uptime: int
    build: int = 17763
    processors: int = 2
    product_type: int = 3
    runs: Sequence[tuple[int, int]] = ()
    boot_id: int = 41
    secondary: Sequence[tuple[bytes, bytes]] = field(default=())


def _header(dump: Dump, memory: Memory, kind: int, size: int, runs: Sequence[tuple[int, int]]) -> bytearray:
    # The kernel fills the header with this text first: what nobody sets reads PAGE.
    data = bytearray(b"PAGE" * 0x800)
    data[4:8] = b"DU64"
    struct.pack_into("<II", data, 0x08, 0xF, dump.build)
    struct.pack_into("<QQQQ", data, 0x10, memory.root << 12, 0xFFFFC40000000000, dump.modules, dump.processes)
    struct.pack_into("<IIII", data, 0x30, 0x8664, dump.processors, dump.code, 0)
    struct.pack_into("<4Q", data, 0x40, *dump.parameters)
    data[0x60:0x80] = bytes(32)
    struct.pack_into("<Q", data, 0x80, dump.kdbg)
    struct.pack_into("<IIQ", data, 0x88, len(runs), 0, sum(count for _, count in runs))
    for number, run in enumerate(runs):
        struct.pack_into("<QQ", data, 0x98 + 16 * number, *run)
    data[0x348 : 0x348 + 3000] = dump.context.ljust(3000, b"\0")
    record = struct.pack("<IIQQI", 0x80000003, 1, 0, dump.caller, 0)
    data[0xF00:0xF98] = record.ljust(0x98, b"\0")
    struct.pack_into("<II", data, 0xF98, kind, 0)
    struct.pack_into("<QQ", data, 0xFA0, size, dump.time)
    struct.pack_into("<Q", data, 0x1030, dump.uptime)
    struct.pack_into("<5I", data, 0x1038, 0, 0, dump.product_type, 0x110, 0)
    data[0x104C:0x1050] = bytes(4)
    struct.pack_into("<II", data, 0x1050, 0, dump.boot_id)
    return data


def _runs(pages: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in pages:
        if runs and sum(runs[-1]) == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs


def _secondary(dump: Dump) -> bytes:
    if not dump.secondary:
        return b""
    data = struct.pack("<8sII", b"DumpBlob", 0x10, 0xF0000000 | dump.build)
    for tag, content in dump.secondary:
        pad = -len(content) % 8
        data += struct.pack("<I16sIII", 0x20, tag, len(content), 0, pad) + content + bytes(pad)
    return data


def write_dump(path: Path, dump: Dump, memory: Memory, kind: int) -> None:
    """Write a dump of type 1 (every page of the runs), 5 or 6 (a bitmap of the pages that are there).

    A type 1 dump holds every page of every run; so that it stays small the runs are those of the pages there, which
    must be at most 42.
    """
    numbers = sorted(memory.pages)
    tail = _secondary(dump)
    with path.open("wb") as file:
        if kind == 1:
            runs = _runs(numbers)
            if len(runs) > 42:
                raise ValueError(f"{len(runs)} runs do not fit into a header")
            file.write(_header(dump, memory, kind, 0x2000 + PAGE * len(numbers), runs))
        else:
            bits = max(first + count for first, count in dump.runs)
            bitmap = bytearray((bits + 7) // 8)
            for number in numbers:
                bitmap[number >> 3] |= 1 << (number & 7)
            first = 0x2038 + len(bitmap) + PAGE - 1 & ~(PAGE - 1)
            file.write(_header(dump, memory, kind, first + PAGE * len(numbers), dump.runs))
            signature = b"FDMPDUMP" if kind == 5 else b"SDMPDUMP"
            file.write(struct.pack("<8sI20xQQQ", signature, 1, first, len(numbers), bits))
            file.write(bytes(bitmap).ljust(first - 0x2038, b"\0"))
        for number in numbers:
            file.write(memory.pages[number])
        file.write(tail)


def write_large_dump(path: Path, dump: Dump, memory: Memory, pages: int) -> None:
    """Write a type 5 dump of a machine with so many pages, all of them in the dump; most are holes of the host's file.

    Memory begins as on PCs: page 0 and what lies from 640 KiB to 1 MiB are no RAM.
    """
    runs = [(1, 0x9E), (0x100, pages - 0x100)]
    bitmap = bytearray((pages + 7) // 8)
    for start, count in runs:
        for number in range(start, start + count):
            bitmap[number >> 3] |= 1 << (number & 7)
    first = 0x2038 + len(bitmap) + PAGE - 1 & ~(PAGE - 1)
    total = sum(count for _, count in runs)
    with path.open("wb") as file:
        file.write(_header(dump, memory, 5, first + PAGE * total, runs))
        file.write(struct.pack("<8sI20xQQQ", b"FDMPDUMP", 1, first, total, pages))
        file.write(bytes(bitmap))
        for number, data in memory.pages.items():
            place = next(number - start + sum(n for s, n in runs if s < start)
                         for start, count in runs if start <= number < start + count)  # fmt: skip
            file.seek(first + PAGE * place)
            file.write(data)
        file.truncate(first + PAGE * total)


def write_benchmark_dumps(folder: Path) -> dict[str, Path]:
    """Write a full and a bitmap dump of some tens of MB of the sample machine; return them by name."""
    from samples.story import benchmark_dumps

    return benchmark_dumps(folder)
