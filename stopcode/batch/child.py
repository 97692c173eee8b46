"""One image in one child process: start it, hear it, and whatever becomes of it, say what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parsers.diagnostics import Diagnostic
from stopcode.batch.protocol import MAX_ANSWER, MAX_STDERR, Request, message_of
from stopcode.report.shape import problems
from stopcode.report.stored import document_schema

__all__ = ["WORKER", "Failure", "environment_of_child", "scan_in_child"]

#: `-I`: neither the folder one stands in nor PYTHONPATH lends the worker a module.
WORKER: tuple[str, ...] = (sys.executable, "-I", "-m", "stopcode.batch.worker")
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "XDG_CACHE_HOME")


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that gave no report.

    Attributes:
        diagnostic: why.
        readable: False where the image itself gives nothing (exit code 3); True where its worker was lost.

    """

    diagnostic: Diagnostic
    readable: bool


def environment_of_child(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a child gets of the environment: no secret that a hostile image could make it tell."""
    return {**{name: environment[name] for name in _KEPT if name in environment}, "TZ": "UTC"}


class _Watch:
    """What the child said so far."""

    def __init__(self, step: Callable[[str], object]) -> None:
        self._tell = step
        self.step = ""
        self.answer: dict[str, Any] | None = None
        self.broken = ""
        self.stderr = b""

    async def answers(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:
                self.broken = f"its answer is longer than {MAX_ANSWER >> 20} MiB"
                return
            if not line:
                return
            message = message_of(line)
            if message is None or (not line.endswith(b"\n")):
                self.broken = "its answer is no message"
                return
            if isinstance(message.get("step"), str):
                self.step = message["step"]
                self._tell(self.step)
            elif isinstance(message.get("report"), dict) or isinstance(message.get("error"), dict):
                self.answer = message

    async def errors(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(1 << 16):
            self.stderr = (self.stderr + piece)[-MAX_STDERR:]

    @property
    def last_words(self) -> str:
        """Return the last line of stderr."""
        lines = self.stderr.decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


async def scan_in_child(
    request: Request,
    timeout: float,
    *,
    command: Sequence[str] = WORKER,
    step: Callable[[str], object] = lambda _name: None,
) -> dict[str, Any] | Failure:
    """Scan one image in a child of its own and return its report, or why there is none.

    Cancelled, it kills the child before it returns.

    Args:
        request: what to scan.
        timeout: seconds that it may take.
        command: the worker.
        step: told the name of each step that begins.

    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_ANSWER,
            env=environment_of_child(os.environ),
            cwd=os.path.abspath(os.sep),  # noqa: PTH100 - the root, whatever it is called
            # Ctrl+C in the terminal is for the supervisor; it decides what becomes of its children.
            start_new_session=True,
        )
    except OSError as error:
        return Failure(_lost("worker.crashed", f"the worker could not be started: {error.strerror}", ""), True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    watch = _Watch(step)
    late = gone = False
    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as both:
            both.create_task(watch.errors(process.stderr))
            with contextlib.suppress(ConnectionError):
                process.stdin.write(request.to_line())
                await process.stdin.drain()
            await watch.answers(process.stdout)
            if watch.broken:
                _kill(process)
                await _drain(process.stdout)
            await process.wait()
        gone = True
    except TimeoutError:
        late = True
    finally:
        if not gone:
            _kill(process)
        process.stdin.close()
        await _drain(process.stdout)
        await _drain(process.stderr)
        await process.wait()
    return _outcome(watch, process.returncode or 0, timeout if late else None)


async def _drain(stream: asyncio.StreamReader) -> None:
    """Read a pipe to its end: only then asyncio closes it, and knows the process for gone."""
    while await stream.read(1 << 16):
        pass


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _lost(code: str, message: str, hint: str, source: str = "") -> Diagnostic:
    return Diagnostic("error", code, message, hint, source)


def _outcome(watch: _Watch, code: int, late: float | None) -> dict[str, Any] | Failure:
    during = f" during {watch.step}" if watch.step else ""
    alone = "stopcode scan shows more of it; the other images are not touched by this"
    if late is not None:
        return Failure(
            _lost("worker.timeout", f"not done after {late:g} s{during}, and stopped", "give it longer: --timeout"),
            True,
        )
    if watch.broken:
        return Failure(_lost("worker.protocol", f"{watch.broken}{during}; it was stopped", alone), True)
    answer = watch.answer or {}
    if "report" in answer:
        # The child may have been taken over by what it read: what it says is believed as little as the image.
        wrong = problems(answer["report"], document_schema("report"))
        if not wrong:
            return dict(answer["report"])
        told = "; ".join(wrong[:3])
        return Failure(_lost("worker.protocol", f"its answer is not of a report's shape: {told}", alone), True)
    if "error" in answer:
        return _told(answer["error"], during)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if name == "SIGXCPU":
            return Failure(
                _lost("worker.timeout", f"used up its processor time{during}", "give it longer: --timeout"), True
            )
        hint = "the system may be short of memory: fewer at once (-j 1)" if name == "SIGKILL" else alone
        return Failure(_lost("worker.crashed", f"its worker was killed by {name}{during}", hint), True)
    said = f": {watch.last_words}" if watch.last_words else ""
    return Failure(_lost("worker.crashed", f"its worker ended with exit code {code}{during}{said}", alone), True)


def _told(error: Mapping[str, Any], during: str) -> Failure:
    message, hint = str(error.get("message")), str(error.get("hint") or "")
    if error.get("kind") == "open":
        return Failure(_lost(f"image.{error.get('code') or 'unreadable'}", message, hint), False)
    if error.get("kind") == "memory":
        return Failure(_lost("worker.memory", f"{message}{during}", hint), True)
    return Failure(_lost("worker.bug", f"{message}{during}", hint), True)
