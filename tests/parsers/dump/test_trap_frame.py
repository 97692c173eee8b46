"""Trap frames of the three machines, written word by word."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.dump.trap_frame import Arm64TrapFrame, X64TrapFrame, X86TrapFrame
from parsers.errors import TruncatedError


def x86(build: int, data: bytes) -> X86TrapFrame:
    return X86TrapFrame.parse(data, build)


@pytest.mark.parametrize(
    ("parse", "size"),
    [(X64TrapFrame.parse, 0x190), (Arm64TrapFrame.parse, 0x150), (lambda data: x86(7601, data), 0x74)],
    ids=["x64", "ARM64", "x86"],
)
def test_a_short_trap_frame_is_truncated(parse: Any, size: int) -> None:
    with pytest.raises(TruncatedError):
        parse(bytes(size - 1))
    parse(bytes(size))


def test_a_trap_frame_of_x64_gives_its_registers() -> None:
    frame = bytearray(0x190)
    for at, value in ((0x30, 1), (0x60, 11), (0x140, 3), (0x158, 5), (0x168, 0xFFFFF80000001234), (0x180, 0x7000)):
        frame[at : at + 8] = value.to_bytes(8, "little")
    frame[0x170:0x172], frame[0x2B] = b"\x10\0", 1
    trap = X64TrapFrame.parse(bytes(frame))
    assert (trap.rip, trap.rsp, trap.seg_cs, trap.exception_active) == (0xFFFFF80000001234, 0x7000, 0x10, 1)
    assert (trap.registers["rax"], trap.registers["r11"], trap.registers["rbx"]) == (1, 11, 3)


def test_a_trap_frame_of_arm64_gives_its_registers() -> None:
    words = [0x100 + number for number in range(19)] + [0x30, 0x29, 0xFFFFF80111201234]
    frame = struct.pack("<BBBB4xQ", 1, 0, 0, 0, 0xFFFFA00112340040).ljust(0x90, b"\0")
    frame += struct.pack("<IIQ", 0x60000004, 0x96000047, 0xFFFF850429892000) + struct.pack("<22Q", *words)
    assert len(frame) == 0x150
    trap = Arm64TrapFrame.parse(frame)
    assert (trap.exception_active, trap.fault_address) == (1, 0xFFFFA00112340040)
    assert (trap.spsr, trap.esr, trap.sp) == (0x60000004, 0x96000047, 0xFFFF850429892000)
    assert (trap.lr, trap.fp, trap.pc) == (0x30, 0x29, 0xFFFFF80111201234)
    assert trap.registers == {f"x{number}": 0x100 + number for number in range(19)} | {
        "fp": 0x29,
        "lr": 0x30,
        "sp": 0xFFFF850429892000,
    }


@pytest.mark.parametrize(("build", "edx"), [(6001, 0x3C), (9200, 0x3C), (9600, 0x38), (19041, 0x38)])
def test_the_volatile_registers_of_x86_moved_with_windows_8_1(build: int, edx: int) -> None:
    frame = bytearray(0x8C)
    struct.pack_into("<I", frame, 8, 0xBADB0D00)
    struct.pack_into("<III", frame, edx, 0xD, 0xC, 0xA)
    struct.pack_into("<IIII", frame, 0x54, 0xD1, 0x51, 0xB, 0xEB)
    struct.pack_into("<IIII", frame, 0x64, 2, 0x8D0F1234, 0xABCD0008, 0x10246)
    trap = x86(build, bytes(frame))
    assert trap.registers == {"edx": 0xD, "ecx": 0xC, "eax": 0xA, "edi": 0xD1, "esi": 0x51, "ebx": 0xB, "ebp": 0xEB}
    assert (trap.marked, trap.error_code, trap.eip, trap.seg_cs, trap.e_flags) == (True, 2, 0x8D0F1234, 8, 0x10246)


@given(st.binary(max_size=0x200), st.sampled_from([2600, 7601, 9600, 22000]))
def test_any_bytes_are_a_frame_or_too_few(data: bytes, build: int) -> None:
    for parse, size in ((X64TrapFrame.parse, 0x190), (Arm64TrapFrame.parse, 0x150), (lambda d: x86(build, d), 0x74)):
        if len(data) < size:
            with pytest.raises(TruncatedError):
                parse(data)
        else:
            parse(data)
