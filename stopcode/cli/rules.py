"""The rules of a run: the built-in ones and those that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stopcode.cli.errors import UsageError

if TYPE_CHECKING:
    from parsers.diagnostics import Diagnostic
    from signatures import Database

__all__ = ["load_rules"]


def load_rules(named: Sequence[str], *, tests: bool = False) -> tuple[Database, list[Diagnostic]]:
    """Load the built-in rules and those that are named, with what is to be said of them.

    In a folder a broken rule is told and left out; a file that the user names is meant, and must be sound. `tests`
    keeps the built-in rules' inline tests, which a scan does not need.

    Raises:
        UsageError: what is named is not there, or a named file does not load.

    """
    from parsers.diagnostics import Diagnostics
    from signatures import load_database

    paths = [Path(name) for name in named]
    for path in paths:
        if not path.exists():
            raise UsageError(f"--signatures {path}: no such file or folder", hint="name a folder with rules in it")
    diagnostics = Diagnostics()
    database = load_database(paths, diagnostics, tests=tests)
    for item in diagnostics.items:
        for path in paths:
            if path.is_file() and item.source.startswith(f"{path}:"):
                raise UsageError(f"{item.source}: {item.message}", hint=item.hint)
    return database, diagnostics.items
