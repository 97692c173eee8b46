from __future__ import annotations

from pathlib import Path

import pytest

from forensics.disk.folder import FolderFiles
from forensics.disk.windows import Beside, WindowsVolume
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError
from stopcode.rescue.artefacts import SUPPORT, expand


@pytest.fixture
def windows(tmp_path: Path) -> WindowsVolume:
    names = [
        "Windows/System32/config/SYSTEM", "Windows/System32/config/SYSTEM.LOG1", "Windows/System32/config/SAM",
        "Windows/System32/config/SECURITY", "Windows/Minidump/1.dmp", "Windows/LiveKernelReports/a.dmp",
        "Windows/LiveKernelReports/X/b.dmp", "Windows/LiveKernelReports/X/Y/c.txt",
        "Windows/a[1].txt", "Windows/a1.txt",
        "DumpStack.log.tmp", "Windows/System32/winevt/Logs/System.evtx",
    ]  # fmt: skip
    for name in names:
        place = tmp_path / "c" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(name.encode())
    (tmp_path / "d" / "Boot").mkdir(parents=True)
    (tmp_path / "d" / "Boot" / "BCD").write_bytes(b"regf")
    other = Beside("volume 0", "System", FolderFiles(tmp_path / "d"))
    return WindowsVolume("\\Windows", FolderFiles(tmp_path / "c"), Diagnostics(), b"", [other])


def paths(windows: WindowsVolume, *patterns: str) -> list[str]:
    return [artefact.path for artefact in expand(windows, patterns)[0]]


@pytest.mark.parametrize(
    "pattern",
    [r"Windows\minidump\*.DMP", "/windows/Minidump/?.dmp", r"%SystemRoot%\Minidump\*", r"C:\Windows\Minidump\1.dmp"],
)
def test_a_pattern_is_written_as_people_write_paths(windows: WindowsVolume, pattern: str) -> None:
    assert paths(windows, pattern) == [r"\Windows\Minidump\1.dmp"]


def test_two_stars_go_into_every_folder_below(windows: WindowsVolume) -> None:
    live = r"\Windows\LiveKernelReports"
    assert paths(windows, r"Windows\LiveKernelReports\**") == [
        rf"{live}\a.dmp", rf"{live}\X\b.dmp", rf"{live}\X\Y\c.txt",
    ]  # fmt: skip
    assert paths(windows, r"Windows\LiveKernelReports\**\*.dmp") == [rf"{live}\a.dmp", rf"{live}\X\b.dmp"]
    assert paths(windows, r"**\c.txt") == [rf"{live}\X\Y\c.txt"]


def test_brackets_in_names_are_letters(windows: WindowsVolume) -> None:
    assert paths(windows, r"Windows\a[1].txt") == [r"\Windows\a[1].txt"]
    assert paths(windows, r"Windows\**\a[1].txt") == [r"\Windows\a[1].txt"]


def test_what_a_pattern_does_not_find_is_told(windows: WindowsVolume) -> None:
    found, missing = expand(
        windows, [r"Windows\Minidump", r"X:\a", r"Windows\no*.log", r"Windows\a1.txt", "windows/a1.*"]
    )
    assert [artefact.path for artefact in found] == [r"\Windows\a1.txt"]
    assert [item.reason for item in missing] == [
        "it means a folder: add \\* for its files, \\** for all below it",
        "its volume is not in the image",
        "there is no such file",
    ]


def test_the_set_for_support_has_hives_with_logs_and_no_passwords(windows: WindowsVolume) -> None:
    assert paths(windows, *SUPPORT) == [
        r"\DumpStack.log.tmp",
        r"\Windows\Minidump\1.dmp",
        r"\Windows\System32\config\SYSTEM",
        r"\Windows\System32\config\SYSTEM.LOG1",
        r"\Windows\System32\winevt\Logs\System.evtx",
        r"volume 0:\Boot\BCD",
    ]


def test_a_pattern_that_means_too_many_files_or_too_deep_folders_ends(
    windows: WindowsVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stopcode.rescue.artefacts.MAX_RESCUED_DEPTH", 1)
    assert paths(windows, r"Windows\LiveKernelReports\**") == [r"\Windows\LiveKernelReports\a.dmp"]
    monkeypatch.setattr("stopcode.rescue.artefacts.MAX_RESCUED_FILES", 2)
    with pytest.raises(FormatError, match="more than 2 files"):
        expand(windows, [r"Windows\System32\config\*"])
