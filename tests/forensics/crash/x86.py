"""Synthetic x86 crashes, with and without PAE: a kernel, and a driver with one export that stores to [edx + 0x10]."""

from __future__ import annotations

import struct

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from tests.parsers.dump.builder import Machine, Module, bitmap_dump, header32

__all__ = [
    "DRIVER", "EXPORT", "PAGE", "PLACE", "STACK", "WILD", "crash_x86", "dump_x86", "machine_x86",
]  # fmt: skip

KDBG, LIST, NT, DRIVER = 0x82B4AC30, 0x82B6B810, 0x82A1A000, 0x8D0F0000
RECORD, CONTEXT, STACK = 0x8D200000, 0x8D201000, 0x8D1F1C00
PLACE = DRIVER + 0x1000
#: mov [edx + 0x10], eax
STORE = bytes.fromhex("894210")
WILD = 0xA1234030
PAGE = WILD + 0x10 & -0x1000
#: An export at RVA 0x1100: mov eax, [esp+4]; je +5; mov ecx, 0x11223344; test eax, eax; ret
EXPORT = 0x1100
CODE = bytes.fromhex("8b442404 7405 b944332211 85c0 c3".replace(" ", ""))


def image() -> bytes:
    """A driver with code up to RVA 0x4000 and one export, as it lies in memory."""
    data = bytearray(0x5000)
    data[:2], data[0x3C] = b"MZ", 0x80
    struct.pack_into("<4sHHIIIHH", data, 0x80, b"PE\0\0", 0x14C, 2, 0x55667788, 0, 0, 0xE0, 0x2102)
    struct.pack_into("<H", data, 0x98, 0x10B)
    struct.pack_into("<II", data, 0x98 + 32, 0x1000, 0x200)
    struct.pack_into("<II", data, 0x98 + 56, 0x5000, 0x400)
    struct.pack_into("<I", data, 0x98 + 92, 16)
    struct.pack_into("<II", data, 0x98 + 96, 0x4000, 0x80)
    for at, name, begin, size, kind in (
        (0, b".text", 0x1000, 0x3000, 0x60000020),
        (1, b".rdata", 0x4000, 0x1000, 0x40000040),
    ):
        struct.pack_into("<8sIIII12xI", data, 0x178 + 40 * at, name, size, begin, size, 0x400, kind)
    struct.pack_into("<IIHHIIIIIII", data, 0x4000, 0, 0, 0, 0, 0x4060, 1, 1, 1, 0x4030, 0x4034, 0x4038)
    struct.pack_into("<IIH", data, 0x4030, EXPORT, 0x4050, 0)
    data[0x4050:0x4056] = b"OddDo\0"
    data[0x4060:0x4068] = b"odd.sys\0"
    data[0x1000 : 0x1000 + len(STORE)] = STORE
    data[EXPORT : EXPORT + len(CODE)] = CODE
    return bytes(data)


def machine_x86(kind: str) -> Machine:
    machine = Machine(kind, cr3=0x1AA000 if kind == "x86" else 0x1AA020)
    modules = [Module("ntoskrnl.exe", NT, 0x412000, 0, 0x3C1234), Module("odd.sys", DRIVER, 0x5000, 0x55667788, 0x99)]
    machine.put_modules(LIST, 0x85000100, modules, 0x85100000)
    machine.put_kdbg(KDBG, {0x18: (8, 0xFFFFFFFF00000000 | NT), 0x48: (8, 0xFFFFFFFF00000000 | LIST)}, 0x340)
    machine.put(DRIVER, image())
    machine.put(STACK, bytes(0x400))
    return machine


def dump_x86(
    machine: Machine,
    kind: int,
    address: int,
    *,
    eip: int = PLACE,
    code: int = 0xC0000005,
    edx: int = WILD,
    ebp: int = 0,
) -> bytes:
    """A bitmap dump with 0x7E: this exception at `eip`."""
    record = struct.pack("<IIIII", code, 0, 0, eip, 2) + struct.pack("<II", kind, address)
    machine.put(RECORD, record.ljust(0x50, b"\0"))
    context = bytearray(0x2CC)
    struct.pack_into("<I", context, 0, 0x1003F)
    struct.pack_into("<I", context, 0xA8, edx)
    struct.pack_into("<I", context, 0xB4, ebp)
    struct.pack_into("<5I", context, 0xB8, eip, 8, 0x10246, STACK + 0x10, 0x10)
    machine.put(CONTEXT, bytes(context))
    header = header32(5, cr3=machine.cr3, pae=int(machine.kind == "pae"), kdbg=KDBG, modules=LIST, esp=STACK)
    struct.pack_into("<5I", header, 0x28, 0x7E, code, eip, RECORD, CONTEXT)
    return bitmap_dump(header, machine.pages)


def crash_x86(machine: Machine, kind: int, address: int, **options: int) -> CrashDict:
    """The same, analysed."""
    data = dump_x86(machine, kind, address, **options)
    return analyse(BytesSource(data), path="x86.dmp", diagnostics=Diagnostics())
