"""Synthetic crashes on the machine of the dump tests (build 17763, three modules, a thread with a stack)."""

from __future__ import annotations

import struct

from forensics.crash.analyse import analyse
from forensics.crash.images import ImageFinder
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from tests.parsers.dump.builder import (
    DRIVER_BASE,
    MODULES,
    NT,
    PRCB,
    PROCESS,
    RSP,
    STACK_TOP,
    THREAD,
    Machine,
    context_x64,
    secondary,
    server2019,
    write_x64,
)

__all__ = [
    "DRIVER_BASE", "MODULES", "NT", "PRCB", "PROCESS", "RSP", "STACK_TOP", "THREAD", "Machine", "context_x64",
    "crash_of", "device", "irp", "secondary", "server2019", "trap_frame", "waiting_thread", "write_x64",
]  # fmt: skip

#: Where tests put objects: pool of the machine, mapped as it is written.
POOL = 0xFFFFC08BDF000000
WDF_BASE = 0xFFFFF80121000000


def crash_of(
    machine: Machine,
    code: int,
    parameters: tuple[int, int, int, int] = (0, 0, 0, 0),
    *,
    context: bytes | None = None,
    dump_type: int = 5,
    tail: bytes = b"",
    images: ImageFinder | None = None,
    **options: object,
) -> CrashDict:
    """Write a dump of a machine and analyse it."""
    if context is not None:
        options["context"] = context
    data = write_x64(machine, dump_type, code=code, parameters=parameters, **options) + tail
    return analyse(BytesSource(data), path="MEMORY.DMP", images=images, diagnostics=Diagnostics())


def trap_frame(rip: int, rsp: int, *, fault: int = 0, active: int = 1, **registers: int) -> bytes:
    """KTRAP_FRAME of kernel code."""
    data = bytearray(0x190)
    data[0x2B] = active
    offsets = {"rax": 0x30, "rcx": 0x38, "rdx": 0x40, "r8": 0x48, "r9": 0x50, "r10": 0x58, "r11": 0x60, "rbp": 0x158}
    for name, value in registers.items():
        struct.pack_into("<Q", data, offsets[name], value)
    struct.pack_into("<Q", data, 0xD0, fault)
    struct.pack_into("<QQQQQ", data, 0x168, rip, 0x10, 0x10246, rsp, 0x18)
    return bytes(data)


def device(machine: Machine, address: int, driver: int, start: int, name: str, *, below: int = 0) -> None:
    """DEVICE_OBJECT, its extension and its DRIVER_OBJECT."""
    body = bytearray(0x150)
    struct.pack_into("<HHIQ", body, 0, 3, 0x150, 0, driver)
    struct.pack_into("<Q", body, 0x138, address + 0x200)
    machine.put(address, bytes(body))
    extension = bytearray(0x40)
    struct.pack_into("<HHIQ", extension, 0, 13, 0, 0, address)
    struct.pack_into("<Q", extension, 0x30, below)
    machine.put(address + 0x200, bytes(extension))
    record = bytearray(0x150)
    struct.pack_into("<HH", record, 0, 4, 0x150)
    struct.pack_into("<Q", record, 0x18, start)
    record[0x38:0x48] = machine.unicode_string(name, driver + 0x200)
    machine.put(driver, bytes(record))


def irp(machine: Machine, address: int, holder: int, *, current: int = 2, count: int = 3, major: int = 0x16) -> None:
    """IRP that waits in a device."""
    body = bytearray(0xD0 + 0x48 * count)
    struct.pack_into("<HH", body, 0, 6, len(body))
    body[0x42], body[0x43] = count, current
    at = 0xD0 + 0x48 * (current - 1)
    body[at], body[at + 1], body[at + 3] = major, 2, 1
    struct.pack_into("<Q", body, at + 0x28, holder)
    machine.put(address, bytes(body))


def waiting_thread(machine: Machine, thread: int, stack: int, place: int) -> None:
    """A thread that waits, by a switch frame: the kernel called from a driver."""
    machine.put(thread + 0x58, struct.pack("<Q", stack))
    machine.put(stack, struct.pack("<8Q", *range(6), 0x1234, NT + 0x5005))
    machine.put(stack + 0x40, bytes(0x100))
    machine.put(stack + 0x40 + 0x28, struct.pack("<Q", place))
    # call; add rsp, 28h; ret: the kernel's function and the driver's, with unwind data of the kernel's.
    machine.put(NT + 0x4FF0, bytes(0x10))
    machine.put(NT + 0x5000, bytes.fromhex("e800000000") + bytes.fromhex("4883c428c3"))
    machine.put(place - 5, bytes.fromhex("e800000000") + bytes.fromhex("4883c428c3"))
    machine.put(0xFFFFC08BDC0011F0 + 0x10, struct.pack("<QI", NT + 0x2000, 12))
    machine.put(NT + 0x2000, struct.pack("<III", 0x5000, 0x500A, 0x3000))
    machine.put(NT + 0x3000, bytes.fromhex("0104010004420000"))
