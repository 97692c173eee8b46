"""Where the bytes of VMDK, QCOW2 and VDI come from: every stretch reads as it is called, whole, cut and in a chain."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forensics.disk.container import Container, open_container
from forensics.disk.describe import describe_layer, extents_of
from parsers.diagnostics import Diagnostics
from parsers.errors import ReadError, StopcodeError
from tests.forensics.disk.images import converted, partitioned, qemu_img, vdi
from tests.forensics.disk.test_container import FORMATS
from tests.forensics.disk.test_foreign import descriptor

DISK = partitioned()
FOREIGN = [format for format in FORMATS if format[1] in ("VMDK", "QCOW2", "VDI")]


def held(disk: Container, data: bytes, *, packed: bool = False) -> dict[str, int]:
    """Read every stretch of the first disk as it is called; return the bytes of each state."""
    layer = disk.layers[0]
    assert layer.extents is not None
    counted: dict[str, int] = {}
    at = 0
    for extent in layer.extents():
        assert (extent.offset, extent.length > 0) == (at, True)
        at += extent.length
        counted[extent.state] = counted.get(extent.state, 0) + extent.length
        if extent.state == "lost":
            with pytest.raises(ReadError):
                layer.source.read_at(extent.offset, extent.length)
            continue
        try:
            read = layer.source.read_at(extent.offset, extent.length)
        except ReadError:
            # Where a packed cluster ends only unpacking tells.
            assert packed
            continue
        assert read == (bytes(extent.length) if extent.state == "zero" else data[extent.offset : at])
    assert at == disk.size
    return counted


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize(("name", "format", "options"), [(f[0], f[2], f[3:]) for f in FOREIGN])
def test_every_stretch_is_named_once_and_reads_as_it_is_called(
    tmp_path: Path, name: str, format: str, options: tuple[str, ...]
) -> None:
    path = converted(tmp_path, DISK, name, format, *options)
    packed = name in ("packed.qcow2", "stream.vmdk")
    with open_container(path, Diagnostics()) as disk:
        assert "lost" not in held(disk, DISK)
    largest = max(tmp_path.iterdir(), key=lambda entry: entry.stat().st_size)
    size = largest.stat().st_size
    for kept in (0.97, 0.7, 0.4):
        os.truncate(largest, int(size * kept))
        try:
            disk = open_container(path, Diagnostics())
        except StopcodeError:
            continue
        with disk:
            assert held(disk, DISK, packed=packed).get("lost") or packed


def test_parts_of_every_kind_are_told_one_after_another(tmp_path: Path) -> None:
    (tmp_path / "flat.bin").write_bytes(DISK[: 90 * 512])
    (tmp_path / "rest.bin").write_bytes(DISK[300 * 512 : 400 * 512])
    (tmp_path / "d.vmdk").write_text(descriptor('RW 100 FLAT "flat.bin" 0', "RW 200 ZERO", 'RW 100 FLAT "rest.bin" 0'))
    with open_container(tmp_path / "d.vmdk", Diagnostics()) as disk:
        assert held(disk, DISK[: 100 * 512] + bytes(200 * 512) + DISK[300 * 512 : 400 * 512]) == {
            "stored": 190 * 512, "lost": 10 * 512, "zero": 200 * 512,
        }  # fmt: skip
        assert "blocks" not in describe_layer(disk.layers[0])["allocation"]


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize("format", ["vmdk", "qcow2"])
def test_a_child_names_what_is_its_parents(tmp_path: Path, format: str) -> None:
    converted(tmp_path, DISK, f"base.{format}", format)
    child = tmp_path / f"child.{format}"
    qemu_img("create", "-f", format, "-b", tmp_path / f"base.{format}", "-F", format, child)
    with open_container(child, Diagnostics()) as disk:
        assert held(disk, DISK) == {"parent": len(DISK)}
        through = {extent.state for extent in extents_of(disk.layers)}
        assert through == {"stored", "zero"}


def test_a_differencing_vdi_names_what_is_its_parents(tmp_path: Path) -> None:
    (tmp_path / "base.vdi").write_bytes(vdi(DISK, unique=1, modified=2))
    child = vdi(DISK, order=[3, 0], unique=5, modified=6, parent=(1, 2))
    (tmp_path / "child.vdi").write_bytes(child)
    with open_container(tmp_path / "child.vdi", Diagnostics()) as disk:
        assert held(disk, DISK) == {"stored": 0x20000, "parent": len(DISK) - 0x20000}


@pytest.mark.peer("qemu-img")
def test_more_grains_than_the_limit_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.disk.vmdk.MAX_CHECKED_BLOCKS", 10)
    with open_container(converted(tmp_path, DISK, "d.vmdk", "vmdk"), Diagnostics()) as disk:
        assert "allocation" not in describe_layer(disk.layers[0])
