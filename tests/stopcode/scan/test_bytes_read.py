"""What a report says of reading is what the process read: the kernel's own record of its calls is the judge."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

_OPENED = re.compile(r'openat\([^"]*"(?P<path>[^"]*)".* = (?P<fd>\d+)$')
_READ = re.compile(r"\b(?:read|pread64|readv|preadv)\((?P<fd>\d+),.* = (?P<count>\d+)$")
_MAPPED = re.compile(r"mmap\([^,]+, [^,]+, [^,]+, [^,]+, (?P<fd>\d+),")


def read_of(image: Path, log: Path, *words: object) -> tuple[int, int, dict[str, int]]:
    """Run the command; return the bytes and the calls with which the process read a file, and the report's word."""
    done = subprocess.run(
        ["strace", "-f", "-qq", "-s", "0", "-e", "trace=openat,read,pread64,readv,preadv,mmap", "-o", log,
         sys.executable, "-m", "stopcode.cli.main", *map(str, words)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=300, check=False,
    )  # fmt: skip
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("the system does not let a process trace its child")
    assert done.returncode in (0, 1, 4), done.stderr
    ours: set[str] = set()
    size = count = 0
    for line in log.read_text(errors="replace").splitlines():
        if opened := _OPENED.search(line):
            (ours.add if opened["path"].endswith(image.name) else ours.discard)(opened["fd"])
        elif (read := _READ.search(line)) and read["fd"] in ours and read["count"] != "0":
            size += int(read["count"])
            count += 1
        elif mapped := _MAPPED.search(line):
            assert mapped["fd"] not in ours
    return size, count, json.loads(done.stdout)["stats"]


@pytest.mark.peer("strace")
def test_bytes_and_requests_of_a_report_are_those_of_the_process(built: Callable[[str], Path], tmp_path: Path) -> None:
    disk = built("ws2019-failed.vhdx")
    for verb in ("scan", "disk"):
        size, count, stats = read_of(disk, tmp_path / "calls", verb, "-o", "json", disk)
        assert (stats["bytes_read"], stats["requests"]) == (size, count)
