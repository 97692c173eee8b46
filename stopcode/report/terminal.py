"""Lines on a terminal: wrapped to its width with hanging indents, in colour. The only user of rich for reports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from stopcode.report.lines import UNWRAPPED, Line, Tone
from stopcode.report.plain import ascii_text
from stopcode.report.safe import shown

__all__ = ["write_terminal"]

#: Bold, dim and underline tell as much as the colours: no meaning is in colour alone.
_STYLES: dict[Tone, Style] = {
    "plain": Style(),
    "strong": Style(bold=True),
    "heading": Style(bold=True, color="cyan"),
    "good": Style(bold=True, color="green"),
    "bad": Style(bold=True, color="red"),
    "doubt": Style(color="yellow"),
    "quiet": Style(dim=True),
    "command": Style(color="green"),
    "verbatim": Style(),
}
_LEAD = Style(dim=True)
#: Text is never squeezed into less than this: a deep lead gives way then.
_NARROWEST = 24


def write_terminal(lines: Iterable[Line], out: TextIO, *, width: int, colour: bool, unicode: bool = True) -> None:
    """Write lines for a person.

    Args:
        lines: what to say.
        out: the terminal.
        width: its columns; 0 means no wrapping.
        colour: whether escape sequences may be written.
        unicode: whether it can carry more than ASCII.

    """
    console = Console(
        file=out,
        width=width or 10_000,
        force_terminal=colour,
        color_system="standard" if colour else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    for line in lines:
        lead, text = shown(line.lead), shown(line.text)
        if not unicode:
            lead, text = ascii_text(lead), ascii_text(text)
        style = _STYLES[line.tone]
        if not width or line.tone in UNWRAPPED:
            whole = Text.assemble(" " * line.indent, (lead, _LEAD), (text, style))
            console.print(whole, soft_wrap=True)
            continue
        indent = min(line.indent, max(width - _NARROWEST, 0))
        hang = indent + cell_len(lead)
        if width - hang < _NARROWEST and lead:
            console.print(Text.assemble(" " * indent, (lead.rstrip(), _LEAD)), soft_wrap=True)
            lead, hang = "", indent + 2
            first = " " * hang
        else:
            first = " " * indent
        pieces = Text(text, style).wrap(console, max(width - hang, 2), overflow="fold")
        for number, piece in enumerate(pieces or [Text("")]):
            piece.rstrip()
            head = Text.assemble(first, (lead, _LEAD)) if number == 0 else Text(" " * hang)
            console.print(Text.assemble(head, piece) if piece.plain else Text(head.plain.rstrip()), soft_wrap=True)
