"""Partitions and volumes: made disks with dissect.volume as the second reader, real disks, and damaged tables."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from dissect.volume.disk import Disk
from hypothesis import given
from hypothesis import strategies as st

from forensics.disk.filesystems import FileSystem, identify
from forensics.disk.volumes import Volume, find_volumes
from parsers.bytesource import BytesSource, FileSource
from parsers.diagnostics import Diagnostics
from parsers.disk import partition_layouts, partitions
from parsers.disk.partitions import read_partitions
from tests.forensics.disk.ntfs_disks import BASIC_DATA, MIB, gpt_disk, mbr_disk, ntfs_volume, run

Give = Callable[[str], Path]
made = pytest.mark.peer("mkntfs", "wimlib-imagex")


def mbr(*entries: tuple[int, int, int, int]) -> bytes:
    table = b"".join(struct.pack("<B3xB3xII", *entry) for entry in entries)
    return bytes(440) + b"\x01\x02\x03\x04\0\0" + table.ljust(64, b"\0") + b"\x55\xaa"


def codes(diagnostics: Diagnostics) -> list[str]:
    return [item.code for item in diagnostics.items]


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ntfs_volume(tmp_path_factory.mktemp("volume") / "v.img", {"folder/file.txt": b"found"}, mib=8, label="Data")


@pytest.fixture(scope="module")
def disks(volume: Path) -> dict[str, bytes]:
    return {
        "mbr": mbr_disk(volume.with_name("mbr.img"), [volume]).read_bytes(),
        "gpt": gpt_disk(volume.with_name("gpt.img"), [(volume, BASIC_DATA)]).read_bytes(),
        "gpt4k": gpt_disk(volume.with_name("gpt4k.img"), [(volume, BASIC_DATA)], sector=4096).read_bytes(),
    }


@made
@pytest.mark.parametrize(("name", "sector"), [("mbr", 512), ("gpt", 512), ("gpt4k", 4096)])
def test_dissect_finds_the_same_partitions(disks: dict[str, bytes], tmp_path: Path, name: str, sector: int) -> None:
    place = tmp_path / "disk.img"
    place.write_bytes(disks[name])
    table = read_partitions(BytesSource(disks[name]), sector)
    assert table is not None
    assert not table.problems
    with place.open("rb") as file:
        theirs = Disk(file, sector_size=sector)
        # dissect counts a GPT partition's last sector out.
        lost = sector if name != "mbr" else 0
        assert [(item.offset, item.size - lost) for item in table.partitions] == [
            (item.offset, item.size) for item in theirs.partitions
        ]
    assert (table.partitions[0].offset, table.partitions[0].size) == (MIB, 8 * MIB)


@made
def test_a_disk_of_4k_sectors_is_read_when_the_container_does_not_say_so(disks: dict[str, bytes]) -> None:
    table, volumes = find_volumes(BytesSource(disks["gpt4k"]), 512, Diagnostics())
    assert table is not None
    assert table.sector_size == 4096
    assert volumes[0].ntfs is not None


@made
def test_each_volume_is_told_with_its_label_serial_and_place(disks: dict[str, bytes], volume: Path) -> None:
    _, volumes = find_volumes(BytesSource(disks["mbr"]), 512, Diagnostics())
    serial = int.from_bytes(volume.read_bytes()[0x48:0x50], "little")
    assert [item.fact() for item in volumes] == [
        {
            "index": 0, "offset": MIB, "size": 8 * MIB, "filesystem": "NTFS", "label": "Data",
            "serial": f"{serial:#x}", "role": "system", "journal": "clean",
        }
    ]  # fmt: skip


@made
def test_a_file_system_without_a_partition_table_is_one_volume(volume: Path) -> None:
    table, volumes = find_volumes(FileSource(volume), 512, Diagnostics())
    assert table is None
    assert [(item.offset, item.kind, item.label) for item in volumes] == [(0, "NTFS", "Data")]


@made
def test_the_copy_of_a_gpt_is_taken_when_the_first_one_is_damaged(disks: dict[str, bytes]) -> None:
    whole = disks["gpt"]
    for offset in (512, 512 + 24, 1024 + 40):
        damaged = whole[:offset] + b"\xff\xff\xff" + whole[offset + 3 :]
        diagnostics = Diagnostics()
        _, volumes = find_volumes(BytesSource(damaged), 512, diagnostics)
        assert [item.kind for item in volumes] == ["NTFS"]
        assert codes(diagnostics) == ["disk.partition-table"]
        assert "copy at the end" in diagnostics.items[0].message


@made
def test_a_gpt_whose_copy_was_cut_off_is_used_with_its_wrong_checksum_told(disks: dict[str, bytes]) -> None:
    damaged = bytearray(disks["gpt"][: -MIB // 2])
    damaged[1024 + 130] ^= 0xFF
    diagnostics = Diagnostics()
    _, volumes = find_volumes(BytesSource(bytes(damaged)), 512, diagnostics)
    assert volumes[0].ntfs is not None
    assert "checksums" in diagnostics.items[0].message


@made
def test_a_gpt_wins_over_the_table_that_protects_it_and_not_over_a_real_one(disks: dict[str, bytes]) -> None:
    whole = disks["gpt"]
    hybrid = mbr((0, 0xEE, 1, 2047), (0x80, 7, 4096, 100)) + whole[512:]
    table = read_partitions(BytesSource(hybrid))
    assert table is not None
    assert table.scheme == "gpt"
    converted = mbr((0x80, 7, 2048, 8 * MIB // 512)) + whole[512:]
    table = read_partitions(BytesSource(converted))
    assert table is not None
    assert (table.scheme, table.signature, table.partitions[0].active) == ("mbr", 0x04030201, True)


@made
def test_a_volume_that_ends_behind_the_disk_is_opened_and_told(disks: dict[str, bytes]) -> None:
    diagnostics = Diagnostics()
    _, volumes = find_volumes(BytesSource(disks["mbr"][: 5 * MIB]), 512, diagnostics)
    assert codes(diagnostics) == ["disk.volume-cut", "ntfs.journal-unreadable"]
    assert volumes[0].ntfs is not None
    assert volumes[0].size == 8 * MIB


@made
def test_the_copy_of_a_boot_sector_is_taken_when_the_first_one_is_damaged(disks: dict[str, bytes]) -> None:
    for name in ("mbr", "gpt"):
        damaged = disks[name][:MIB] + bytes(512) + disks[name][MIB + 512 :]
        diagnostics = Diagnostics()
        _, volumes = find_volumes(BytesSource(damaged), 512, diagnostics)
        assert [(item.kind, item.label) for item in volumes] == [("NTFS", "Data")]
        assert codes(diagnostics) == ["ntfs.boot-sector"]


@made
def test_a_volume_whose_table_of_files_is_gone_is_told_and_leaves_the_others(
    disks: dict[str, bytes], volume: Path
) -> None:
    damaged = bytearray(disks["mbr"])
    boot = volume.read_bytes()[:512]
    for at in (0x30, 0x38):
        place = MIB + int.from_bytes(boot[at : at + 8], "little") * 4096
        damaged[place : place + 1024] = bytes(1024)
    diagnostics = Diagnostics()
    _, volumes = find_volumes(BytesSource(bytes(damaged)), 512, diagnostics)
    assert volumes[0].ntfs is None
    assert "FILE" in volumes[0].problem
    assert codes(diagnostics) == ["volume.unreadable"]


@made
def test_the_declared_layouts_read_what_the_reader_reads(disks: dict[str, bytes]) -> None:
    for name, sector in (("mbr", 512), ("gpt", 512), ("gpt4k", 4096)):
        disk = disks[name]
        table = read_partitions(BytesSource(disk), sector)
        assert table is not None
        first = table.partitions[0]
        declared = partition_layouts.MBR.parse(disk)
        assert declared.unique_mbr_disk_signature == table.signature
        record = declared.partition_record[0]
        if name == "mbr":
            assert (record.starting_lba * 512, record.size_in_lba * 512) == (first.offset, first.size)
            assert (f"{record.os_type:02x}", record.boot_indicator == 0x80) == (first.type, first.active)
            continue
        assert record.os_type == 0xEE
        header = partition_layouts.GPT_HEADER.parse(disk[sector:])
        at = header.partition_entry_lba * sector
        entry = partition_layouts.GPT_ENTRY.parse(disk[at : at + header.size_of_partition_entry])
        assert (entry.starting_lba * sector, (entry.ending_lba + 1) * sector) == (
            first.offset,
            first.offset + first.size,
        )
        assert (str(UUID(bytes_le=entry.partition_type_guid)), entry.unique_partition_guid) == (first.type, first.guid)


def test_logical_partitions_are_followed() -> None:
    disk = bytearray(40_000 * 512)
    disk[:512] = mbr((0x80, 7, 2048, 2048), (0, 5, 8192, 20_000))
    disk[8192 * 512 : 8193 * 512] = mbr((0, 7, 64, 1000), (0, 5, 4096, 2000))
    disk[12_288 * 512 : 12_289 * 512] = mbr((0, 0x0C, 64, 1500))
    table = read_partitions(BytesSource(bytes(disk)))
    assert table is not None
    assert [(item.number, item.offset // 512, item.size // 512, item.type) for item in table.partitions] == [
        (1, 2048, 2048, "07"),
        (5, 8256, 1000, "07"),
        (6, 12_352, 1500, "0c"),
    ]


def test_a_chain_of_logical_partitions_that_leads_back_ends() -> None:
    disk = bytearray(20_000 * 512)
    disk[:512] = mbr((0, 5, 8192, 10_000))
    disk[8192 * 512 : 8193 * 512] = mbr((0, 7, 64, 1000), (0, 5, 4096, 2000))
    disk[12_288 * 512 : 12_289 * 512] = mbr((0, 7, 64, 1000), (0, 5, 4096, 2000))
    table = read_partitions(BytesSource(bytes(disk)))
    assert table is not None
    assert len(table.partitions) == 2
    assert "loop" in table.problems[0]


def test_more_logical_partitions_than_the_limit_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "MAX_EXTENDED_PARTITIONS", 3)
    disk = bytearray(2_000 * 512)
    disk[:512] = mbr((0, 5, 100, 1_000))
    for number in range(8):
        place = 100 + number * 10
        disk[place * 512 : place * 512 + 512] = mbr((0, 7, 1, 5), (0, 5, (number + 1) * 10, 10))
    table = read_partitions(BytesSource(bytes(disk)))
    assert table is not None
    assert len(table.partitions) == 3


def test_a_gpt_that_claims_more_entries_than_the_limit_is_refused() -> None:
    header = bytearray(512)
    struct.pack_into("<8sIIIIQQQQ16sQIII", header, 0, b"EFI PART", 0x10000, 92, 0, 0, 1, 99, 34, 90, bytes(16), 2,
                     0xFFFFFFFF, 128, 0)  # fmt: skip
    struct.pack_into("<I", header, 16, zlib.crc32(bytes(header[:92])))
    assert read_partitions(BytesSource(bytes(512) + bytes(header) + bytes(100 * 512))) is None


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize("bits", [12, 16])
def test_fat_volumes_are_told_with_label_and_serial(tmp_path: Path, bits: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    run("qemu-img", "convert", "-f", "vvfat", "-O", "raw", f"fat:{bits}:{folder}", tmp_path / "disk.img")
    with FileSource(tmp_path / "disk.img") as source:
        _, volumes = find_volumes(source, 512, Diagnostics())
    # qemu: block/vvfat.c writes this serial number and label.
    assert [item.fact() for item in volumes] == [
        {
            "index": 0, "offset": 63 * 512, "size": volumes[0].size, "filesystem": f"FAT{bits}",
            "label": "QEMU VVFAT", "serial": "0xfabe1afd", "role": "system",
        }
    ]  # fmt: skip


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name",
    [
        "bitlk-aes-cbc-256",
        "bitlk-aes-xts-128",
        "bitlk-aes-xts-128-4k",
        "bitlk-aes-xts-128-clearkey-only",
        "bitlk-partially-encrypted-aes-cbc-128",
        "bitlk-togo-aes-xts-128",
    ],
)
def test_bitlocker_volumes_are_recognised(unpacked: Give, name: str) -> None:
    with FileSource(unpacked(f"bitlocker/{name}.img")) as source:
        assert identify(source.read_at(0, 2048)).name == "BitLocker"


@pytest.mark.realdata
def test_linux_disks_have_volumes_that_are_none_of_windows(unpacked: Give) -> None:
    _, volumes = find_volumes(FileSource(unpacked("disks/tiny-ntfs.dd")), 512, Diagnostics())
    assert [(item.kind, item.label) for item in volumes] == [("NTFS", "New Volume")]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xeb\x76\x90EXFAT   ".ljust(2048, b"\0"), "exFAT"),
        (b"\0\0\0ReFS\0\0\0\0".ljust(2048, b"\0"), "ReFS"),
        (bytes(0x438) + b"\x53\xef" + bytes(900), "ext"),
        (b"\xeb\x58\x90MSWIN4.1".ljust(0x52, b"\0") + b"FAT32   ".ljust(0x1AC, b"\0") + b"\x55\xaa", "FAT32"),
        (b"", "unknown"),
        (bytes(2048), "unknown"),
    ],
)
def test_other_file_systems_are_told_by_their_first_bytes(data: bytes, name: str) -> None:
    assert identify(data).name == name


@given(st.binary(max_size=2048), st.integers(0, 4))
def test_any_first_sectors_give_volumes_or_none(data: bytes, more: int) -> None:
    for disk in (
        data,
        mbr() + data,
        data[:446].ljust(446, b"\0")
        + b"\0" * 4
        + b"\xee"
        + data[:59].ljust(59, b"\0")
        + b"\x55\xaa"
        + b"EFI PART"
        + data,
    ):
        find_volumes(BytesSource(disk.ljust(more * 512, b"\0")), 512, Diagnostics())


@made
@given(changes=st.lists(st.tuples(st.integers(0, 1535), st.integers(0, 255)), min_size=1, max_size=12))
def test_mutated_tables_give_volumes_or_none(disks: dict[str, bytes], changes: list[tuple[int, int]]) -> None:
    for name in ("mbr", "gpt"):
        damaged = bytearray(disks[name])
        for offset, byte in changes:
            damaged[offset] = byte
        find_volumes(BytesSource(bytes(damaged)), 512, Diagnostics())


@pytest.mark.parametrize(("size", "words"), [(65_536, "0.1 MiB"), (300 << 20, "300.0 MiB"), (1 << 30, "1.0 GiB")])
def test_a_volume_is_told_with_a_size_in_a_unit_that_says_something(size: int, words: str) -> None:
    volume = Volume(0, 0x10000, size, None, FileSystem("exFAT"), BytesSource(b""))
    assert str(volume) == f"exFAT of {words} at 0x10000"
