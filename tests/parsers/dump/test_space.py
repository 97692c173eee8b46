from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import BytesSource
from parsers.dump.space import dump_space
from parsers.errors import StopcodeError
from tests.parsers.dump.builder import server2019, write_x64

_NOISE = random.Random(7).randbytes(1 << 16)
_DUMP = write_x64(server2019(), 5, code=0xD1)


def with_space(needed: int) -> bytes:
    data = bytearray(_DUMP)
    struct.pack_into("<Q", data, 0xFA0, needed)
    return bytes(data)


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name",
    ["082325-12593-01.dmp", "102622-17265-01.dmp", "7e_1.dmp", "7e_2.dmp", "9f.dmp", "be_1.dmp", "triage_arm64.dmp",
     "triage_x64.dmp"],
)  # fmt: skip
def test_a_real_small_dump_is_told_from_the_bytes_behind_it(unpacked: Callable[[str], Path], name: str) -> None:
    data = unpacked(f"dumps/{name}").read_bytes()
    assert dump_space(BytesSource(data + _NOISE)) == (len(data), True)
    assert dump_space(BytesSource(data + bytes(1 << 16))) == (len(data), True)


def test_the_header_tells_how_long_a_large_dump_is() -> None:
    data = with_space(len(_DUMP))
    assert dump_space(BytesSource(data + _NOISE)) == (len(data), True)


def test_a_place_that_is_smaller_than_the_dump_is_all_there_is() -> None:
    assert dump_space(BytesSource(with_space(len(_DUMP) + 1))) == (len(_DUMP), False)


@pytest.mark.parametrize("needed", [0, 0x1FFF, 0x4547415045474150])
def test_a_header_that_does_not_tell_leaves_all_bytes(needed: int) -> None:
    assert dump_space(BytesSource(with_space(needed) + _NOISE)) == (len(_DUMP) + len(_NOISE), True)


@given(st.binary(max_size=64), st.integers(0, 0x2000))
def test_any_bytes_give_a_length_within_them_or_an_error(patch: bytes, at: int) -> None:
    data = bytearray(_DUMP[:0x3000])
    data[at : at + len(patch)] = patch
    try:
        length, _whole = dump_space(BytesSource(data))
    except StopcodeError:
        return
    assert 0 < length <= len(data)
