"""Lines as plain text for a pipe or a file: no wrapping, no boxes, no colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from stopcode.report.lines import Line
from stopcode.report.safe import shown

__all__ = ["ascii_text", "write_plain"]

#: What the reports and rules draw beyond ASCII, for a stream that cannot carry it.
_ASCII = str.maketrans(
    {
        "✖": "x",
        "▲": "!",
        "·": ".",
        "–": "-",
        "—": "-",
        "…": "...",
        "→": "->",
        "’": "'",
        "“": '"',
        "”": '"',
        "≥": ">=",
        "├": "|",
        "└": "`",
        "─": "-",
        "│": "|",
    }
)


def ascii_text(text: str) -> str:
    """Return a text with the usual signs beyond ASCII replaced; others stay."""
    return text.translate(_ASCII)


def write_plain(lines: Iterable[Line], out: TextIO, *, unicode: bool = True) -> None:
    """Write lines as they are, each on one line."""
    for line in lines:
        text = f"{' ' * line.indent}{shown(line.lead)}{shown(line.text)}".rstrip()
        out.write((text if unicode else ascii_text(text)) + "\n")
