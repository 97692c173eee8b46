"""NTFS volumes and whole disks made with mkntfs and wimlib-imagex, which share nothing with our reader.

`software` writes a small SOFTWARE hive; SYSTEM hives are real ones.
"""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from samples.hive import Key, write_hive

MIB = 1 << 20
BASIC_DATA = UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")


def run(*words: str | Path) -> bytes:
    done = subprocess.run([str(word) for word in words], capture_output=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout.decode()} {done.stderr.decode()}"
    return done.stdout


def write_tree(top: Path, files: Mapping[str, bytes | Path]) -> Path:
    """Write a folder of files; paths have slashes."""
    for name, content in files.items():
        place = top / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return top


def ntfs_volume(
    place: Path,
    files: Mapping[str, bytes | Path],
    *,
    mib: int = 64,
    start: int = 2048,
    sector: int = 512,
    cluster: int = 4096,
    label: str = "Windows",
) -> Path:
    """Make an NTFS volume with files in it, without mounting anything."""
    tree = write_tree(place.with_suffix(".tree"), files)
    tree.mkdir(exist_ok=True)
    wim = place.with_suffix(".wim")
    run("wimlib-imagex", "capture", tree, wim, "--compress=none")
    with place.open("wb") as volume:
        volume.truncate(mib * MIB)
    run("mkntfs", "-F", "-Q", "-s", sector, "-c", cluster, "-p", start, "-H", 255, "-S", 63, "-L", label, place)
    run("wimlib-imagex", "apply", wim, "1", place)
    wim.unlink()
    return place


def mbr_disk(place: Path, volumes: list[Path], *, sector: int = 512, slack: int = MIB, kind: int = 7) -> Path:
    """Put volumes behind an MBR, the first one active, from 1 MiB on."""
    entries = b""
    at = MIB
    with place.open("wb") as disk:
        for volume in volumes:
            size = volume.stat().st_size
            status = 0x80 if not entries else 0
            entries += struct.pack("<B3xB3xII", status, kind, at // sector, size // sector)
            _copy(volume, disk, at)
            at += size
        disk.seek(0)
        disk.write(bytes(440) + b"\x4d\x3c\x2b\x1a\0\0" + entries.ljust(64, b"\0") + b"\x55\xaa")
        disk.truncate(at + slack)
    return place


def gpt_disk(place: Path, volumes: list[tuple[Path, UUID]], *, sector: int = 512) -> Path:
    """Put volumes behind a GPT with its copy at the end."""
    entries = b""
    at = MIB
    with place.open("wb") as disk:
        for number, (volume, kind) in enumerate(volumes):
            size = volume.stat().st_size
            first, last = at // sector, (at + size) // sector - 1
            guid = UUID(int=0x1234 + number).bytes_le
            entries += kind.bytes_le + guid + struct.pack("<QQQ", first, last, 0) + bytes(72)
            _copy(volume, disk, at)
            at += size
        entries = entries.ljust(128 * 128, b"\0")
        total = (at + MIB) // sector
        disk.truncate(total * sector)
        array = 128 * 128 // sector
        disk.seek(0)
        protective = struct.pack("<B3xB3xII", 0, 0xEE, 1, min(total - 1, 0xFFFFFFFF))
        disk.write(bytes(446) + protective.ljust(64, b"\0") + b"\x55\xaa")
        for place_of_header, place_of_array in ((1, 2), (total - 1, total - 1 - array)):
            disk.seek(place_of_array * sector)
            disk.write(entries)
            disk.seek(place_of_header * sector)
            disk.write(_gpt_header(place_of_header, total, place_of_array, entries, sector))
    return place


def _gpt_header(place: int, total: int, array: int, entries: bytes, sector: int) -> bytes:
    other = 1 if place != 1 else total - 1

    def header(check: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, check, 0, place, other, 34, total - 34,
            UUID(int=0x77).bytes_le, array, 128, 128, zlib.crc32(entries),
        )  # fmt: skip

    return header(zlib.crc32(header(0))).ljust(sector, b"\0")


def _copy(source: Path, target: object, at: int) -> None:
    data = source.read_bytes()
    zeros = bytes(MIB)
    for offset in range(0, len(data), MIB):
        part = data[offset : offset + MIB]
        if part != zeros[: len(part)]:
            target.seek(at + offset)  # type: ignore[attr-defined]
            target.write(part)  # type: ignore[attr-defined]
    target.seek(at + len(data) - 1)  # type: ignore[attr-defined]
    target.write(data[-1:])  # type: ignore[attr-defined]


def software(build: str = "18362", root: str = "C:\\Windows", **more: int | str) -> bytes:
    """A SOFTWARE hive of a client."""
    key = Key()
    key.set(
        r"Microsoft\Windows NT\CurrentVersion",
        {
            "ProductName": "Windows 10 Pro",
            "EditionID": "Professional",
            "InstallationType": "Client",
            "CurrentBuild": build,
            "CurrentBuildNumber": build,
            "CurrentMajorVersionNumber": 10,
            "CurrentMinorVersionNumber": 0,
            "UBR": 720,
            "SystemRoot": root,
            **more,
        },
    )
    key.at(r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages")
    return write_hive(key, "ROOT", time=132_500_000_000_000_000)
