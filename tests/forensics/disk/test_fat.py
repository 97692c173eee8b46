"""FAT volumes: files as they were put there, and chains of clusters that lead nowhere."""

from __future__ import annotations

import contextlib
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.disk import fat as room
from forensics.disk.fat import FatFiles
from parsers.bytesource import BytesSource
from parsers.errors import FormatError, ReadError, StopcodeError
from samples.fat import make_fat
from tests.forensics.disk.ntfs_disks import write_tree

#: Where the first table begins: 32 reserved sectors.
TABLE = 32 * 512
CONTENT = {
    "EFI/Microsoft/Boot/BCD": bytes(range(256)) * 10,
    "EFI/Microsoft/Boot/a name that is long.efi": b"x" * 700,
    "EFI/empty": b"",
}


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    top = tmp_path_factory.mktemp("fat")
    tree = write_tree(top / "tree", dict(CONTENT))
    made = datetime(2024, 1, 2, tzinfo=UTC)
    make_fat(top / "v.img", tree, size=40 << 20, first_sector=2048, serial=0x1234, moment=made)
    # What lies behind is empty.
    return (top / "v.img").read_bytes()


def clusters_of(volume: bytes, content: bytes) -> tuple[int, int]:
    """Return a file's first cluster and where the data begin."""
    fat_size = struct.unpack_from("<I", volume, 0x24)[0]
    data = (32 + 2 * fat_size) * 512
    return (volume.index(content[:512], data) - data) // 512 + 2, data


def test_every_file_reads_as_it_was_written_by_long_and_short_names(volume: bytes) -> None:
    files = FatFiles(BytesSource(volume))
    for name, content in CONTENT.items():
        opened = files.open("\\" + name.replace("/", "\\").upper())
        assert opened.read_at(0, len(content) + 1) == content
        assert opened.size == len(content)
    assert files.stat("\\EFI\\Microsoft\\Boot\\ANAMET~1.EFI") is not None
    assert files.stat("\\EFI\\nothing") is None
    assert [entry.path for entry in files.glob("\\EFI\\*\\*\\B*")] == ["\\EFI\\Microsoft\\Boot\\BCD"]
    assert files.listdir("\\EFI\\empty") == []
    with pytest.raises(ReadError):
        files.open("\\EFI")


def test_a_cluster_that_follows_its_neighbour_backwards_is_read_where_it_lies(volume: bytes) -> None:
    """dissect.fat 3.13 reads the cluster behind the first one instead of the one before it."""
    content = CONTENT["EFI/Microsoft/Boot/a name that is long.efi"]
    first, data = clusters_of(volume, content)
    changed = bytearray(volume)
    # The file's two clusters trade places; its entry, and the chain, follow.
    at = data + (first - 2) * 512
    changed[at : at + 1024] = b"2" * 188 + bytes(324) + b"1" * 512
    entry = next(
        place
        for place in range(data, data + 64 * 512, 32)
        if struct.unpack_from("<I", changed, place + 28)[0] == 700 and changed[place + 11] & 0x10 == 0
    )
    struct.pack_into("<H", changed, entry + 26, first + 1)
    struct.pack_into("<II", changed, TABLE + first * 4, 0x0FFFFFFF, first)
    opened = FatFiles(BytesSource(changed)).open("\\EFI\\Microsoft\\Boot\\a name that is long.efi")
    assert opened.read_at(0, 700) == b"1" * 512 + b"2" * 188


@pytest.mark.parametrize("next_one", [0, "itself", 0x0FFFFFF0])
def test_a_chain_that_leads_in_circles_or_nowhere_is_an_error(volume: bytes, next_one: int | str) -> None:
    first, _data = clusters_of(volume, CONTENT["EFI/Microsoft/Boot/BCD"])
    changed = bytearray(volume)
    struct.pack_into("<I", changed, TABLE + first * 4, first if isinstance(next_one, str) else next_one)
    with pytest.raises(FormatError, match="circles or nowhere"):
        FatFiles(BytesSource(changed)).open("\\EFI\\Microsoft\\Boot\\BCD")


def test_a_chain_that_ends_before_its_file_is_an_error(volume: bytes) -> None:
    first, _data = clusters_of(volume, CONTENT["EFI/Microsoft/Boot/BCD"])
    changed = bytearray(volume)
    struct.pack_into("<I", changed, TABLE + first * 4, 0x0FFFFFFF)
    with pytest.raises(FormatError, match="ends before the file"):
        FatFiles(BytesSource(changed)).open("\\EFI\\Microsoft\\Boot\\BCD")


@pytest.mark.parametrize("limit", ["MAX_FAT_CHAIN", "MAX_FAT_FOLDER"])
def test_chains_and_folders_have_limits(volume: bytes, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(room, limit, 1)
    with pytest.raises(FormatError, match=r"circles or nowhere|too large"):
        FatFiles(BytesSource(volume)).open("\\EFI\\Microsoft\\Boot\\BCD")


def test_a_folder_that_is_damaged_is_told(volume: bytes) -> None:
    changed = bytearray(volume)
    struct.pack_into("<I", changed, TABLE + 8, 0)
    damage: list[StopcodeError] = []
    assert FatFiles(BytesSource(changed)).listdir("\\", damage) == []
    assert len(damage) == 1


@given(st.data())
def test_a_mutated_volume_gives_files_or_an_error(volume: bytes, data: st.DataObject) -> None:
    _first, at = clusters_of(volume, CONTENT["EFI/Microsoft/Boot/BCD"])
    head, places = bytearray(volume[: at + 40 * 512]), [(0, 90), (TABLE, TABLE + 100), (at, at + 20 * 512)]
    for _ in range(data.draw(st.integers(1, 5))):
        low, high = data.draw(st.sampled_from(places))
        head[data.draw(st.integers(low, high - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StopcodeError):
        files = FatFiles(BytesSource(head))
        for entry in files.glob("\\EFI\\*\\*\\*"):
            files.open(entry.path).read_at(0, 4096)


def test_bytes_that_are_no_boot_sector_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(StopcodeError):
        FatFiles(BytesSource(bytes(4096)))
