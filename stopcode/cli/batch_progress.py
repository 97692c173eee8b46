"""How far a batch is, on stderr: a bar where a person watches, a line an image with -v, else nothing."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from stopcode.cli.context import Context
from stopcode.report.safe import shown

if TYPE_CHECKING:
    from rich.progress import Progress

    from stopcode.batch import Item
    from stopcode.batch.supervisor import Outcome

__all__ = ["BatchProgress", "progress_of"]


class BatchProgress(AbstractContextManager["BatchProgress"]):
    """Counts outcomes; says a line for each with -v."""

    def __init__(self, ctx: Context, total: int) -> None:
        self._ctx = ctx
        self._total = total
        self._last: dict[str, str] = {}

    @property
    def counts(self) -> Counter[str]:
        """How many images ended how."""
        return Counter(self._last.values())

    def begins(self, item: Item) -> None:
        """Take note of an image that is read now."""

    def ended(self, outcome: Outcome) -> None:
        """Take note of what became of an image."""
        self._last[outcome.uri] = outcome.how
        if self._ctx.verbosity > 0 or (outcome.how == "failed" and self._ctx.verbosity >= 0):
            note = f" ({outcome.note})" if outcome.note else ""
            self._say(f"{len(self._last)} of {self._total}: {outcome.item.path}: {outcome.how}{note}")

    def _say(self, text: str) -> None:
        self._ctx.say(text)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to take back."""


class _Bar(BatchProgress):
    """A bar that is gone at the end."""

    def __init__(self, ctx: Context, total: int) -> None:
        super().__init__(ctx, total)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        # rich writes to stdout, and draws without a terminal too, unless told otherwise.
        console = Console(file=ctx.err, markup=False, highlight=False)
        self._bar: Progress = Progress(
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=total)

    def begins(self, item: Item) -> None:
        self._bar.update(self._task, description=shown(item.path.name, 40))

    def ended(self, outcome: Outcome) -> None:
        super().ended(outcome)
        self._bar.update(self._task, completed=len(self._last))

    def _say(self, text: str) -> None:
        self._bar.console.print(f"stopcode: {shown(text)}", soft_wrap=True)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()


def progress_of(ctx: Context, total: int) -> BatchProgress:
    """Return what shows how far a batch is."""
    return _Bar(ctx, total) if ctx.progress else BatchProgress(ctx, total)
