"""The unwinder against execution: real Windows binaries run in an emulator, every stack compared.

    python -m benchmarks.unwind_truth [--functions N] [--seed S] [FILE…]

Without files: every x64 binary that `make fixtures` fetched. N functions of each file are called with random
arguments; at every instruction boundary (at most three visits of an address) one frame is unwound, at every fifth
point the whole stack, and compared with what the processor really pushed. Prints one line per file; what is wrong
is grouped by its reason and listed by function. Not a timed benchmark: the figure is the number of mismatches.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from tests.parsers.fixture_files import all_fetched
from tests.parsers.unwind.truth import Result, run_file


def _line(cells: list[object]) -> str:
    widths = (34, 6, 9, 9, 9, 9, 9, 9, 9, 8, 7)
    return "".join(
        str(cell)[:33].ljust(width) if i == 0 else str(cell).rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )


def _reasons(result: Result) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for mismatch in result.mismatches:
        found[mismatch.reason][mismatch.where] += 1
    return found


def _is_x64(path: Path) -> bool:
    head = path.read_bytes()[:0x1000]
    at = int.from_bytes(head[0x3C:0x40], "little")
    return head[at + 4 : at + 6] == b"\x64\x86"


def main(arguments: list[str] | None = None) -> int:
    """Run and print; return 1 when something is wrong that no reason explains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=400, help="functions of each file (default 400)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of functions and the arguments")
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    files = options.files or [path for path in all_fetched() if path.is_file() and _is_x64(path)]
    if not files:
        print("no binaries in the cache (run `make fixtures`)", file=sys.stderr)
        return 0
    print(
        _line(["file", "funcs", "points", "distinct", "outer", "prolog", "epilog", "chained", "v2", "fp-reg", "wrong"])
    )
    unexplained = points = distinct = 0
    started = time.perf_counter()
    reasons: dict[str, dict[str, Counter[str]]] = {}
    for path in files:
        result = run_file(path, functions=options.functions, seed=options.seed)
        counts = result.counts
        cells: list[object] = [path.name, result.functions, result.points, result.boundaries, result.outer]
        cells += [counts[name] for name in ("prolog", "epilog", "chained", "v2", "fp")]
        print(_line([*cells, len(result.mismatches)]), flush=True)
        points += result.points
        distinct += result.boundaries
        reasons[path.name] = _reasons(result)
    print(f"{points} points, {distinct} distinct boundaries, {time.perf_counter() - started:.0f} s")
    for name, found in reasons.items():
        for reason, places in found.items():
            unexplained += sum(places.values()) if reason == "unexplained" else 0
            print(f"{name}: {sum(places.values())} wrong: {reason}")
            for where, count in places.most_common():
                print(f"    {where}: {count}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
