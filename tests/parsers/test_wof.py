"""Files compressed by CompactOS: libwim compresses, we unpack."""

from __future__ import annotations

import contextlib
import random
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import parsers.wof
from parsers import lzx, xpress
from parsers.bytesource import BytesSource
from parsers.errors import FormatError, ReadError, UnsupportedError
from parsers.prefix_code import decode_table
from parsers.wof import WofSource, compression_of
from tests.parsers.libwim import FORMATS, LZX, XPRESS, chunks, compressed, decompressed, reparse_point, wof_stream

libwim = pytest.mark.peer("wimlib-imagex")
each = pytest.mark.parametrize("form", sorted(FORMATS))
UNPACK = {XPRESS: xpress.decompress, LZX: lzx.decompress}


def calls(seed: int, size: int) -> bytes:
    """Bytes with many x86 calls, which LZX translates, up to the very end."""
    return bytes(random.Random(seed).choices(b"\xe8\x00\x01\xff\x10\x7f", k=size))


def program(size: int = 300_000) -> bytes:
    """Code, text, zeros and what cannot be compressed, one behind the other."""
    text = Path(__file__).read_bytes() + Path(zipfile.__file__).read_bytes()
    rest = calls(2, 50_000) + bytes(20_000) + random.Random(1).randbytes(40_000) + text * 2
    return (text + rest * 3)[:size]


@libwim
@each
@pytest.mark.parametrize("size", [1, 4096, 4097, 32_768 * 3, 299_999])
def test_every_byte_of_a_file_comes_back(form: int, size: int) -> None:
    data = program(size)
    source = WofSource(BytesSource(wof_stream(data, form)), len(data), form)
    assert source.size == size
    assert source.read_at(0, size + 10) == data


@libwim
@each
def test_any_place_is_read_alone(form: int) -> None:
    data = program()
    source = WofSource(BytesSource(wof_stream(data, form)), len(data), form)
    places = random.Random(5)
    for _ in range(200):
        at, length = places.randrange(len(data) + 10), places.randrange(9_000)
        assert source.read_at(at, length) == data[at : at + length]
    assert source.read_at(-1, 5) == b""


@libwim
@each
@pytest.mark.parametrize("seed", range(4))
def test_code_full_of_calls_comes_back_whatever_the_length_of_the_chunk(form: int, seed: int) -> None:
    kind, chunk = FORMATS[form]
    for size in (11, 12, 16, 100 + seed, chunk - seed):
        data = (calls(seed, size) * 2)[:size]
        packed = compressed(data, kind, chunk) or b""
        if packed:
            assert UNPACK[kind](packed, size) == data


@libwim
@pytest.mark.fuzz
@given(
    pieces=st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 400)), min_size=1, max_size=20),
    form=st.sampled_from(sorted(FORMATS)),
    level=st.sampled_from([0, 10, 90]),
)
def test_whatever_libwim_compresses_is_unpacked(pieces: list[tuple[bytes, int]], form: int, level: int) -> None:
    kind, chunk = FORMATS[form]
    for piece in chunks(b"".join(piece * count for piece, count in pieces), chunk):
        packed = compressed(piece, kind, chunk, level)
        if packed:
            assert UNPACK[kind](packed, len(piece)) == piece


@libwim
@pytest.mark.fuzz
@given(
    form=st.sampled_from(sorted(FORMATS)),
    changes=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 200),
)
def test_damaged_chunks_give_as_many_bytes_as_asked_or_an_error_of_ours(
    form: int, changes: list[tuple[int, int]], cut: int
) -> None:
    kind, chunk = FORMATS[form]
    data = program(chunk)
    packed = bytearray(compressed(data, kind, chunk))
    for at, value in changes:
        packed[at % len(packed)] = value
    spoilt = bytes(packed[: len(packed) - cut])
    try:
        out = UNPACK[kind](spoilt, len(data))
    except FormatError:
        return
    assert len(out) == len(data)
    # Where libwim takes it too, it is the same.
    assert decompressed(spoilt, len(data), kind, chunk) in (out, None)


@pytest.mark.fuzz
@given(data=st.binary(max_size=700), size=st.integers(0, 0x8000))
def test_any_bytes_give_as_many_bytes_as_asked_or_an_error_of_ours(data: bytes, size: int) -> None:
    for unpack in UNPACK.values():
        with contextlib.suppress(FormatError):
            assert len(unpack(data, size)) == size


def plain_block(data: bytes, *, odd_byte: bytes = b"") -> bytes:
    """An LZX block that is not compressed, with its length; it begins at the start of a word."""
    head = 0b011_0 << 28 | len(data) << 12
    words = struct.pack("<HH", head >> 16, head & 0xFFFF)
    return words + struct.pack("<III", 1, 1, 1) + data + odd_byte


