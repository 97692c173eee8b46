"""The scan as a child process: progress as JSON lines on its stderr, the report on its stdout.

A process and not a thread: it can be stopped at once, and the application stays answering beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from textual.message import Message

from tui.messages import ScanDone, ScanFailed, ScanPart, ScanStep

__all__ = ["scan_command", "scan_in_child"]

#: Bytes that one line of progress, or one whole report, may have.
MAX_SAID = 64 << 20
#: Lines of the child's own words that are kept for the case that no report comes, the newest.
MAX_WORDS = 40


def scan_command(path: str) -> list[str]:
    """Return the command that scans `path` and speaks JSON.

    `-I`: the folder that the user stands in is often the one with the evidence, and must not lend us its modules.
    """
    verb = ["-I", "-m", "stopcode.cli.main", "scan", "--progress-json", "-o", "json", "--", path]
    return [sys.executable, *verb]


async def _read_whole(stream: asyncio.StreamReader) -> bytes:
    """Return everything the stream gives.

    Raises:
        ValueError: it is more than a report can be.

    """
    pieces: list[bytes] = []
    left = MAX_SAID
    while piece := await stream.read(1 << 16):
        left -= len(piece)
        if left < 0:
            raise ValueError
        pieces.append(piece)
    return b"".join(pieces)


def _said(line: str) -> Message | None:
    """Return the message that a line of progress means, None when it is words for a person."""
    try:
        remark = json.loads(line)
    except ValueError:
        return None
    if not isinstance(remark, dict):
        return None
    if "section" in remark:
        return ScanPart(str(remark["section"]), remark.get("data"))
    number, of = remark.get("n"), remark.get("of")
    if "step" in remark:
        return ScanStep(str(remark["step"]), number if isinstance(number, int) else 0, of if isinstance(of, int) else 0)
    return None


async def scan_in_child(command: list[str], post: Callable[[Message], object]) -> None:
    """Run the scan and post a message for each step, each part and the end.

    A cancelled call (the application ends) kills the child.

    Raises:
        OSError: the command cannot be started.

    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_SAID,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    words: deque[str] = deque(maxlen=MAX_WORDS)

    async def follow_progress(stderr: asyncio.StreamReader) -> None:
        async for raw in stderr:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            message = _said(line)
            if message is not None:
                post(message)
            elif line:
                words.append(line)

    output: bytes | None = None
    try:
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(follow_progress(process.stderr))
                whole = both.create_task(_read_whole(process.stdout))
            output = whole.result()
        except* ValueError:
            # A line of progress, or a report, beyond MAX_SAID: no scan of ours writes one.
            pass
        if output is not None:
            await process.wait()
    finally:
        # A child that still runs was given up, or says too much: it must not outlive the application. Its pipes close
        # when they are read to their end, and only then is it gone for asyncio.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for stream in (process.stdout, process.stderr):
            while await stream.read(1 << 16):
                pass
        await process.wait()
    report = _report(output)
    if report is None:
        post(ScanFailed("\n".join(words) or f"the scan ended with exit code {process.returncode} and gave no report"))
    else:
        post(ScanDone(report))


def _report(output: bytes | None) -> dict[str, Any] | None:
    try:
        report = json.loads(output or b"")
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None
