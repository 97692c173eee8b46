"""The options of every verb that opens a disk image: where parents lie, what unlocks a volume."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stopcode.cli.errors import UsageError

if TYPE_CHECKING:
    from forensics.disk.options import ImageOptions

__all__ = ["add_image_options", "image_options"]


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("opening the image")
    group.add_argument("--parent", action="append", default=[], metavar="DIR",
                       help="a folder with parents of a differencing disk; may be given again")  # fmt: skip


def image_options(args: argparse.Namespace) -> ImageOptions:
    """Return what the user gave.

    Raises:
        UsageError: a folder that is none.

    """
    from forensics.disk.options import ImageOptions

    parents = tuple(Path(folder) for folder in args.parent)
    for folder in parents:
        if not folder.is_dir():
            raise UsageError(f"--parent {folder}: no such folder")
    return ImageOptions(parents=parents)
