"""Build every sample anew: `python -m samples.build [NAME ...]`."""

from __future__ import annotations

import argparse
import lzma
import shutil
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from samples.containers import FORMATS, convert
from samples.disk import Partition, write_disk
from samples.dumps import write_dump
from samples.family import FAMILY, Variant
from samples.layout import FIRST_SECTOR, MIB, SIGNATURE, SYSTEM_SIZE
from samples.ntfs import make_volume
from samples.story import ACTORS, crash_machine
from samples.tools import missing
from samples.tree import dated_folders, driver_of, loaded_files, set_times, write_system_volume, write_windows

__all__ = ["build_disk", "main", "pack"]

BUILT = Path(__file__).with_name("built")


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
        write_windows(tree, machine, {}, cache)
        boot.mkdir()
        write_system_volume(boot, machine)
        if variant.dump and machine.crash is not None:
            _write_dump(variant, tree / "Windows")
        dated_folders(tree, machine.touched)
        dated_folders(boot, machine.installed)
        size = variant.disk_mib * MIB
        first, second = FIRST_SECTOR["system", 1], FIRST_SECTOR["windows", 1]
        windows_size = size - second * 512 - MIB
        make_volume(folder / "s.ntfs", boot, size=SYSTEM_SIZE[1], label="System Reserved", first_sector=first)
        make_volume(folder / "w.ntfs", tree, size=windows_size, label="", first_sector=second)
        write_disk(
            raw,
            size,
            [
                Partition(first, SYSTEM_SIZE[1] // 512, folder / "s.ntfs", active=True),
                Partition(second, windows_size // 512, folder / "w.ntfs"),
            ],
            signature=SIGNATURE,
        )


def _write_dump(variant: Variant, windows: Path) -> None:
    machine = variant.machine
    if machine.crash is None:
        return
    booted, lived = machine.crash
    actors = {name: driver_of(name, machine) for name in ACTORS}
    crashed = crash_machine(loaded_files(windows), actors, booted=booted, lived=lived)
    path = windows / "MEMORY.DMP"
    write_dump(path, crashed.dump, crashed.memory, 6)
    set_times(path, booted + lived + timedelta(seconds=71))


def pack(plain: Path, target: Path) -> None:
    """Compress a file."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 64 << 20}]
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
