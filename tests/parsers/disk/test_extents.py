"""Where the bytes of a virtual disk come from: every stretch is named once, and reads as its name says."""

from __future__ import annotations

import json
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource, FileSource
from parsers.diagnostics import Diagnostics
from parsers.disk.extents import Extent, State, merged, through
from parsers.disk.vhd import Vhd
from parsers.disk.vhdx import Vhdx
from parsers.errors import ReadError
from tests.parsers.disk import vhd_writer, vhdx_writer

DATA = vhd_writer.numbered(9000)
PARENT = vhd_writer.numbered(9000, tag=7)
MIB = 1 << 20


def third(sector: int) -> bool:
    return sector % 3 == 0


def vhd(data: bytes) -> Vhd:
    return Vhd(BytesSource(data), Diagnostics())


def vhdx(data: bytes) -> Vhdx:
    return Vhdx(BytesSource(data), Diagnostics())


CHILD_VHD = vhd_writer.sparse(DATA, own=third, absent=[1, 4], parent_id=b"A" * 16)
CHILD_VHDX = vhdx_writer.vhdx(DATA, own=lambda s: s < 2048 or third(s), absent=[1], parent={}).file()
CUT_VHD = vhd_writer.sparse(DATA, seed=3, absent=[2])
CASES = {
    "fixed": vhd(vhd_writer.fixed(DATA)),
    "fixed and cut": vhd(DATA[: 3 * MIB] + vhd_writer.footer(len(DATA), 2)),
    "dynamic": vhd(vhd_writer.sparse(DATA, seed=1, absent=[0, 5])),
    "dynamic and cut": vhd(CUT_VHD[: len(CUT_VHD) * 5 // 8] + CUT_VHD[-512:]),
    "differencing": vhd(CHILD_VHD),
    "vhdx": vhdx(vhdx_writer.vhdx(DATA, seed=1, states={0: 2, 3: 3}, absent=[2]).file()),
    "vhdx and cut": vhdx(vhdx_writer.vhdx(DATA, seed=1).file()[: -2 * MIB]),
    "avhdx": vhdx(CHILD_VHDX),
}


@pytest.mark.parametrize("name", CASES)
def test_every_stretch_is_named_once_and_reads_as_it_is_called(name: str) -> None:
    disk = CASES[name]
    disk.parent = BytesSource(PARENT)
    at = 0
    for extent in disk.extents():
        assert (extent.offset, extent.length > 0) == (at, True)
        at += extent.length
        if extent.state == "lost":
            for place in (extent.offset, extent.offset + extent.length - 512):
                with pytest.raises(ReadError):
                    disk.read_at(place, 512)
            continue
        data = disk.read_at(extent.offset, extent.length)
        mine, below = (each[extent.offset : extent.offset + extent.length] for each in (DATA, PARENT))
        if extent.state == "mixed":
            assert data not in (mine, below)
        else:
            assert data == {"stored": mine, "zero": bytes(extent.length), "parent": below}[extent.state]
    assert at == disk.size
    told = [extent.state for extent in merged(disk.extents())]
    assert all(one != other for one, other in pairwise(told))


def test_the_states_are_those_that_were_written() -> None:
    def states(name: str) -> list[str]:
        return [extent.state for extent in CASES[name].extents()]

    assert states("differencing") == ["mixed", "parent", "mixed", "mixed", "parent", "mixed", "mixed", "mixed", "mixed"]
    assert states("vhdx") == ["zero", "stored", "zero", "zero", "stored"]
    assert states("avhdx") == ["stored", "parent", "mixed", "mixed", "mixed"]
    assert "lost" in states("vhdx and cut")
    assert [extent.state for extent in CASES["fixed and cut"].extents()] == ["stored", "lost"]


def extents(*states: State, piece: int = 1000) -> list[Extent]:
    return [Extent(number * piece, piece, state) for number, state in enumerate(states)]


def test_what_the_parent_holds_is_told_as_the_parent_tells_it_in_pieces_of_both() -> None:
    child = extents("parent", "stored", "parent", "mixed", "parent", piece=1500)
    found = list(through(child, extents("zero", "stored", "lost", "stored", "parent")))
    assert found == [
        Extent(0, 1000, "zero"),
        Extent(1000, 500, "stored"),  # the parent's
        Extent(1500, 1500, "stored"),  # the child's
        Extent(3000, 1000, "stored"),
        Extent(4000, 500, "parent"),
        Extent(4500, 1500, "mixed"),
        Extent(6000, 1500, "zero"),  # behind the parent's end
    ]


@pytest.mark.peer("qemu-img")
def test_qemu_finds_the_same_stretches_of_a_vhd_stored(tmp_path: Path) -> None:
    sparse = bytearray(40 * MIB)
    for at in (0, 5 * MIB, 6 * MIB + 700, 39 * MIB):
        sparse[at : at + 10_000] = b"x" * 10_000
    (tmp_path / "d.raw").write_bytes(sparse)
    words = ["-f", "raw", "-O", "vpc", "-o", "force_size=on", tmp_path / "d.raw", tmp_path / "d.vhd"]
    subprocess.run(["qemu-img", "convert", *words], check=True)
    asked = ["qemu-img", "map", "-f", "vpc", "--output=json", tmp_path / "d.vhd"]
    mapped = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    expected = [Extent(item["start"], item["length"], "stored") for item in mapped if item["data"]]
    with FileSource(tmp_path / "d.vhd") as file:
        found = [extent for extent in merged(Vhd(file, Diagnostics()).extents()) if extent.state == "stored"]
    assert found == list(merged(expected))
    assert len(found) == 3
