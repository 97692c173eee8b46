"""The rules of a run: the built-in ones and those that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stopcode.cli.context import Context
from stopcode.cli.errors import UsageError

if TYPE_CHECKING:
    from signatures import Database

__all__ = ["load_rules"]


def load_rules(named: Sequence[str], ctx: Context) -> Database:
    """Load the built-in rules and those of named folders; a broken one of them is told and left out.

    Raises:
        UsageError: a named folder is not there.

    """
    from parsers.diagnostics import Diagnostics
    from signatures import load_database

    folders = []
    for name in named:
        folder = Path(name)
        if not folder.exists():
            raise UsageError(f"--signatures {name}: no such folder", hint="name a folder with rules in it")
        folders.append(folder)
    diagnostics = Diagnostics()
    database = load_database(folders, diagnostics)
    for item in diagnostics.items:
        ctx.say(f"{item.severity}: {item.code}: {item.message}", error=item.severity == "error")
    return database
