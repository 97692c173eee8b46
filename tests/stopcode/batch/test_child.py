"""Whatever becomes of a worker, the supervisor gets a report or a reason, and no process is left."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopcode.batch.child import Failure, environment_of_child, scan_in_child
from stopcode.batch.protocol import Request, message_of
from tests.stopcode.batch.fake import FakeWorker


def scan(worker: FakeWorker, path: Path, timeout: float = 60) -> dict[str, object] | Failure:
    answer = asyncio.run(scan_in_child(Request(str(path)), timeout, command=worker.command))
    for pid in worker.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    return answer


def failure(worker: FakeWorker, path: Path, timeout: float = 60) -> tuple[str, str, bool]:
    answer = scan(worker, path, timeout)
    assert isinstance(answer, Failure)
    return answer.diagnostic.code, answer.diagnostic.message, answer.readable


def test_a_good_worker_gives_its_report(worker: FakeWorker, images: Callable[..., Path]) -> None:
    answer = scan(worker, images("good.vhdx") / "good.vhdx")
    assert isinstance(answer, dict)
    assert answer["facts"]["system"]["hostname"] == "good"  # type: ignore[index]  # a document


@pytest.mark.parametrize(
    ("verb", "code", "said", "readable"),
    [
        ("killed", "worker.crashed", "killed by SIGKILL during drivers", True),
        ("segv", "worker.crashed", "killed by SIGSEGV during drivers", True),
        ("xcpu", "worker.timeout", "used up its processor time during drivers", True),
        ("garbage", "worker.protocol", "its answer is no message during drivers", True),
        ("list", "worker.protocol", "its answer is no message during drivers", True),
        ("deep", "worker.protocol", "its answer is no message during drivers", True),
        ("half", "worker.protocol", "its answer is no message during drivers", True),
        ("odd", "worker.protocol", "not of a report's shape: ", True),
        ("noisy", "worker.crashed", "exit code 7 during drivers: the last words", True),
        ("silent", "worker.crashed", "exit code 0 during drivers", True),
        ("unreadable", "image.no-windows", "no Windows", False),
        ("memory", "worker.memory", "too much during drivers", True),
        ("bug", "worker.bug", "KeyError: 'x' during drivers", True),
    ],
)
def test_a_bad_worker_is_told_with_its_step(
    worker: FakeWorker, images: Callable[..., Path], verb: str, code: str, said: str, readable: bool
) -> None:
    told = failure(worker, images(f"{verb}.vhdx") / f"{verb}.vhdx")
    assert told[0] == code
    assert said in told[1]
    assert told[2] is readable


@pytest.mark.parametrize("verb", ["late", "deaf"])
def test_a_worker_that_takes_too_long_is_killed(worker: FakeWorker, images: Callable[..., Path], verb: str) -> None:
    code, message, readable = failure(worker, images(f"{verb}.vhdx") / f"{verb}.vhdx", timeout=1.5)
    assert (code, readable) == ("worker.timeout", True)
    assert "not done after 1.5 s during drivers" in message


def test_an_answer_beyond_the_limit_is_cut_short(
    worker: FakeWorker, images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stopcode.batch.child.MAX_ANSWER", 1 << 20)
    code, message, _ = failure(worker, images("flood.vhdx") / "flood.vhdx")
    assert code == "worker.protocol"
    assert "longer than 1 MiB" in message


def test_of_a_long_stderr_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from stopcode.batch.child import _Watch

    monkeypatch.setattr("stopcode.batch.child.MAX_STDERR", 100)
    watch = _Watch(lambda _step: None)

    async def feed() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(b"x" * 1_000 + b"\nthe end \xff\n\n")
        stream.feed_eof()
        await watch.errors(stream)

    asyncio.run(feed())
    assert len(watch.stderr) == 100
    assert watch.last_words == "the end \ufffd"


def test_a_worker_that_cannot_be_started_is_told() -> None:
    answer = asyncio.run(scan_in_child(Request("x"), 5, command=["/no/such/program"]))
    assert isinstance(answer, Failure)
    assert answer.diagnostic.code == "worker.crashed"
    assert "could not be started" in answer.diagnostic.message


def test_a_cancelled_scan_kills_its_worker(worker: FakeWorker, images: Callable[..., Path]) -> None:
    path = images("late.vhdx") / "late.vhdx"

    async def cancel() -> None:
        begun = asyncio.Event()
        scanning = asyncio.create_task(
            scan_in_child(Request(str(path)), 600, command=worker.command, step=lambda _step: begun.set())
        )
        await asyncio.wait_for(begun.wait(), 60)
        scanning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scanning

    asyncio.run(cancel())
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pids[0], 0)


def test_a_child_gets_no_secret_of_the_environment() -> None:
    given_to_us = {"PATH": "/bin", "HOME": "/h", "AZURE_STORAGE_SAS_TOKEN": "s", "PYTHONPATH": "x", "TZ": "Asia/Tokyo"}
    assert environment_of_child(given_to_us) == {"PATH": "/bin", "HOME": "/h", "TZ": "UTC"}


@given(
    path=st.text(st.characters(codec=None)), signatures=st.lists(st.text()), memory=st.integers(0), cpu=st.integers(0)
)
def test_a_request_survives_its_line(path: str, signatures: list[str], memory: int, cpu: int) -> None:
    request = Request(path, tuple(signatures), memory, cpu)
    line = request.to_line()
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert Request.from_line(line) == request


@given(st.binary() | st.text().map(str.encode))
def test_any_line_is_a_message_or_none(line: bytes) -> None:
    message = message_of(line)
    assert message is None or isinstance(message, dict)


def test_the_workers_own_interpreter_is_ours() -> None:
    from stopcode.batch.child import WORKER

    assert WORKER[0] == sys.executable
    assert "-I" in WORKER
