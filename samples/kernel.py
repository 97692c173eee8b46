"""The kernel's own structures of a machine of build 17763, x64, as a dump's readers look for them.

Layouts: KDDEBUGGER_DATA64 (wdbgexts.h), KLDR_DATA_TABLE_ENTRY, _KPRCB, _KTHREAD, _EPROCESS and _KUSER_SHARED_DATA of
17763 (volatilityfoundation/volatility: the win10_x64_17763 vtypes).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samples.crash import REGISTERS, STACK_HIGH, STACK_LOW
from samples.memory import Memory

__all__ = ["Module", "State", "context", "lay_out"]

_PRCBS = (0xFFFFF80225F4E180, 0xFFFFBC8101480180)
_THREADS = (0xFFFF9A0F2A07A040, 0xFFFF9A0F2A0E5080)
_PROCESSES = 0xFFFF9A0F29E80040
_ENTRIES = 0xFFFF9A0F29C50A30
_NAMES = 0xFFFF9A0F29D00A30
_UNLOADED = 0xFFFF9A0F2B1F6000
_DESCRIPTOR = 0xFFFF9A0F29E3F010
_SHARED = 0xFFFFF78000000000
#: Fields of KDDEBUGGER_DATA64 that hold offsets in this build's structures: place -> (width, value).
_OFFSETS = {
    0x298: (2, 0x218), 0x29A: (2, 0xF0), 0x29C: (2, 0x58), 0x29E: (2, 0x28), 0x2A0: (2, 0xB8), 0x2A2: (2, 0x184),
    0x2A8: (2, 0x850), 0x2AA: (2, 0x3F8), 0x2AC: (2, 0x3E0), 0x2AE: (2, 0x28), 0x2B0: (2, 0x7EC0), 0x2B2: (2, 0x2E6A),
    0x2B4: (2, 0x8), 0x2B6: (2, 0x44), 0x2B8: (2, 0x40), 0x2BC: (2, 0x1F0), 0x2BE: (2, 0x24), 0x2C0: (2, 0x7F0),
    0x2E0: (2, 0x8040), 0x2E2: (2, 0x18), 0x2E4: (2, 0x20), 0x2E6: (2, 0x180), 0x2F2: (2, 0x100), 0x2F4: (2, 0x10),
    0x2F6: (2, 0x18), 0x2FA: (2, 0x33), 0x2FC: (2, 0x2B), 0x2FE: (2, 0x53), 0x302: (2, 0x40), 0x338: (2, 0x62C0),
    0x340: (4, 0x30), 0x344: (4, 0x38), 0x348: (4, 0x208), 0x350: (2, 0x18), 0x352: (2, 0x2E6C), 0x354: (2, 0x2E50),
    0x356: (2, 0x62D8), 0x358: (2, 0x50), 0x35C: (2, 0x283),
}  # fmt: skip


@dataclass(frozen=True)
class Module:
    """One loaded module.

    Attributes:
        name: base name.
        path: as the loader keeps it.
        base: where it lies.
        size: SizeOfImage.
        timestamp: TimeDateStamp.
        checksum: CheckSum.
        entry: RVA of the entry point.
        exceptions: RVA and size of .pdata.

    """

    name: str
    path: str
    base: int
    size: int
    timestamp: int
    checksum: int
    entry: int
    exceptions: tuple[int, int]


@dataclass(frozen=True)
class State:
    """What the machine was doing.

    Attributes:
        registers: of the crashing processor at KeBugCheckEx.
        touched: address of the last page fault (CR2).
        bugcheck: code and parameters.
        time: FILETIME of the crash.
        uptime: since the boot began, 100 ns.
        processes: (id, name) in the order they started; the first is that of the crash.
        unloaded: (name, start, end).
        runs: (first page, count) of physical memory.
        bias: local time's distance from UTC, 100 ns.
        boot_id: boots counted.

    """

    registers: Mapping[str, int]
    touched: int
    bugcheck: tuple[int, tuple[int, int, int, int]]
    time: int
    uptime: int
    processes: Sequence[tuple[int, str]]
    unloaded: Sequence[tuple[str, int, int]]
    runs: Sequence[tuple[int, int]]
    bias: int = 0
    boot_id: int = 41


def context(registers: Mapping[str, int]) -> bytes:
    """CONTEXT of x64 with all parts valid."""
    data = bytearray(0x4D0)
    struct.pack_into("<II", data, 0x30, 0x10001F, 0x1F80)
    struct.pack_into("<6HI", data, 0x38, 0x10, 0x2B, 0x2B, 0x53, 0x2B, 0x18, registers["eflags"])
    struct.pack_into("<16Q", data, 0x78, *(registers[name] for name in REGISTERS))
    struct.pack_into("<Q", data, 0xF8, registers["rip"])
    struct.pack_into("<H22xI", data, 0x100, 0x27F, 0x1F80)
    return bytes(data)


def _string(memory: Memory, text: str, at: int) -> bytes:
    """Write a name's characters and return its UNICODE_STRING."""
    raw = text.encode("utf-16-le")
    memory.write(at, raw + b"\0\0")
    return struct.pack("<HHIQ", len(raw), len(raw) + 2, 0, at)


