"""`stopcode tui`: look at a scan in the terminal. Textual is imported only once a terminal is there."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, cast

from forensics.remote.address import is_address
from parsers.errors import InputNotFoundError
from stopcode.cli.context import Context, is_terminal
from stopcode.cli.errors import UsageError
from stopcode.cli.exits import Exit

SENTENCE = "Look at one machine in the terminal, from the verdict down to the evidence."
EXAMPLES = ("stopcode tui disk.vhdx", "stopcode tui report.json     a report that scan -o json wrote")
CODES = (Exit.OK, Exit.USAGE, Exit.UNREADABLE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `tui` takes."""
    parser.add_argument("image", metavar="IMAGE", help="a disk image, a folder, a dump, or a report in JSON")
    parser.add_argument("--ascii", action="store_true", help="draw states with ASCII signs alone")


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Open the application; return when the user leaves.

    Raises:
        UsageError: nobody sits at a terminal.
        InputNotFoundError: no such image.

    """
    # Textual draws on stderr and would start, and never end, without a terminal.
    terminal = is_terminal(sys.stdin) and is_terminal(ctx.err)
    kind = ctx.environment.get("TERM", "windows" if os.name == "nt" else "")
    if not terminal or kind in ("", "dumb", "unknown"):
        raise UsageError("tui needs a terminal", hint=f"stopcode scan {args.image} prints the same")
    if is_address(args.image):
        raise UsageError(
            "tui does not read addresses",
            hint="stopcode scan -o json --output report.json ADDRESS, then stopcode tui report.json",
        )
    path = Path(args.image)
    if not path.exists():
        raise InputNotFoundError(f"no such file or folder: {args.image}")
    from stopcode.report.stored import report_in

    report = cast("dict[str, Any] | None", report_in(path))

    from tui.app import run_tui

    return run_tui(args.image, report=report, ascii_only=True if args.ascii else None)
