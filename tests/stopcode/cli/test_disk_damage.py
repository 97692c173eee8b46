"""`stopcode disk` of chains, cut files and spoiled ones: what is lost is named, everything else is told."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.disk import describe
from parsers.errors import StopcodeError
from stopcode.report.disk_lines import disk_lines
from stopcode.report.plain import write_plain
from stopcode.scan.disk import DiskImage
from tests.forensics.disk.images import partitioned
from tests.forensics.disk.ntfs_disks import MIB
from tests.forensics.disk.test_container import laid, third
from tests.parsers.disk import vhd_writer, vhdx_writer
from tests.stopcode.cli.disk_documents import checked, codes, sha256, told, zeroed
from tests.stopcode.cli.run import Stopcode

Give = Callable[[str], Path]
DISK = partitioned()
BASE = uuid.UUID(int=100)


@pytest.fixture
def child(tmp_path: Path) -> Path:
    """A child in one folder, its parent in another."""
    above = partitioned(tag=5)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/base.vhdx").write_bytes(vhdx_writer.vhdx(DISK, data_write=BASE).file())
    path = tmp_path / "c.avhdx"
    link = vhdx_writer.linkage(BASE, "base.vhdx")
    path.write_bytes(vhdx_writer.vhdx(above, own=lambda s: s < 2048 or third(s), parent=link, absent=[2]).file())
    return path


def own(sector: int) -> bool:
    return sector < 2048 or (not 4096 <= sector < 6144 and third(sector))


def test_a_child_with_its_parent_is_the_whole_disk(call: Stopcode, child: Path) -> None:
    folder = child.parent / "base"
    document = told(call, child, "--sha256", "--parent", folder)
    expected = laid(DISK, partitioned(tag=5), own)
    assert document["content"] == {"bytes": len(DISK), "sha256": sha256(expected)}
    (parent,) = document["chain"]
    assert (parent["path"], parent["identity"], parent["kind"]) == (str(folder / "base.vhdx"), str(BASE), "VHDX")
    held = document["container"]["allocation"]
    assert (held["stored"], held["parent"], held["lost"]) == (MIB, MIB, 0)
    assert held["mixed"] == len(DISK) - 2 * MIB


def test_a_child_without_its_parent_is_described_and_what_is_missing_is_named(call: Stopcode, child: Path) -> None:
    document = told(call, child, "--sha256", code=4)
    (parent,) = document["chain"]
    assert parent == {"path": "base.vhdx", "kind": "missing", "virtual_size": len(DISK), "identity": str(BASE)}
    assert codes(document) == {"container.parent-missing", "volume.unreadable"}
    assert document["partition_table"]["partitions"]
    assert document["unreadable"] == {"bytes": MIB, "ranges": [[2 * MIB, MIB]]}
    ranges = document["content"]["unreadable"]["ranges"]
    whole = laid(DISK, partitioned(tag=5), own)
    assert document["content"]["sha256"] == sha256(zeroed(whole, ranges))
    # Every sector that only the parent has is among them.
    lost = {sector for at, length in ranges for sector in range(at // 512, (at + length) // 512)}
    assert {sector for sector in range(len(DISK) // 512) if not own(sector)} <= lost
    assert 0 not in lost
    text = call("disk", child, "--sha256").out
    assert "not found: what it holds cannot be read" in text
    assert "this is not the digest of the whole disk" in text


@pytest.mark.realdata
def test_the_parent_of_a_real_child_is_named_with_its_identity(call: Stopcode, unpacked: Give) -> None:
    document = told(call, unpacked("disks/dfvfs/fat-differential.vhd"), code=4)
    assert document["container"]["subtype"] == "differencing"
    assert document["container"]["virtual_size"] == 4_194_304
    assert document["chain"] == [
        {
            "path": "fat-parent.vhd",
            "kind": "missing",
            "virtual_size": 4_194_304,
            "identity": "5fa21a55-f394-aa4d-9958-1951a67d5540",
        }
    ]


def test_what_a_cut_file_lost_is_named_with_its_place_and_the_rest_is_read(call: Stopcode, tmp_path: Path) -> None:
    path = tmp_path / "d.vhd"
    path.write_bytes(vhd_writer.sparse(DISK, seed=3, absent=[2]))
    whole = zeroed(DISK, [[2 * 0x80000, 0x80000]])
    assert told(call, path, "--sha256")["content"]["sha256"] == sha256(whole)
    os.truncate(path, path.stat().st_size * 5 // 8)
    document = told(call, path, "--sha256", code=4)
    lost = document["content"]["unreadable"]
    assert lost == document["unreadable"]
    assert lost["bytes"] == document["container"]["allocation"]["lost"] == sum(length for _, length in lost["ranges"])
    assert 0 < lost["bytes"] < len(DISK)
    assert document["content"]["sha256"] == sha256(zeroed(whole, lost["ranges"]))
    assert "container.truncated" in codes(document)
    assert "Damage" in call("disk", path).out


def test_a_log_that_cannot_be_replayed_is_damage(call: Stopcode, tmp_path: Path) -> None:
    parts = vhdx_writer.vhdx(DISK)
    parts.headers[1] = vhdx_writer.header(6, log=uuid.UUID(int=9))
    path = tmp_path / "d.vhdx"
    path.write_bytes(parts.file())
    document = told(call, path, code=4)
    assert document["container"]["log"] == {"state": "dirty"}
    assert codes(document) == {"vhdx.log-dirty"}
    assert "it cannot be replayed" in call("disk", path).out


def test_a_disk_whose_beginning_is_lost_is_described_without_a_table(call: Stopcode, tmp_path: Path) -> None:
    path = tmp_path / "c.vhd"
    path.write_bytes(vhd_writer.sparse(DISK, own=third, absent=[0], parent_id=b"A" * 16, parent_name="base.vhd"))
    document = told(call, path, code=4)
    assert "partition_table" not in document
    assert codes(document) == {"container.parent-missing", "disk.unreadable"}


def test_a_table_above_the_limit_is_not_counted_and_its_disk_is_read_all_the_same(
    call: Stopcode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.vhd"
    path.write_bytes(vhd_writer.sparse(DISK))
    monkeypatch.setattr(describe, "MAX_CHECKED_BLOCKS", 3)
    document = told(call, path, "--sha256")
    assert "allocation" not in document["container"]
    assert document["content"]["sha256"] == sha256(DISK)


def spoiled() -> list[bytes]:
    link = vhdx_writer.linkage(BASE, "base.vhdx")
    return [
        vhdx_writer.vhdx(DISK[: 2 * MIB], seed=1).file(),
        vhdx_writer.vhdx(DISK[: 2 * MIB], own=third, parent=link).file(),
        vhd_writer.sparse(DISK[:MIB]),
        vhd_writer.sparse(DISK[:MIB], own=third, parent_name="base.vhd"),
    ]


SPOILED = spoiled()


@given(
    number=st.integers(0, len(SPOILED) - 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=8),
    kept=st.floats(0.01, 1),
)
def test_a_spoiled_image_gives_a_document_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, number: int, changes: list[tuple[float, bytes]], kept: float
) -> None:
    data = bytearray(SPOILED[number])
    for place, new in changes:
        # Most of the structures lie at the beginning, and the footer at the end.
        at = int(place * 0x2000) if place < 0.7 else int(place * (len(data) - 8))
        data[at : at + len(new)] = new
    path = tmp_path_factory.mktemp("spoiled") / f"d.{'vhdx' if number < 2 else 'vhd'}"
    path.write_bytes(data[: int(len(data) * kept)])
    try:
        disk = DiskImage(str(path))
    except StopcodeError:
        return
    with disk:
        if disk.document["container"]["virtual_size"] <= 1 << 24:
            disk.add_digest()
            assert disk.document["content"]["bytes"] == disk.document["container"]["virtual_size"]
        write_plain(disk_lines(checked(disk.document), verbose=True), io.StringIO(), unicode=True)  # type: ignore[arg-type]
    path.unlink()
