"""Make a crash happen: the drivers' real code runs in an emulator until it faults, and on to the bug check.

Unicorn takes no addresses of the kernel's half, so everything runs `SHIFT` lower, and pointers into what was mapped
are raised afterwards. The emulator's stack, registers and the calls it made are the truth of the dump.
"""

from __future__ import annotations

import bisect
import importlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pefile

__all__ = ["BAD_ADDRESS", "REGISTERS", "STACK_HIGH", "STACK_LOW", "Crash", "mapped", "run"]

#: Unicorn's own annotations cover half of it: as a whole it is taken as untyped.
unicorn: Any = importlib.import_module("unicorn")
ux: Any = importlib.import_module("unicorn.x86_const")

SHIFT = 0xFFFF800000000000
STACK_LOW = 0xFFFFE48CD1B2A000
STACK_HIGH = STACK_LOW + 0x6000
POOL = 0xFFFF9A0F2C410000
#: A member of a null object: what the faulting instruction reads.
BAD_ADDRESS = 0x28
REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
_IDS = {name: getattr(ux, f"UC_X86_REG_{name.upper()}") for name in REGISTERS}


@dataclass(frozen=True)
class Crash:
    """What the emulator left.

    Attributes:
        fault: address of the faulting instruction.
        registers: at the entry of KeBugCheckEx, "rip" and "eflags" among them.
        parameters: of the bug check.
        stack: the thread's kernel stack, from STACK_LOW.
        pool: objects that the code worked on: address -> bytes.
        frames: (return address or fault, stack pointer behind it), from the fault outwards: every live call.

    """

    fault: int
    registers: dict[str, int]
    parameters: tuple[int, int, int, int]
    stack: bytes
    pool: dict[int, bytes]
    frames: list[tuple[int, int]]


def mapped(path: Path) -> bytes:
    """Return an image as it lies in memory, whole pages long."""
    image = pefile.PE(data=path.read_bytes(), fast_load=True)
    size = image.OPTIONAL_HEADER.SizeOfImage + 0xFFF & ~0xFFF
    data = bytearray(size)
    data[: image.OPTIONAL_HEADER.SizeOfHeaders] = image.header[: image.OPTIONAL_HEADER.SizeOfHeaders].ljust(
        image.OPTIONAL_HEADER.SizeOfHeaders, b"\0"
    )
    for section in image.sections:
        content = section.get_data()[: section.Misc_VirtualSize]
        data[section.VirtualAddress : section.VirtualAddress + len(content)] = content
    return bytes(data)


class _Machine:
    """The emulator with what is mapped in it."""

    def __init__(self, images: Mapping[int, bytes]) -> None:
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        self.ranges: list[tuple[int, int]] = []
        for base, data in images.items():
            self.map(base, data)
        self.map(STACK_LOW, bytes(STACK_HIGH - STACK_LOW))
        self.shadow: list[tuple[int, int]] = []

    def map(self, address: int, data: bytes) -> None:
        low = address - SHIFT
        self.uc.mem_map(low, len(data) + 0xFFF & ~0xFFF)
        self.uc.mem_write(low, data)
        bisect.insort(self.ranges, (low, low + len(data)))

    def raised(self, value: int) -> int:
        """Turn a pointer of the emulator into the machine's; other values stay."""
        at = bisect.bisect(self.ranges, (value, 1 << 64)) - 1
        return value + SHIFT if at >= 0 and value <= self.ranges[at][1] else value

    def words(self, address: int, size: int) -> bytes:
        """Return memory with its pointers raised."""
        raw = struct.unpack(f"<{size // 8}Q", self.uc.mem_read(address - SHIFT, size))
        return struct.pack(f"<{len(raw)}Q", *map(self.raised, raw))

    def register(self, name: str) -> int:
        return self.raised(self.uc.reg_read(_IDS[name]))

    def trace(self) -> None:
        """Keep the live calls: a call has put the address behind itself at the stack pointer."""
        before = [0, 0, 0]  # address, size and stack pointer of the instruction before

        def step(uc: Any, address: int, size: int, _data: object) -> None:
            rsp = uc.reg_read(ux.UC_X86_REG_RSP)
            last, length, old = before
            if rsp == old - 8 and address != last + length:
                target = struct.unpack("<Q", uc.mem_read(rsp, 8))[0]
                if target == last + length:
                    self.shadow.append((target, rsp))
            while self.shadow and self.shadow[-1][1] < rsp:
                self.shadow.pop()
            before[:] = [address, size, rsp]

        self.uc.hook_add(unicorn.UC_HOOK_CODE, step)


