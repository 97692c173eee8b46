"""What a report says, as lines: the one form that plain text, the terminal and Markdown are made from.

A line carries no escapes and no wrapping; its writer passes every text through `shown` at the last step, so that no
maker of lines can forget it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

__all__ = ["Line", "Tone", "aligned", "blank", "heading"]

Tone = Literal["plain", "strong", "heading", "good", "bad", "doubt", "quiet", "command"]


class Line(NamedTuple):
    """One line before wrapping.

    Attributes:
        text: what it says; wrapped text hangs below its own beginning.
        tone: what it is, never told by colour alone. A command is never wrapped: it is there to be copied.
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
