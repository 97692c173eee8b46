"""A crash that really happened: three drivers built by mingw-w64, run in an emulator until one touches a bad address.

The emulator's own calls and returns are the truth of the stack. Nothing of the parsers is used to make it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import capstone
import pefile
import unicorn
from unicorn import x86_const as ux

from tests.forensics.crash.machines import DRIVER_BASE, NT, POOL, STACK_TOP, WDF_BASE, Machine, context_x64, server2019
from tests.parsers.dump.builder import MODULE_LIST, Module
from tests.parsers.fixture_files import compile_dll

RECORDS = 0xFFFFC08BDC0011F0
NAMES = 0xFFFFC08BDC100F20
STACK_LOW = STACK_TOP - 0x6000
BAD = 0xFFFFC08B77777000
#: The emulator takes user addresses only: everything runs this much lower, and its pointers are raised afterwards.
SHIFT = 0xFFFF800000000000

_COMMON = """
typedef long (*Call)(void *table, volatile long *target);
struct Table { Call framework, client, helper; long direct; };
#define OUT __attribute__((noinline)) __declspec(dllexport)
#define IN static __attribute__((noinline))
"""
_NT = """
OUT long KiStartSystemThread(struct Table *t, volatile long *p) {
    volatile char room[300]; room[7] = 3; return t->framework(t, p) + room[7]; }
OUT long RtlHelper(struct Table *t, volatile long *p) {
    volatile long room[10]; room[1] = t->direct; *p = room[1]; return *p + 1; }
"""
_WDF = """
IN long invoke(struct Table *t, volatile long *p, long depth) {
    volatile long room[16]; room[3] = depth; if (depth) return invoke(t, p, depth - 1) + room[3];
    return t->client(t, p) + room[3]; }
OUT long FxDispatch(struct Table *t, volatile long *p) { volatile long x = 2; return invoke(t, p, x) + x; }
"""
_CLIENT = """
IN long deeper(struct Table *t, volatile long *p) {
    volatile long room[40]; room[2] = 9; if (t->direct) { *p = 1; } return t->helper(t, p) + room[2]; }
OUT long EvtIoctl(struct Table *t, volatile long *p) { volatile long x = 1; return deeper(t, p) + x; }
"""


@dataclass
class Chain:
    """The crashed machine.

    Attributes:
        machine: with modules, stack and context; images too where asked for.
        context: the registers at the fault.
        rip: where it is.
        frames: (return address or fault, stack pointer behind it), innermost first.
        files: module base -> the driver's file.

    """

    machine: Machine
    context: bytes
    rip: int
    frames: list[tuple[int, int]]
    files: dict[int, Path]
    modules: list[Module]


def run(folder: Path, *, direct: bool, in_memory: bool = True) -> Chain:
    """Build and run it: the fault is in the client (`direct`) or in the kernel's helper that it calls."""
    bases = {"ntoskrnl.exe": NT, "Wdf01000.sys": WDF_BASE, "vmstorfl.sys": DRIVER_BASE}
    sources = {"ntoskrnl.exe": _NT, "Wdf01000.sys": _WDF, "vmstorfl.sys": _CLIENT}
    uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    images: dict[str, pefile.PE] = {}
    files: dict[int, Path] = {}
    modules: list[Module] = []
    exports: dict[str, int] = {}
    for name, base in bases.items():
        path = compile_dll(folder, name.split(".")[0], _COMMON + sources[name], "-O1", "-fno-optimize-sibling-calls")
        pe = images[name] = pefile.PE(str(path))
        files[base] = path
        image = pe.get_memory_mapped_image().ljust((pe.OPTIONAL_HEADER.SizeOfImage + 0xFFF) & ~0xFFF, b"\0")
        uc.mem_map(base - SHIFT, len(image))
        uc.mem_write(base - SHIFT, image)
        header = pe.OPTIONAL_HEADER
        modules.append(Module(name, base, header.SizeOfImage, pe.FILE_HEADER.TimeDateStamp, header.CheckSum))
        exports |= {symbol.name.decode(): base - SHIFT + symbol.address for symbol in pe.DIRECTORY_ENTRY_EXPORT.symbols}
    uc.mem_map(STACK_LOW - SHIFT, 0x6000)
    uc.mem_map(POOL - SHIFT, 0x1000)
    calls = [exports[name] for name in ("FxDispatch", "EvtIoctl", "RtlHelper")]
    uc.mem_write(POOL - SHIFT, struct.pack("<QQQI", *calls, direct))
    shadow = _emulate(uc, exports["KiStartSystemThread"])
    rip = uc.reg_read(ux.UC_X86_REG_RIP) + SHIFT
    order = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16))]
    registers = {name: _raised(uc.reg_read(getattr(ux, f"UC_X86_REG_{name.upper()}"))) for name in order}
    rsp = registers.pop("rsp")
    machine = server2019()
    machine.put_modules(MODULE_LIST, RECORDS, modules, NAMES)
    for index, module in enumerate(modules):
        directory = images[module.name].OPTIONAL_HEADER.DATA_DIRECTORY[3]
        place = struct.pack("<QI", module.base + directory.VirtualAddress, directory.Size)
        machine.put(RECORDS + 0x100 * index + 0x10, place)
        if in_memory:
            machine.put(module.base, images[module.name].get_memory_mapped_image())
    words = struct.unpack(f"<{0x6000 // 8}Q", uc.mem_read(STACK_LOW - SHIFT, 0x6000))
    machine.put(STACK_LOW, struct.pack(f"<{len(words)}Q", *map(_raised, words)))
    frames = [(rip, rsp)] + [(_raised(ret), _raised(at) + 8) for ret, at in reversed(shadow) if ret]
    return Chain(machine, context_x64(rip, rsp, **registers), rip, frames, files, modules)


def _raised(value: int) -> int:
    """Turn a pointer of the emulator into the machine's; other values stay."""
    return value + SHIFT if 0x50000000000 <= value < 0x800000000000 else value


def _emulate(uc: unicorn.Uc, start: int) -> list[tuple[int, int]]:
    """Run until the fault; return (return address, where it lies) of every live call, outermost first."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    rsp = STACK_TOP - 0x800 - 8 - SHIFT
    shadow = [(0, rsp)]
    before = [""]

    def step(engine: unicorn.Uc, address: int, size: int, _data: object) -> None:
        if before[0] == "call":
            at = engine.reg_read(ux.UC_X86_REG_RSP)
            shadow.append((struct.unpack("<Q", engine.mem_read(at, 8))[0], at))
        elif before[0] == "ret":
            shadow.pop()
        before[0] = next(decoder.disasm(bytes(engine.mem_read(address, size)), address, 1)).mnemonic

    uc.hook_add(unicorn.UC_HOOK_CODE, step)
    uc.reg_write(ux.UC_X86_REG_RSP, rsp)
    uc.reg_write(ux.UC_X86_REG_RCX, POOL - SHIFT)
    uc.reg_write(ux.UC_X86_REG_RDX, BAD - SHIFT)
    try:
        uc.emu_start(start, 0, count=100_000)
    except unicorn.UcError:
        return shadow
    raise AssertionError("it did not crash")