def _objects(exports: Mapping[str, int]) -> tuple[dict[int, bytes], int]:
    """Lay out the objects that the code works on; return them and the address of the work item."""
    low = POOL - SHIFT
    driver, device, framework, irp, item = (low + offset for offset in (0x40, 0x240, 0x440, 0x4C0, 0x740))
    data = bytearray(0x1000)

    def put(address: int, layout: str, *values: int) -> None:
        struct.pack_into("<" + layout, data, address - low, *values)

    put(driver, "HH", 4, 0x150)
    put(driver + 8, "Q", device)
    put(driver + 0x70, "28Q", *[exports["FxDeviceDispatchWithLock"]] * 28)
    put(device, "HHIQ", 3, 0x1B8, 1, driver)
    put(device + 0x40, "Q", framework)
    put(framework, "QQQ", exports["WdfRequestSend"], exports["EvtIoInternalDeviceControl"], 0)
    stack = irp + 0xD0 + 0x48
    put(irp, "HHH", 6, 0x1F0, 0)
    put(irp + 0x42, "BB", 3, 3)
    put(irp + 0xB8, "Q", stack + 0x48)
    put(stack, "BBBB", 0x0F, 0, 5, 0xE0)
    put(stack + 0x28, "Q", device)
    put(item, "QQQ", 0, device, irp)
    return {POOL: bytes(data)}, item


def run(images: Mapping[int, bytes], exports: Mapping[str, int], kernel: Mapping[str, int]) -> Crash:
    """Run from the start of a system thread to the entry of KeBugCheckEx.

    Args:
        images: base -> mapped image of the kernel, the framework and its client.
        exports: exported name -> address, of the framework and the client.
        kernel: symbol of the kernel -> address.

    Raises:
        RuntimeError: it did not go as the sources say.

    """
    machine = _Machine(images)
    uc = machine.uc
    pool, item = _objects({name: address - SHIFT for name, address in exports.items()})
    for address, data in pool.items():
        machine.map(address, data)
    machine.trace()
    rsp = STACK_HIGH - SHIFT - 0x1C8
    uc.reg_write(ux.UC_X86_REG_RSP, rsp)
    uc.reg_write(ux.UC_X86_REG_RCX, item)
    for number, name in enumerate(("rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15")):
        uc.reg_write(_IDS[name], 0x1000 * number + 0x80)
    try:
        uc.emu_start(kernel["KiStartSystemThread"] - SHIFT, 0, count=100_000)
        raise RuntimeError("the driver did not fault")
    except unicorn.UcError as error:
        if error.errno != unicorn.UC_ERR_READ_UNMAPPED:
            raise RuntimeError(f"the driver faulted in another way: {error}") from error
    fault, fault_rsp = uc.reg_read(ux.UC_X86_REG_RIP), uc.reg_read(ux.UC_X86_REG_RSP)
    frames = [(machine.raised(fault), machine.raised(fault_rsp))]
    frames += [(machine.raised(back), machine.raised(at) + 8) for back, at in reversed(machine.shadow)]
    _page_fault(uc, fault, fault_rsp, kernel["KiPageFault"] - SHIFT)
    uc.emu_start(kernel["KiPageFault"] - SHIFT, kernel["KeBugCheckEx"] - SHIFT, count=100_000)
    registers = {name: machine.register(name) for name in REGISTERS}
    registers["rip"] = machine.raised(uc.reg_read(ux.UC_X86_REG_RIP))
    registers["eflags"] = uc.reg_read(ux.UC_X86_REG_EFLAGS) | 0x202
    if registers["rip"] != kernel["KeBugCheckEx"]:
        raise RuntimeError(f"the machine stopped at {registers['rip']:#x}, not at KeBugCheckEx")
    stack = machine.words(STACK_LOW, STACK_HIGH - STACK_LOW)
    last = struct.unpack_from("<Q", stack, registers["rsp"] - STACK_LOW + 0x28)[0]
    # The exception code is sign-extended in RDX, a 32-bit value in an address's place.
    parameters = (registers["rdx"], registers["r8"], registers["r9"], last)
    objects = {address: machine.words(address, len(data)) for address, data in pool.items()}
    return Crash(machine.raised(fault), registers, parameters, stack, objects, frames)


def _page_fault(uc: Any, rip: int, rsp: int, handler: int) -> None:
    """Do what the processor does at a page fault: align the stack and push where it was."""
    place = (rsp & ~0xF) - 0x30
    flags = uc.reg_read(ux.UC_X86_REG_EFLAGS) | 0x10202
    uc.mem_write(place, struct.pack("<QQQQQQ", 0, rip, 0x10, flags, rsp, 0x18))
    uc.reg_write(ux.UC_X86_REG_RSP, place)
    uc.reg_write(ux.UC_X86_REG_CR2, BAD_ADDRESS)
    uc.reg_write(ux.UC_X86_REG_RIP, handler)
