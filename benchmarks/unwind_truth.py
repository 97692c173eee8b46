"""The unwinder against execution: real Windows binaries run in an emulator, every stack compared.

    python -m benchmarks.unwind_truth [--boundaries N] [--seed S] [--fetch] [FILE…]

Without files: every x64 and ARM64 binary that `make fixtures` fetched; `--fetch` fetches those first that only this
run reads. All functions of each file are called with random arguments until N distinct instruction boundaries of it
have been met; at each boundary one frame is unwound, at every fifth the whole stack, and compared with what the
processor really pushed. Prints one line per file; what is wrong is grouped by its reason and listed by function. Not
a timed benchmark: the figure is the number of mismatches.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from samples import fixtures
from tests.parsers.fixture_files import all_fetched
from tests.parsers.unwind import truth, truth_arm64

_WIDTHS = (34, 7, 9, 9, 9, 9, 9, 9, 9, 9, 9, 7)
_COUNTS = ("prolog", "epilog", "chained", "v2", "fp", "leaf", "packed", "record")
_EVERY = 1 << 30
_MACHINES = {b"\x64\x86": "x64", b"\x64\xaa": "ARM64"}


@dataclass
class Row:
    """What the run of one file gave.

    Attributes:
        machine: x64 or ARM64.
        name: the file.
        functions: called.
        points: frames compared at a place that had not run yet.
        boundaries: distinct places among them.
        outer: further frames compared.
        counts: by kind of place.
        wrong: reason -> place -> how often; the reason "unexplained" is a defect of ours.
        cpu: seconds.

    """

    machine: str
    name: str
    functions: int
    points: int
    boundaries: int
    outer: int
    counts: Counter[str]
    wrong: dict[str, Counter[str]] = field(default_factory=dict)
    cpu: float = 0.0


def _machine(path: Path) -> str | None:
    head = path.read_bytes()[:0x1000]
    at = int.from_bytes(head[0x3C:0x40], "little")
    return _MACHINES.get(head[at + 4 : at + 6])


def _x64(path: Path, boundaries: int, seed: int) -> Row:
    result = truth.run_file(path, functions=_EVERY, seed=seed, visits=1, passes=6, max_boundaries=boundaries)
    wrong: dict[str, Counter[str]] = defaultdict(Counter)
    for mismatch in result.mismatches:
        wrong[mismatch.reason][mismatch.where] += 1
    return Row(
        "x64", path.name, result.functions, result.points, result.boundaries, result.outer, result.counts, dict(wrong)
    )


def _arm64(path: Path, boundaries: int, seed: int) -> Row:
    result = truth_arm64.run_file(path, functions=_EVERY, seed=seed, visits=1, max_boundaries=boundaries)
    wrong: dict[str, Counter[str]] = defaultdict(Counter)
    for mismatch in result.mismatches:
        wrong[mismatch.reason][f"{mismatch.where}: {mismatch.text}"] += 1
    return Row(
        "ARM64", path.name, result.functions, result.points, result.boundaries, result.outer, result.counts, dict(wrong)
    )


def _run(path: Path, boundaries: int, seed: int) -> Row:
    started = time.process_time()
    row = (_x64 if _machine(path) == "x64" else _arm64)(path, boundaries, seed)
    row.cpu = time.process_time() - started
    return row


def _print(cells: list[object]) -> None:
    first, *others = [str(cell) for cell in cells]
    print(first[:33].ljust(_WIDTHS[0]) + "".join(map(str.rjust, others, _WIDTHS[1:])), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run and print; return 1 when something is wrong that no reason explains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boundaries", type=int, default=100_000, help="distinct ones of each file (default 100,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of functions and the arguments")
    parser.add_argument("--jobs", type=int, default=2, help="files at a time (default 2)")
    parser.add_argument("--fetch", action="store_true", help="fetch every pinned wheel first (some 60 MB)")
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args(arguments if arguments is not None else [])
    if options.fetch and fixtures.main(all_of_them=True):
        return 2
    files = options.files or [path for path in all_fetched(for_benchmarks=True) if path.is_file() and _machine(path)]
    if not files:
        print("no binaries in the cache (run `make fixtures`)", file=sys.stderr)
        return 0
    started = time.perf_counter()
    rows: list[Row] = []
    _print(["file", "funcs", "distinct", "outer", *_COUNTS[:-1], "wrong"])
    with ProcessPoolExecutor(options.jobs) as pool:
        run = partial(_run, boundaries=options.boundaries, seed=options.seed)
        for row in pool.map(run, sorted(files, key=lambda path: path.stat().st_size)):
            rows.append(row)
            wrong = sum(sum(places.values()) for places in row.wrong.values())
            counts = [row.counts[name] for name in _COUNTS[:-1]]
            _print([row.name, row.functions, row.boundaries, row.outer, *counts, wrong])
    for machine in _MACHINES.values():
        mine = [row for row in rows if row.machine == machine]
        distinct, outer = sum(row.boundaries for row in mine), sum(row.outer for row in mine)
        print(
            f"{machine}: {len(mine)} files, {distinct} distinct boundaries and {outer} outer frames, "
            f"{sum(row.cpu for row in mine):.0f} s of processor time"
        )
    print(f"{time.perf_counter() - started:.0f} s")
    unexplained = 0
    for row in rows:
        for reason, places in row.wrong.items():
            unexplained += sum(places.values()) if reason == "unexplained" else 0
            print(f"{row.name}: {sum(places.values())} wrong: {reason}")
            for where, count in places.most_common(40):
                print(f"    {where}: {count}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