@libwim
def test_blocks_that_lzx_stores_plain_are_read_and_an_odd_one_is_padded() -> None:
    first, second = bytes(range(101)), bytes(range(100, 140))
    packed = plain_block(first, odd_byte=b"\0") + plain_block(second)
    assert lzx.decompress(packed, 141) == first + second
    assert decompressed(packed, 141, LZX, 0x8000) == first + second
    with pytest.raises(FormatError, match="too early"):
        lzx.decompress(packed[:-1], 141)


def test_blocks_of_an_unknown_kind_and_of_an_impossible_length_are_damage() -> None:
    for head, message in ((0b111_0 << 28 | 10 << 12, "known kind"), (0b011_0 << 28 | 11 << 12, "length")):
        with pytest.raises(FormatError, match=message):
            lzx.decompress(struct.pack("<HH", head >> 16, head & 0xFFFF) + bytes(64), 10)


def test_a_code_with_too_many_codewords_is_damage_and_an_incomplete_one_has_holes() -> None:
    with pytest.raises(FormatError, match="more codewords"):
        decode_table([1, 1, 1], "x")
    table, bits = decode_table([2, 0, 2, 1], "x")
    assert (bits, [item >> 5 for item in table]) == (2, [3, 3, 0, 2])
    assert decode_table([2, 2], "x")[0][2:] == [0, 0]
    assert decode_table([0, 0], "x") == ([0, 0], 1)


def test_a_chunk_that_is_stored_plain_is_given_as_it_is() -> None:
    data = random.Random(3).randbytes(5_000)
    source = WofSource(BytesSource(struct.pack("<I", 4096) + data), 5_000, 0)
    assert source.read_at(4_000, 1_000) == data[4_000:]
    assert source.format == "XPRESS4K"


@pytest.mark.parametrize("place", [0, 4097, 6_000, 0xFFFFFFFF])
def test_a_table_that_leads_nowhere_is_an_error_for_the_chunks_it_places(place: int) -> None:
    source = WofSource(BytesSource(struct.pack("<I", place) + bytes(5_000)), 5_000, 0)
    with pytest.raises(ReadError, match="place is impossible"):
        source.read_at(0, 10)


@libwim
def test_damage_of_one_chunk_leaves_the_others() -> None:
    data = program(0x4000 * 3)
    stream = bytearray(wof_stream(data, 3))
    first, second = struct.unpack_from("<II", stream)
    stream[8 + first : 8 + second] = b"\xff" * (second - first)
    source = WofSource(BytesSource(stream), len(data), 3)
    assert source.read_at(0, 0x4000) == data[:0x4000]
    assert source.read_at(0x8000, 0x4000) == data[0x8000:]
    with pytest.raises(ReadError, match=r"XPRESS16K.*damaged") as caught:
        source.read_at(0, len(data))
    assert caught.value.address == 0x4000


class Far:
    """A stream of a file of more than 4 GiB: two of its places, and its last chunk."""

    size = (1 << 17) * 8 + (1 << 32)

    def read_at(self, offset: int, length: int) -> bytes:
        last = (1 << 17) - 1
        table = {last * 8: struct.pack("<Q", 1 << 31)}
        if offset == last * 8 and length == 8:
            return table[offset]
        assert offset == (1 << 17) * 8 + (1 << 31), "reads nothing but what it needs"
        return b"the end"[:length]


def test_places_in_a_file_of_4_gib_have_eight_bytes() -> None:
    far = Far()
    far.size = (1 << 17) * 8 + (1 << 31) + 7
    source = WofSource(far, (1 << 32) + 7, 1)
    assert source.read_at(1 << 32, 100) == b"the end"


def test_a_stream_shorter_than_its_table_is_refused() -> None:
    with pytest.raises(FormatError, match="table of chunks"):
        WofSource(BytesSource(bytes(100)), 1 << 40, 0)
    assert WofSource(BytesSource(b""), 0, 0).read_at(0, 10) == b""


@libwim
def test_no_more_chunks_are_kept_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsers.wof, "MAX_WOF_CHUNKS_KEPT", 2)
    data = program(40_000)
    source = WofSource(BytesSource(wof_stream(data, 0)), len(data), 0)
    assert source.read_at(0, len(data)) == data
    assert len(source._kept) == 2


def test_the_reparse_point_says_how_a_file_is_compressed_or_why_it_cannot_be_read() -> None:
    assert [compression_of(reparse_point(form)) for form in range(4)] == [0, 1, 2, 3]
    with pytest.raises(UnsupportedError, match="WIM"):
        compression_of(reparse_point(0, provider=1))
    for form, provider in ((4, 2), (0, 3)):
        with pytest.raises(UnsupportedError, match="not known"):
            compression_of(reparse_point(form, provider))
    for cut in (0, 4, 15, 20):
        with pytest.raises((FormatError, UnsupportedError)):
            compression_of(reparse_point(0)[:cut])
    with pytest.raises(FormatError, match="damaged"):
        compression_of(bytes(24))
