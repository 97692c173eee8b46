"""What is wrong with a rule's file: place, sentence, hint, code; and how it is printed.

All problems of all files are told at once, sorted by place. The first line is `file:line:col: path: message`, so that
editors jump to it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from signatures.model import Mark

__all__ = ["Problem", "ProblemDict", "Problems", "nearest", "quoted", "render"]

#: Columns of a source line that are printed.
_MAX_LINE = 160
#: Problems kept of one file; more are counted.
MAX_PROBLEMS = 100


class ProblemDict(TypedDict):
    """A problem of a rule's file as plain data; lines and columns are counted from 1, `path` is the key inside it."""

    file: str
    line: int
    column: int
    end_column: int
    path: str
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        file: path as it was named.
        mark: where, counted from 1.
        path: the key path inside the rule ("exposed.all[1].driver"); may be empty.
        message: what is wrong.
        code: SC and three digits.
        hint: what to do; may be empty.
        line: the source line.

    """

    file: str
    mark: Mark
    path: str
    message: str
    code: str
    hint: str = ""
    line: str = ""

    def to_dict(self) -> ProblemDict:
        """Return the problem as plain data."""
        return {
            "file": self.file,
            "line": self.mark.line,
            "column": self.mark.column,
            "end_column": self.mark.end,
            "path": self.path,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
        }


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def render(problem: Problem) -> str:
    """Return the problem with its source line and a caret under the place."""
    mark = problem.mark
    where = f"{problem.path}: " if problem.path else ""
    lines = [f"{problem.file}:{mark.line}:{mark.column}: {where}{_printable(problem.message)}"]
    hint = f" {problem.hint}" if problem.hint else ""
    if not problem.line:
        lines.append(f"      |{hint}   [{problem.code}]")
        return "\n".join(lines)
    text = problem.line.replace("\t", " ")
    # Of a long line the part around the place is shown.
    cut = max(0, mark.column - 1 - _MAX_LINE // 2) if len(text) > _MAX_LINE else 0
    text = text[cut : cut + _MAX_LINE]
    start = min(mark.column - 1 - cut, len(text))
    width = max(1, min(mark.end - mark.column, len(text) - start))
    lines.append(f"{mark.line:6} | {_printable(text)}")
    lines.append(f"       | {' ' * start}{'^' * width}{hint}   [{problem.code}]")
    return "\n".join(lines)


@dataclass(slots=True)
class Problems:
    """The problems of one file."""

    file: str
    lines: Sequence[str] = ()
    items: list[Problem] = field(default_factory=list)

    def add(self, mark: Mark, path: str, message: str, code: str, hint: str = "") -> None:
        """Add one problem; equal ones are kept once, and no more than `MAX_PROBLEMS`."""
        line = self.lines[mark.line - 1] if 0 < mark.line <= len(self.lines) else ""
        item = Problem(self.file, mark, path, message, code, hint, line)
        if len(self.items) < MAX_PROBLEMS and item not in self.items:
            self.items.append(item)


def quoted(text: str) -> str:
    """Return what stands in a file as a message shows it."""
    return f'"{text[:60]}…"' if len(text) > 60 else f'"{text}"'


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a question that offers the nearest known word, or ""."""
    close = difflib.get_close_matches(word[:80], list(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""
