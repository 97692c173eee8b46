"""The real worker, as a process of its own: it reads, it answers, and it cannot be made to take more than its share."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stopcode.batch.child import WORKER, Failure, scan_in_child
from stopcode.batch.protocol import Request
from tests.stopcode.machines import windows_folder

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no rlimits")


def scan(request: Request) -> dict[str, Any] | Failure:
    return asyncio.run(scan_in_child(request, 120))


def test_a_folder_image_gives_the_same_report_as_a_scan_in_this_process(tmp_path: Path) -> None:
    from stopcode.scan import scan as scan_here

    folder = windows_folder(tmp_path / "m", hostname="WEB07")
    steps: list[str] = []
    report = asyncio.run(scan_in_child(Request(str(folder)), 120, step=steps.append))
    assert isinstance(report, dict)
    here = json.loads(json.dumps(scan_here(str(folder))))
    for document in (here, report):
        del document["stats"]
    assert report == here
    assert report["facts"]["system"]["hostname"] == "WEB07"
    assert steps[0] == "open"
    assert steps[-1] == "judge"


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "not-a-disk"), (b"hello " * 900, "not-a-disk"), (None, "input-not-found")]
)
def test_an_input_that_gives_nothing_is_told_with_its_kind(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "x.vhd"
    if content is not None:
        path.write_bytes(content)
    answer = scan(Request(str(path)))
    assert isinstance(answer, Failure)
    assert answer.diagnostic.code == f"image.{code}"
    assert not answer.readable


@pytest.mark.skipif(os.name != "posix", reason="names that are no text exist on POSIX systems alone")
def test_a_name_that_is_no_text_reaches_the_worker(tmp_path: Path) -> None:
    path = os.fsdecode(bytes(tmp_path) + b"/\xff\x1b.vhd")
    Path(path).write_bytes(b"")
    answer = scan(Request(path))
    assert isinstance(answer, Failure)
    assert answer.diagnostic.code == "image.not-a-disk", answer.diagnostic


@posix
def test_memory_beyond_the_limit_is_told_and_harms_nobody(tmp_path: Path) -> None:
    folder = windows_folder(tmp_path / "m")
    # Less than the interpreter has already: the next allocation of any size fails.
    answer = scan(Request(str(folder), memory=1 << 20))
    assert isinstance(answer, Failure)
    assert answer.diagnostic.code in ("worker.memory", "worker.crashed")
    assert answer.readable


LIMITED = """
import resource, signal, sys
from stopcode.batch.protocol import Request
from stopcode.batch.worker import confine
confine(Request("x", (), 1 << 30, 7))
{what}
"""


def limited(what: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", LIMITED.format(what=what)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@posix
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("bytearray(2 << 30)", "MemoryError"),
        ("open('file', 'wb', 0).write(b'x')", "File too large"),
        ("[open('/dev/null') for _ in range(2000)]", "Too many open files"),
    ],
)
def test_a_confined_process_meets_each_limit(tmp_path: Path, what: str, said: str) -> None:
    done = limited(what, tmp_path)
    assert done.returncode == 1
    assert said in done.stderr


@posix
def test_a_confined_process_leaves_no_core_and_has_an_end(tmp_path: Path) -> None:
    done = limited("print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_CPU))", tmp_path)
    assert done.stdout.split(") (") == ["(0, 0", "7, 17)\n"]


def test_what_a_library_prints_does_not_disturb_the_answer(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "import stopcode.scan\n"
        "def scan(path, **_):\n"
        "    print('from python'); sys.stdout.flush(); os.write(1, b'from C\\n')\n"
        "    return {'path': path}\n"
        "stopcode.scan.scan = scan\n"
        "from stopcode.batch.worker import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-I", "-c", code]
    answer = asyncio.run(scan_in_child(Request("somewhere"), 120, command=command))
    # The report itself is none, and that is all that is wrong with the answer.
    assert isinstance(answer, Failure)
    assert "not of a report's shape" in answer.diagnostic.message


def test_a_bug_in_the_reader_is_told_with_its_last_step(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import stopcode.scan\n"
        "def scan(path, *, progress, **_):\n"
        "    progress(stopcode.scan.Progress('drivers', 2, 9))\n"
        "    raise KeyError('x')\n"
        "stopcode.scan.scan = scan\n"
        "from stopcode.batch.worker import main\n"
        "sys.exit(main())\n"
    )
    answer = asyncio.run(scan_in_child(Request("somewhere"), 120, command=[sys.executable, "-I", "-c", code]))
    assert isinstance(answer, Failure)
    assert answer.diagnostic.code == "worker.bug"
    assert "KeyError: 'x' during drivers" in answer.diagnostic.message


def test_a_worker_ends_with_its_supervisor(tmp_path: Path) -> None:
    """The supervisor's end of the pipe closes when it dies, however it dies."""
    code = (
        "import sys, time\n"
        "import stopcode.scan\n"
        "def scan(path, *, progress, **_):\n"
        "    progress(stopcode.scan.Progress('drivers', 2, 9))\n"
        "    time.sleep(600)\n"
        "stopcode.scan.scan = scan\n"
        "from stopcode.batch.worker import main\n"
        "sys.exit(main())\n"
    )
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(Request("somewhere").to_line())
        worker.stdin.flush()
        assert b"drivers" in worker.stdout.readline()
        worker.stdin.close()
        assert worker.wait(60) == 1


def test_a_worker_takes_no_module_from_the_folder_one_stands_in(tmp_path: Path) -> None:
    for name in ("json.py", "construct.py", "stopcode.py", "signatures.py"):
        (tmp_path / name).write_text("raise SystemExit('taken over')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path, env=environment
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(Request(str(tmp_path / "none")).to_line())
        worker.stdin.flush()
        said = worker.stdout.read()
    assert b"taken over" not in said
    assert b"input-not-found" in said
