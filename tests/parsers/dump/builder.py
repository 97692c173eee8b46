"""Small machines for the tests of dumps: memory, page tables, kernel structures, and every kind of dump of them.

Plain struct packing after the published layouts; nothing of parsers is imported here, so that a wrong layout there
cannot hide behind the same mistake here. kdmp-parser judges what this makes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

PAGE = 0x1000
NT = 0xFFFFF80111200000
DRIVER_BASE = 0xFFFFF80122200000
KDBG = NT + 0xC00AE0
MODULE_LIST = NT + 0xC2A310
STACK_TOP = 0xFFFF850429893000


@dataclass
class Module:
    name: str
    base: int
    size: int
    timestamp: int
    checksum: int
    path: str = ""


@dataclass
class Machine:
    """Physical pages of one machine and the means to fill them."""

    kind: str = "x64"  # x64, x64-5, arm64, x86, pae
    cr3: int = 0x1AA000
    pages: dict[int, bytearray] = field(default_factory=dict)
    next_page: int = 0x200
    modules: list[Module] = field(default_factory=list)
    header: dict[str, int] = field(default_factory=dict)

    @property
    def pointer(self) -> int:
        return 4 if self.kind in ("x86", "pae") else 8

    def page(self, number: int) -> bytearray:
        return self.pages.setdefault(number, bytearray(PAGE))

    def new_page(self) -> int:
        self.next_page += 1
        self.page(self.next_page)
        return self.next_page

    # -- page tables ------------------------------------------------------------------------------------------

    def entry(self, va: int, leaf_shift: int = 12) -> tuple[int, int, int]:
        """Return (page, offset, width) of the entry for `va` at a level, making the tables above it."""
        width, shifts, masks = {
            "x64": (8, (39, 30, 21, 12), (0x1FF,) * 4),
            "x64-5": (8, (48, 39, 30, 21, 12), (0x1FF,) * 5),
            "arm64": (8, (39, 30, 21, 12), (0x1FF,) * 4),
            "pae": (8, (30, 21, 12), (3, 0x1FF, 0x1FF)),
            "x86": (4, (22, 12), (0x3FF, 0x3FF)),
        }[self.kind]
        table, offset = self.cr3 >> 12, self.cr3 & 0xFE0 if self.kind == "pae" else 0
        for shift, mask in zip(shifts, masks, strict=True):
            self.page(table)
            at = offset + (va >> shift & mask) * width
            if shift == leaf_shift:
                return table, at, width
            raw = int.from_bytes(self.page(table)[at : at + width], "little")
            if raw & 1 == 0:
                raw = self.new_page() << 12 | {"arm64": 3, "pae": 1 if shift == 30 else 3}.get(self.kind, 0x63)
                self.page(table)[at : at + width] = raw.to_bytes(width, "little")
            table, offset = (raw & 0x0000FFFFFFFFF000) >> 12, 0
        raise AssertionError("no such level")

    def set_entry(self, va: int, value: int, leaf_shift: int = 12) -> None:
        page, at, width = self.entry(va, leaf_shift)
        self.page(page)[at : at + width] = value.to_bytes(width, "little")

    def map(self, va: int, number: int) -> None:
        """Map one page; x64 entries carry Windows' working-set bits above the page number."""
        flags = {"arm64": 0x403, "x86": 0x63, "pae": 0x63}.get(self.kind, 0x0A00000000000063)
        self.set_entry(va, number << 12 | flags)

    def physical(self, va: int) -> int | None:
        page, at, width = self.entry(va)
        raw = int.from_bytes(self.page(page)[at : at + width], "little")
        return (raw & 0x0000FFFFFFFFF000) if raw & 1 else None

    def put(self, va: int, data: bytes) -> None:
        """Write to virtual memory, mapping pages as needed."""
        at = 0
        while at < len(data):
            here = va + at
            base = self.physical(here & ~0xFFF)
            if base is None:
                number = self.new_page()
                self.map(here & ~0xFFF, number)
                base = number << 12
            room = PAGE - here % PAGE
            part = data[at : at + room]
            self.page(base >> 12)[here % PAGE : here % PAGE + len(part)] = part
            at += len(part)

    def put_pointer(self, va: int, value: int) -> None:
        self.put(va, (value & ((1 << 8 * self.pointer) - 1)).to_bytes(self.pointer, "little"))

    # -- kernel structures ------------------------------------------------------------------------------------

    def unicode_string(self, text: str, at: int) -> bytes:
        raw = text.encode("utf-16-le")
        self.put(at, raw)
        if self.pointer == 8:
            return struct.pack("<HHIQ", len(raw), len(raw) + 2, 0, at)
        return struct.pack("<HHI", len(raw), len(raw) + 2, at)

    def put_modules(self, head: int, records: int, modules: Iterable[Module], names: int) -> None:
        """Lay out PsLoadedModuleList, one record every 0x100 bytes, names every 0x400."""
        self.modules = list(modules)
        wide = self.pointer == 8
        places = [head] + [records + 0x100 * index for index in range(len(self.modules))]
        for index, module in enumerate(self.modules):
            forward, back = places[(index + 2) % len(places)], places[index]
            full = self.unicode_string(module.path or module.name, names + 0x400 * index)
            base = self.unicode_string(module.name, names + 0x400 * index + 0x200)
            if wide:
                record = struct.pack(
                    "<QQQIIQQQQII",
                    forward,
                    back,
                    module.base + 0x3000,
                    0x123,
                    0,
                    0,
                    0,
                    module.base,
                    module.base + 0x1000,
                    module.size,
                    0,
                )
                record += full + base + struct.pack("<IHHQII", 0x49004000, 1, 0, 0, module.checksum, 0)
                record += bytes(0x18) + struct.pack("<II", module.size, module.timestamp)
                record = record[:0x98] + struct.pack("<II", module.size, module.timestamp)
            else:
                record = struct.pack(
                    "<IIIIIIIII", forward, back, 0, 0, 0, 0, module.base, module.base + 0x1000, module.size
                )
                record += full + base + struct.pack("<IHHII", 0, 1, 0, 0, module.checksum)
            self.put(places[index + 1], record)
        self.put_pointer(head, places[1 % len(places)])
        self.put_pointer(head + self.pointer, places[-1])

    def put_kdbg(self, address: int, fields: dict[int, tuple[int, int]], size: int = 0x380) -> None:
        """Write KDBG with {offset: (width, value)}."""
        block = bytearray(size)
        block[0x10:0x18] = struct.pack("<4sI", b"KDBG", size)
        for offset, (width, value) in fields.items():
            block[offset : offset + width] = value.to_bytes(width, "little")
        self.put(address, bytes(block))


