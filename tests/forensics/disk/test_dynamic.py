"""Dynamic disks: databases that Windows wrote, volumes that mkntfs and wimlib wrote into the places these name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.disk import open_image
from forensics.disk.files import NtfsFiles
from forensics.disk.volumes import Volume, find_volumes
from parsers.diagnostics import Diagnostics
from parsers.disk.partitions import read_partitions
from parsers.errors import NoWindowsError, ReadError, UnsupportedError
from parsers.limits import MAX_LDM_PARTS
from tests.forensics.disk.ntfs_disks import ntfs_volume, software
from tests.parsers.disk.ldm_disks import DynamicImage, dynamic_disk, names, on_one_disk

made = pytest.mark.peer("mkntfs", "wimlib-imagex")


def volumes_of(image: DynamicImage) -> tuple[list[Volume], Diagnostics]:
    diagnostics = Diagnostics()
    return find_volumes(image, 512, diagnostics)[1], diagnostics


def told(diagnostics: Diagnostics, code: str) -> str:
    return " ".join(item.message for item in diagnostics.items if item.code == code)


def filled(image: DynamicImage, places: list[tuple[int, int]], content: bytes) -> DynamicImage:
    """Write a volume into the places of its parts."""
    for offset, length in places:
        image.put(offset, content[:length])
        content = content[length:]
    return image


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An NTFS of 16 MiB, as large as the mirrored volume of 2008r2."""
    place = tmp_path_factory.mktemp("small") / "v.img"
    return ntfs_volume(place, {"a/file.bin": bytes(range(256)) * 4000}, mib=16, label="Mirrored").read_bytes()


@made
def test_a_half_of_a_mirrored_volume_on_a_gpt_disk_is_read_as_the_volume(small: bytes) -> None:
    image = filled(dynamic_disk("2008r2-mirrored-2"), [(65_664 * 512, len(small))], small)
    volumes, diagnostics = volumes_of(image)
    found = volumes[-1]
    assert [volume.kind for volume in volumes] == ["reserved", "NTFS"]
    assert found.ntfs is not None
    assert NtfsFiles(found.ntfs).open("\\a\\file.bin").read_at(0, 2_000_000) == bytes(range(256)) * 4000
    assert found.fact()["dynamic"] == {
        "name": "Volume3", "kind": "mirrored", "disks": ["Disk5", "Disk6"], "drive": "G:",
    }  # fmt: skip
    assert found.boots is None
    assert "the half on Disk6" in told(diagnostics, "disk.dynamic-mirror")
    assert "Disk6 of the dynamic disk group WIN-ERRDJSBDAVF-Dg0" in told(diagnostics, "disk.dynamic")


@made
def test_a_damaged_first_sector_of_a_dynamic_volume_is_replaced_by_its_copy(small: bytes) -> None:
    image = filled(dynamic_disk("2008r2-mirrored-2"), [(65_664 * 512, len(small))], bytes(512) + small[512:])
    volumes, diagnostics = volumes_of(image)
    assert volumes[-1].ntfs is not None
    assert told(diagnostics, "ntfs.boot-sector")


@pytest.mark.parametrize("name", [name for name in names() if "mirrored" not in name and "simple" not in name])
def test_of_a_volume_on_several_disks_the_others_are_named(name: str) -> None:
    volumes, diagnostics = volumes_of(dynamic_disk(name))
    dynamic = [volume for volume in volumes if volume.dynamic is not None]
    assert dynamic
    for volume in dynamic:
        assert volume.kind == "LDM"
        assert volume.dynamic is not None
        assert volume.dynamic["kind"] in ("spanned", "striped", "raid5")
        here = told(diagnostics, "disk.dynamic").split()[3]
        others = [disk for disk in volume.dynamic["disks"] if disk != here]
        assert len(others) == len(volume.dynamic["disks"]) - 1
        for other in others:
            assert other in volume.problem
            assert other in told(diagnostics, "disk.dynamic-volume")


@made
def test_a_volume_that_was_extended_on_its_disk_is_put_together(small: bytes) -> None:
    half = 48128 * 512
    image = on_one_disk(dynamic_disk("2003r2-spanned-2"))
    volumes, _ = volumes_of(filled(image, [(63 * 512, half), (63 * 512 + half, half)], small.ljust(2 * half, b"\x5a")))
    (found,) = volumes
    assert (found.kind, found.size) == ("NTFS", 2 * half)
    assert found.source.read_at(half - 4, 8) == b"\x5a" * 8
    assert found.source.read_at(0, len(small)) == small


