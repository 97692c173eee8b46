"""Every key, from the table."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from tui.bindings import KEYS

__all__ = ["HelpScreen"]


class HelpScreen(ModalScreen[None]):
    """A list of all keys; esc, q or ? closes it."""

    BINDINGS = [Binding("escape,q,question_mark,f1", "dismiss", "Close", show=False)]  # noqa: RUF012 - Textual's own way

    def compose(self) -> Iterable[Widget]:
        """Write the table."""
        text = Text("Keys\n", style="bold")
        for key in KEYS:
            text.append(f"\n{key.shown:<10}", style="bold")
            text.append(f" {key.help}")
        text.append("\n\nNothing on the image is ever changed. esc closes this.", style="dim")
        with VerticalScroll():
            yield Static(text, markup=False)
