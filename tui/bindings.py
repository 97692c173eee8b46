"""Every key of the application in one table; screens, help and documents are made from it.

Ids are permanent: `<area>.<action>`.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

__all__ = ["KEYS", "Key", "bindings_of"]


@dataclass(frozen=True, slots=True)
class Key:
    """One action and its keys.

    Attributes:
        id: permanent name.
        keys: Textual's key names, comma separated.
        action: the action of the screen or application.
        area: "global" (everywhere) or "main" (the main screen).
        label: one or two words for the footer.
        help: one sentence for the help screen.
        footer: whether the footer shows it.
        shown: the keys as a person reads them.

    """

    id: str
    keys: str
    action: str
    area: str
    label: str
    help: str
    shown: str
    footer: bool = False


KEYS: tuple[Key, ...] = (
    Key("global.help", "question_mark,f1", "help", "global", "Help", "Show every key", "? F1", footer=True),
    Key("global.quit", "q,ctrl+q", "quit", "global", "Quit", "Leave; a running scan is stopped", "q", footer=True),
    Key("global.palette", "ctrl+p,colon", "command_palette", "global", "Palette", "Find an action by name", ": ctrl+p"),
    Key("list.down", "j", "down", "main", "Down", "Next line (or the arrow keys)", "j ↓"),
    Key("list.up", "k", "up", "main", "Up", "Previous line", "k ↑"),
    Key("list.top", "g", "top", "main", "Top", "First line", "g"),
    Key("list.bottom", "G", "bottom", "main", "Bottom", "Last line", "G"),
    Key("list.next-finding", "e", "next_kind('finding')", "main", "Next finding", "Next finding", "e"),
    Key("list.previous-finding", "E", "previous_kind('finding')", "main", "Previous", "Previous finding", "E"),
    Key("list.next-diagnostic", "w", "next_kind('diagnostic')", "main", "Next remark", "Next diagnostic", "w"),
    Key("list.previous-diagnostic", "W", "previous_kind('diagnostic')", "main", "Previous", "Previous diagnostic", "W"),
    Key("pane.open", "enter", "open", "main", "Evidence", "Go to the evidence of the line", "enter", footer=True),
    Key("pane.back", "escape", "back", "main", "Back", "Back to the list", "esc", footer=True),
    Key("pane.machine", "1", "pane('machine')", "main", "Machine", "Machine card and verdict", "1"),
    Key("pane.findings", "2", "pane('findings')", "main", "Findings", "Findings, crashes and remarks", "2"),
    Key("pane.evidence", "3", "pane('evidence')", "main", "Evidence", "Evidence of the chosen line", "3"),
    Key("pane.previous", "left_square_bracket", "step_pane(-1)", "main", "Pane", "Previous pane", "["),
    Key("pane.next", "right_square_bracket", "step_pane(1)", "main", "Pane", "Next pane", "]", footer=True),
    Key("pane.zoom", "z", "zoom", "main", "Zoom", "Give the pane in focus the whole screen", "z", footer=True),
    Key("copy.evidence", "y", "copy_evidence", "main", "Copy", "Copy the evidence pane as text", "y"),
    Key("copy.command", "c", "copy_command", "main", "Command", "Copy the command that prints this report", "c"),
)


def bindings_of(area: str) -> list[Binding]:
    """Return Textual bindings for one area, in table order."""
    return [
        Binding(key.keys, key.action, key.label, show=key.footer, key_display=key.shown, id=key.id)
        for key in KEYS
        if key.area == area
    ]
