"""A 34 GB fixed VHD that lies behind a server of ranges, 20 ms away: `stopcode scan` of its address.

The disk is the one of `big_disk` (a 32 GiB NTFS volume with 100,000 files, 430 drivers, real hives and event logs), as
a fixed VHD. The server runs in this process, on the loopback, and waits before every answer. Each figure is of a whole
process: the quick answer is there when the scan tells (`--progress-json`) that the sections with build and UBR, the
services, and the drivers with their versions are whole; then there is the scan to its end. Bytes are the server's own
count; the report's are held against it. It takes some minutes, ntfs-3g, wimtools and qemu-utils, so it runs only when
named: `make bench BENCH_ARGS=remote`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.big_disk import make_raw
from benchmarks.measure import BIN
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


def _scan(server: Files, report: Path) -> tuple[Cost, Cost, dict[str, Any]]:
    """Scan once; return what the first sections cost, what the whole did, and the first sections."""
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
    told: dict[str, Any] = {}
    first = None
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            remark = json.loads(line) if line.startswith(b"{") else {}
            if first is None and remark.get("section") in SECTIONS:
                told[remark["section"]] = remark["data"]
                first = watch.now() if set(told) == SECTIONS else None
    whole = watch.now()
    assert process.returncode in (0, 1, 4), f"the scan ended with {process.returncode}"
    assert first is not None, "the scan did not tell its sections"
    return first, whole, told


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
        scans = [_scan(server, report) for _ in range(RUNS)]
        stats = json.loads(report.read_text())["stats"]
    quick, whole = (_middle([scan[which] for scan in scans]) for which in (0, 1))
    _, end, facts = scans[-1]
    boot = [driver for driver in facts["drivers"] if driver.get("start") == "boot" and not driver.get("missing")]
    lacking = [driver["file"] for driver in boot if "version" not in driver]
    print(f"\nA fixed VHD of {size / 1e9:.1f} GB over HTTP, {LATENCY_S * 1000:.0f} ms a request")
    print(quick.line("build, UBR, services, drivers' versions"))
    print(whole.line("the scan to its end"))
    print(
        f"  found: build {facts['system'].get('build')}.{facts['system'].get('ubr')}, {len(facts['services'])} "
        f"services, {len(facts['drivers'])} drivers, {len(boot)} of them start at boot"
    )
    kept = [
        _told(f"quick: to be at most {MAX_QUICK_S:g} s", quick.seconds <= MAX_QUICK_S),
        _told(f"quick: to be at most {MAX_QUICK_BYTES / 1e6:g} MB", quick.sent <= MAX_QUICK_BYTES),
        _told(f"quick: versions of boot drivers that are lacking: {len(lacking)}", bool(boot) and not lacking),
        _told(f"scan: to be at most {MAX_SCAN_BYTES / 1e6:g} MB", whole.sent <= MAX_SCAN_BYTES),
        _told(
            f"scan: its report says {stats['bytes_read']} bytes in {stats['requests']} requests, the server {end.sent} "
            f"in {end.requests}",
            (stats["bytes_read"], stats["requests"]) == (end.sent, end.requests),
        ),
    ]
    return all(kept)
