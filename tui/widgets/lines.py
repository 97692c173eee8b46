"""Lines of a report, drawn: each wraps below its own beginning."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from stopcode.report.lines import Line, Tone
from stopcode.report.plain import ascii_text, write_plain
from stopcode.report.safe import shown

__all__ = ["STYLE", "LinesPane", "as_block"]

#: Orange against blue and not red against green: most people tell these two apart. Every state is a word besides.
STYLE: dict[Tone, str] = {
    "plain": "",
    "strong": "bold",
    "heading": "bold #87d7ff",
    "good": "bold #5fafff",
    "bad": "bold #ffaf5f",
    "doubt": "italic #ffd787",
    "quiet": "#9e9e9e",
    "command": "bold #d7d7ff",
    "verbatim": "",
}
#: Columns of a lead beyond which the text gets a line of its own.
_WIDEST_LEAD = 24


def as_block(lines: Iterable[Line], *, ascii_only: bool = False) -> Group:
    """Return lines as one block; every text is made safe here, at the last step."""
    drawn: list[RenderableType] = []
    for line in lines:
        lead, text = shown(line.lead), shown(line.text)
        if ascii_only:
            lead, text = ascii_text(lead), ascii_text(text)
        style = STYLE[line.tone]
        if line.tone == "heading" and drawn:
            drawn.append(Text(""))
        if lead and cell_len(lead) <= _WIDEST_LEAD:
            row = Table.grid(padding=0)
            row.add_column(width=cell_len(lead))
            row.add_column()
            # The end of a lead is its distance from the text.
            row.add_row(Text(lead, style=STYLE["quiet"], no_wrap=True), Text(text, style=style))
            drawn.append(Padding(row, (0, 0, 0, line.indent)))
        else:
            whole = Text.assemble((lead, STYLE["quiet"]), (text, style))
            drawn.append(Padding(whole, (0, 0, 0, line.indent)))
    return Group(*drawn)


class LinesPane(VerticalScroll):
    """Lines that wrap and scroll; `plain` is what `y` copies."""

    can_focus = True

    def __init__(self, *, id: str, title: str, ascii_only: bool = False) -> None:
        super().__init__(id=id, classes="pane")
        self.border_title = title
        self._ascii = ascii_only
        self._body = Static("", markup=False)
        self._below = Static("", markup=False, classes="below")
        self.plain = ""

    def compose(self) -> Iterable[Static]:
        """Hold the lines, and what the theme shows below them on narrow screens."""
        yield self._body
        yield self._below

    def show(self, lines: Sequence[Line], *, below: Sequence[Line] = ()) -> None:
        """Replace the lines."""
        out = io.StringIO()
        write_plain(lines, out)
        self.plain = out.getvalue()
        self._body.update(as_block(lines, ascii_only=self._ascii))
        self._below.update(as_block(below, ascii_only=self._ascii))
