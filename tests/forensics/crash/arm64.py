"""Synthetic ARM64 crashes: a kernel, one driver that stores to [x2 + 0x10], records packed by hand."""

from __future__ import annotations

import struct

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from tests.forensics.crash.machines import NT, RSP, server2019
from tests.parsers.dump.builder import KDBG, MODULE_LIST, Machine, Module, bitmap_dump, header64

__all__ = [
    "DRIVER", "NT", "PLACE", "RECORDS", "RSP", "context_arm64", "crash_arm64", "dump_arm64", "machine_arm64",
    "trap_frame_arm64",
]  # fmt: skip

RECORDS = 0xFFFFC08BDC0011F0
DRIVER = 0xFFFFF80A5F2C0000
PLACE = DRIVER + 0x1000
#: str x1, [x2, #0x10]
STORE = bytes.fromhex("410800f9")


def trap_frame_arm64(
    pc: int,
    sp: int,
    *,
    esr: int = 0x96000047,
    fault: int = 0,
    active: int = 1,
    spsr: int = 0x60000004,
    **registers: int,
) -> bytes:
    """KTRAP_FRAME of ARM64 kernel code: by default of a write to a page that is not there."""
    words = [registers.get(f"x{number}", 0) for number in range(19)]
    words += [registers.get("lr", 0), registers.get("fp", 0), pc]
    head = struct.pack("<B7xQ", active, fault).ljust(0x90, b"\0") + struct.pack("<IIQ", spsr, esr, sp)
    return head + struct.pack("<22Q", *words)


def context_arm64(pc: int, sp: int, *, fp: int = 0, lr: int = 0, **registers: int) -> bytes:
    """CONTEXT of ARM64."""
    words = [registers.get(f"x{number}", 0) for number in range(29)]
    return (struct.pack("<II", 0x400007, 0x80000144) + struct.pack("<33Q", *words, fp, lr, sp, pc)).ljust(0x390, b"\0")


def machine_arm64() -> Machine:
    machine = server2019("arm64")
    modules = [
        Module("ntoskrnl.exe", NT, 0xAB6000, 0x5DB7AEB3, 0x9A1234),
        Module("odd.sys", DRIVER, 0x7000, 0x1111, 0x2222),
    ]
    machine.put_modules(MODULE_LIST, RECORDS, modules, 0xFFFFC08BDC100F20)
    machine.put(PLACE, STORE.ljust(0x40, b"\0"))
    machine.put(NT + 0x1000, bytes(0x2000))
    return machine


def dump_arm64(
    machine: Machine, code: int, parameters: tuple[int, int, int, int], *, pc: int = NT + 0x1100, fp: int = 0
) -> bytes:
    """A bitmap dump of a machine whose bug check was called at `pc`."""
    context = context_arm64(pc, RSP & -16, fp=fp)
    header = header64(
        5, cr3=machine.cr3, machine=0xAA64, build=22000, code=code, parameters=parameters, kdbg=KDBG, context=context
    )
    return bitmap_dump(header, machine.pages, signature=b"FDMP")


def crash_arm64(
    machine: Machine, code: int, parameters: tuple[int, int, int, int], *, pc: int = NT + 0x1100, fp: int = 0
) -> CrashDict:
    """The same, analysed."""
    data = dump_arm64(machine, code, parameters, pc=pc, fp=fp)
    return analyse(BytesSource(data), path="a.dmp", diagnostics=Diagnostics())
