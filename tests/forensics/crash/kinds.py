"""One machine of each architecture with modules, registers, a thread, a process and a stack, in a dump of every type.

Everything is laid out after published structures; what must come out of each dump is `EXPECTED`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tests.parsers.dump.builder import (
    PAGE,
    Machine,
    Module,
    bitmap_dump,
    context_x64,
    full_dump,
    header32,
    header64,
    rdmp_dump,
    runs_of,
    secondary,
    summary_dump,
)
from tests.parsers.dump.triage_builder import KERNEL_GENERATED, triage_dump

__all__ = ["ARCHITECTURES", "TYPES", "Made", "make", "write"]

ARCHITECTURES = ("x64", "x64-5", "arm64", "x86", "pae")
#: DumpType; small dumps are "4" cut out at the next boot and "4k" written by the kernel itself.
TYPES = {"1": 1, "2": 2, "3": 3, "4": 4, "4k": 4, "5": 5, "6": 6, "8": 8, "9": 9, "10": 10}

BUILD_TAG = struct.pack("<IHH8s", 0x2B88B710, 0x1C93, 0x4F7C, bytes.fromhex("b06c655ecc50decc"))


@dataclass
class Layout:
    """Addresses and offsets of one architecture; the offsets are what KDBG tells, so any that fit will do."""

    build: int
    nt: int
    driver: int
    kdbg: int
    modules: int
    pool: int
    prcb: int
    thread: int
    process: int
    stack_top: int
    process_size: int
    image_name: int
    kdbg_size: int


WIDE = Layout(
    17763, 0xFFFFF80111200000, 0xFFFFF80122200000, 0xFFFFF80111E00AE0, 0xFFFFF80111E2A310, 0xFFFFC08BDC0011F0,
    0xFFFFF80110A01180, 0xFFFFC08BDE9E1640, 0xFFFFC08BDCE94180, 0xFFFF850429893000, 0x850, 0x450, 0x380,
)  # fmt: skip
LAYOUTS = {
    "x64": WIDE,
    "x64-5": WIDE,
    "arm64": Layout(
        22000, WIDE.nt, WIDE.driver, WIDE.kdbg, WIDE.modules, WIDE.pool, WIDE.prcb, WIDE.thread, WIDE.process,
        WIDE.stack_top, 0xC80, 0x560, 0x380,
    ),
    "x86": Layout(
        9600, 0x82A1A000, 0x8D0E0000, 0x82B4AC30, 0x82B6B810, 0x85000100, 0x82B6CD20, 0x85D3D030, 0x85C0A4F0,
        0x8D0F3000, 0x2F8, 0x170, 0x360,
    ),
}  # fmt: skip
LAYOUTS["pae"] = LAYOUTS["x86"]
PRCB_SIZE, THREAD_SIZE, CONTEXT_AT = 0x1000, 0x400, 0x800
STACK_BYTES = 0x400


@dataclass
class Made:
    """A machine, and what each dump of it must say."""

    machine: Machine
    layout: Layout
    context: bytes
    stack: list[tuple[str, str]]

    @property
    def stack_pointer(self) -> int:
        return self.layout.stack_top - STACK_BYTES


def _context(kind: str, ip: int, sp: int, fp: int) -> bytes:
    if kind == "arm64":
        data = bytearray(0x390)
        struct.pack_into("<II", data, 0, 0x400007, 0x80000144)
        struct.pack_into("<QQQQ", data, 0xF0, fp, 0, sp, ip)
        return bytes(data)
    if kind.startswith("x64"):
        return context_x64(ip, sp, rcx=0xD1, rbp=fp)
    data = bytearray(0x2CC)
    struct.pack_into("<I", data, 0, 0x10007)
    struct.pack_into("<IIII", data, 0xB4, fp, ip, 8, 0x246)
    struct.pack_into("<II", data, 0xC4, sp, 0x10)
    return bytes(data)


def make(kind: str) -> Made:
    """Build the machine of an architecture."""
    at, width = LAYOUTS[kind], 4 if kind in ("x86", "pae") else 8
    machine = Machine(kind, cr3=0x1AA020 if kind == "pae" else 0x1AA000)
    machine.put_modules(
        at.modules,
        at.pool,
        [
            Module("ntoskrnl.exe", at.nt, 0xAB6000 if width == 8 else 0x90000, 0, 0x9A1234,
                   "\\SystemRoot\\system32\\ntoskrnl.exe"),
            Module("storport.sys", at.driver - 0x100000, 0x40000, 0, 0x7A7A7,
                   "\\SystemRoot\\System32\\drivers\\storport.sys"),
            Module("vmstorfl.sys", at.driver, 0x10000, 0, 0x1F0A2,
                   "\\SystemRoot\\System32\\drivers\\vmstorfl.sys"),
        ],
        at.pool + 0x10000,
    )  # fmt: skip
    variables, high = at.nt + 0x8000, 0 if width == 8 else 0xFFFFFFFF00000000
    machine.put_kdbg(
        at.kdbg,
        {
            0x18: (8, at.nt | high), 0x48: (8, at.modules | high), 0x218: (8, variables | high),
            0x220: (8, variables + 0x400 | high), 0x228: (8, variables + 0x408 | high), 0x29C: (2, 0x58),
            0x29E: (2, 0x28), 0x2A0: (2, 0xB8), 0x2A8: (2, at.process_size), 0x2B0: (2, PRCB_SIZE), 0x2B4: (2, 8),
            0x2BE: (2, 0x24), 0x2C0: (2, THREAD_SIZE), 0x2F2: (2, 0x100), 0x338: (2, 0x300), 0x340: (4, 0x30),
            0x344: (4, 0x38),
        },
        at.kdbg_size,
    )  # fmt: skip
    stack_pointer = at.stack_top - STACK_BYTES
    frames = [stack_pointer + 0x40, stack_pointer + 0x80]
    # Two processors; the second one crashed.
    machine.put_pointer(variables, at.prcb - 0x10000)
    machine.put_pointer(variables + width, at.prcb)
    context = _context(kind, at.nt + 0x27234, stack_pointer, frames[0])
    for number, prcb in enumerate((at.prcb - 0x10000, at.prcb)):
        machine.put(prcb, bytes(PRCB_SIZE))
        machine.put(prcb + 0x24, struct.pack("<I", number))
        machine.put_pointer(prcb + 8, at.thread - 0x10000 * (1 - number))
        machine.put_pointer(prcb + 0x300, prcb + CONTEXT_AT)
        other = _context(kind, at.nt + 0x1000, at.stack_top - 0x100000, 0)
        machine.put(prcb + CONTEXT_AT, context if number else other)
    machine.put(at.thread, bytes(THREAD_SIZE))
    for offset, value in ((0x28, at.stack_top), (0x30, at.stack_top - 0x3000), (0x38, at.stack_top)):
        machine.put_pointer(at.thread + offset, value)
    machine.put_pointer(at.thread + 0xB8, at.process)
    machine.put(at.process, bytes(at.process_size))
    machine.put(at.process + at.image_name, b"svchost.exe")
    machine.put(at.stack_top - 0x3000, bytes(0x3000))
    machine.put_pointer(frames[0], frames[1])
    machine.put_pointer(frames[0] + width, at.driver + 0x1300)
    machine.put_pointer(frames[1] + width, at.nt + 0x5555)
    if kind.startswith("x64"):
        # No unwind data: the word at Rsp is taken, with its label.
        machine.put_pointer(stack_pointer, at.driver + 0x1300)
    machine.put_pointer(variables + 0x400, variables + 0x1000)
    machine.put(variables + 0x408, struct.pack("<I", 1))
    rows = bytearray(50 * (0x28 if width == 8 else 0x18))
    string = machine.unicode_string("old.sys", variables + 0x3000)
    start = at.driver + 0x200000
    rows[: len(string) + 2 * width + 8] = string + struct.pack(
        "<QQQ" if width == 8 else "<IIQ", start, start + 0x9000, 7
    )
    machine.put(variables + 0x1000, bytes(rows))
    stack = [("ntoskrnl.exe", "0x27234"), ("vmstorfl.sys", "0x1300"), ("ntoskrnl.exe", "0x5555")]
    return Made(machine, at, context, stack)


def _pages(made: Made) -> dict[int, bytearray]:
    """Return the machine's pages: holes, an unaligned first page, and with single pages far apart over 43 runs."""
    machine = made.machine
    for number in range(0x1001, 0x1001 + 2 * 50, 2):
        machine.page(number)[:4] = number.to_bytes(4, "little")
    machine.page(1)[:8] = b"low page"
    machine.page(0x1067)  # kdmp-parser reads whole bytes of the bitmap only
    return machine.pages


