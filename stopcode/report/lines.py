"""What a report says, as lines: the one form that plain text, the terminal and Markdown are made from.

A line carries no escapes and no wrapping; its writer passes every text through `shown` at the last step, so that no
maker of lines can forget it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

__all__ = ["UNWRAPPED", "Line", "Tone", "aligned", "blank", "heading", "paragraphs"]

Tone = Literal["plain", "strong", "heading", "good", "bad", "doubt", "quiet", "command", "verbatim"]

#: A command is there to be copied, and a drawing has its own shape: the terminal may break them, we do not.
UNWRAPPED: frozenset[Tone] = frozenset({"command", "verbatim"})


class Line(NamedTuple):
    """One line before wrapping.

    Attributes:
        text: what it says; wrapped text hangs below its own beginning.
        tone: what it is, never told by colour alone.
        indent: columns of space before it.
        lead: a label, number or earlier cells of a table before the text; not wrapped.

    """

    text: str
    tone: Tone = "plain"
    indent: int = 0
    lead: str = ""


def blank() -> Line:
    """Return an empty line."""
    return Line("")


def heading(text: str) -> Iterator[Line]:
    """Yield the beginning of a section."""
    yield blank()
    yield Line(text, "heading")


def aligned(rows: Iterable[Sequence[str]], *, indent: int = 0, tones: Sequence[Tone] = ()) -> Iterator[Line]:
    """Yield the rows of a table: cells in columns, two spaces apart; only the last cell of a row is wrapped."""
    table = [list(row) for row in rows]
    if not table:
        return
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]) - 1)]
    for number, row in enumerate(table):
        lead = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths, strict=True))
        yield Line(row[-1], tones[number] if number < len(tones) else "plain", indent, lead)


def paragraphs(text: str, *, indent: int = 0) -> Iterator[Line]:
    """Yield a text that was wrapped where it was written, a line a paragraph; an empty line stands between two."""
    for part in text.strip().split("\n\n"):
        yield Line(" ".join(part.split()), indent=indent)
