"""Sparse disks of ESX (COWD and SE sparse): made here from qemu's declarations, with qemu-img as the second reader."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from forensics.disk.container import open_container
from parsers.diagnostics import Diagnostics
from parsers.errors import UnsupportedError
from tests.forensics.disk.images import partitioned, qemu_img

DISK = partitioned()
SECTORS = len(DISK) // 512
SPARSE = {"cowd": "VMFSSPARSE", "sesparse": "SESPARSE"}


def described(folder: Path, kind: str, extent: bytes) -> Path:
    (folder / "disk-extent.vmdk").write_bytes(extent)
    create = {"cowd": "vmfsSparse", "sesparse": "seSparse"}[kind]
    path = folder / "disk.vmdk"
    path.write_text(
        f'# Disk DescriptorFile\nversion=1\nCID=11112222\nparentCID=ffffffff\ncreateType="{create}"\n\n'
        f'# Extent description\nRW {SECTORS} {SPARSE[kind]} "disk-extent.vmdk"\n'
    )
    return path


def grains_of(size: int) -> list[bytes]:
    """Return the disk in grains of so many sectors; the last one is filled up with zeros."""
    length = size * 512
    return [DISK[at : at + length].ljust(length, b"\0") for at in range(0, len(DISK), length)]


def cowd(grain: int = 8) -> bytes:
    """Grains in the order in which they hold something, backwards; what is zeros is not stored."""
    grains = grains_of(grain)
    tables = -(-len(grains) // 4096)
    directory, first = 4, 4 + 1 + 32 * tables
    entries = [0] * (4096 * tables)
    stored = b""
    for number, content in reversed(list(enumerate(grains))):
        if content.strip(b"\0"):
            entries[number] = first + len(stored) // 512
            stored += content
    places = [5 + 32 * number for number in range(tables)]
    head = b"COWD" + struct.pack("<IIIIIIIIII", 1, 3, SECTORS, grain, directory, tables, first, 1, 1, 1)
    made = head.ljust(directory * 512, b"\0") + struct.pack(f"<{tables}I", *places).ljust(512, b"\0")
    return made + struct.pack(f"<{len(entries)}I", *entries) + stored


def sesparse(*, replay: int = 0) -> bytes:
    """Grains of 4 KiB, backwards; zeros are zero grains or not there at all."""
    grains = grains_of(8)
    tables = -(-len(grains) // 4096)
    volatile, journal, directory, table_at = 1, 2, 8, 16
    first = table_at + 64 * tables
    first += -first % 8
    entries = [0] * (4096 * tables)
    stored = b""
    for number, content in reversed(list(enumerate(grains))):
        if content.strip(b"\0"):
            place = len(stored) // 4096
            entries[number] = 0x3 << 60 | (place & 0xFFF) << 48 | place >> 12
            stored += content
        elif number % 2:
            entries[number] = 0x2 << 60
    head = struct.pack(
        "<26Q", 0xCAFEBABE, 0x200000001, SECTORS, 8, 64, 0, 0, 0, 0, 0, volatile, 1, journal, 1, journal + 1, 1,
        directory, 1, table_at, 64 * tables, 3, 1, 4, 1, first, len(stored) // 512,
    )  # fmt: skip
    made = head.ljust(512, b"\0") + struct.pack("<4Q", 0xCAFECAFE, tables, 1, replay).ljust(512, b"\0")
    made = made.ljust(directory * 512, b"\0")
    made += struct.pack(f"<{tables}Q", *(0x1 << 60 | number for number in range(tables)))
    made = made.ljust(table_at * 512, b"\0") + struct.pack(f"<{len(entries)}Q", *entries)
    return made.ljust(first * 512, b"\0") + stored


def read(path: Path, piece: int = 0x54321) -> bytes:
    with open_container(path, Diagnostics()) as disk:
        assert disk.kind == "VMDK"
        return b"".join(disk.source.read_at(at, piece) for at in range(0, disk.size, piece))


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize(("kind", "extent"), [("cowd", cowd()), ("cowd", cowd(128)), ("sesparse", sesparse())])
def test_qemu_reads_the_same(tmp_path: Path, kind: str, extent: bytes) -> None:
    path = described(tmp_path, kind, extent)
    qemu_img("convert", "-f", "vmdk", "-O", "raw", path, tmp_path / "raw")
    assert (tmp_path / "raw").read_bytes() == DISK
    assert read(path) == DISK


@pytest.mark.parametrize("extent", [cowd(), sesparse()])
def test_an_extent_alone_is_known_by_what_it_begins_with(tmp_path: Path, extent: bytes) -> None:
    path = tmp_path / "disk-extent.vmdk"
    path.write_bytes(extent)
    assert read(path)[: len(DISK)] == DISK


def test_an_se_sparse_disk_whose_journal_was_not_replayed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="journal"):
        read(described(tmp_path, "sesparse", sesparse(replay=1)))