def _modules(memory: Memory, head: int, modules: Sequence[Module]) -> None:
    places = [head, *(_ENTRIES + 0x140 * number for number in range(len(modules)))]
    for number, module in enumerate(modules):
        at = places[number + 1]
        full = _string(memory, module.path, _NAMES + 0x200 * number)
        base = _string(memory, module.name, _NAMES + 0x200 * number + 0x180)
        entry = bytearray(0xA0)
        struct.pack_into("<QQ", entry, 0, places[(number + 2) % len(places)], places[number])
        struct.pack_into("<QI", entry, 0x10, module.base + module.exceptions[0], module.exceptions[1])
        struct.pack_into("<QQI", entry, 0x30, module.base, module.base + module.entry, module.size)
        entry[0x48:0x68] = full + base
        struct.pack_into("<IH", entry, 0x68, 0x49104000, 1)
        struct.pack_into("<I", entry, 0x78, module.checksum)
        struct.pack_into("<II", entry, 0x98, module.size, module.timestamp)
        memory.write(at, bytes(entry))
    memory.pack(head, "QQ", places[1], places[-1])


def _processes(memory: Memory, head: int, state: State, cr3: int) -> None:
    places = [_PROCESSES + 0x1000 * number for number in range(len(state.processes))]
    links = [head, *(place + 0x2E8 for place in places)]
    for number, (process_id, name) in enumerate(state.processes):
        block = bytearray(0x850)
        struct.pack_into("<BB", block, 0, 3, 0)
        struct.pack_into("<Q", block, 0x28, cr3)
        struct.pack_into("<Q", block, 0x2E0, process_id)
        struct.pack_into("<QQ", block, 0x2E8, links[(number + 2) % len(links)], links[number])
        block[0x450 : 0x450 + len(name[:14])] = name[:14].encode()
        memory.write(places[number], bytes(block))
    memory.pack(head, "QQ", links[1], links[-1])


def _processors(memory: Memory, state: State, cr3: int) -> None:
    idle = dict.fromkeys((*REGISTERS, "rip", "eflags"), 0) | {"rsp": 0xFFFFBC8101529AF8, "eflags": 0x246}
    for number, (at, thread) in enumerate(zip(_PRCBS, _THREADS, strict=True)):
        block = bytearray(0x7EC0)
        struct.pack_into("<I4xQ", block, 0, 0x1F80, thread)
        struct.pack_into("<I", block, 0x24, number)
        struct.pack_into("<BB", block, 0x40, 6, 1)
        struct.pack_into("<I", block, 0x44, 2295)
        touched = state.touched if number == 0 else 0
        struct.pack_into("<4Q", block, 0x100, 0x80050033, touched, cr3, 0x370678)
        struct.pack_into("<Q", block, 0x62C0, at + 0x7800)
        memory.write(at, bytes(block))
        registers = state.registers if number == 0 else idle | {"rip": state.registers["rip"] + 0x40}
        memory.write(at + 0x7800, context(registers))
        low, high = (STACK_LOW, STACK_HIGH) if number == 0 else (0xFFFFBC8101524000, 0xFFFFBC810152A000)
        body = bytearray(0x7F0)
        struct.pack_into("<BB", body, 0, 6, 0)
        struct.pack_into("<QQQ", body, 0x28, high, low, high)
        struct.pack_into("<Q", body, 0x58, high - 0x240)
        struct.pack_into("<Q", body, 0xB8, _PROCESSES)
        struct.pack_into("<B", body, 0x184, 2)
        struct.pack_into("<Q", body, 0x220, _PROCESSES)
        struct.pack_into("<QQ", body, 0x638, 4, 0x68 + 4 * number)
        memory.write(thread, bytes(body))


