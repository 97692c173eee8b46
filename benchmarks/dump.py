"""`stopcode dump` beside a bare interpreter, and beside volatility3 on the dumps that both read.

volatility3 knows full and bitmap dumps (types 1 and 5) and wants kernel symbols for most plugins; what is timed is
the least it can be asked for, `windows.crashinfo`-like work up to the point where it gives up for want of symbols.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import BENCH_BIN, BIN, ROOT, in_turn, show


def small_dump() -> Path | None:
    """A real small dump of about 1.5 MB from the shared data, where it is there."""
    shared = Path(os.environ.get("STOPCODE_SHARED", ROOT.parent / "shared"))
    path = shared / "data" / "dumps" / "triage_x64.dmp"
    return path if path.exists() else None


def main() -> bool:
    """Print the comparisons; return whether every bound is kept."""
    kept = True
    dump = small_dump()
    if dump is None:
        print("\nNo real small dump here (set STOPCODE_SHARED): left out")
    else:
        for form in ("json", "table"):
            figures = in_turn(
                {
                    f"stopcode dump -o {form}": [BIN / "stopcode", "dump", "-o", form, dump],
                    "python -c pass": [sys.executable, "-c", "pass"],
                },
                runs=7,
            )
            ours = f"stopcode dump -o {form}"
            kept &= show(
                f"A small dump of {dump.stat().st_size / 1e6:.1f} MB, as {form}",
                figures,
                peer="python -c pass",
                ours=ours,
                at_most=15,
            )
    from samples.dumps import write_benchmark_dumps

    volatility = BENCH_BIN / "vol"
    if not volatility.exists():
        print("\nvolatility3 is not installed in .venv-bench: left out (make bench installs it)")
        return kept
    with tempfile.TemporaryDirectory() as folder:
        for name, path in write_benchmark_dumps(Path(folder)).items():
            figures = in_turn(
                {
                    "stopcode dump": [BIN / "stopcode", "dump", "-o", "json", path],
                    "volatility3": [volatility, "-q", "--offline", "-f", path, "windows.crashinfo"],
                },
                runs=3,
            )
            kept &= show(f"A {name} dump", figures, peer="volatility3", ours="stopcode dump", at_most=1)
    return kept
