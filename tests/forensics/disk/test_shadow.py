"""Shadow copies of a Windows volume: told, and read in the volume's place when asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from forensics.disk import ImageOptions, open_image
from parsers.diagnostics import Diagnostics
from parsers.errors import OpenError, UnsupportedError
from tests.forensics.disk.bitlocker_volumes import Way, encrypt
from tests.forensics.disk.ntfs_disks import mbr_disk, ntfs_volume, run, software
from tests.parsers.vss_writer import BLOCK, guid, kept

COPY, SET = str(UUID(bytes_le=guid(100))), str(UUID(bytes_le=guid(200)))
made = pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp")


def updated_disk(folder: Path) -> Path:
    """Make a disk whose Windows was updated from build 17763 to 18362 since its shadow copy was made."""
    files = {"Windows/System32/config/SOFTWARE": software("17763"), "Windows/System32/ntoskrnl.exe": b"MZ"}
    before = ntfs_volume(folder / "before.img", files, mib=12)
    after = Path(shutil.copyfile(before, folder / "after.img"))
    (folder / "SOFTWARE").write_bytes(software("18362"))
    run("ntfscp", after, folder / "SOFTWARE", "Windows/System32/config/SOFTWARE")
    volume = folder / "volume.img"
    volume.write_bytes(kept(before.read_bytes(), after.read_bytes()))
    return mbr_disk(folder / "disk.img", [volume])


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return updated_disk(tmp_path_factory.mktemp("shadow"))


def build_of(disk: Path, shadow_copy: str = "") -> tuple[str, Diagnostics]:
    diagnostics = Diagnostics()
    with open_image(disk, diagnostics, ImageOptions(shadow_copy=shadow_copy)) as image:
        key = image.windows.hive("SOFTWARE").open_key(r"Microsoft\Windows NT\CurrentVersion")
        assert key is not None
        value = key.value("CurrentBuild")
        assert value is not None
        return str(value.decoded()), diagnostics


def codes(diagnostics: Diagnostics) -> set[str]:
    return {item.code for item in diagnostics.items}


@made
def test_the_volume_is_read_as_it_is_and_its_copies_are_told(disk: Path) -> None:
    build, diagnostics = build_of(disk)
    assert build == "18362"
    (told,) = [item.message for item in diagnostics.items if item.code == "volume.shadow-copies"]
    assert "2021-01-02T00:00:00Z" in told
    with open_image(disk, Diagnostics()) as image:
        assert image.volumes[0]["shadow_copies"] == [{"created": "2021-01-02T00:00:00Z", "id": COPY, "set": SET}]
        assert "shadow_copy" not in image.volumes[0]
        assert "shadow_copy" not in image.describe()


@made
@pytest.mark.parametrize("wanted", [COPY, COPY[:8], SET])
def test_a_copy_is_read_in_place_of_its_volume(disk: Path, wanted: str) -> None:
    # The identifiers of the copy and of its set begin alike.
    build, diagnostics = build_of(disk, wanted)
    assert build == "17763"
    assert "volume.shadow-copy-read" in codes(diagnostics)
    with open_image(disk, Diagnostics(), ImageOptions(shadow_copy=wanted)) as image:
        assert image.volumes[0]["shadow_copy"] == COPY
        assert image.describe()["shadow_copy"]["id"] == COPY


@made
def test_a_copy_that_is_not_there_is_an_error_that_lists_those_that_are(disk: Path) -> None:
    with pytest.raises(OpenError, match="no volume has the shadow copy") as caught:
        build_of(disk, "12345678")
    assert COPY in caught.value.hint


@made
def test_a_damaged_copy_is_told_and_is_an_error_for_whoever_asks_for_it(disk: Path, tmp_path: Path) -> None:
    data = bytearray(disk.read_bytes())
    header = (1 << 20) + (12 << 20) + BLOCK
    assert data[header + 20] == 4
    data[header] ^= 0xFF
    place = tmp_path / "disk.img"
    place.write_bytes(data)
    build, diagnostics = build_of(place)
    assert build == "18362"
    assert "volume.shadow-copies-damaged" in codes(diagnostics)
    with pytest.raises(OpenError, match="no volume has"):
        build_of(place, COPY)
    data[header] ^= 0xFF
    table = header + 3 * BLOCK
    assert data[table + 20] == 3
    data[table] ^= 0xFF
    place.write_bytes(data)
    with pytest.raises(OpenError, match="cannot be read"):
        build_of(place, COPY)


@made
def test_no_copy_is_read_where_the_list_of_copies_is_not_whole(disk: Path, tmp_path: Path) -> None:
    # What a newer copy, missing in the list, keeps of this one would be taken from the volume as it is now.
    data = bytearray(disk.read_bytes())
    catalog = (1 << 20) + (12 << 20)
    assert data[catalog + 20] == 2
    data[catalog + 40 : catalog + 48] = (3 * BLOCK).to_bytes(8, "little")
    place = tmp_path / "disk.img"
    place.write_bytes(data)
    build, diagnostics = build_of(place)
    assert build == "18362"
    assert "volume.shadow-copies-damaged" in codes(diagnostics)
    with pytest.raises(OpenError, match="not whole"):
        build_of(place, COPY)


def test_a_locked_volume_is_named_where_no_other_has_the_copy(tmp_path: Path) -> None:
    volume = tmp_path / "volume.img"
    volume.write_bytes(encrypt(bytes(4 << 20), [Way(0x0500, UUID(int=1))]))
    disk = mbr_disk(tmp_path / "disk.img", [volume])
    with pytest.raises(OpenError, match="no volume has the shadow copy") as caught:
        build_of(disk, "12345678")
    assert caught.value.hint.startswith("not known of the volume at 0x100000: ")
    assert "there is none" not in caught.value.hint
    assert "--recovery-password-file" in caught.value.hint


def test_collected_files_have_no_shadow_copies(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="shadow copies"):
        open_image(tmp_path, Diagnostics(), ImageOptions(shadow_copy="12345678"))


@pytest.mark.realdata
def test_a_real_volume_has_the_file_that_was_there_when_the_copy_was_made(unpacked: Callable[[str], Path]) -> None:
    from forensics.disk.container import open_container
    from forensics.disk.files import NtfsFiles
    from forensics.disk.volumes import find_volumes

    container = open_container(unpacked("disks/plaso/vsstest.qcow2"), Diagnostics())
    names = []
    for wanted in ("4e3c03c2", "18f1ac6e", ""):
        _, (volume,) = find_volumes(container.source, 512, Diagnostics(), None, wanted)
        assert volume.ntfs is not None
        names.append({entry.name for entry in NtfsFiles(volume.ntfs).listdir("\\")} - {"System Volume Information"})
    container.close()
    assert names == [{"syslog"}, {"another_file", "syslog.gz"}, {"another_file", "password.txt", "syslog.gz"}]
