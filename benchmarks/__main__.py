"""`make bench`: run all benchmarks, or those named (`make bench BENCH_ARGS=scan`)."""

from __future__ import annotations

import importlib
import sys

NAMES = ("startup", "scan", "readers", "dump")
#: Long: run only when named.
WHEN_NAMED = ("big_disk", "remote", "unwind_truth")


def main(names: list[str]) -> int:
    """Run benchmarks by name; return 1 when a bound was not kept."""
    unknown = sorted(set(names) - {*NAMES, *WHEN_NAMED})
    if unknown:
        print(
            f"no such benchmark: {', '.join(unknown)} (there are {', '.join((*NAMES, *WHEN_NAMED))})", file=sys.stderr
        )
        return 2
    kept = True
    for name in names or list(NAMES):
        kept &= importlib.import_module(f"benchmarks.{name}").main()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
