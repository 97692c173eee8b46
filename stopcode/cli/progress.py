"""Progress on stderr: one line that a person watches, or JSON lines that a program reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from stopcode.cli.context import Context
from stopcode.report.safe import shown
from stopcode.scan.progress import Progress, doing

__all__ = ["JsonProgress", "LineProgress", "PercentProgress", "watcher_of"]

_CLEAR = "\r\x1b[K"


def _end_of(name: str, room: int) -> str:
    """Return a path that fits: its end tells more than its beginning."""
    if len(name) <= room:
        return name
    return f"...{name[3 - room :]}" if room > 3 else ""


class LineProgress:
    """One line on a terminal, gone at the end. Nothing is drawn where nobody watches."""

    def __init__(self, err: TextIO, name: str, *, width: int = 80) -> None:
        self._err = err
        self._name = name
        self._width = width
        self._drawn = False

    def __call__(self, remark: Progress) -> None:
        """Draw a step."""
        if remark.section is not None:
            return
        count = f" ({remark.n + 1} of {remark.of})" if remark.of else ""
        step = shown(f": {doing(remark.step)}{count}")
        self._err.write(f"{_CLEAR}{_end_of(shown(self._name), self._width - 1 - len(step))}{step}"[: self._width + 3])
        self._err.flush()
        self._drawn = True

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._drawn:
            self._err.write(_CLEAR)
            self._err.flush()


class JsonProgress:
    """JSON lines: `{"step", "n", "of"}` when a step begins, `{"section", "data"}` when a section is whole."""

    def __init__(self, err: TextIO) -> None:
        self._err = err

    def __call__(self, remark: Progress) -> None:
        """Write a remark."""
        if remark.section is not None:
            line = json.dumps({"section": remark.section, "data": remark.data})
        else:
            line = json.dumps({"step": remark.step, "n": remark.n, "of": remark.of})
        self._err.write(line + "\n")
        self._err.flush()

    def __enter__(self) -> JsonProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to take back."""


class VerboseProgress(JsonProgress):
    """A line a step, for a log."""

    def __init__(self, ctx: Context, name: str) -> None:
        super().__init__(ctx.err)
        self._ctx = ctx
        self._name = name

    def __call__(self, remark: Progress) -> None:
        """Write a step."""
        if remark.section is None:
            self._ctx.say(f"{self._name}: {doing(remark.step)}")


class NoProgress(JsonProgress):
    """Says nothing."""

    def __call__(self, remark: Progress) -> None:
        """Say nothing."""


class PercentProgress:
    """How much of one long reading is done: a line on the terminal that counts up, where somebody watches.

    Args:
        ctx: streams; with `-v`, where nobody watches, what is done is said once.
        doing: what is done ("copying a to b").

    """

    def __init__(self, ctx: Context, doing: str) -> None:
        self._ctx = ctx
        self._doing = doing
        self._shown = -1

    def __enter__(self) -> Callable[[int, int], None]:
        if not self._ctx.progress and self._ctx.verbosity > 0:
            self._ctx.say(self._doing)
        return self._draw

    def _draw(self, done: int, total: int) -> None:
        percent = done * 100 // max(total, 1)
        if not self._ctx.progress or percent == self._shown:
            return
        self._shown = percent
        text = shown(f"{percent:3} %  {self._doing}")[: self._ctx.width - 1]
        self._ctx.err.write(f"{_CLEAR}{text}")
        self._ctx.err.flush()

    def __exit__(self, *_exc: object) -> None:
        if self._shown >= 0:
            self._ctx.err.write(_CLEAR)
            self._ctx.err.flush()


def watcher_of(ctx: Context, path: str, *, as_json: bool) -> LineProgress | JsonProgress:
    """Return who is told what a scan does."""
    if as_json:
        return JsonProgress(ctx.err)
    if ctx.progress:
        return LineProgress(ctx.err, path, width=ctx.width)
    return VerboseProgress(ctx, path) if ctx.verbosity > 0 else NoProgress(ctx.err)
