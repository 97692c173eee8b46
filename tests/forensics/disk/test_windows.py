"""What paths in the registry mean on the Windows volume, and which Windows is taken."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from forensics.disk.find import Candidate, best, candidates
from forensics.disk.folder import FolderFiles
from forensics.disk.windows import Beside, WindowsVolume
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, ReadError
from samples.hive import Key, Value, write_hive
from tests.forensics.disk.ntfs_disks import software, write_tree

GUID = UUID("aabbccdd-1122-3344-5566-778899aabbcc")
GPT = b"DMIO:ID:" + GUID.bytes_le
MBR = struct.pack("<IQ", 0x1A2B3C4D, 1 << 20)
VOLUME = "\\??\\Volume{01234567-89ab-cdef-0123-456789abcdef}"


def system(time: int = 132_000_000_000_000_000, sequence: tuple[int, int] = (1, 1)) -> bytes:
    top = Key()
    top.set("Select", {"Current": 1, "Default": 1})
    top.at("ControlSet001\\Control")
    top.set(
        "MountedDevices",
        {
            "\\DosDevices\\C:": Value(3, GPT),
            "\\DosDevices\\E:": Value(3, MBR),
            "\\DosDevices\\D:": Value(3, "\\??\\SCSI#CdRom".encode("utf-16-le")),
            VOLUME: Value(3, GPT),
        },
    )
    return write_hive(top, "ROOT", time=time, sequence=sequence)


def windows(top: Path, identity: bytes = b"", **more: Any) -> tuple[WindowsVolume, Diagnostics]:
    write_tree(
        top,
        {
            "Windows/System32/config/SYSTEM": more.get("system", system()),
            "Windows/System32/config/SOFTWARE": more.get("software", software()),
        },
    )
    diagnostics = Diagnostics()
    return WindowsVolume("\\Windows", FolderFiles(top), diagnostics, identity), diagnostics


@pytest.mark.parametrize(
    ("path", "means"),
    [
        ("System32\\drivers\\x.sys", "\\Windows\\System32\\drivers\\x.sys"),
        ("system32/DRIVERS/x.sys", "\\Windows\\system32\\DRIVERS\\x.sys"),
        ("\\SystemRoot\\System32\\drivers\\x.sys", "\\Windows\\System32\\drivers\\x.sys"),
        ("%SystemRoot%\\System32\\x.exe", "\\Windows\\System32\\x.exe"),
        ("%windir%\\x.exe", "\\Windows\\x.exe"),
        ("%SystemRoot%", "\\Windows"),
        ("%SystemDrive%\\pagefile.sys", "\\pagefile.sys"),
        ("%ProgramFiles%\\Vendor\\x.sys", "\\Program Files\\Vendor\\x.sys"),
        ("%ProgramData%\\x", "\\ProgramData\\x"),
        ("%Nothing%\\x", None),
        ("\\??\\C:\\Windows\\x.sys", "\\Windows\\x.sys"),
        ("\\??\\c:\\x.sys", "\\x.sys"),
        ("\\DosDevices\\C:\\x.sys", "\\x.sys"),
        ("\\\\?\\C:\\x.sys", "\\x.sys"),
        ("\\\\.\\C:\\x.sys", "\\x.sys"),
        ("\\GLOBAL??\\C:\\x.sys", "\\x.sys"),
        ("C:\\Windows\\MEMORY.DMP", "\\Windows\\MEMORY.DMP"),
        ('"C:\\Program Files\\x.exe"', "\\Program Files\\x.exe"),
        ("D:\\x.sys", None),
        ("\\??\\D:\\x.sys", None),
        ("\\??\\UNC\\server\\x", None),
        ("\\\\server\\share\\x", None),
        ("\\Device\\HarddiskVolume3\\x", None),
        ("\\Windows\\System32\\x.sys", "\\Windows\\System32\\x.sys"),
        ("C:\\Windows\\System32\\..\\..\\x.sys", "\\x.sys"),
        ("C:\\..\\..\\x.sys", "\\x.sys"),
        ("C:\\Windows\\.\\\\x.sys", "\\Windows\\x.sys"),
        ("x.sys", "\\Windows\\x.sys"),
        ("", None),
        ("C:", "\\"),
    ],
)
def test_every_form_of_path_means_one_place(tmp_path: Path, path: str, means: str | None) -> None:
    found, _ = windows(tmp_path)
    assert found.resolve(path) == means


def test_the_drive_is_the_one_that_windows_ran_from(tmp_path: Path) -> None:
    found, _ = windows(tmp_path, software=software(root="D:\\Windows"))
    assert found.resolve("D:\\Windows\\x.sys") == "\\Windows\\x.sys"
    assert found.resolve("C:\\Windows\\x.sys") is None


def test_without_a_software_hive_the_drive_is_taken_to_be_c(tmp_path: Path) -> None:
    found, _ = windows(tmp_path, software=bytes(8192))
    assert found.resolve("C:\\x.sys") == "\\x.sys"


def test_letters_and_volume_names_that_mounteddevices_gives_this_partition_count_as_it(tmp_path: Path) -> None:
    found, _ = windows(tmp_path, identity=MBR)
    assert found.resolve("E:\\x.sys") == "\\x.sys"
    assert found.resolve(f"{VOLUME}\\x.sys") is None
    found, _ = windows(tmp_path, identity=GPT)
    assert found.resolve("E:\\x.sys") is None
    assert found.resolve(f"{VOLUME}\\x.sys") == "\\x.sys"


def test_a_path_on_another_volume_of_the_disk_is_found_by_its_drive_and_by_its_volume_name(tmp_path: Path) -> None:
    _, diagnostics = windows(tmp_path)
    files = FolderFiles(tmp_path)
    beside = [Beside("volume 0", "System", files, b"unknown here"), Beside("volume 2", "Data", files, MBR)]
    volume = WindowsVolume("\\Windows", files, diagnostics, GPT, beside)
    assert [other.name for other in volume.others()] == ["volume 0", "E:"]
    for path in ("e:\\pagefile.sys", "\\??\\E:\\pagefile.sys", '"E:/x/../pagefile.sys"'):
        found = volume.elsewhere(path)
        assert found is not None
        assert (found[0].label, found[1]) == ("Data", "\\pagefile.sys")
    for path in ("C:\\pagefile.sys", "D:\\pagefile.sys", "?:\\pagefile.sys", "", f"{VOLUME}\\pagefile.sys"):
        assert volume.elsewhere(path) is None


def test_a_dirty_hive_is_read_and_told_once(tmp_path: Path) -> None:
    found, diagnostics = windows(tmp_path, system=system(sequence=(7, 6)))
    assert found.hive("SYSTEM").open_key("Select") is not None
    assert found.hive("system") is found.hive("SYSTEM")
    assert [item.code for item in diagnostics.items] == ["hive.dirty"]
    assert "7 and 6" in diagnostics.items[0].message
    assert "LOG" in diagnostics.items[0].message


def test_a_hive_that_is_zeroed_cut_or_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    found, _ = windows(tmp_path, system=bytes(65_536), software=software()[:4096])
    with pytest.raises(FormatError, match="zeros"):
        found.hive("SYSTEM")
    with pytest.raises(FormatError, match="ends"):
        found.hive("SOFTWARE")
    with pytest.raises(ReadError, match="no such file"):
        found.hive("COMPONENTS")


def test_a_cut_hive_that_still_opens_is_told(tmp_path: Path) -> None:
    top = Key()
    top.set("Select", {"Current": 1})
    for number in range(400):
        top.set(f"ControlSet001\\Services\\service{number}", {"Start": 3})
    found, diagnostics = windows(tmp_path, system=write_hive(top, "ROOT", time=1)[:12_288])
    found.hive("SYSTEM")
    assert [item.code for item in diagnostics.items] == ["hive.truncated"]


def tree_of(top: Path, *names: str, system_hive: bytes | None = None) -> FolderFiles:
    content: dict[str, bytes | Path] = {}
    for name in names:
        content[name] = (
            (system_hive or system()) if name.endswith("SYSTEM") else software() if "SOFT" in name else b"MZ"
        )
    top.mkdir()
    return FolderFiles(write_tree(top, content))


WHOLE = ("System32/config/SYSTEM", "System32/config/SOFTWARE", "System32/ntoskrnl.exe")


def test_the_folder_of_an_older_windows_is_found_by_content(tmp_path: Path) -> None:
    files = tree_of(tmp_path / "a", *(f"WINNT/{name}" for name in WHOLE))
    found = candidates(files, "a", 0)
    assert [(item.root, item.lacks) for item in found] == [("\\WINNT", [])]


def test_old_and_staged_windows_folders_are_not_taken(tmp_path: Path) -> None:
    names = [f"Windows.old/Windows/{name}" for name in WHOLE] + [
        f"$WINDOWS.~BT/Sources/Windows/{name}" for name in WHOLE
    ]
    assert candidates(tree_of(tmp_path / "a", *names), "a", 0) == []


def test_the_more_complete_windows_is_taken_and_the_other_is_told(tmp_path: Path) -> None:
    whole = tree_of(
        tmp_path / "a", *(f"Windows/{name}" for name in WHOLE), system_hive=system(time=130_000_000_000_000_000)
    )
    part = tree_of(tmp_path / "b", f"Windows/{WHOLE[0]}", f"Windows/{WHOLE[1]}")
    diagnostics = Diagnostics()
    chosen = best(candidates(part, "the first", 0) + candidates(whole, "the second", 1), diagnostics)
    assert chosen is not None
    assert chosen.files is whole
    assert [item.code for item in diagnostics.items] == ["disk.many-windows"]
    assert "the first" in diagnostics.items[0].message


def test_of_equal_ones_the_windows_whose_registry_was_changed_last_is_taken(tmp_path: Path) -> None:
    older = tree_of(tmp_path / "a", *(f"Windows/{name}" for name in WHOLE))
    newer = tree_of(
        tmp_path / "b", *(f"Windows/{name}" for name in WHOLE), system_hive=system(time=133_000_000_000_000_000)
    )
    chosen = best(candidates(older, "a", 0) + candidates(newer, "b", 1), Diagnostics())
    assert chosen is not None
    assert chosen.files is newer


@pytest.mark.parametrize("there", [WHOLE[:1], WHOLE[1:2], WHOLE[2:], WHOLE[:2], WHOLE[1:]])
def test_a_windows_that_lacks_something_is_taken_and_what_it_lacks_is_told(
    tmp_path: Path, there: tuple[str, ...]
) -> None:
    files = tree_of(tmp_path / "a", *(f"Windows/{name}" for name in there))
    diagnostics = Diagnostics()
    chosen = best(candidates(files, "a", 0), diagnostics)
    assert chosen is not None
    assert [item.code for item in diagnostics.items] == ["disk.windows-incomplete"]
    for name in WHOLE:
        assert (name.rpartition("/")[2] in diagnostics.items[0].message) == (name not in there)


def test_a_whole_windows_with_a_zeroed_hive_counts_more_than_a_lone_sound_hive(tmp_path: Path) -> None:
    lone = tree_of(tmp_path / "a", f"Windows/{WHOLE[0]}")
    zeroed = tree_of(tmp_path / "b", *(f"Windows/{name}" for name in WHOLE), system_hive=bytes(8192))
    sound = tree_of(tmp_path / "c", *(f"Windows/{name}" for name in WHOLE))
    found: list[Candidate] = []
    for number, files in enumerate((lone, zeroed)):
        found += candidates(files, "x", number)
    assert [item.system for item in found] == [2, 1]
    chosen = best(found, Diagnostics())
    assert chosen is not None
    assert chosen.files is zeroed
    chosen = best(found + candidates(sound, "x", 2), Diagnostics())
    assert chosen is not None
    assert chosen.files is sound
