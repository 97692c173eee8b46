"""A 34 GB fixed VHD that lies behind a server of ranges, 20 ms away: the quick answer, and a scan.

The disk is the one of `big_disk` (a 32 GiB NTFS volume with 100,000 files, 430 drivers, real hives and event logs), as
a fixed VHD. The server runs in this process, on the loopback, and waits before every answer. Each figure is of a whole
process: the quick answer (`remote_quick`: build and UBR, services, versions of the drivers that start at boot), and
`stopcode scan`, of which it is also told when the sections with the same, and the versions of all drivers, are whole.
Bytes are the server's own count; the report's are held against it. It takes some minutes, ntfs-3g, wimtools and
qemu-utils, so it runs only when named: `make bench BENCH_ARGS=remote`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.big_disk import make_raw
from benchmarks.measure import BIN, ROOT
from tests.forensics.disk.ntfs_disks import run
from tests.forensics.remote.server import Files, serving

LATENCY_S, RUNS = 0.02, 3
SECTIONS = {"system", "services", "drivers"}
MAX_QUICK_S, MAX_QUICK_BYTES, MAX_SCAN_BYTES = 10.0, 30_000_000, 100_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What had passed at one moment of a scan: seconds since the process began, bytes sent, requests answered."""

    seconds: float
    sent: int
    requests: int

    def line(self, what: str) -> str:
        """Return it as it is printed."""
        return f"  {what:<44} {self.seconds:6.2f} s   {self.sent / 1e6:6.1f} MB   {self.requests:4} requests"


class _Watch:
    """Counts from now on."""

    def __init__(self, server: Files) -> None:
        server.asked.clear()
        server.sent = 0
        self._server = server
        self._begin = time.monotonic()

    def now(self) -> Cost:
        return Cost(time.monotonic() - self._begin, self._server.sent, len(self._server.asked))


def _quick(server: Files) -> tuple[Cost, dict[str, Any]]:
    """Ask for the quick answer once; return what it cost, and what it was."""
    watch = _Watch(server)
    words = [sys.executable, "-m", "benchmarks.remote_quick", server.address("/disk.vhd")]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return watch.now(), json.loads(done.stdout)


def _scan(server: Files, report: Path) -> tuple[Cost, Cost]:
    """Scan once; return what the first sections cost, and the whole."""
    watch = _Watch(server)
    words: list[str | Path] = [
        BIN / "stopcode",
        "scan",
        "-o",
        "json",
        "--output",
        report,
        "--progress-json",
        server.address("/disk.vhd"),
    ]
    missing = set(SECTIONS)
    first = None
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if missing and line.startswith(b"{"):
                missing.discard(json.loads(line).get("section"))
                first = first or (None if missing else watch.now())
    whole = watch.now()
    assert process.returncode in (0, 1, 4), f"the scan ended with {process.returncode}"
    assert first is not None, "the scan did not tell its sections"
    return first, whole


def _middle(costs: list[Cost]) -> Cost:
    """Return the medians."""
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        round(statistics.median(cost.sent for cost in costs)),
        round(statistics.median(cost.requests for cost in costs)),
    )


def _told(what: str, kept: bool) -> bool:
    print(f"  {what}{'' if kept else '   NOT KEPT'}")
    return kept


def main() -> bool:
    """Print what was measured; return whether every bound is kept."""
    with tempfile.TemporaryDirectory(prefix="stopcode-bench-") as name, serving() as server:
        raw, disk, report = make_raw(Path(name)), Path(name) / "disk.vhd", Path(name) / "report.json"
        run("qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size=on", raw, disk)
        size = disk.stat().st_size
        server.files["/disk.vhd"] = disk
        server.latency = LATENCY_S
        answers = [_quick(server) for _ in range(RUNS)]
        scans = [_scan(server, report) for _ in range(RUNS)]
        document = json.loads(report.read_text())
    quick, first, whole = (
        _middle(costs)
        for costs in ([cost for cost, _ in answers], [cost for cost, _ in scans], [cost for _, cost in scans])
    )
    answer, facts, stats = answers[-1][1], document["facts"], document["stats"]
    versions = [version for version in answer["versions"].values() if version]
    print(f"\nA fixed VHD of {size / 1e9:.1f} GB over HTTP, {LATENCY_S * 1000:.0f} ms a request")
    print(quick.line("build, UBR, services, boot drivers' versions"))
    print(first.line("scan: system, services and all drivers whole"))
    print(whole.line("scan: to its end"))
    print(
        f"  found: build {answer['build']}.{answer['ubr']}, {answer['services']} services, {len(versions)} versions of "
        f"{len(answer['versions'])} boot drivers; the scan {len(facts['drivers'])} drivers"
    )
    same = (answer["build"], answer["ubr"], answer["services"]) == (
        facts["system"].get("build"), facts["system"].get("ubr"), len(facts["services"]),
    )  # fmt: skip
    end = scans[-1][1]
    kept = [
        _told(f"quick: to be at most {MAX_QUICK_S:g} s", quick.seconds <= MAX_QUICK_S),
        _told(f"quick: to be at most {MAX_QUICK_BYTES / 1e6:g} MB", quick.sent <= MAX_QUICK_BYTES),
        _told("quick: to be what the scan says", same),
        _told(f"scan: to be at most {MAX_SCAN_BYTES / 1e6:g} MB", whole.sent <= MAX_SCAN_BYTES),
        _told(
            f"scan: its report says {stats['bytes_read']} bytes in {stats['requests']} requests, the server {end.sent} "
            f"in {end.requests}",
            (stats["bytes_read"], stats["requests"]) == (end.sent, end.requests),
        ),
    ]
    return all(kept)
