"""A scrolling pane of toned lines."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui.model import Line

__all__ = ["STYLE", "LinesPane", "as_text"]

#: Orange against blue and not red against green: most people tell these two apart. Every state is a word besides.
STYLE = {
    "plain": "",
    "title": "bold",
    "good": "bold #5fafff",
    "bad": "bold #ffaf5f",
    "doubt": "italic #ffd787",
    "quiet": "#9e9e9e",
    "command": "bold #87d7ff",
}


def as_text(lines: Iterable[Line]) -> Text:
    """Join lines into one text; every line is already safe to show."""
    text = Text()
    for line in lines:
        if text:
            text.append("\n")
            if line.tone == "title":
                text.append("\n")
        prefix = "$ " if line.tone == "command" else ""
        text.append("  " * line.indent + prefix + line.text, style=STYLE[line.tone])
    return text


class LinesPane(VerticalScroll):
    """Lines that wrap and scroll; `plain` is what `y` copies."""

    can_focus = True

    def __init__(self, *, id: str, title: str) -> None:
        super().__init__(id=id, classes="pane")
        self.border_title = title
        self._body = Static("", markup=False)
        self._below = Static("", markup=False, classes="below")
        self.plain = ""

    def compose(self) -> Iterable[Static]:
        """Hold the text, and what the theme shows below it on narrow screens."""
        yield self._body
        yield self._below

    def show(self, lines: Iterable[Line]) -> None:
        """Replace the lines."""
        text = as_text(lines)
        self.plain = text.plain
        self._body.update(text)

    def show_text(self, text: Text, *, below: Text) -> None:
        """Replace the content by a ready text."""
        self.plain = text.plain
        self._body.update(text)
        self._below.update(below)
