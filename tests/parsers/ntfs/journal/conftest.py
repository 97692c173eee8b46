"""Volumes before and after changes, made once for all tests of the journal."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forensics.disk.ntfs_disks import ntfs_volume, run
from tests.parsers.ntfs.changes import added, copied, noise, replaced, streamed
from tests.parsers.ntfs.journals import made_dirty


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A volume with an old driver and a hive, and what three changes make of it."""
    folder = tmp_path_factory.mktemp("journal")
    old = folder / "old.img"
    with old.open("wb") as file:
        file.truncate(16 << 20)
    run("mkntfs", "-F", "-Q", "-s", 512, "-c", 4096, "-p", 2048, "-H", 255, "-S", 63, old)
    copied(old, "/driver.sys", noise(12_002, 1))
    copied(old, "/HIVE", noise(8_192, 2))
    copied(old, "/other.txt", noise(5_000, 9))
    found = {"old": old.read_bytes()}
    changes: tuple[Callable[[Path], None], ...] = (replaced, added, streamed)
    for change in changes:
        place = folder / f"{change.__name__}.img"
        shutil.copy(old, place)
        change(place)
        found[change.__name__] = place.read_bytes()
    found["dirty"] = made_dirty(found["old"], found["replaced"])
    return found


@pytest.fixture(scope="session")
def small_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A volume with a folder whose index stands in its record, and what changes to its files make of it."""
    folder = tmp_path_factory.mktemp("folders")
    old = ntfs_volume(folder / "old.img", {"sub/driver.sys": noise(12_002, 1), "sub/z.txt": noise(900, 2)}, mib=16)
    found = {"old": old.read_bytes()}
    for name, path, data in (("replaced", "/sub/driver.sys", noise(36_002, 3)), ("added", "/sub/new.sys", b"")):
        place = folder / f"{name}.img"
        shutil.copy(old, place)
        copied(place, path, data)
        found[name] = place.read_bytes()
    return found


@pytest.fixture(scope="session")
def deep_folder(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A volume whose root folder has an index of three levels."""
    folder = tmp_path_factory.mktemp("deep")
    return ntfs_volume(
        folder / "deep.img", {f"{number:03}" + "x" * 120: b"" for number in range(200)}, mib=16
    ).read_bytes()
