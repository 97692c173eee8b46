"""From an image file to facts: real SYSTEM hives on made NTFS disks, in several containers, whole and damaged."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.collect import Machine, boot_config, collect
from forensics.disk import Image, open_image
from forensics.facts import Facts, Wants
from parsers.bytesource import FileSource
from parsers.diagnostics import Diagnostics
from parsers.errors import (
    InputNotFoundError,
    LockedVolumeError,
    NotADiskError,
    NoWindowsError,
    StopcodeError,
    UnsupportedError,
)
from parsers.ntfs import NtfsVolume
from samples.hive import Key, binary, sz, write_hive
from tests.forensics.disk.ntfs_disks import BASIC_DATA, MIB, gpt_disk, mbr_disk, ntfs_volume, run, software, write_tree
from tests.forensics.world import gaps, named, pe_file
from tests.parsers.ntfs.volumes import at

Give = Callable[[str], Path]
made = pytest.mark.peer("mkntfs", "wimlib-imagex")
CONFIG = "Windows/System32/config"
DRIVERS = "Windows/System32/drivers"


def content(system: bytes | Path, build: str = "18362") -> dict[str, bytes | Path]:
    return {
        f"{CONFIG}/SYSTEM": system,
        f"{CONFIG}/SOFTWARE": software(build),
        "Windows/System32/ntoskrnl.exe": pe_file((10, 0, int(build), 720)),
        f"{DRIVERS}/vmstorfl.sys": pe_file((10, 0, int(build), 1)),
        f"{DRIVERS}/Wdf01000.sys": pe_file((1, 31, int(build), 1)),
    }


def boot_store(signature: int, offset: int) -> bytes:
    """A store whose default entry starts the Windows at an offset of an MBR disk."""
    root = Key(time=0)
    loader = "{11111111-2222-3333-4444-555555555555}"
    device = struct.pack("<16xIIII16sII16s16x", 6, 0, 0x48, 0, struct.pack("<Q8x", offset), 0, 1,
                         struct.pack("<I12x", signature))  # fmt: skip
    root.set("Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements\\23000003", {"Element": sz(loader)})
    root.set(f"Objects\\{loader}\\Elements\\21000001", {"Element": binary(device)})
    root.set(f"Objects\\{loader}\\Elements\\22000002", {"Element": sz("\\Windows")})
    return write_hive(root, "BCD", time=0)


def facts_of(image: Image, diagnostics: Diagnostics) -> Facts:
    facts = collect(Machine(image.windows, Wants(), diagnostics))
    facts["volumes"] = image.volumes
    return facts


def scan(path: Path) -> tuple[Facts, Diagnostics]:
    diagnostics = Diagnostics()
    with open_image(path, diagnostics) as image:
        return facts_of(image, diagnostics), diagnostics


#: From the shared data's own list of facts.
KNOWN = {
    "hives/win10-1903/SYSTEM": ("18362", "DESKTOP-2KGM189", 737, True),
    "hives/win81/SYSTEM": ("9600", "SENSEI", 469, True),
    "hives/win7/SYSTEM": ("7601", "WKS-WIN732BITA", 467, False),
}


@made
@pytest.mark.realdata
@pytest.mark.parametrize("name", KNOWN)
def test_facts_of_a_disk_with_a_real_hive_are_those_known(tmp_path: Path, unpacked: Give, name: str) -> None:
    build, host, services, dirty = KNOWN[name]
    volume = ntfs_volume(tmp_path / "v.img", content(unpacked(name), build), mib=40)
    facts, diagnostics = scan(mbr_disk(tmp_path / "disk.img", [volume]))
    system = facts["system"]
    assert (system["hostname"], system["build"], system["control_set"]) == (host, int(build), 1)
    assert len(facts["services"]) == services
    storflt = named(facts["services"], "storflt", "name")
    assert (storflt["image"], storflt["start_raw"], storflt["type"]) == ("vmstorfl.sys", "boot", "kernel-driver")
    driver = named(facts["drivers"], "vmstorfl.sys", "file")
    assert (driver["version"], driver["service"], driver["missing"]) == (f"10.0.{build}.1", "storflt", False)
    assert ("hive.dirty" in [item.code for item in diagnostics.items]) == dirty
    assert [volume["role"] for volume in facts["volumes"]] == ["windows"]


@made
@pytest.mark.realdata
@pytest.mark.peer("qemu-img")
def test_the_same_disk_gives_the_same_facts_in_every_container(tmp_path: Path, unpacked: Give) -> None:
    volume = ntfs_volume(tmp_path / "v.img", content(unpacked("hives/win81/SYSTEM"), "9600"), mib=40)
    raw = gpt_disk(tmp_path / "disk.img", [(volume, BASIC_DATA)])
    wanted, _ = scan(raw)
    for kind, name, *options in (
        ("vpc", "d.vhd", "-o", "subformat=dynamic,force_size=on"),
        ("vpc", "f.vhd", "-o", "subformat=fixed,force_size=on"),
        ("vhdx", "d.vhdx"),
    ):
        run("qemu-img", "convert", "-f", "raw", "-O", kind, *options, raw, tmp_path / name)
        facts, _ = scan(tmp_path / name)
        assert facts == wanted, name


@made
@pytest.mark.realdata
def test_a_mounted_folder_gives_the_facts_of_its_disk(
    tmp_path: Path, unpacked: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.path.ismount", lambda _path: True)
    tree = content(unpacked("hives/win81/SYSTEM"), "9600")
    volume = ntfs_volume(tmp_path / "v.img", tree, mib=40)
    from_disk, _ = scan(volume)
    folder = tmp_path / "folder"
    # wimlib kept the times of the folder that it captured.
    volume.with_suffix(".tree").rename(folder)
    diagnostics = Diagnostics()
    with open_image(folder, diagnostics) as image:
        from_folder = facts_of(image, diagnostics)
        assert (image.kind, image.volumes) == ("folder", [])
        assert 0 < image.bytes_read < 8 * MIB
    from_disk["volumes"] = []
    # A folder has no volume that a firmware boots from; this disk has one without a store.
    assert from_disk["boot"].pop("bcd") == "missing"
    for facts in (from_disk, from_folder):
        facts["gaps"] = [gap for gap in facts["gaps"] if gap["path"][len("/boot/") :] not in boot_config.FIELDS]
    assert from_folder == from_disk


@made
@pytest.mark.realdata
def test_of_two_windows_that_is_read_which_the_boot_configuration_starts(tmp_path: Path, unpacked: Give) -> None:
    # By the state of their registries the second would be taken: its build was changed last.
    older, newer = content(unpacked("hives/win7/SYSTEM"), "7601"), content(unpacked("hives/win10-1903/SYSTEM"))
    start = (1 + 40) * MIB

    def disk(place: Path, offset: int) -> Facts:
        boot = {"Boot/BCD": boot_store(0x1A2B3C4D, offset)}
        volumes = [
            ntfs_volume(place.with_suffix(".0"), {**older, **boot}, mib=40),
            ntfs_volume(place.with_suffix(".1"), newer, mib=40, start=start // 512),
        ]
        facts, said = scan(mbr_disk(place, volumes))
        assert "disk.many-windows" in [item.code for item in said.items]
        return facts

    first = disk(tmp_path / "first.img", MIB)
    assert (first["system"]["build"], first["boot"]["default_device"], first["boot"]["firmware"]) == (
        7601,
        "ok",
        "bios",
    )
    second = disk(tmp_path / "second.img", start)
    assert (second["system"]["build"], second["boot"]["default_device"]) == (18362, "ok")
    neither = disk(tmp_path / "neither.img", 512)
    assert (neither["system"]["build"], neither["boot"]["default_device"]) == (18362, "unknown")


@made
@pytest.mark.realdata
def test_a_scan_leaves_the_image_and_its_folder_as_they_were(tmp_path: Path, unpacked: Give) -> None:
    volume = ntfs_volume(tmp_path / "v.img", content(unpacked("hives/win81/SYSTEM")), mib=40)
    place = tmp_path / "alone"
    place.mkdir()
    disk = mbr_disk(place / "disk.img", [volume])

    def state() -> tuple[str, int, list[str]]:
        return (
            hashlib.sha256(disk.read_bytes()).hexdigest(),
            disk.stat().st_mtime_ns,
            sorted(item.name for item in place.iterdir()),
        )

    before = state()
    scan(disk)
    assert state() == before


@made
@pytest.mark.realdata
def test_little_of_a_disk_is_read_for_its_facts(tmp_path: Path, unpacked: Give) -> None:
    tree = content(unpacked("hives/win10-1903/SYSTEM"))
    for number in range(120):
        tree[f"{DRIVERS}/driver{number}.sys"] = pe_file((10, 0, 18362, number)) + bytes([number]) * 200_000
    disk = mbr_disk(tmp_path / "disk.img", [ntfs_volume(tmp_path / "v.img", tree, mib=80)])
    diagnostics = Diagnostics()
    with open_image(disk, diagnostics) as image:
        facts = facts_of(image, diagnostics)
        assert len([driver for driver in facts["drivers"] if not driver["missing"]]) >= 122
        assert image.bytes_read < 20 * MIB
        assert image.requests > 0


@made
@pytest.mark.realdata
def test_a_zeroed_system_hive_leaves_the_other_facts_and_gaps_that_say_so(tmp_path: Path) -> None:
    volume = ntfs_volume(tmp_path / "v.img", content(bytes(200_000)), mib=16)
    facts, diagnostics = scan(mbr_disk(tmp_path / "disk.img", [volume]))
    codes = [item.code for item in diagnostics.items]
    assert "disk.windows-incomplete" in codes
    assert codes.count("hive.unreadable") == 1
    assert facts["system"]["version"] == "10.0.18362.720"
    assert "zeros" in gaps(facts)["/services"]
    assert named(facts["drivers"], "vmstorfl.sys", "file")["version"] == "10.0.18362.1"


@made
@pytest.mark.realdata
def test_a_corrupt_hive_gives_the_services_that_can_be_read_and_a_gap_for_the_others(
    tmp_path: Path, unpacked: Give
) -> None:
    volume = ntfs_volume(tmp_path / "v.img", content(unpacked("hives/corrupt-xp/SYSTEM"), "2600"), mib=16)
    facts, diagnostics = scan(volume)
    assert facts["system"]["hostname"] == "GINEVRA"
    assert len(facts["services"]) > 150
    assert "cannot be read" in gaps(facts)["/services"]
    assert "services.list-damaged" in [item.code for item in diagnostics.items]


@made
def test_the_description_tells_path_kind_size_and_partitions(tmp_path: Path) -> None:
    volume = ntfs_volume(tmp_path / "v.img", content(bytes(200_000)), mib=8)
    data = ntfs_volume(tmp_path / "w.img", {"x": b"x"}, mib=8, label="Data")
    disk = mbr_disk(tmp_path / "disk.img", [data, volume])
    with open_image(disk, Diagnostics()) as image:
        told = image.describe()
        assert (told["path"], told["kind"], told["size"]) == (str(disk), "raw", 18 * MIB)
        table = told["partition_table"]
        assert (table["scheme"], [item["offset"] for item in table["partitions"]]) == ("mbr", [MIB, 9 * MIB])
        assert [(item["label"], item["role"]) for item in image.volumes] == [("Data", "system"), ("Windows", "windows")]
        assert image.windows.root == "\\Windows"


@made
def test_a_disk_without_windows_is_told_with_what_is_on_it(tmp_path: Path) -> None:
    volume = ntfs_volume(tmp_path / "v.img", {"Data/file.txt": b"x"}, mib=8, label="Archive")
    with pytest.raises(NoWindowsError) as raised:
        open_image(mbr_disk(tmp_path / "disk.img", [volume]), Diagnostics())
    assert "Archive" in raised.value.hint


@made
def test_a_disk_whose_windows_volume_cannot_be_read_says_why(tmp_path: Path) -> None:
    volume = ntfs_volume(tmp_path / "v.img", content(bytes(200_000)), mib=8)
    damaged = bytearray(volume.read_bytes())
    for field in (0x30, 0x38):
        place = int.from_bytes(damaged[field : field + 8], "little") * 4096
        damaged[place : place + 4096] = bytes(4096)
    volume.write_bytes(damaged)
    with pytest.raises(NoWindowsError, match="cannot be read"):
        open_image(mbr_disk(tmp_path / "disk.img", [volume]), Diagnostics())


@made
@pytest.mark.parametrize("folder", ["/Windows", "/Windows/System32", "/Windows/System32/config"])
def test_a_windows_folder_that_cannot_be_read_is_damage_and_not_a_disk_without_windows(
    tmp_path: Path, folder: str
) -> None:
    volume = ntfs_volume(tmp_path / "v.img", {f"{CONFIG}/SYSTEM": b"x" * 5000, "data.txt": b""}, mib=16)
    ntfs = NtfsVolume(FileSource(volume))
    place = ntfs.boot.mft * ntfs.boot.cluster + at(ntfs, folder).number * 1024
    disk = mbr_disk(tmp_path / "disk.img", [volume])
    with disk.open("r+b") as file:
        file.seek(2048 * 512 + place)
        file.write(bytes(1024))
    diagnostics = Diagnostics()
    with pytest.raises(NoWindowsError, match="cannot be read"):
        open_image(disk, diagnostics)
    assert "volume.unreadable" in [item.code for item in diagnostics.items]


def test_a_folder_without_windows_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoWindowsError) as raised:
        open_image(tmp_path, Diagnostics())
    assert "Windows/System32" in raised.value.hint


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        open_image(tmp_path / "nothing.vhdx", Diagnostics())


def test_an_empty_disk_is_told(tmp_path: Path) -> None:
    place = tmp_path / "disk.img"
    place.write_bytes(bytes(4 * MIB))
    with pytest.raises((NoWindowsError, NotADiskError)):
        open_image(place, Diagnostics())


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["bitlk-aes-xts-128", "bitlk-togo-aes-xts-128"])
def test_an_encrypted_volume_is_called_locked(unpacked: Give, name: str) -> None:
    with pytest.raises(LockedVolumeError, match="BitLocker"):
        open_image(unpacked(f"bitlocker/{name}.img"), Diagnostics())


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name",
    [
        "disks/tiny-ntfs.dd",
        "disks/dfvfs/ext2.vhd",
        "disks/vhdx-log-replay.vhdx",
        "disks/iotest-dynamic-1G.vhdx",
        "disks/test-disk2vhd.vhdx",
        "disks/virtualpc-dynamic.vhd",
        "disks/hyperv2012r2-dynamic.vhd",
        "disks/d2v-zerofilled.vhd",
        "disks/plaso/image.vhd",
    ],
)
def test_real_disks_without_windows_are_called_that(unpacked: Give, name: str) -> None:
    with pytest.raises(NoWindowsError) as raised:
        open_image(unpacked(name), Diagnostics())
    assert raised.value.hint


@pytest.mark.parametrize(("kind", "word"), [(0x42, "LDM")])
def test_a_dynamic_disk_is_named_as_what_it_is(tmp_path: Path, kind: int, word: str) -> None:
    empty = tmp_path / "v.img"
    empty.write_bytes(bytes(2 * MIB))
    with pytest.raises(UnsupportedError, match=word):
        open_image(mbr_disk(tmp_path / "disk.img", [empty], kind=kind), Diagnostics())


def test_a_volume_of_refs_is_named_as_what_it_is(tmp_path: Path) -> None:
    place = tmp_path / "v.img"
    place.write_bytes(b"\0\0\0ReFS\0\0\0\0".ljust(MIB, b"\0"))
    with pytest.raises(UnsupportedError, match="ReFS"):
        open_image(mbr_disk(tmp_path / "disk.img", [place]), Diagnostics())


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("little")
    return mbr_disk(folder / "disk.img", [ntfs_volume(folder / "v.img", content(software()), mib=4)], slack=0)


@made
@pytest.mark.fuzz
@given(data=st.data())
def test_a_mutated_disk_gives_facts_or_an_error(little: Path, data: st.DataObject) -> None:
    damaged = bytearray(little.read_bytes())
    structures = [at for at in range(MIB, len(damaged), 512) if any(damaged[at : at + 512])]
    for _ in range(data.draw(st.integers(1, 20))):
        at = data.draw(st.sampled_from(structures)) + data.draw(st.integers(0, 511))
        damaged[at] = data.draw(st.integers(0, 255))
    place = little.with_name("mutated.img")
    place.write_bytes(damaged)
    try:
        facts, _ = scan(place)
    except StopcodeError:
        return
    assert facts["schema"]


@made
@given(st.integers(0, 5 * MIB))
def test_a_disk_cut_anywhere_gives_facts_or_an_error(little: Path, end: int) -> None:
    place = little.with_name("cut.img")
    place.write_bytes(little.read_bytes()[:end])
    try:
        scan(place)
    except StopcodeError:
        return


def test_write_tree_is_what_a_folder_image_is(tmp_path: Path) -> None:
    with open_image(write_tree(tmp_path / "top", content(software())), Diagnostics()) as image:
        assert image.describe() == {"path": str(tmp_path / "top"), "kind": "folder", "size": 0}
        assert image.windows.files.stat("\\Windows\\System32\\config\\SYSTEM") is not None
