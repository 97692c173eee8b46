"""A scan of a 32 GB disk with 100,000 files beside `target-query -f hostname,version,services` on the same image.

The disk is made here, without Windows: mkntfs and wimlib-imagex fill an NTFS volume with small files, driver files for
430 services of a real SYSTEM hive, and real event logs; qemu-img makes the VHDX and the VHD of it. It takes some
minutes, ntfs-3g, wimtools and qemu-utils, so it runs only when named: `make bench BENCH_ARGS=big_disk`.
"""

from __future__ import annotations

import json
import lzma
import os
import struct
import subprocess
import tempfile
from pathlib import Path

from benchmarks.measure import BIN, ROOT, in_turn, show
from parsers.bytesource import FileSource
from parsers.registry import Hive
from tests.forensics.disk.ntfs_disks import MIB, run, software
from tests.forensics.world import pe_file

SHARED = Path(os.environ.get("STOPCODE_SHARED", ROOT.parent / "shared"))
DISK_MIB, FILES, DRIVERS = 32 * 1024, 100_000, 430
MAX_BYTES_READ, MAX_MEMORY = 60_000_000, 150
#: Where a driver has its resources: near its end, as most have them, so that its version costs two reads.
RESOURCES = 0x15800


def _plain(relative: str) -> bytes:
    path = SHARED / "data" / relative
    return path.read_bytes() if path.exists() else lzma.open(path.with_name(path.name + ".xz")).read()


def _driver() -> bytes:
    """Return a driver file of 90 KB: headers, code, resources."""
    small = pe_file((10, 0, 18362, 1))
    pointer = small.index(b".rsrc") + 20
    headers = small[:pointer] + RESOURCES.to_bytes(4, "little") + small[pointer + 4 : 0x200]
    return headers.ljust(RESOURCES, b"\xcc") + small[0x200:]


def _fill(tree: Path) -> None:
    """Write the files of the volume."""
    config, drivers = tree / "Windows/System32/config", tree / "Windows/System32/drivers"
    logs = tree / "Windows/System32/winevt/Logs"
    for folder in (config, drivers, logs):
        folder.mkdir(parents=True)
    (config / "SYSTEM").write_bytes(_plain("hives/win10-1903/SYSTEM"))
    (config / "SOFTWARE").write_bytes(software("18362"))
    (tree / "Windows/System32/ntoskrnl.exe").write_bytes(pe_file((10, 0, 18362, 720)))
    for path in sorted((SHARED / "data/logs/win10-1703").iterdir()):
        (logs / path.name.removesuffix(".xz")).write_bytes(_plain(f"logs/win10-1703/{path.name.removesuffix('.xz')}"))
    services = Hive(FileSource(config / "SYSTEM")).open_key("ControlSet001\\Services")
    names: list[str] = []
    for key in services.subkeys() if services is not None else ():
        image = key.value("ImagePath")
        text = str(image.decoded()) if image is not None else ""
        if text.lower().endswith(".sys"):
            names.append(text.rpartition("\\")[2])
    names += [f"extra{number}.sys" for number in range(DRIVERS)]
    for name in list(dict.fromkeys(names))[:DRIVERS]:
        (drivers / name).write_bytes(_driver())
    for number in range(FILES):
        folder = tree / f"Windows/WinSxS/amd64_component-{number // 50:05d}_31bf3856ad364e35_10.0.18362.1_none"
        if number % 50 == 0:
            folder.mkdir(parents=True)
        (folder / f"file{number % 50:02d}.dll").write_bytes(number.to_bytes(4, "little") * 256)


def _table(size: int) -> bytes:
    """Return an MBR with one active NTFS partition from 1 MiB on."""
    entry = struct.pack("<B3xB3xII", 0x80, 7, MIB // 512, size // 512)
    return bytes(440) + b"\x4d\x3c\x2b\x1a\0\0" + entry.ljust(64, b"\0") + b"\x55\xaa"


def make_raw(folder: Path) -> Path:
    """Make the raw disk in a folder."""
    tree, wim, volume, raw = folder / "tree", folder / "tree.wim", folder / "volume", folder / "disk.img"
    tree.mkdir()
    _fill(tree)
    run("wimlib-imagex", "capture", tree, wim, "--compress=none")
    with volume.open("wb") as file:
        file.truncate((DISK_MIB - 2) * MIB)
    run("mkntfs", "-F", "-Q", "-p", 2048, "-H", 255, "-S", 63, "-L", "Windows", volume)
    run("wimlib-imagex", "apply", wim, "1", volume)
    raw.write_bytes(_table(volume.stat().st_size))
    run("dd", f"if={volume}", f"of={raw}", "bs=1M", "seek=1", "conv=sparse,notrunc", "status=none")
    os.truncate(raw, DISK_MIB * MIB)
    return raw


def _make(folder: Path) -> dict[str, Path]:
    raw = make_raw(folder)
    made = {"raw": raw}
    for name, form, options in (
        ("VHDX", "vhdx", "subformat=dynamic"),
        ("VHD", "vpc", "subformat=dynamic,force_size=on"),
    ):
        made[name] = folder / f"disk.{'vhd' if form == 'vpc' else form}"
        run("qemu-img", "convert", "-f", "raw", "-O", form, "-o", options, raw, made[name])
    return made


def main() -> bool:
    """Print the comparisons; return whether every bound is kept."""
    kept = True
    with tempfile.TemporaryDirectory(prefix="stopcode-bench-") as name:
        for form, disk in _make(Path(name)).items():
            figures = in_turn(
                {
                    "stopcode scan": [BIN / "stopcode", "scan", "-o", "json", disk],
                    "target-query": [BIN / "target-query", "-q", "-f", "hostname,version,services", disk],
                },
                runs=3,
            )
            title = f"Scan of a 32 GB disk with 100,000 files ({form})"
            kept &= show(title, figures, peer="target-query", ours="stopcode scan", at_most=0.5)
            done = subprocess.run(
                [BIN / "stopcode", "scan", "-o", "json", disk], capture_output=True, text=True, check=False
            )
            stats = json.loads(done.stdout)["stats"]
            memory = figures["stopcode scan"].memory
            fits = stats["bytes_read"] <= MAX_BYTES_READ and memory <= MAX_MEMORY
            print(
                f"  read {stats['bytes_read'] / 1e6:.1f} MB in {stats['requests']} requests (to be at most 60 MB), "
                f"{memory:.0f} MB of memory (to be at most {MAX_MEMORY} MB){'' if fits else '   NOT KEPT'}"
            )
            kept &= fits
    return kept
