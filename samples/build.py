"""Build every sample anew: `python -m samples.build [NAME ...]`."""

from __future__ import annotations

import argparse
import lzma
import shutil
import sys
import tempfile
import zlib
from datetime import datetime, timedelta
from pathlib import Path

from samples.containers import FORMATS, convert
from samples.disk import BASIC_DATA, EFI_SYSTEM, MSR, RECOVERY, SECTOR, Partition, write_disk
from samples.dumps import write_dump
from samples.family import FAMILY, Variant
from samples.fat import make_fat
from samples.layout import (
    DISK_ID,
    FIRST_SECTOR,
    MIB,
    MSR_ID,
    RECOVERY_ID,
    SIGNATURE,
    SYSTEM_ID,
    SYSTEM_SIZE,
    WINDOWS_ID,
)
from samples.machine import Machine
from samples.ntfs import make_volume
from samples.story import ACTORS, crash_machine
from samples.tools import missing
from samples.tree import damage, dated_folders, driver_of, loaded_files, set_times, write_system_volume, write_windows

__all__ = ["build_disk", "main", "pack"]

BUILT = Path(__file__).with_name("built")
#: How long after a crash its dump is a file: the next start copies it out of the page file.
_WRITTEN_OUT = timedelta(seconds=71)


def build_disk(variant: Variant, raw: Path, cache: Path | None = None) -> None:
    """Build a sample's disk as a raw image.

    Args:
        variant: the sample.
        raw: file to make.
        cache: folder for built drivers, kept between builds.

    Raises:
        RuntimeError: a tool is missing or fails.

    """
    machine = variant.machine
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree, boot = folder / "windows", folder / "system"
        write_windows(tree, machine, cache)
        if variant.damage == "software":
            damage(tree, machine)
        boot.mkdir()
        write_system_volume(boot, machine)
        if variant.dump and machine.crash is not None:
            _write_dump(machine, machine.crash, tree / "Windows")
        dated_folders(tree, machine.touched)
        dated_folders(boot, machine.installed)
        partitions = (_mbr if machine.generation == 1 else _gpt)(machine, folder, tree, boot, variant.disk_mib * MIB)
        identity = DISK_ID if machine.generation == 2 else None
        write_disk(raw, variant.disk_mib * MIB, partitions, signature=SIGNATURE, gpt=identity)


def _volume(folder: Path, tree: Path, first: int, count: int, machine: Machine, label: str = "") -> Path:
    """Make the NTFS volume of a partition."""
    path = folder / f"{first}.ntfs"
    newest = machine.touched
    if machine.crash is not None:
        newest = max(newest, machine.crash[0] + machine.crash[1] + _WRITTEN_OUT)
    serial = zlib.crc32(f"{machine.host} {first}".encode()) << 32 | zlib.crc32(machine.host.encode())
    make_volume(path, tree, size=count * SECTOR, label=label, first_sector=first, newest=newest, serial=serial)
    return path


def _mbr(machine: Machine, folder: Path, tree: Path, boot: Path, size: int) -> list[Partition]:
    """Return the partitions of a generation 1 machine: "System Reserved", Windows."""
    system, windows = FIRST_SECTOR["system", 1], FIRST_SECTOR["windows", 1]
    count, rest = SYSTEM_SIZE[1] // SECTOR, (size - MIB) // SECTOR - windows
    return [
        Partition(system, count, _volume(folder, boot, system, count, machine, "System Reserved"), active=True),
        Partition(windows, rest, _volume(folder, tree, windows, rest, machine)),
    ]


def _gpt(machine: Machine, folder: Path, tree: Path, boot: Path, size: int) -> list[Partition]:
    """Return the partitions of a generation 2 machine: recovery, EFI system, reserved, Windows."""
    system, msr, windows = (FIRST_SECTOR[name, 2] for name in ("system", "msr", "windows"))
    recovery = FIRST_SECTOR["recovery", 2]
    rest = (size - MIB) // SECTOR - windows
    volume = _volume(folder, tree, windows, rest, machine)
    esp = folder / "esp.fat"
    make_fat(esp, boot, size=SYSTEM_SIZE[2], first_sector=system, serial=0x5C1D7A3E, moment=machine.installed)
    return [
        Partition(recovery, system - recovery, None, RECOVERY_ID, RECOVERY, "Basic data partition"),
        Partition(system, SYSTEM_SIZE[2] // SECTOR, esp, SYSTEM_ID, EFI_SYSTEM, "EFI system partition"),
        Partition(msr, windows - msr, None, MSR_ID, MSR, "Microsoft reserved partition"),
        Partition(windows, rest, volume, WINDOWS_ID, BASIC_DATA, "Basic data partition"),
    ]


def _write_dump(machine: Machine, crash: tuple[datetime, timedelta], windows: Path) -> None:
    booted, lived = crash
    actors = {name: driver_of(name, machine) for name in ACTORS}
    crashed = crash_machine(loaded_files(windows), actors, booted=booted, lived=lived)
    path = windows / "MEMORY.DMP"
    write_dump(path, crashed.dump, crashed.memory, 6)
    set_times(path, booted + lived + _WRITTEN_OUT)


def pack(plain: Path, target: Path) -> None:
    """Compress a file."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6}]
    with plain.open("rb") as source, lzma.open(target, "wb", check=lzma.CHECK_CRC64, filters=filters) as file:
        shutil.copyfileobj(source, file, 1 << 20)


def main(arguments: list[str] | None = None) -> int:
    """Build the named samples, or all; return 1 when a tool is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="all when none is named")
    parser.add_argument("--containers", action="store_true", help="write ws2019-failed in every other container too")
    chosen = parser.parse_args(arguments)
    problems = missing()
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    cache = BUILT / "cache"
    for variant in FAMILY:
        if chosen.names and variant.name not in chosen.names:
            continue
        with tempfile.TemporaryDirectory(dir=BUILT) as folder:
            raw = Path(folder) / "disk.raw"
            build_disk(variant, raw, cache)
            plain = BUILT / f"{variant.name}.vhdx"
            convert(raw, plain, ".vhdx")
            pack(plain, plain.with_name(plain.name + ".xz"))
            if chosen.containers and variant.name == "ws2019-failed":
                for suffix in FORMATS:
                    if suffix != ".vhdx":
                        convert(raw, BUILT / f"{variant.name}{suffix}", suffix)
        size = plain.with_name(plain.name + ".xz").stat().st_size
        print(f"{plain.name}: {plain.stat().st_size / 1e6:.1f} MB, packed {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