def context_x64(rip: int, rsp: int, **registers: int) -> bytes:
    data = bytearray(0x4D0)
    struct.pack_into("<IIHHHHHHI", data, 0x30, 0x10001F, 0x1F80, 0x10, 0x2B, 0x2B, 0x53, 0x2B, 0x18, 0x246)
    struct.pack_into("<I", data, 0x118, 0x1F80)
    order = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16))]
    for name, value in {**registers, "rsp": rsp}.items():
        struct.pack_into("<Q", data, 0x78 + 8 * order.index(name), value)
    struct.pack_into("<Q", data, 0xF8, rip)
    return bytes(data)


def header64(
    dump_type: int,
    *,
    cr3: int,
    machine: int = 0x8664,
    code: int = 0xD1,
    parameters: tuple[int, int, int, int] = (0x10, 2, 0, DRIVER_BASE + 0x1234),
    build: int = 17763,
    kdbg: int = KDBG,
    modules: int = MODULE_LIST,
    processors: int = 2,
    context: bytes = b"",
    runs: list[tuple[int, int]] | None = None,
    attributes: int | None = None,
    required: int = 0x100000,
) -> bytearray:
    data = bytearray(b"PAGE" * (0x2000 // 4))
    data[4:8] = b"DU64"
    struct.pack_into("<II", data, 0x08, 0xF, build)
    struct.pack_into("<QQQQ", data, 0x10, cr3, 0xFFFFFA8000000000, modules, 0xFFFFF80111C1A2B0)
    struct.pack_into("<III", data, 0x30, machine, processors, code)
    struct.pack_into("<4Q", data, 0x40, *parameters)
    struct.pack_into("<Q", data, 0x80, kdbg)
    if runs is not None:
        struct.pack_into("<IIQ", data, 0x88, len(runs), 0, sum(count for _, count in runs))
        for index, run in enumerate(runs[:42]):
            struct.pack_into("<QQ", data, 0x98 + 16 * index, *run)
    if context:
        data[0x348 : 0x348 + 3000] = context.ljust(3000, b"\0")
    struct.pack_into("<II", data, 0xF00, 0x80000003, 1)
    struct.pack_into("<I", data, 0xF98, dump_type)
    struct.pack_into("<QQ", data, 0xFA0, required, 0x01D6FF6C2A3B4C5D)
    struct.pack_into("<Q", data, 0x1030, 0x23BC1E9)
    struct.pack_into("<IIIII", data, 0x1038, 0, 0, 3, 0x110, 0)
    if attributes is not None:
        struct.pack_into("<I", data, 0x1050, attributes)
    return data


def header32(
    dump_type: int,
    *,
    cr3: int,
    pae: int,
    kdbg: int,
    modules: int,
    build: int = 7601,
    runs: list[tuple[int, int]] | None = None,
    esp: int = 0,
) -> bytearray:
    data = bytearray(b"PAGE" * (0x1000 // 4))
    data[4:8] = b"DUMP"
    struct.pack_into("<IIIIII", data, 0x08, 0xF, build, cr3, 0x83000000, modules, 0x82B4F5D8)
    struct.pack_into("<III4I", data, 0x20, 0x14C, 1, 0x8E, 0xC0000005, 0x82A41234, 0x8D0F1B20, 0)
    data[0x5C] = pae
    struct.pack_into("<I", data, 0x60, kdbg)
    if runs is not None:
        struct.pack_into("<II", data, 0x64, len(runs), sum(count for _, count in runs))
        for index, run in enumerate(runs[:86]):
            struct.pack_into("<II", data, 0x6C + 8 * index, *run)
    context = bytearray(1200)
    struct.pack_into("<I", context, 0, 0x10007)
    struct.pack_into("<II", context, 0xB4, 0x8D0F1C00, 0x82A41234)
    struct.pack_into("<I", context, 0xC4, esp)
    data[0x320 : 0x320 + 1200] = context
    struct.pack_into("<IIIIII", data, 0xF88, dump_type, 0, 0, 3, 0x110, 0)
    struct.pack_into("<Q", data, 0xFA0, 0x100000)
    struct.pack_into("<QQ", data, 0xFB8, 0x23BC1E9, 0x01CC1E72A3B4C5D6)
    return data


def bitmap_dump(
    header: bytes | bytearray,
    pages: dict[int, bytearray],
    *,
    signature: bytes = b"SDMP",
    bits: int | None = None,
    total: int | None = None,
    spare_bits: bool = False,
    gap: int = PAGE,
) -> bytes:
    """Types 5 and 6."""
    highest = max(pages)
    bits = highest + 1 if bits is None else bits
    bitmap = bytearray((bits + 7) // 8)
    for number in pages:
        bitmap[number // 8] |= 1 << number % 8
    if spare_bits and bits % 8:
        bitmap[-1] |= 0xFF & ~((1 << bits % 8) - 1)
    first = (len(header) + 0x38 + len(bitmap) + PAGE - 1) // PAGE * PAGE + gap
    body = struct.pack("<4s4sI20sQQQ", signature, b"DUMP", 1, b"", first, len(pages) if total is None else total, bits)
    data = bytes(header) + body + bytes(bitmap)
    return data.ljust(first, b"\0") + b"".join(bytes(pages[number]) for number in sorted(pages))


def summary_dump(header: bytes | bytearray, pages: dict[int, bytearray]) -> bytes:
    """Type 2."""
    bits = max(pages) + 1
    bitmap = bytearray((bits + 7) // 8)
    for number in pages:
        bitmap[number // 8] |= 1 << number % 8
    wide = len(header) == 0x2000
    first = (len(header) + 0x28 + len(bitmap) + PAGE - 1) // PAGE * PAGE
    body = struct.pack("<4s4sIIIII", b"SDMP", b"DUMP", 1, first, bits, len(pages), bits)
    body += struct.pack("<IQ" if wide else "<I", *((0, 0xFFFFFA8001234568) if wide else (0x85123456,)))
    data = bytes(header) + body + bytes(bitmap)
    return data.ljust(first, b"\0") + b"".join(bytes(pages[number]) for number in sorted(pages))


def runs_of(pages: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in sorted(pages):
        if runs and runs[-1][0] + runs[-1][1] == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs


def full_dump(header: bytes | bytearray, pages: dict[int, bytearray]) -> bytes:
    """Type 1; the header holds the runs already."""
    return bytes(header) + b"".join(bytes(pages[number]) for number in sorted(pages))


def rdmp_dump(
    header: bytes | bytearray, pages: dict[int, bytearray], *, complete: bool, shuffle: bool = False
) -> bytes:
    """Types 8, 9 (complete False) and 0xA (True, with stale bytes behind the last range)."""
    runs = runs_of(pages)
    if shuffle:
        runs = runs[::-1]
    table = b"".join(struct.pack("<QQ", *run) for run in runs)
    table += struct.pack("<QQ", 0x77, 0x1018003F00000000) * 3 if complete else bytes(48)
    first = 0x2030 + len(table)
    unknown = struct.pack("<IHHQ", len(runs), 0, 0, len(pages)) if complete else bytes(16)
    body = struct.pack("<I4s4sIQQ", 0x40, b"RDMP", b"DUMP", 0, first - 0x2020, first) + unknown + table
    stored = b"".join(bytes(pages[base + index]) for base, count in runs for index in range(count))
    return bytes(header) + body + stored


def secondary(blobs: list[tuple[bytes, bytes]]) -> bytes:
    """A chain of secondary data; each blob is padded in front and left unaligned behind."""
    data = struct.pack("<8sII", b"DumpBlob", 0x10, 0xF0004563)
    for tag, content in blobs:
        data += struct.pack("<I16sIII", 0x20, tag, len(content), 4, 1) + bytes(4) + content + b"\xee"
    return data


def triage_dump32(
    header: bytes | bytearray,
    *,
    stack: tuple[int, bytes],
    kdbg: bytes,
    modules: list[Module],
    unloaded: list[tuple[str, int, int]],
    blocks: list[tuple[int, bytes]],
) -> bytes:
    """Type 4 of a 32-bit machine."""
    body = bytearray()

    def add(data: bytes) -> int:
        body.extend(data.ljust((len(data) + 7) // 8 * 8, b"\0"))
        return 0x1068 + len(body) - (len(data) + 7) // 8 * 8

    names = [
        add(struct.pack("<I", len(m.path or m.name)) + (m.path or m.name).encode("utf-16-le") + b"\0\0")
        for m in modules
    ]
    pool_size = 0x1068 + len(body) - names[0]
    drivers = b""
    for place, module in zip(names, modules, strict=True):
        row = bytearray(0x4C)
        struct.pack_into("<I", row, 0, place)
        struct.pack_into("<III", row, 0x1C, module.base, module.base + 0x1000, module.size)
        struct.pack_into("<II", row, 0x44, module.checksum, module.timestamp)
        drivers += bytes(row)
    drivers_at = add(drivers)
    rows = struct.pack("<I", len(unloaded))
    for name, start, end in unloaded:
        raw = name.encode("utf-16-le")[:24]
        rows += struct.pack("<HHI24sII", len(raw), len(raw), 0, raw, start, end)
    unloaded_at, stack_at, kdbg_at = add(rows), add(stack[1]), add(kdbg)
    table = b"".join(struct.pack("<III", address, add(data), len(data)) for address, data in blocks)
    table_at = add(table)
    end = add(b"TRGD") + 4
    fields = [
        0,
        end,
        end - 4,
        0x320,
        0x7D0,
        0,
        unloaded_at,
        0,
        0,
        0,
        stack_at,
        len(stack[1]),
        drivers_at,
        len(modules),
        names[0],
        pool_size,
        0,
        0xFFFFFFFF,
        stack[0],
        0,
        0,
        0,
        kdbg_at,
        len(kdbg),
        table_at,
        len(blocks),
    ]
    data = bytes(header) + struct.pack("<26I", *fields) + bytes(body)
    return data[:end]


MODULES = [
    Module("ntoskrnl.exe", NT, 0xAB6000, 0x5DB7AEB3, 0x9A1234, "\\SystemRoot\\system32\\ntoskrnl.exe"),
    Module("hal.dll", 0xFFFFF80110F00000, 0x6C000, 0xC0FFEE01, 0x7A7A7, "\\SystemRoot\\system32\\hal.dll"),
    Module(
        "Wdf01000.sys",
        0xFFFFF80121000000,
        0xD1000,
        0xA9A9D36E,
        0xD3980,
        "\\SystemRoot\\system32\\drivers\\Wdf01000.sys",
    ),
    Module("vmstorfl.sys", DRIVER_BASE, 0x10000, 0x1234ABCD, 0x1F0A2, "\\SystemRoot\\System32\\drivers\\vmstorfl.sys"),
]

PRCB, THREAD, PROCESS = 0xFFFFF80110A01180, 0xFFFFC08BDE9E1640, 0xFFFFC08BDCE94180
RSP = STACK_TOP - 0x400


def server2019(kind: str = "x64") -> Machine:
    """Build 17763 on x64: kernel block, modules, two processors, thread, process, unloaded drivers, odd pages."""
    machine = Machine(kind)
    machine.put_modules(MODULE_LIST, 0xFFFFC08BDC0011F0, MODULES, 0xFFFFC08BDC100F20)
    kernel_variables = NT + 0xC80000
    machine.put_kdbg(
        KDBG,
        {
            0x18: (8, NT),
            0x48: (8, MODULE_LIST),
            0x218: (8, kernel_variables),
            0x220: (8, kernel_variables + 0x4000),
            0x228: (8, kernel_variables + 0x4008),
            0x270: (8, kernel_variables + 0x4010),
            0x298: (2, 0x218),
            0x29C: (2, 0x58),
            0x29E: (2, 0x28),
            0x2A0: (2, 0xB8),
            0x2A8: (2, 0x850),
            0x2B0: (2, 0x7EC0),
            0x2B4: (2, 8),
            0x2BE: (2, 0x24),
            0x2C0: (2, 0x7F0),
            0x2F2: (2, 0x100),
            0x338: (2, 0x62C0),
            0x340: (4, 0x30),
            0x344: (4, 0x38),
            0x354: (2, 0x2E50),
            0x356: (2, 0x62D8),
            0x360: (8, 0xFFFFFD8000000000),
        },
    )
    machine.put(kernel_variables, struct.pack("<QQ", PRCB - 0x100000, PRCB))
    context = context_x64(NT + 0x1B4FA0, RSP)
    for number, address in enumerate((PRCB - 0x100000, PRCB)):
        machine.put(address, bytes(0x7EC0))
        machine.put(address + 0x24, struct.pack("<I", number))
        machine.put(address + 8, struct.pack("<Q", THREAD - 0x10000 * (1 - number)))
        machine.put(address + 0x62C0, struct.pack("<Q", address + 0x7000))
        machine.put(address + 0x7000, context if number else context_x64(NT + 0x1000, STACK_TOP - 0x100000))
    machine.put(THREAD + 0x28, struct.pack("<QQQ", STACK_TOP, STACK_TOP - 0x6000, STACK_TOP))
    machine.put(THREAD + 0xB8, struct.pack("<Q", PROCESS))
    machine.put(PROCESS + 0x450, b"svchost.exe\0\0\0\0")
    machine.put(STACK_TOP - 0x6000, bytes(0x6000))
    machine.put(RSP, struct.pack("<Q", DRIVER_BASE + 0x1301))
    table = kernel_variables + 0x5000
    machine.put(kernel_variables + 0x4000, struct.pack("<QI", table, 2))
    machine.put(table, bytes(50 * 0x28))
    for row, (name, start) in enumerate((("dump_diskdump", 0xFFFFF80130000000), ("old.sys", 0xFFFFF80131000000))):
        string = machine.unicode_string(name, table + 0x1000 + 0x100 * row)
        machine.put(table + 0x28 * row, string + struct.pack("<QQQ", start, start + 0x9000, 0x1D6FF000 + row))
    return machine


def write_x64(machine: Machine, dump_type: int, **options: object) -> bytes:
    """Write a dump of an x64 machine in any type with pages."""
    arguments = {
        "cr3": machine.cr3 | 2,
        "context": context_x64(NT + 0x1B4FA0, RSP, rcx=0xD1),
        **options,
    }
    runs = runs_of(machine.pages) if dump_type == 1 else None
    header = header64(dump_type, runs=runs, **arguments)
    if dump_type == 1:
        return full_dump(header, machine.pages)
    if dump_type == 2:
        return summary_dump(header, machine.pages)
    if dump_type in (5, 6):
        return bitmap_dump(header, machine.pages, signature=b"FDMP" if dump_type == 5 else b"SDMP", spare_bits=True)
    return rdmp_dump(header, machine.pages, complete=dump_type == 0xA, shuffle=dump_type == 9)
