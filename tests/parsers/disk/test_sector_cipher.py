"""The ciphers of disks: a published vector, and dissect.fve sector by sector; whole volumes stand in test_bitlocker."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from dissect.fve.crypto import create_cipher
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.disk.sector_cipher import SectorCipher, cbc, elephant, xts
from parsers.errors import UnsupportedError


def test_xts_gives_the_plain_text_of_the_fourth_vector_of_ieee_1619() -> None:
    key = bytes.fromhex("2718281828459045235360287471352631415926535897932384626433832795")
    begin = bytes.fromhex(
        "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c"
        "c78cf7f5e543445f8333d8fa7f56000005279fa5d8b5e4ad40e736ddb4d35412"
    )
    assert xts(key, 512)(begin.ljust(512, b"\0"), 0)[:64] == bytes(range(64))


@settings(max_examples=15)
@given(
    st.sampled_from(
        [
            ("aes-xts-128-plain64", 32, xts),
            ("aes-xts-256-plain64", 64, xts),
            ("aes-cbc-128-eboiv", 16, cbc),
            ("aes-cbc-256-eboiv", 32, cbc),
            ("aes-cbc-128-elephant", 64, lambda key, size: elephant(key, size, bits=128)),
            ("aes-cbc-256-elephant", 64, lambda key, size: elephant(key, size, bits=256)),
        ]
    ),
    st.sampled_from([512, 1024, 2048, 4096]),
    st.integers(1, 3),
    st.integers(0, (1 << 52) - 1),
    st.randoms(use_true_random=False),
)
def test_many_sectors_at_once_are_what_dissect_gives_one_by_one(
    kind: tuple[str, int, Callable[[bytes, int], SectorCipher]], size: int, count: int, first: int, random: Random
) -> None:
    name, length, make = kind
    key, data = random.randbytes(length), random.randbytes(size * count)
    assert make(key, size)(data, first) == create_cipher(name, key, sector_size=size, iv_sector_size=size).decrypt(
        data, first
    )


def test_other_keys_and_sectors_are_refused() -> None:
    for make in (lambda: xts(bytes(16), 512), lambda: cbc(bytes(64), 512), lambda: xts(bytes(32), 520)):
        with pytest.raises(UnsupportedError):
            make()
