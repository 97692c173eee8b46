"""Any bytes give a disk or a StopcodeError: mutated headers, tables and logs, cuts, and bytes of no format."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import ByteSource, BytesSource
from parsers.diagnostics import Diagnostics
from parsers.disk.vhd import Vhd
from parsers.disk.vhdx import Vhdx
from parsers.errors import ReadError, StopcodeError
from tests.parsers.disk import vhd_writer, vhdx_writer
from tests.parsers.disk.vhd_writer import numbered
from tests.parsers.disk.vhdx_writer import MIB, SESSION, TABLE_AT, linkage, log_entry

pytestmark = pytest.mark.fuzz

SMALL = numbered(256)
VHD = vhd_writer.sparse(SMALL, block=0x4000, seed=1)
VHD_CHILD = vhd_writer.sparse(SMALL, block=0x4000, own=lambda s: bool(s % 3), parent_name="a", relative="b")
VHDX_DATA = numbered(4096)
VHDX = vhdx_writer.vhdx(VHDX_DATA, seed=1)
VHDX_CHILD = vhdx_writer.vhdx(VHDX_DATA, own=lambda s: bool(s % 3), parent=linkage(SESSION, "p"))
VHDX_DIRTY = vhdx_writer.vhdx(VHDX_DATA)
VHDX_DIRTY.headers[1] = vhdx_writer.header(6, log=SESSION)
VHDX_DIRTY.log = vhdx_writer.log(
    {
        0: log_entry(5, 0, [(TABLE_AT, VHDX_DIRTY.table[:4096]), (5 * MIB, 8192)], flushed=6 * MIB),
        0x2000: log_entry(6, 0, [(TABLE_AT, VHDX_DIRTY.table[:4096])], flushed=6 * MIB),
    }
)
#: Numbers that have broken readers before.
EDGES = st.sampled_from([0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])


def exercise(kind: type[Vhd] | type[Vhdx], data: bytes) -> None:
    """Open and read here and there; whatever is given must be as long as it should be."""
    try:
        disk = kind(BytesSource(data), Diagnostics())
    except StopcodeError:
        return
    disk.parent = BytesSource(b"p" * 1000)
    for at in (0, 511, disk.block_size - 3 if disk.block_size else 5, disk.size // 2, disk.size - 700):
        try:
            piece = disk.read_at(max(0, at), 1500)
        except ReadError:
            continue
        assert len(piece) == max(0, min(1500, disk.size - max(0, at)))


def mutated(data: bytes, where: int, value: int, width: int, byteorder: str) -> bytes:
    out = bytearray(data)
    out[where : where + width] = (value & (1 << 8 * width) - 1).to_bytes(width, byteorder)  # type: ignore[arg-type]
    return bytes(out)


@given(st.binary(max_size=3000), st.sampled_from([Vhd, Vhdx]))
def test_bytes_of_no_format(data: bytes, kind: type[Vhd] | type[Vhdx]) -> None:
    exercise(kind, data)
    exercise(kind, b"conectix" + data)
    exercise(kind, data + b"conectix" + data[:504].ljust(504, b"\0"))
    exercise(kind, b"vhdxfile" + data)


@given(
    st.sampled_from([VHD, VHD_CHILD]),
    st.integers(0, 0xBFF),
    st.one_of(EDGES, st.integers(0, 1 << 64)),
    st.sampled_from([1, 2, 4, 8]),
    st.booleans(),
)
def test_a_vhd_with_a_changed_header_or_table(data: bytes, where: int, value: int, width: int, both: bool) -> None:
    out = mutated(data, where, value, width, "big")
    if both and where < 0x200:
        out = out[:-512] + out[:512]
    exercise(Vhd, out)
    # The same with checksums that fit, so that the fields are believed.
    sound = bytearray(out)
    sound[0x200:0x600] = vhd_writer.seal(sound[0x200:0x600], 0x24)
    sound[0:0x200] = vhd_writer.seal(sound[0:0x200], 0x40)
    sound[-512:] = sound[0:0x200]
    exercise(Vhd, bytes(sound))


@given(st.sampled_from([VHD, VHD_CHILD]), st.integers(0, len(VHD)))
def test_a_vhd_cut_anywhere(data: bytes, length: int) -> None:
    exercise(Vhd, data[:length])


@given(
    st.sampled_from([VHDX, VHDX_CHILD, VHDX_DIRTY]),
    st.sampled_from(["header", "regions", "metadata", "table", "log"]),
    st.data(),
)
def test_a_vhdx_with_a_changed_structure(parts: vhdx_writer.Vhdx, which: str, draw: st.DataObject) -> None:
    header, region, metadata, table, log = parts.headers[1], parts.regions[0], parts.metadata, parts.table, parts.log
    span = {"header": 0x50, "regions": 0x60, "metadata": 0x10120, "table": 0x40, "log": 0x90}[which]
    where = draw.draw(st.integers(0, span))
    if which == "metadata":
        where = draw.draw(st.one_of(st.integers(0, 0x100), st.integers(0x10000, span)))
    value = draw.draw(st.one_of(EDGES, st.integers(0, 1 << 64)))
    width = draw.draw(st.sampled_from([1, 2, 4, 8]))
    if which == "header":
        header = vhdx_writer.seal(mutated(header, where, value, width, "little"))
    elif which == "regions":
        region = vhdx_writer.seal(mutated(region, where, value, width, "little"))
    elif which == "metadata":
        metadata = mutated(metadata, where, value, width, "little")
    elif which == "table":
        table = mutated(table, where, value, width, "little")
    else:
        first = vhdx_writer.seal(mutated(log[:0x2000], where, value, width, "little"))
        log = first + log[len(first) :]
    changed = vhdx_writer.Vhdx([parts.headers[0], header], [region, region], metadata, table, parts.blocks, log)
    exercise(Vhdx, changed.file())


@given(st.sampled_from([VHDX, VHDX_CHILD, VHDX_DIRTY]), st.integers(0, 6 * MIB))
def test_a_vhdx_cut_anywhere(parts: vhdx_writer.Vhdx, length: int) -> None:
    exercise(Vhdx, parts.file()[:length])


class Sparse:
    """A file of any length that holds a few pieces and zeros otherwise."""

    def __init__(self, size: int, pieces: dict[int, bytes]) -> None:
        self.size = size
        self._pieces = pieces

    def read_at(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        assert length <= 64 << 20, "a read that no sound image needs"
        out = bytearray(length)
        for at, piece in self._pieces.items():
            low, high = max(at, offset), min(at + len(piece), offset + length)
            if low < high:
                out[low - offset : high - offset] = piece[low - at : high - at]
        return bytes(out)


def test_tables_of_the_largest_disks_are_read_piece_by_piece() -> None:
    # 64 TiB of 1 MiB blocks: a block table of 512 MiB.
    size = 64 << 40
    parts = vhdx_writer.vhdx(VHDX_DATA)
    table_at = 1 << 40
    region = vhdx_writer.regions(table_at=table_at, table_length=520 * MIB)
    head = vhdx_writer.Vhdx(
        parts.headers, [region, region], vhdx_writer.metadata(size, MIB, 512, None), b"", b""
    ).file()
    last = (size // MIB - 1) + (size // MIB - 1) // 4096
    entry = struct.pack("<Q", (2 << 40) | 6)
    source: ByteSource = Sparse(3 << 40, {0: head, table_at + last * 8: entry, 2 << 40: b"here"})
    disk = Vhdx(source, Diagnostics())
    assert disk.read_at(size - MIB, 4) == b"here"
    assert disk.read_at(5 << 40, 4096) == bytes(4096)
