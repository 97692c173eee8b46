"""What the analyst gives beside a dump: folders with driver files (`--images`) and with symbol files (`--symbols`)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from parsers.errors import UnsupportedError
from stopcode.cli.errors import UsageError

if TYPE_CHECKING:
    from stopcode.scan.lone import Extras

__all__ = ["add_crash_options", "crash_options"]


def add_crash_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--images", dest="driver_images", action="append", default=[], metavar="DIR",
                        help="take unwind data and versions from the drivers in DIR; may be given again")  # fmt: skip
    parser.add_argument("--symbols", metavar="DIR",
                        help="name functions from the PDBs in DIR (name.pdb/GUIDage/name.pdb, or loose)")  # fmt: skip


def crash_options(args: argparse.Namespace) -> Extras:
    """Open what was given.

    Raises:
        InputNotFoundError: a folder is not there.
        UsageError: symbol files cannot be read here.

    """
    from stopcode.scan.lone import NOTHING_MORE

    extras = NOTHING_MORE
    if args.driver_images:
        from forensics.crash.image_folder import FolderImages
        from forensics.crash.images import ImageLayers

        extras = extras._replace(images=ImageLayers(*map(FolderImages, args.driver_images)))
    if args.symbols:
        from pathlib import Path

        from forensics.crash.symbol_files import SymbolFolder

        try:
            extras = extras._replace(symbols=SymbolFolder(Path(args.symbols)))
        except UnsupportedError as error:
            raise UsageError(f"--symbols: {error.message}", hint=error.hint) from error
    return extras