def _unloaded(memory: Memory, symbols: Mapping[str, int], state: State) -> None:
    table = bytearray(50 * 0x28)
    for number, (name, start, end) in enumerate(state.unloaded):
        string = _string(memory, name, _UNLOADED + 0x1000 + 0x40 * number)
        struct.pack_into("<16sQQQ", table, 0x28 * number, string, start, end, state.time - state.uptime // 2)
    memory.write(_UNLOADED, bytes(table))
    memory.pack(symbols["MmUnloadedDrivers"], "Q", _UNLOADED)
    memory.pack(symbols["MmLastUnloadedDriver"], "I", len(state.unloaded))


def _time(value: int) -> bytes:
    return struct.pack("<III", value & 0xFFFFFFFF, value >> 32, value >> 32)


def _shared_data(memory: Memory, state: State) -> None:
    data = bytearray(0x1000)
    data[0x08:0x14] = _time(state.uptime)
    data[0x14:0x20] = _time(state.time)
    data[0x20:0x2C] = _time(state.bias)
    root = r"C:\Windows".encode("utf-16-le")
    data[0x30 : 0x30 + len(root)] = root
    struct.pack_into("<I", data, 0x260, 0xF0000000 | 17763)
    struct.pack_into("<IB", data, 0x264, 3, 1)
    struct.pack_into("<H", data, 0x26A, 9)
    struct.pack_into("<II", data, 0x26C, 10, 0)
    struct.pack_into("<I", data, 0x2C4, state.boot_id)
    struct.pack_into("<I", data, 0x2D0, 0x110)
    struct.pack_into("<I", data, 0x2E8, sum(count for _, count in state.runs))
    struct.pack_into("<Q", data, 0x320, state.uptime // 156250)
    struct.pack_into("<I", data, 0x3C0, 2)
    memory.write(_SHARED, bytes(data))


def lay_out(memory: Memory, symbols: Mapping[str, int], modules: Sequence[Module], state: State) -> None:
    """Fill memory with the kernel's structures; `symbols` are addresses of the kernel's variables."""
    cr3 = memory.root << 12
    _modules(memory, symbols["PsLoadedModuleList"], modules)
    _processes(memory, symbols["PsActiveProcessHead"], state, cr3)
    _processors(memory, state, cr3)
    _unloaded(memory, symbols, state)
    _shared_data(memory, state)
    memory.pack(symbols["KiProcessorBlock"], "QQ", *_PRCBS)
    runs = b"".join(struct.pack("<QQ", *run) for run in state.runs)
    pages = sum(count for _, count in state.runs)
    memory.write(_DESCRIPTOR, struct.pack("<IIQ", len(state.runs), 0, pages) + runs)
    memory.pack(symbols["MmPhysicalMemoryBlock"], "Q", _DESCRIPTOR)
    code, parameters = state.bugcheck
    memory.pack(symbols["KiBugcheckData"], "5Q", code, *parameters)
    block = bytearray(0x380)
    address = symbols["KdDebuggerDataBlock"]
    struct.pack_into("<QQ4sIQ", block, 0, address, address, b"KDBG", 0x380, modules[0].base)
    for place, name in (
        (0x48, "PsLoadedModuleList"), (0x50, "PsActiveProcessHead"), (0x88, "KiBugcheckData"), (0x208, "NtBuildLab"),
        (0x218, "KiProcessorBlock"), (0x220, "MmUnloadedDrivers"), (0x228, "MmLastUnloadedDriver"),
        (0x270, "MmPhysicalMemoryBlock"),
    ):  # fmt: skip
        struct.pack_into("<Q", block, place, symbols[name])
    for place, (width, value) in _OFFSETS.items():
        block[place : place + width] = value.to_bytes(width, "little")
    struct.pack_into("<Q", block, 0x360, memory.pte_base)
    memory.write(address, bytes(block))
