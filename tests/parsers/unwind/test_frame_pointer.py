"""Frame-pointer chains: a real ARM64 dump's published stack, and hostile chains."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import FileSource
from parsers.dump.context import Arm64Context
from parsers.dump.open import open_dump
from parsers.errors import ReadError
from parsers.limits import MAX_STACK_FRAMES
from parsers.unwind.frame_pointer import arm64_chain, x86_chain


class Stack:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, va: int, n: int) -> bytes:
        if not 0x1000 <= va <= 0x1000 + len(self.data) - n:
            raise ReadError("outside", address=va)
        return self.data[va - 0x1000 :][:n]


@pytest.mark.realdata
def test_the_published_stack_of_a_real_arm64_dump_comes_out(unpacked: Callable[[str], Path]) -> None:
    # rizinorg/rizin: test/db/formats/dmp/dmp, "Triage Dump Debug arm64", frames 1 to 4.
    with FileSource(unpacked("dumps/triage_arm64.dmp")) as source:
        dump = open_dump(source)
        nt = dump.modules()[0].base
        low, size = dump.stack() or (0, 0)
        fp = Arm64Context.parse(dump.context()).fp
        frames = list(arm64_chain(fp, dump.memory, low=low, high=low + size))
    assert [frame.ip - nt for frame in frames] == [0x5442A0, 0x29FF1C, 0x373340, 0x207DE4]
    assert [frame.sp for frame in frames] == [
        0xFFFFE00E0E4BC4B0, 0xFFFFE00E0E4BCB20, 0xFFFFE00E0E4BCCE0, 0xFFFFE00E0E4BCD40
    ]  # fmt: skip


def test_a_signed_return_address_loses_its_signature() -> None:
    data = struct.pack("<4Q", 0x1010, 0x00A9F803F2E05000 | 1 << 55, 0, 0x7F12A00012345678 & ~(1 << 55))
    frames = list(arm64_chain(0x1000, Stack(data), low=0x1000, high=0x1020))
    assert [frame.ip for frame in frames] == [0xFFFFF803F2E05000, 0xA00012345678]


def test_an_x86_chain_ends_at_zero_a_fall_or_the_stack_s_end() -> None:
    words = [0x1008, 0xA, 0x1010, 0xB, 0, 0xC]
    stack = Stack(struct.pack("<6I", *words))
    assert [frame.ip for frame in x86_chain(0x1000, stack, low=0x1000, high=0x1018)] == [0xA, 0xB, 0xC]
    loop = Stack(struct.pack("<4I", 0x1008, 0xA, 0x1000, 0xB))
    assert [frame.ip for frame in x86_chain(0x1000, loop, low=0x1000, high=0x1010)] == [0xA, 0xB]
    assert list(x86_chain(0x1002, stack, low=0x1000, high=0x1018)) == []
    assert [frame.ip for frame in x86_chain(0x1000, stack, low=0x1000, high=0x1010)] == [0xA, 0xB]


def test_a_chain_of_many_frames_is_cut() -> None:
    data = b"".join(struct.pack("<QQ", 0x1010 + i * 16, 5) for i in range(1000))
    assert len(list(arm64_chain(0x1000, Stack(data), low=0x1000, high=0x1000 + len(data)))) == MAX_STACK_FRAMES


@pytest.mark.fuzz
@given(st.binary(max_size=512), st.integers(0xFF0, 0x1210))
def test_any_stack_gives_a_rising_chain(data: bytes, fp: int) -> None:
    for chain in (arm64_chain, x86_chain):
        pointers = [frame.sp for frame in chain(fp, Stack(data), low=0x1000, high=0x1000 + len(data))]
        assert pointers == sorted(pointers)
