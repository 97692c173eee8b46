"""A scan writes nothing: the kernel's own record of what the process asked for is the judge."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.stopcode.machines import windows_folder

#: Calls that make, change or remove something on a disk, or talk to another machine.
CHANGES = (
    "creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,"
    "truncate,ftruncate,fallocate,chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,utime,utimes,utimensat,"
    "setxattr,fsetxattr,mount,connect,socket"
)
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")


def traced(log: Path, cache: Path, *words: object) -> list[str]:
    """Run the command; return its calls that open for writing, change something or reach out of the machine."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(cache),
    }
    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", f"trace=open,openat,openat2,{CHANGES}", "-o", log,
         sys.executable, "-m", "stopcode.cli.main", *map(str, words)],
        capture_output=True, text=True, env=environment, timeout=300, check=False,
    )  # fmt: skip
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("the system does not let a process trace its child")
    assert done.returncode in (0, 1, 4), done.stderr
    calls = [line.split(None, 1)[1] for line in log.read_text(errors="replace").splitlines() if "(" in line]
    assert any(call.startswith("open") for call in calls)
    return [
        call
        for call in calls
        if (not call.startswith("open") or WRITES.search(call)) and "/dev/null" not in call and str(cache) not in call
    ]


@pytest.mark.peer("strace")
@pytest.mark.parametrize("kind", ["disk", "folder"])
def test_a_scan_opens_nothing_for_writing_and_reaches_nobody(
    built: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    image = built("ws2019-failed.vhdx") if kind == "disk" else windows_folder(tmp_path / "beside" / "machine")
    beside = sorted(image.parent.iterdir())
    stamp = image.stat()
    for form in ("table", "json"):
        assert traced(tmp_path / "calls", tmp_path / "cache", "scan", "-o", form, image) == []
    assert sorted(image.parent.iterdir()) == beside
    assert (image.stat().st_mtime_ns, image.stat().st_size) == (stamp.st_mtime_ns, stamp.st_size)


@pytest.mark.peer("strace")
def test_the_judge_sees_a_file_that_is_written(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    image = windows_folder(tmp_path / "machine")
    calls = traced(tmp_path / "calls", tmp_path / "cache", "scan", "-o", "json", "--output", report, image)
    assert any("report.json" in call for call in calls)
    # The file of --output and nothing else.
    assert all(str(tmp_path) in call or "umask" in call for call in calls)
