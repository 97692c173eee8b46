"""Volumes beside Windows that are FAT: the boot store, dumps and files on them are found as on NTFS."""

from __future__ import annotations

import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from forensics.collect import Machine, collect
from forensics.disk import open_image
from forensics.facts import Wants
from parsers.diagnostics import Diagnostics
from samples.fat import make_fat
from samples.hive import Key, binary, write_hive
from tests.forensics.disk.ntfs_disks import BASIC_DATA, gpt_disk, ntfs_volume, software, write_tree
from tests.stopcode.cli.run import Stopcode

ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
STORE = b"regf, of the EFI system partition"


def fat_volume(place: Path, files: dict[str, bytes], mib: int) -> Path:
    tree = write_tree(place.with_suffix(".tree"), files)
    make_fat(place, tree, size=mib << 20, first_sector=2048, serial=0x1234, moment=datetime(2024, 1, 2, tzinfo=UTC))
    return place


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory, crash: bytes) -> Path:
    """A UEFI machine that was told to write its dump to D:, a FAT volume."""
    top = tmp_path_factory.mktemp("beside")
    system = Key()
    system.set("Select", {"Current": 1, "Default": 1, "LastKnownGood": 1, "Failed": 0})
    system.set(r"ControlSet001\Control\CrashControl", {"CrashDumpEnabled": 3, "DumpFile": r"D:\crash\MEMORY.DMP"})
    # gpt_disk numbers the partitions from 0x1234 on.
    system.set("MountedDevices", {"\\DosDevices\\D:": binary(b"DMIO:ID:" + UUID(int=0x1236).bytes_le)})
    files = {
        "Windows/System32/config/SYSTEM": write_hive(system, "ROOT", time=132_500_000_000_000_000),
        "Windows/System32/config/SOFTWARE": software(),
        "Windows/System32/ntoskrnl.exe": b"MZ",
    }
    volumes = [
        (fat_volume(top / "esp.img", {"EFI/Microsoft/Boot/BCD": STORE, "EFI/other": b"x"}, 40), ESP),
        (ntfs_volume(top / "c.img", files, mib=12), BASIC_DATA),
        (fat_volume(top / "d.img", {"crash/MEMORY.DMP": crash}, 40), BASIC_DATA),
    ]
    return gpt_disk(top / "disk.img", volumes)


@pytest.fixture(scope="module")
def crash() -> bytes:
    from tests.parsers.dump.builder import server2019, write_x64

    return write_x64(server2019(), 5)


@pytest.mark.peer("mkntfs", "wimlib-imagex")
def test_a_dump_on_a_fat_volume_is_found_under_its_drive(disk: Path) -> None:
    diagnostics = Diagnostics()
    with open_image(disk, diagnostics) as image:
        assert [(volume.name, volume.files.stat("\\EFI") is not None) for volume in image.windows.others()] == [
            ("volume 0", True),
            ("D:", False),
        ]
        facts = collect(Machine(image.windows, Wants(), diagnostics))
    assert [crash["dump"]["path"] for crash in facts["crashes"]] == [r"D:\crash\MEMORY.DMP"]


@pytest.mark.peer("mkntfs", "wimlib-imagex")
def test_the_boot_store_of_the_efi_system_partition_is_rescued(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Stopcode(capsys)("rescue", disk, "--support", "--to", tmp_path).code == 0
    (made,) = tmp_path.glob("*.zip")
    with zipfile.ZipFile(made) as archive:
        assert archive.read("volume 0/EFI/Microsoft/Boot/BCD") == STORE


@pytest.mark.peer("mkntfs", "wimlib-imagex")
def test_a_fat_volume_that_cannot_be_read_is_told(disk: Path, tmp_path: Path) -> None:
    data = bytearray(disk.read_bytes())
    boot = data.index(b"FAT32   ") - 0x52
    data[boot + 0x0B : boot + 0x0D] = struct.pack("<H", 0)  # bytes of a sector
    place = tmp_path / "disk.img"
    place.write_bytes(data)
    diagnostics = Diagnostics()
    with open_image(place, diagnostics) as image:
        assert [volume.name for volume in image.windows.others()] == ["D:"]
    assert "volume.unreadable" in [item.code for item in diagnostics.items]
