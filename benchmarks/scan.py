"""`stopcode scan` on the demo disk beside `target-query -f hostname,version,services` on the same file."""

from __future__ import annotations

import json
import subprocess

from benchmarks.measure import BIN, ROOT, in_turn, show

MAX_BYTES_READ = 60_000_000


def main() -> bool:
    """Print the comparison; return whether every bound is kept."""
    disk = ROOT / "samples" / "built" / "ws2019-failed.vhdx"
    figures = in_turn(
        {
            "stopcode scan": [BIN / "stopcode", "scan", "-o", "json", disk],
            "target-query": [BIN / "target-query", "-q", "-f", "hostname,version,services", disk],
        }
    )
    kept = show("Scan of the demo VHDX", figures, peer="target-query", ours="stopcode scan", at_most=0.5)
    done = subprocess.run([BIN / "stopcode", "scan", "-o", "json", disk], capture_output=True, text=True, check=False)
    stats = json.loads(done.stdout)["stats"]
    fits = stats["bytes_read"] <= MAX_BYTES_READ
    print(
        f"  read {stats['bytes_read'] / 1e6:.1f} MB of the image in {stats['requests']} requests "
        f"(to be at most 60 MB){'' if fits else '   NOT KEPT'}"
    )
    return kept and fits
