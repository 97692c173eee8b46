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
import multiprocessing
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from samples import fixtures
from tests.parsers.fixture_files import all_fetched
from tests.parsers.unwind import truth, truth_arm64

_WIDTHS = (34, 7, 9, 9, 9, 9, 9, 9, 9, 9, 9, 7)
_COUNTS = ("prolog", "epilog", "chained", "v2", "fp", "leaf", "packed", "record")
#: Functions of one process.
_TOGETHER = 150
_FORK = multiprocessing.get_context("fork")
_MACHINES = {b"\x64\x86": "x64", b"\x64\xaa": "ARM64"}


@dataclass
class Row:
    """What the run of one file gave.

    Attributes:
        machine: x64 or ARM64.
        name: the file.
        functions: called.
        boundaries: distinct places at which a frame was compared.
        outer: further frames compared.
        counts: by kind of place.
        wrong: reason -> place -> how often; the reason "unexplained" is a defect of ours.
        lost: functions of which nothing is known, for the emulator itself died of one of them.
        cpu: seconds.

    """

    machine: str
    name: str
    functions: int = 0
    boundaries: int = 0
    outer: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    lost: int = 0
    cpu: float = 0.0


def _machine(path: Path) -> str | None:
    head = path.read_bytes()[:0x1000]
    at = int.from_bytes(head[0x3C:0x40], "little")
    return _MACHINES.get(head[at + 4 : at + 6])


def _apart(run: Callable[[], Any]) -> Any:
    """Run in a process of its own; None when it dies: the emulator is C, and strange programs run in it."""
    receiver, sender = _FORK.Pipe(duplex=False)

    def work() -> None:
        sender.send(run())

    process = _FORK.Process(target=work)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return None
    finally:
        process.join()


def _halves(rows: list[Any], run: Callable[[list[Any]], Any]) -> Iterator[tuple[list[Any], Any]]:
    """Run rows together; the halves again when the emulator dies of them: only the one that kills it is lost."""
    answer = _apart(partial(run, rows))
    if answer is not None or len(rows) == 1:
        yield rows, answer
        return
    middle = len(rows) // 2
    yield from _halves(rows[:middle], run)
    yield from _halves(rows[middle:], run)


def _run(path: Path, boundaries: int, seed: int) -> Row:
    """Run a file's functions, some at a time, until enough places are met; up to four rounds with other arguments."""
    machine = _machine(path) or ""
    harness: Any = truth if machine == "x64" else truth_arm64
    program = harness.Program(path)
    pool = program.functions()
    row = Row(machine, path.name)
    places: set[int] = set()
    for round_ in range(4):
        random.Random(seed + round_).shuffle(pool)
        before = len(places)

        def run(rows: list[Any], round_: int = round_) -> Any:
            started = time.process_time()
            arguments = {"functions": len(rows), "seed": seed + round_, "visits": 1, "known": places}
            result = harness.run_file(path, rows=rows, program=program, **arguments)
            result.places.difference_update(places)
            return result, time.process_time() - started

        for first in range(0, len(pool), _TOGETHER):
            if len(places) >= boundaries:
                break
            for rows, answer in _halves(pool[first : first + _TOGETHER], run):
                if answer is None:
                    row.lost += len(rows)
                    continue
                result, cpu = answer
                row.cpu += cpu
                row.functions += result.functions if not round_ else 0
                row.outer += result.outer
                row.counts += result.counts
                places.update(result.places)
                for mismatch in result.mismatches:
                    row.wrong[mismatch.reason][f"{mismatch.where}"] += 1
        if len(places) - before < len(places) // 50:
            break
    row.boundaries = len(places)
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
    with ThreadPoolExecutor(options.jobs) as pool:
        run = partial(_run, boundaries=options.boundaries, seed=options.seed)
        for row in pool.map(run, sorted(files, key=lambda path: path.stat().st_size)):
            rows.append(row)
            wrong = sum(sum(places.values()) for places in row.wrong.values())
            counts = [row.counts[name] for name in _COUNTS[:-1]]
            _print([row.name, row.functions, row.boundaries, row.outer, *counts, wrong])
    for machine in _MACHINES.values():
        mine = [row for row in rows if row.machine == machine]
        distinct, outer = sum(row.boundaries for row in mine), sum(row.outer for row in mine)
        lost = sum(row.lost for row in mine)
        print(
            f"{machine}: {len(mine)} files, {distinct} distinct boundaries and {outer} outer frames, "
            f"{sum(row.cpu for row in mine):.0f} s of processor time; {lost} functions lost with the emulator"
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
