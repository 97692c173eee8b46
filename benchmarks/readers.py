"""Our readers of VHD, VHDX and hives beside dissect's, each in a process of its own.

* A VHD and a VHDX of 512 MiB that qemu-img wrote, read from the first byte to the last, eight times, in pieces of
  64 KiB and of a MiB: `parsers.disk` beside dissect.hypervisor.
* Every value of every key of a real SYSTEM hive, decoded: `parsers.registry` beside dissect.regf; and, in this process
  alone, its service keys: opening the hive, listing them, and their start type, type and image.
"""

from __future__ import annotations

import lzma
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import ROOT, Figure, in_turn, show
from parsers.bytesource import FileSource
from parsers.registry import Hive

_MIB = 1 << 20
_SIZE = 512 * _MIB

_READ = """
import sys
path, piece = sys.argv[1], int(sys.argv[2])
{open}
for _ in range(8):
    done = 0
    {loop}
    assert done == {size}, done
"""
_OURS_LOOP = """for at in range(0, disk.size, piece):
        done += len(disk.read_at(at, piece))"""
_DISSECTS_LOOP = """stream.seek(0)
    while data := stream.read(piece):
        done += len(data)"""
_OPEN = {
    "VHD": (
        "from parsers.bytesource import FileSource\nfrom parsers.diagnostics import Diagnostics\n"
        "from parsers.disk.vhd import Vhd\ndisk = Vhd(FileSource(path), Diagnostics())",
        "from dissect.hypervisor.disk.vhd import VHD\nstream = VHD(open(path, 'rb'))",
    ),
    "VHDX": (
        "from parsers.bytesource import FileSource\nfrom parsers.diagnostics import Diagnostics\n"
        "from parsers.disk.vhdx import Vhdx\ndisk = Vhdx(FileSource(path), Diagnostics())",
        "from dissect.hypervisor.disk.vhdx import VHDX\nstream = VHDX(open(path, 'rb'))",
    ),
}
_WALK = """
import sys
{open}
keys, count, refused = [root], 0, 0
while keys:
    key = keys.pop()
    for value in key.values():
        try:
            value{data}
        except Exception:
            refused += 1
        count += 1
    keys.extend(key.subkeys())
assert count > 90000, count
assert refused * 1000 < count, refused  # who reads nothing is fast
"""
_HIVES = (
    "from parsers.bytesource import FileSource\nfrom parsers.registry import Hive\n"
    "root = Hive(FileSource(sys.argv[1])).root",
    "from dissect.regf import RegistryHive\nroot = RegistryHive(open(sys.argv[1], 'rb')).root()",
)


def _ended(figures: dict[str, Figure]) -> bool:
    """Return whether all programs read what they were to read: a program that gives up is quick."""
    return not any(figure.exit_code for figure in figures.values())


def _disks(folder: Path) -> bool:
    raw, kept = folder / "disk.raw", True
    noise = random.Random(1).randbytes(16 * _MIB)
    with raw.open("wb") as file:
        for _ in range(_SIZE // len(noise) - 8):  # the last eighth stays unwritten
            file.write(noise)
        file.truncate(_SIZE)
    for name, form in (("VHD", "vpc"), ("VHDX", "vhdx")):
        path = folder / f"disk.{name.lower()}"
        options = "subformat=dynamic" + (",force_size=on" if form == "vpc" else "")
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, "-o", options, raw, path], check=True)
        for piece in (64 << 10, _MIB):
            ours, dissects = (
                [sys.executable, "-c", _READ.format(open=opened, loop=loop, size=_SIZE), path, str(piece)]
                for opened, loop in zip(_OPEN[name], (_OURS_LOOP, _DISSECTS_LOOP), strict=True)
            )
            title = f"A {name} of 512 MiB, read eight times in pieces of {piece >> 10} KiB"
            figures = in_turn({"stopcode": ours, "dissect.hypervisor": dissects})
            kept &= show(title, figures, peer="dissect.hypervisor", ours="stopcode", at_most=1) and _ended(figures)
        path.unlink()
    return kept


def _hive(folder: Path) -> bool:
    packed = Path(os.environ.get("STOPCODE_SHARED", ROOT.parent / "shared")) / "data/hives/win10-1903/SYSTEM.xz"
    if not packed.exists():
        print("\nNo real SYSTEM hive here (set STOPCODE_SHARED): left out")
        return True
    path = folder / "SYSTEM"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    ours, dissects = (
        [sys.executable, "-c", _WALK.format(open=opened, data=data), path]
        for opened, data in zip(_HIVES, (".decoded()", ".value"), strict=True)
    )
    figures = in_turn({"stopcode": ours, "dissect.regf": dissects}, runs=3)
    title = "Every value of a SYSTEM hive of 15 MB"
    kept = show(title, figures, peer="dissect.regf", ours="stopcode", at_most=0.25) and _ended(figures)
    costs = [_services(path) for _ in range(9)][1:]
    # Not bounded: how many milliseconds it takes is as much the machine's doing.
    print(f"  its service keys {statistics.median(costs) * 1000:.0f} ms (to be about 30 ms)")
    return kept


def _services(path: Path) -> float:
    begun = time.process_time()
    with FileSource(path) as source:
        services = Hive(source).open_key(r"ControlSet001\Services")
        found = {}
        for key in services.subkeys() if services is not None else ():
            values = {value.name.lower(): value for value in key.values()}
            found[key.name] = [values[name].decoded() for name in ("start", "type", "imagepath") if name in values]
    assert len(found) > 700, len(found)
    return time.process_time() - begun


def main() -> bool:
    """Print the comparisons; return whether every bound is kept."""
    kept = True
    for part in (_disks, _hive):
        with tempfile.TemporaryDirectory(prefix="stopcode-bench-") as folder:
            kept &= part(Path(folder))
    return kept
