"""Disks that samples build: qemu-img, ntfs-3g's tools, 7-Zip and blkid judge them, and the committed ones are equal."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from samples.build import build_disk
from samples.containers import FORMATS, convert
from samples.family import FAMILY
from samples.layout import FIRST_SECTOR, SYSTEM_SIZE
from samples.services import load

VARIANTS = {variant.name: variant for variant in FAMILY}
BUILDERS = pytest.mark.peer(
    "mkntfs", "wimlib-imagex", "qemu-img", "x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-windres"
)


def _run(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def _cut(raw: Path, target: Path, first: int, count: int) -> Path:
    """Cut a partition out, sparse."""
    start, end = first * 512, (first + count) * 512
    with raw.open("rb") as source, target.open("wb") as file:
        file.truncate(end - start)
        at = start
        while at < end:
            try:
                at = os.lseek(source.fileno(), at, os.SEEK_DATA)
            except OSError:
                break  # only a hole follows
            stop = min(os.lseek(source.fileno(), at, os.SEEK_HOLE), end)
            if at < stop:
                os.pwrite(file.fileno(), os.pread(source.fileno(), stop - at, at), at - start)
            at = stop
    return target


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def failed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    path = tmp_path_factory.mktemp("failed") / "disk.raw"
    build_disk(VARIANTS["ws2019-failed"], path, cache)
    return path


@BUILDERS
@pytest.mark.slow
def test_what_is_committed_is_what_the_builder_makes(
    failed: Path, tmp_path: Path, built: Callable[[str], Path]
) -> None:
    committed, fresh = built("ws2019-failed.vhdx"), tmp_path / "ws2019-failed.vhdx"
    convert(failed, fresh, ".vhdx")
    # Other versions of the tools may lay a disk out otherwise; then every file on it must be equal.
    if _digest(committed) != _digest(fresh):
        raw = tmp_path / "committed.raw"
        convert(committed, raw, ".raw")
        assert _listing(raw, tmp_path / "a") == _listing(failed, tmp_path / "b")


def _listing(raw: Path, folder: Path) -> dict[str, str]:
    """Return path -> digest of every file on the Windows volume, by 7-Zip."""
    folder.mkdir()
    first = FIRST_SECTOR["windows", 1]
    volume = _cut(raw, folder / "windows.ntfs", first, raw.stat().st_size // 512 - first - 2048)
    _run("7zz", "x", "-y", f"-o{folder / 'files'}", volume)
    files = (path for path in (folder / "files").rglob("*") if path.is_file() and "[SYSTEM]" not in path.parts)
    return {str(path.relative_to(folder)): _digest(path) for path in files}


@BUILDERS
@pytest.mark.peer("ntfsfix", "ntfsinfo", "ntfscat")
@pytest.mark.slow
def test_ntfs_tools_find_the_volume_sound_and_the_driver_in_it(failed: Path, tmp_path: Path) -> None:
    first = FIRST_SECTOR["windows", 1]
    volume = _cut(failed, tmp_path / "w.ntfs", first, failed.stat().st_size // 512 - first - 2048)
    assert "processed successfully" in _run("ntfsfix", "-n", volume)
    assert "Volume Flags: 0x0000" in _run("ntfsinfo", "-m", volume)
    path = tmp_path / "vmstorfl.sys"
    with path.open("wb") as file:
        subprocess.run(["ntfscat", volume, "/Windows/System32/drivers/vmstorfl.sys"], check=True, stdout=file)
    assert path.read_bytes()[:2] == b"MZ"
    assert "10.0.17763.771 (WinBuild".encode("utf-16-le") in path.read_bytes()


@BUILDERS
@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_qemu_img_finds_every_container_equal_to_the_disk(failed: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"disk{suffix}"
    convert(failed, target, suffix)
    kind = FORMATS[suffix][0]
    assert "identical" in _run("qemu-img", "compare", "-f", "raw", "-F", kind, failed, target)
    if suffix in (".vhdx", ".qcow2", ".vdi"):
        assert "No errors" in _run("qemu-img", "check", "-f", kind, target)


@BUILDERS
@pytest.mark.peer("7zz", "blkid")
@pytest.mark.slow
def test_a_generation_2_disk_has_a_sound_gpt_and_an_efi_partition_with_its_store(tmp_path: Path, cache: Path) -> None:
    raw = tmp_path / "disk.raw"
    variant = VARIANTS["ws2019-exposed"]
    # The same drivers as the other tests', which are built already, in a machine of the other generation.
    build_disk(replace(variant, machine=replace(variant.machine, generation=2)), raw, cache)
    assert 'PTTYPE="gpt"' in _run("blkid", "-p", raw)
    esp = _cut(raw, tmp_path / "esp.fat", FIRST_SECTOR["system", 2], SYSTEM_SIZE[2] // 512)
    assert 'TYPE="vfat"' in _run("blkid", "-p", esp)
    _run("7zz", "x", "-y", f"-o{tmp_path / 'esp'}", esp)
    assert (tmp_path / "esp/EFI/Microsoft/Boot/BCD").read_bytes()[:4] == b"regf"
    assert (tmp_path / "esp/EFI/Microsoft/Boot/bootmgfw.efi").is_file()


def test_the_table_of_services_starts_the_filter_at_boot_under_its_own_key() -> None:
    services = {service.name: service for service in load()}
    filter_ = services["storflt"]
    assert (filter_.start, filter_.type, filter_.group) == (0, 1, "Extended Base")
    assert filter_.file == "System32/drivers/vmstorfl.sys"
    assert filter_.override is None
    assert "vmstorfl" not in services
    assert services["Ntfs"].file == "System32/drivers/Ntfs.sys"
