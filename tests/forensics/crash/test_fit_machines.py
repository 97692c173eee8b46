"""Whether a fault of an ARM64 or x86 machine fits: instructions that an emulator refused, and the same told wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
import unicorn
from unicorn import arm64_const, x86_const

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from tests.parsers.dump.builder import (
    KDBG,
    MODULE_LIST,
    NT,
    Module,
    bitmap_dump,
    header32,
    header64,
    server2019,
    triage_dump32,
)

POOL = 0xFFFFC08BDC0011F0
DRIVER = 0xFFFFF80A5F2C0000
RECORD, CONTEXT = POOL + 0x4E10, POOL + 0x5E10
WILD = 0xFFFFA00112340040

DRIVER32, RECORD32, CONTEXT32, ESP = 0x8D0F0000, 0x8D200000, 0x8D201000, 0x8D0F1C00
WILD32 = 0xA1234040

#: Each touches [x2 + 0x10] of 8 bytes, as an assembler has it: str, ldr, stp's second half would be another.
STORE, LOAD = bytes.fromhex("410800f9"), bytes.fromhex("410840f9")
ACCESSES = {unicorn.UC_MEM_WRITE_UNMAPPED: 1, unicorn.UC_MEM_READ_UNMAPPED: 0}


def refused(code: bytes, base: int, kind: tuple[int, int], registers: dict[int, int]) -> tuple[int, int]:
    """Run one instruction whose memory is absent; return (kind as in an exception record, address)."""
    machine = unicorn.Uc(*kind)
    machine.mem_map(base & ~0xFFF, 0x1000)
    machine.mem_write(base, code)
    for register, value in registers.items():
        machine.reg_write(register, value)
    seen: list[tuple[int, int]] = []
    machine.hook_add(
        unicorn.UC_HOOK_MEM_INVALID, lambda _uc, how, where, *_rest: seen.append((ACCESSES[how], where)) or False
    )
    with pytest.raises(unicorn.UcError):
        machine.emu_start(base, base + len(code), count=1)
    return seen[0]


def crash_arm64(code: bytes, kind: int, address: int, **registers: int) -> CrashDict:
    machine = server2019("arm64")
    machine.put_modules(
        MODULE_LIST,
        POOL,
        [
            Module("ntoskrnl.exe", NT, 0xAB6000, 0x5DB7AEB3, 0x9A1234),
            Module("odd.sys", DRIVER, 0x7000, 0x1111, 0x2222),
        ],
        0xFFFFC08BDC100F20,
    )
    machine.put(DRIVER + 0x1000, code.ljust(0x40, b"\0"))
    record = struct.pack("<IIQQI4xQQ", 0xC0000005, 0, 0, DRIVER + 0x1000, 2, kind, address)
    machine.put(RECORD, record.ljust(0x98, b"\0"))
    context = bytearray(0x390)
    struct.pack_into("<II", context, 0, 0x400007, 0x80000144)
    values = [registers.get(f"x{number}", 0) for number in range(31)]
    struct.pack_into("<31QQQ", context, 8, *values, POOL + 0x2000, DRIVER + 0x1000)
    machine.put(CONTEXT, bytes(context))
    header = header64(
        5, cr3=machine.cr3, machine=0xAA64, code=0x7E,
        parameters=(0xC0000005, DRIVER + 0x1000, RECORD, CONTEXT), kdbg=KDBG, context=bytes(context),
    )  # fmt: skip
    return analyse(
        BytesSource(bitmap_dump(header, machine.pages, signature=b"FDMP")), path="a.dmp", diagnostics=Diagnostics()
    )


def crash_x86(code: bytes, kind: int, address: int, **registers: int) -> CrashDict:
    block = bytearray(0x340)
    block[0x10:0x20] = struct.pack("<4sIQ", b"KDBG", 0x340, 0xFFFFFFFF82A1A000)
    record = struct.pack("<IIIII", 0xC0000005, 0, 0, DRIVER32 + 0x1000, 2) + struct.pack("<II", kind, address)
    context = bytearray(0x2CC)
    struct.pack_into("<I", context, 0, 0x1003F)
    names = ("edi", "esi", "ebx", "edx", "ecx", "eax", "ebp")
    struct.pack_into("<7I", context, 0x9C, *(registers.get(name, 0) for name in names))
    struct.pack_into("<5I", context, 0xB8, DRIVER32 + 0x1000, 8, 0x10246, ESP + 0x10, 0x10)
    struct.pack_into("<4I", context, 0x8C, 0, 0x30, 0x23, 0x23)
    data = bytearray(
        triage_dump32(
            header32(4, cr3=0x185000, pae=1, kdbg=0x82B4AC30, modules=0x82B6B810, esp=ESP),
            stack=(ESP, bytes(0x400)),
            kdbg=bytes(block),
            modules=[
                Module("ntoskrnl.exe", 0x82A1A000, 0x412000, 0x4CE78A09, 0x3C1234, "\\SystemRoot\\ntkrnlpa.exe"),
                Module("odd.sys", DRIVER32, 0x7000, 0x55667788, 0x99),
            ],
            unloaded=[],
            blocks=[
                (RECORD32, record.ljust(0x50, b"\0")),
                (CONTEXT32, bytes(context)),
                (DRIVER32 + 0x1000, code.ljust(0x40, b"\0")),
            ],
        )
    )
    # In the header: the bug check's code, and its four parameters behind it.
    struct.pack_into("<5I", data, 0x28, 0x7E, 0xC0000005, DRIVER32 + 0x1000, RECORD32, CONTEXT32)
    return analyse(BytesSource(bytes(data)), path="x86.dmp", diagnostics=Diagnostics())


ARM64 = (unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
X86 = (unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)


@pytest.mark.parametrize("code", [STORE, LOAD])
def test_what_an_arm64_processor_refused_fits(code: bytes) -> None:
    kind, address = refused(code, DRIVER + 0x1000, ARM64, {arm64_const.UC_ARM64_REG_X2: WILD})
    assert address == WILD + 0x10
    fit = crash_arm64(code, kind, address, x2=WILD)["fit"]
    assert (fit["verdict"], len(fit["agrees"])) == ("fits", 2)
    assert f"touches {address:#x}" in fit["agrees"][0]
    assert fit["agrees"][1] == f"the page tables say of {address & -0x1000:#x}: not present"


@pytest.mark.parametrize("code", [bytes.fromhex("894210"), bytes.fromhex("8b4210")])
def test_what_an_x86_processor_refused_fits(code: bytes) -> None:
    kind, address = refused(code, DRIVER32 + 0x1000, X86, {x86_const.UC_X86_REG_EDX: WILD32})
    assert address == WILD32 + 0x10
    fit = crash_x86(code, kind, address, edx=WILD32)["fit"]
    assert (fit["verdict"], len(fit["agrees"])) == ("fits", 1)
    assert f"touches {address:#x}" in fit["agrees"][0]


@pytest.mark.parametrize(
    ("crash", "code", "register", "wild"),
    [(crash_arm64, STORE, "x2", WILD), (crash_x86, bytes.fromhex("894210"), "edx", WILD32)],
    ids=["ARM64", "x86"],
)
def test_another_address_or_kind_of_access_accuses_the_machine(
    crash: Callable[..., CrashDict], code: bytes, register: str, wild: int
) -> None:
    for kind, address in ((1, wild + 0x10 ^ 1 << 20), (0, wild + 0x10), (1, wild + 0x5000)):
        found = crash(code, kind, address, **{register: wild})
        assert found["fit"]["verdict"] == "contradicts", (kind, address)
        assert (found["culprit"]["kind"], found["culprit"]["module"]) == ("hardware", None)
    assert crash(code, 1, wild + 0x10 ^ 1 << 20, **{register: wild})["flipped_bits"][0]["bit"] == 20


def test_an_arm64_address_that_differs_in_its_top_byte_is_only_doubted() -> None:
    fit = crash_arm64(STORE, 1, (WILD + 0x10) ^ 1 << 60, x2=WILD)["fit"]
    assert fit["verdict"] == "open"
    assert "top byte" in fit["doubts"][0]


def test_a_fetch_that_failed_fits_on_both() -> None:
    assert crash_arm64(STORE, 8, DRIVER + 0x1000)["fit"]["verdict"] == "fits"
    assert crash_x86(b"\x89\x42\x10", 8, DRIVER32 + 0x1000)["fit"]["verdict"] == "fits"


def test_a_protection_fault_of_x86_has_no_address_and_is_left_open() -> None:
    assert crash_x86(b"\x89\x42\x10", 0, 0xFFFFFFFF, edx=WILD32)["fit"]["verdict"] == "open"