@made
def test_what_a_cut_image_lacks_of_a_part_is_an_error_and_never_what_stands_behind_it(small: bytes) -> None:
    half = 48128 * 512
    image = on_one_disk(dynamic_disk("2003r2-spanned-2"))
    # The first part now lies at the end of the disk, where only its beginning is in the image.
    size = bytes.fromhex("0300bc00")
    image.replace(bytes(16) + size, (102_000).to_bytes(8, "big") + bytes(8) + size)
    volumes, diagnostics = volumes_of(filled(image, [(102_063 * 512, 512)], small))
    (found,) = volumes
    assert "behind the disk's end" in told(diagnostics, "disk.volume-cut")
    assert found.source.read_at(0, 8) == small[:8]
    with pytest.raises(ReadError):
        found.source.read_at(half - 4, 8)


def test_a_volume_in_too_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.disk.dynamic.MAX_LDM_PARTS", 1)
    volumes, diagnostics = volumes_of(on_one_disk(dynamic_disk("2003r2-spanned-2")))
    assert volumes[0].kind == "LDM"
    assert "no whole volume" in told(diagnostics, "disk.dynamic-volume")
    assert MAX_LDM_PARTS > 32


def test_a_half_that_is_not_active_is_told() -> None:
    image = dynamic_disk("2003r2-mirrored-1")
    image.replace(b"\nVolume3-01\x06ACTIVE", b"\nVolume3-01\x06STALE ")
    _, diagnostics = volumes_of(image)
    assert "not active" in told(diagnostics, "disk.dynamic-volume")


@made
def test_without_a_database_the_volumes_are_where_the_table_has_them(small: bytes) -> None:
    image = dynamic_disk("2003r2-simple-1")
    bare = filled(DynamicImage({0: image.read_at(0, 512)}), [(63 * 512, len(small))], small)
    volumes, diagnostics = volumes_of(bare)
    assert volumes[0].ntfs is not None
    assert "no private header" in told(diagnostics, "disk.dynamic-database")


@made
@pytest.mark.realdata
def test_a_windows_on_a_simple_dynamic_volume_is_found(unpacked: Callable[[str], Path], tmp_path: Path) -> None:
    files = {
        "Windows/System32/config/SYSTEM": unpacked("hives/win7/SYSTEM"),
        "Windows/System32/config/SOFTWARE": software(),
        "Windows/System32/ntoskrnl.exe": b"MZ",
    }
    volume = ntfs_volume(tmp_path / "v.img", files, mib=40).read_bytes()
    image = filled(dynamic_disk("2003r2-simple-1"), [(63 * 512, len(volume))], volume)
    place = image.write(tmp_path / "disk.img")
    diagnostics = Diagnostics()
    with open_image(place, diagnostics) as opened:
        assert opened.windows.root == "\\Windows"
        assert [(fact["role"], fact["dynamic"]["kind"]) for fact in opened.volumes] == [("windows", "simple")]
        assert opened.windows.hive("SYSTEM").open_key("Select") is not None


def test_where_no_volume_can_be_read_the_error_names_the_missing_disks(tmp_path: Path) -> None:
    place = dynamic_disk("2003r2-striped-1").write(tmp_path / "disk.img")
    with pytest.raises(UnsupportedError, match="Stripe1 is striped: other parts of it are on Disk5"):
        open_image(place, Diagnostics())


def test_a_disk_that_its_own_database_does_not_know_has_no_volumes(tmp_path: Path) -> None:
    image = dynamic_disk("2003r2-simple-1")
    image.put(6 * 512 + 0x30, b"00000000-0000-0000-0000-000000000001")
    diagnostics = Diagnostics()
    with pytest.raises(NoWindowsError, match="no volume of its dynamic disk group"):
        open_image(image.write(tmp_path / "disk.img"), diagnostics)
    assert "does not know the disk" in told(diagnostics, "disk.dynamic-database")


def test_partition_numbers_of_the_table_are_kept_for_what_windows_starts_from() -> None:
    image = dynamic_disk("2003r2-simple-1")
    table = read_partitions(image)
    assert table is not None
    sector = bytearray(image.read_at(0, 512))
    sector[446] = 0x80  # active, as the retained partition of a system volume
    image.put(0, bytes(sector))
    volumes, _ = volumes_of(image)
    assert volumes[0].partition is not None
    assert (volumes[0].partition.number, volumes[0].boots) == (1, "bios")
