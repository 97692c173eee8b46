"""What it costs to say `--help`, and which imports are the dear ones."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measure import BIN, in_turn, show


def main() -> bool:
    """Print the comparison and the ten dearest imports of `stopcode dump --help`; nothing is bounded."""
    figures = in_turn(
        {"stopcode --help": [BIN / "stopcode", "--help"], "python -c pass": [sys.executable, "-c", "pass"]}, runs=7
    )
    show("Start-up", figures, peer="python -c pass", ours="stopcode --help", at_most=None)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "stopcode.cli.main", "dump", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = []
    for line in done.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[1].strip().isdigit():
            rows.append((int(parts[1]), parts[2].strip()))
    for cost, name in sorted(rows, reverse=True)[:10]:
        print(f"  {cost / 1000:7.1f} ms  {name}")
    return True
