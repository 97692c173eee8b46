"""`stopcode dump` beside a bare interpreter, kdmp-parser and volatility3.

* One small dump, and 200 of them in a folder: beside `python -c pass`.
* A bitmap dump of a machine of 32 GiB (sparse): open, modules and verdict, beside a Python program that only opens it
  with kdmp-parser (C++, one entry a page).
* Dumps of 48 MB that volatility3 reads: what is timed there is the least it can be asked for,
  `windows.crashinfo`-like work up to the point where it gives up for want of symbols.
"""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import BENCH_BIN, BIN, ROOT, in_turn, show

_PASS = {"python -c pass": [sys.executable, "-c", "pass"]}
_MANY = 200
_DAY = 864_000_000_000
_LARGE_PAGES = (32 << 30) >> 12
_MAX_MEMORY = 60.0
_MAX_READ = 64_000_000


def _real_dumps() -> list[bytes]:
    """Return the real small dumps of the shared data, unpacked; none where they are not there."""
    folder = Path(os.environ.get("STOPCODE_SHARED", ROOT.parent / "shared")) / "data" / "dumps"
    paths = sorted(folder.glob("*.dmp*"))
    return [lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes() for path in paths]


def _fits(memory: float) -> bool:
    kept = memory <= _MAX_MEMORY
    print(f"  memory {memory:.0f} MB (to be at most {_MAX_MEMORY:.0f} MB){'' if kept else '   NOT KEPT'}")
    return kept


def _small(dumps: list[bytes], folder: Path) -> bool:
    kept = True
    path = folder / "small.dmp"
    path.write_bytes(min(dumps, key=lambda data: abs(len(data) - 1_500_000)))
    for form in ("json", "table"):
        ours = f"stopcode dump -o {form}"
        figures = in_turn({ours: [BIN / "stopcode", "dump", "-o", form, path], **_PASS}, runs=7)
        title = f"A small dump of {path.stat().st_size / 1e6:.1f} MB, as {form}"
        kept &= show(title, figures, peer="python -c pass", ours=ours, at_most=20)
        kept &= _fits(figures[ours].memory)
    return kept


def _folder(dumps: list[bytes], folder: Path) -> bool:
    for number in range(_MANY):
        data = bytearray(dumps[number % len(dumps)])
        # SystemTime: no two are of one crash.
        time = int.from_bytes(data[0xFA8:0xFB0], "little") + number * _DAY
        data[0xFA8:0xFB0] = time.to_bytes(8, "little")
        (folder / f"{number:03}.dmp").write_bytes(data)
    ours = f"stopcode dump, {_MANY} dumps"
    figures = in_turn({ours: [BIN / "stopcode", "dump", "-o", "json", folder], **_PASS}, runs=3)
    kept = show(f"A folder of {_MANY} small dumps", figures, peer="python -c pass", ours=ours, at_most=4 * _MANY)
    print(f"  each {figures[ours].cpu / _MANY / figures['python -c pass'].cpu:.2f} times python -c pass")
    return kept & _fits(figures[ours].memory)


def _large(folder: Path) -> bool:
    from samples.dumps import write_large_dump
    from samples.story import benchmark_machine

    machine = benchmark_machine(folder)
    path = folder / "large.dmp"
    write_large_dump(path, machine.dump, machine.memory, _LARGE_PAGES)
    command = [BIN / "stopcode", "dump", "-o", "json", path]
    opens = "import sys, kdmp_parser; kdmp_parser.KernelDumpParser(sys.argv[1])"
    peer = "kdmp-parser, open alone"
    figures = in_turn({"stopcode dump": command, peer: [sys.executable, "-c", opens, path]}, runs=3)
    size = path.stat().st_size
    kept = show(f"A bitmap dump of {size / 2**30:.0f} GiB", figures, peer=peer, ours="stopcode dump", at_most=1)
    kept &= _fits(figures["stopcode dump"].memory)
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    crash, read = report["facts"]["crashes"][0], report["stats"]["bytes_read"]
    fits = read <= min(_MAX_READ, size // 20) and figures[peer].exit_code == 0
    print(
        f"  {crash['module_count']} modules, culprit {crash['culprit']['module']}; read {read / 1e6:.1f} MB in "
        f"{report['stats']['requests']} requests (to be at most 64 MB){'' if fits else '   NOT KEPT'}"
    )
    return kept & fits


def _beside_volatility(folder: Path) -> bool:
    volatility = BENCH_BIN / "vol"
    if not volatility.exists():
        print("\nvolatility3 is not installed in .venv-bench: left out (make bench installs it)")
        return True
    from samples.dumps import write_benchmark_dumps

    kept = True
    for name, path in write_benchmark_dumps(folder).items():
        figures = in_turn(
            {
                "stopcode dump": [BIN / "stopcode", "dump", "-o", "json", path],
                "volatility3": [volatility, "-q", "--offline", "-f", path, "windows.crashinfo"],
            },
            runs=3,
        )
        kept &= show(f"A {name} dump", figures, peer="volatility3", ours="stopcode dump", at_most=1)
    return kept


def main() -> bool:
    """Print the comparisons; return whether every bound is kept."""
    kept = True
    dumps = _real_dumps()
    if not dumps:
        print("\nNo real small dumps here (set STOPCODE_SHARED): left out")
    parts = [(_small, dumps), (_folder, dumps)] if dumps else []
    for part, given in parts:
        with tempfile.TemporaryDirectory() as folder:
            kept &= part(given, Path(folder))
    for alone in (_large, _beside_volatility):
        with tempfile.TemporaryDirectory() as folder:
            kept &= alone(Path(folder))
    return kept
