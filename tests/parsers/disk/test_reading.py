"""The small sources below the containers: tables, bitmaps, overlays, extents, joined and padded files."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from construct import Array, Int32ub, Int64ul
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.disk import vhd, vhdx
from parsers.disk.bitmap import SectorBitmaps, runs
from parsers.disk.reading import ConcatSource, ExtentSource, PaddedSource, ZeroSource
from parsers.disk.table import EntryTable
from parsers.disk.vhd import Vhd
from parsers.disk.vhdx import Vhdx
from parsers.errors import FormatError, ReadError, UnsupportedError
from parsers.overlay import OverlaySource
from tests.parsers.disk import vhd_writer, vhdx_writer
from tests.parsers.disk.vhd_writer import numbered
from tests.parsers.disk.vhdx_writer import MIB


@given(st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=50))
def test_a_table_reads_what_the_declared_layout_says(values: list[int]) -> None:
    big = struct.pack(f">{len(values)}I", *values)
    table = EntryTable(BytesSource(b"xy" + big), 2, len(values), width=4, byteorder="big", format="t")
    assert [table.entry(index) for index in range(len(values))] == list(Array(len(values), Int32ub).parse(big))
    little = struct.pack(f"<{len(values)}Q", *(value << 20 for value in values))
    table = EntryTable(BytesSource(little), 0, len(values), width=8, byteorder="little", format="t")
    assert [e for _, page in table.pages() for e in page] == list(Array(len(values), Int64ul).parse(little))
    with pytest.raises(IndexError):
        table.entry(len(values))


def test_a_large_table_keeps_only_some_of_its_pieces() -> None:
    count = 200 * 0x4000
    data = struct.pack(f">{count}I", *range(count))
    table = EntryTable(BytesSource(data), 0, count, width=4, byteorder="big", format="t")
    assert all(table.entry(index) == index for index in range(0, count, 0x2000))
    assert len(table._pages) <= 128
    assert table.entry(1) == 1


@given(st.binary(min_size=1, max_size=40), st.booleans(), st.data())
def test_runs_of_a_bitmap_are_its_bits(data: bytes, lsb_first: bool, draw: st.DataObject) -> None:
    bits = SectorBitmaps(lambda _: data, lsb_first=lsb_first).of(0)
    slow = [bool(data[i // 8] >> (i % 8 if lsb_first else 7 - i % 8) & 1) for i in range(len(data) * 8)]
    first = draw.draw(st.integers(0, len(slow) - 1))
    count = draw.draw(st.integers(1, len(slow) - first))
    found = list(runs(bits, first, count))
    assert [flag for flag, length in found for _ in range(length)] == slow[first : first + count]
    assert all(a[0] != b[0] for a, b in pairwise(found))


def test_bitmaps_that_were_not_used_for_long_are_forgotten() -> None:
    asked: list[int] = []

    def read(block: int) -> bytes:
        asked.append(block)
        return bytes(1 << 18)

    bitmaps = SectorBitmaps(read, lsb_first=True)
    for block in [0, 1, 0, 2, 3, 0]:
        bitmaps.of(block)
    assert asked == [0, 1, 2, 3, 0]


change = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 255)),
    st.tuples(st.just("zero"), st.integers(0, 9), st.integers(0, 4)),
)


@given(st.integers(0, 40_000), st.lists(change, max_size=8), st.integers(0, 50_000), st.integers(0, 50_000))
def test_an_overlay_reads_like_a_copy_that_was_written(
    size: int, changes: list[tuple[str, int, int]], offset: int, length: int
) -> None:
    base = bytes(index * 7 & 0xFF for index in range(size))
    overlay, copy = OverlaySource(BytesSource(base)), bytearray(base)
    for what, place, value in changes:
        at = place * 4096
        end = at + (4096 if what == "put" else value * 4096)
        copy.extend(bytes(max(0, end - len(copy))))
        if what == "put":
            overlay.put(at, bytes([value]) * 4096)
            copy[at:end] = bytes([value]) * 4096
        else:
            overlay.zero(at, value * 4096)
            copy[at:end] = bytes(end - at)
    assert overlay.size == len(copy)
    assert overlay.read_at(offset, length) == copy[offset : offset + length]


def test_what_an_overlay_lost_gives_no_bytes_but_where_a_change_covers_it() -> None:
    overlay = OverlaySource(BytesSource(b"a" * 4096))
    overlay.put(4096, b"b" * 4096)
    overlay.lose(5 * 4096)
    overlay.put(3 * 4096, b"c" * 4096)
    assert overlay.size == 5 * 4096
    assert overlay.read_at(0, 99_999) == b"a" * 4096 + b"b" * 4096
    assert overlay.read_at(2 * 4096, 10) == b""
    assert overlay.read_at(3 * 4096, 8192) == b"c" * 4096


def test_joined_padded_and_zero_sources_give_what_they_say() -> None:
    joined = ConcatSource([BytesSource(b"abc"), ZeroSource(2), BytesSource(b"de")])
    assert (joined.size, joined.read_at(1, 99), joined.read_at(7, 1), joined.read_at(-1, 5)) == (
        7,
        b"bc\0\0de",
        b"",
        b"",
    )
    padded = PaddedSource(BytesSource(b"abc"), 6)
    assert (padded.read_at(2, 9), padded.read_at(5, 1), padded.read_at(6, 1)) == (b"c\0\0\0", b"\0", b"")
    assert ZeroSource(3).read_at(2, 5) == b"\0"
    assert ZeroSource(3).read_at(5, 5) == b""


def test_an_extent_has_its_length_even_where_the_file_has_not() -> None:
    extent = ExtentSource(BytesSource(b"abcdef"), 2, 8, format="t")
    assert (extent.size, extent.read_at(0, 4), extent.read_at(8, 1)) == (8, b"cdef", b"")
    with pytest.raises(ReadError, match="beyond the end"):
        extent.read_at(3, 2)


class Short:
    """A source that gives one byte less than it has."""

    size = 10

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(max(0, min(length, 10 - offset) - 1))


def test_a_file_that_gives_less_than_it_has_is_an_error_everywhere() -> None:
    for source in (
        ConcatSource([Short(), Short()]),
        PaddedSource(Short(), 20),
        ExtentSource(Short(), 0, 10, format="t"),
    ):
        with pytest.raises(ReadError):
            source.read_at(0, 10)


# -- limits ---------------------------------------------------------------------------------------------------------


def test_tables_above_the_limit_are_read_without_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vhd, "MAX_CHECKED_BLOCKS", 3)
    monkeypatch.setattr(vhdx, "MAX_CHECKED_BLOCKS", 3)
    disk = numbered(8192)
    said = Diagnostics()
    data = vhd_writer.sparse(disk, seed=1)
    assert Vhd(BytesSource(data[: len(data) // 2]), said).kind == "dynamic"
    assert {item.code for item in said.items} == {"vhd.footer-copy"}
    said = Diagnostics()
    assert Vhdx(BytesSource(vhdx_writer.vhdx(disk).file()[: 5 * MIB]), said).kind == "dynamic"
    assert said.items == []


def test_a_long_parent_name_is_cut_and_a_long_locator_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vhd, "MAX_PARENT_NAME", 8)
    data = vhd_writer.sparse(numbered(128), block=0x4000, own=lambda _: True, relative="parent.vhd")
    assert Vhd(BytesSource(data), Diagnostics()).parent_names == ("pare",)
    monkeypatch.setattr("parsers.disk.vhdx_metadata.MAX_PARENT_NAME", 50)
    child = vhdx_writer.vhdx(numbered(2048), own=lambda _: True, parent={"parent_linkage": "x" * 50})
    with pytest.raises(FormatError, match="metadata item"):
        Vhdx(BytesSource(child.file()), Diagnostics())


def test_more_entries_than_the_format_allows_are_refused() -> None:
    parts = vhdx_writer.vhdx(numbered(2048))
    table = bytearray(parts.metadata)
    struct.pack_into("<H", table, 10, 2048)
    parts.metadata = bytes(table)
    with pytest.raises(FormatError, match="metadata count"):
        Vhdx(BytesSource(parts.file()), Diagnostics())
    region = bytearray(parts.regions[0])
    struct.pack_into("<I", region, 8, 2048)
    parts.regions[0] = vhdx_writer.seal(bytes(region))
    with pytest.raises(FormatError, match="region count"):
        Vhdx(BytesSource(parts.file()), Diagnostics())


def test_a_metadata_item_far_off_is_refused() -> None:
    parts = vhdx_writer.vhdx(numbered(2048))
    table = bytearray(parts.metadata)
    struct.pack_into("<I", table, 32 + 16, 1 << 20)
    parts.metadata = bytes(table)
    with pytest.raises(FormatError, match="metadata item"):
        Vhdx(BytesSource(parts.file()), Diagnostics())


def test_a_parent_named_in_another_way_is_refused() -> None:
    child = vhdx_writer.vhdx(numbered(2048), own=lambda _: True, parent={"parent_linkage": "x"})
    data = child.file().replace(vhdx_writer.locator({})[:16], b"\x05" * 16)
    with pytest.raises(UnsupportedError, match="parent"):
        Vhdx(BytesSource(data), Diagnostics())
