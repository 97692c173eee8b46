"""The list: one line a row, one row chosen."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

__all__ = ["RowTable"]


class RowTable(DataTable[Text], inherit_bindings=False):
    """Textual's table with keys for moving alone: `enter` belongs to the screen, whose footer then names it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, action, show=False)
        for key, action in (
            ("up", "cursor_up"),
            ("down", "cursor_down"),
            ("left", "cursor_left"),
            ("right", "cursor_right"),
            ("pageup", "page_up"),
            ("pagedown", "page_down"),
            ("home", "scroll_top"),
            ("end", "scroll_bottom"),
        )
    ]
