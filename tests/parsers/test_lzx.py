"""LZX as cabinets use it: a packer of the tests writes it, and 7-Zip and cabextract say that it is LZX.

Chunks of LZX are libwim's and stand in test_wof.py.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import lzx
from parsers.errors import FormatError, UnsupportedError
from tests.parsers.lzx_packer import ALIGNED, PLAIN, VERBATIM, packed

#: Kinds and lengths of blocks: of one kind; with ends inside and at the ends of data blocks; one of every kind.
BLOCKS = {
    "verbatim": ((VERBATIM, 1 << 20),),
    "aligned": ((ALIGNED, 1 << 20),),
    "edges": ((VERBATIM, 1), (PLAIN, 32_767), (ALIGNED, 5), (PLAIN, 65_531), (VERBATIM, 1 << 20)),
    "many": ((VERBATIM, 9_000), (ALIGNED, 50_001), (PLAIN, 999), (PLAIN, 40_001), (VERBATIM, 3), (PLAIN, 1),
             (ALIGNED, 1 << 20)),
}  # fmt: skip


def calls(seed: int, size: int) -> bytes:
    """Bytes with many x86 calls up to the very end, of which some reach into the file."""
    return bytes(random.Random(seed).choices(b"\xe8\x00\x01\xff\x10\x7f", k=size))


def program() -> bytes:
    """Code, text, zeros and what cannot be packed."""
    text = Path(__file__).read_bytes() + Path(zipfile.__file__).read_bytes()[:30_000]
    return text + calls(2, 15_000) + bytes(20_000) + random.Random(1).randbytes(9_001) + text + calls(3, 5_000) + text


def far() -> bytes:
    """What comes back after nearly two MiB."""
    start = random.Random(4).randbytes(5_000)
    return start + bytes(2_080_000) + start


def unpacked(parts: list[tuple[bytes, int]], window_bits: int) -> bytes:
    stream = lzx.Stream(window_bits)
    return b"".join(stream.unpack(part, size) for part, size in parts)


def cabinet(parts: list[tuple[bytes, int]], window_bits: int, size: int) -> bytes:
    """A cabinet with the one file `it`."""
    name = struct.pack("<IIHHHH", size, 0, 0, 0x5921, 0x6000, 0x20) + b"it\0"
    blocks = b"".join(struct.pack("<IHH", 0, len(part), whole) + part for part, whole in parts)
    body = struct.pack("<IHH", 36 + 8 + len(name), len(parts), 3 | window_bits << 8) + name + blocks
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, 36 + len(body), 0, 44, 0, 3, 1, 1, 1, 0, 7, 0)
    return head + body


@pytest.mark.peer("7zz")
@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("window_bits", [15, 17, 21])
def test_other_readers_and_ours_unpack_the_same(tmp_path: Path, blocks: str, window_bits: int) -> None:
    data = program()
    readers = [["7zz", "x", "-y"], ["cabextract", "-q"]]
    # Both places of the byte that fills up, and both ways with calls.
    for odd_first, size in ((False, 0), (True, len(data))):
        parts = packed(data, window_bits, BLOCKS[blocks], calls=size, odd_first=odd_first)
        assert unpacked(parts, window_bits) == data
        (tmp_path / "x.cab").write_bytes(cabinet(parts, window_bits, len(data)))
        for reader in readers:
            if reader[0] == "7zz" or shutil.which(reader[0]):
                (tmp_path / "it").unlink(missing_ok=True)
                subprocess.run([*reader, "x.cab"], cwd=tmp_path, check=True, capture_output=True)
                assert (tmp_path / "it").read_bytes() == data


@pytest.mark.peer("7zz")
def test_the_largest_window_is_used_whole_and_no_more_than_it_is_kept(tmp_path: Path) -> None:
    data = far()
    parts = packed(data, 21, ((ALIGNED, 40_000), (VERBATIM, (1 << 24) - 1)))
    (tmp_path / "x.cab").write_bytes(cabinet(parts, 21, len(data)))
    subprocess.run(["7zz", "x", "-y", "x.cab"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "it").read_bytes() == data
    assert len(parts[-1][0]) < 500, "it comes from far behind"
    stream = lzx.Stream(21)
    assert b"".join(stream.unpack(part, size) for part, size in parts) == data
    small, data = lzx.Stream(15), bytes(200_000)
    assert b"".join(small.unpack(part, size) for part, size in packed(data)) == data
    assert len(small._window) == 1 << 15


def test_every_window_of_cabinets_is_read_and_no_other() -> None:
    data = program()[30_000:80_000]
    for window_bits in range(15, 22):
        assert unpacked(packed(data, window_bits), window_bits) == data
    for window_bits in (0, 14, 22, 31):
        with pytest.raises(UnsupportedError, match="window"):
            lzx.Stream(window_bits)


@pytest.mark.fuzz
@given(
    pieces=st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.integers(1, 700)), min_size=1, max_size=9),
    blocks=st.lists(st.tuples(st.sampled_from([VERBATIM, ALIGNED, PLAIN]), st.integers(1, 50_000)), min_size=1),
    size=st.sampled_from([0, 1, 1000, 12_000_000, (1 << 31) - 1]),
    odd_first=st.booleans(),
)
def test_whatever_is_packed_is_unpacked(
    pieces: list[tuple[bytes, int]], blocks: list[tuple[int, int]], size: int, odd_first: bool
) -> None:
    data = b"".join(piece * count for piece, count in pieces) + calls(len(pieces), 500)
    assert unpacked(packed(data, 16, blocks, calls=size, odd_first=odd_first), 16) == data


PARTS = packed(program()[20_000:90_000], 16, BLOCKS["many"], calls=70_000)


@pytest.mark.fuzz
@given(
    changes=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 200),
)
def test_damage_gives_as_many_bytes_as_asked_or_an_error_of_ours(
    changes: list[tuple[int, float, int]], cut: int
) -> None:
    parts = [bytearray(part) for part, _size in PARTS]
    for number, place, value in changes:
        parts[number][int(place * min(len(parts[number]), 300 if value % 2 else 1 << 16))] = value
    parts[-1] = parts[-1][: len(parts[-1]) - cut]
    stream = lzx.Stream(16)
    with contextlib.suppress(FormatError):
        for part, (_packed, size) in zip(parts, PARTS, strict=True):
            assert len(stream.unpack(bytes(part), size)) == size


@pytest.mark.fuzz
@given(
    parts=st.lists(st.tuples(st.binary(max_size=300), st.integers(-1, 0x8001)), max_size=4), window=st.integers(15, 21)
)
def test_any_bytes_give_as_many_bytes_as_asked_or_an_error_of_ours(parts: list[tuple[bytes, int]], window: int) -> None:
    stream = lzx.Stream(window)
    with contextlib.suppress(FormatError):
        for part, size in parts:
            assert len(stream.unpack(part, size)) == size


def test_a_copy_from_in_front_of_the_stream_or_of_the_window_is_damage() -> None:
    blocks = ((PLAIN, 40_000), (VERBATIM, 100))
    parts = packed(b"ab" * 20_050, blocks=blocks)
    assert unpacked(parts, 15) == b"ab" * 20_050
    # The distance that the plain block's head names is what the copies behind it use.
    first = bytearray(parts[0][0])
    assert first[4:8] == struct.pack("<I", 2)
    for distance in (0, 1 << 15, (1 << 15) + 1, 40_001, 1 << 31):
        first[4:8] = struct.pack("<I", distance)
        if distance == 1 << 15:
            assert unpacked([(bytes(first), 0x8000), parts[1]], 15) == b"ab" * 20_050
            continue
        with pytest.raises(FormatError, match="out of the window"):
            unpacked([(bytes(first), 0x8000), parts[1]], 15)