def write(made: Made, name: str, *, attributes: int | None = None, row: int = 0) -> bytes:
    """Write a dump of one of `TYPES`."""
    kind, at, machine, dump_type = made.machine.kind, made.layout, made.machine, TYPES[name]
    pages = _pages(made) if dump_type not in (1, 4) else machine.pages
    runs = runs_of(pages) if dump_type == 1 or name == "4k" else None
    if name == "4k":
        attributes = KERNEL_GENERATED
    if machine.pointer == 8:
        header = header64(
            dump_type, cr3=machine.cr3 | (1 if kind == "arm64" else 2), machine=0xAA64 if kind == "arm64" else 0x8664,
            parameters=(0x10, 2, 0, at.driver + 0x1234), build=at.build, kdbg=at.kdbg, modules=at.modules,
            context=made.context, runs=runs, attributes=attributes,
        )  # fmt: skip
    else:
        header = header32(dump_type, cr3=machine.cr3, pae=int(kind == "pae"), kdbg=at.kdbg, modules=at.modules,
                          build=at.build, runs=runs)  # fmt: skip
        struct.pack_into("<I", header, 0x24, 2)
        header[0x320 : 0x320 + 1200] = made.context.ljust(1200, b"\0")
        if attributes is not None:
            struct.pack_into("<I", header, 0x8A0, attributes)
    tail = secondary([(BUILD_TAG, struct.pack("<III", 0x0002625A, at.build + 1, 2667))])
    if dump_type == 3:
        return bytes(header)
    if dump_type == 4:
        return triage_dump(
            header, machine, stack=(made.stack_pointer, STACK_BYTES), kdbg=(at.kdbg, at.kdbg_size),
            copies=((at.prcb, PRCB_SIZE), (at.process, at.process_size), (at.thread, THREAD_SIZE)),
            unloaded=[("old.sys", at.driver + 0x200000, at.driver + 0x209000)],
            blocks=[(at.nt + 0x8000, 2 * machine.pointer)], by_kernel=name == "4k", tail=tail, row=row,
        )  # fmt: skip
    if dump_type == 1:
        data = full_dump(header, pages)
    elif dump_type == 2:
        data = summary_dump(header, pages)
    elif dump_type in (5, 6):
        data = bitmap_dump(header, pages, signature=b"FDMP" if dump_type == 5 else b"SDMP", gap=PAGE, spare_bits=True)
    else:
        data = rdmp_dump(header, pages, complete=dump_type == 10, shuffle=dump_type == 9)
    return data + tail
