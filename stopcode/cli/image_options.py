"""The options of every verb that opens a disk image: where parents lie, what unlocks a volume."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.remote.address import is_address, shown_address
from stopcode.cli.errors import UsageError
from stopcode.cli.key_options import add_key_options

if TYPE_CHECKING:
    from forensics.disk.keys import VolumeKeys
    from forensics.disk.options import ImageOptions

__all__ = ["add_image_options", "image_options", "named_images", "shown_image"]

#: Characters of a list of addresses.
_MAX_LIST = 1 << 20
_IDENTIFIER = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,28}")


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("opening the image")
    group.add_argument("--url-file", metavar="FILE|-",
                       help="take addresses from a file, one a line, or from stdin: a signed one is a password, and "
                            "the list of processes shows arguments to everybody")  # fmt: skip
    group.add_argument("--url-stdin", dest="url_file", action="store_const", const="-",
                       help="the same as --url-file -")  # fmt: skip
    group.add_argument("--allow-redirects", action="store_true",
                       help="let the server of an address send on to another host")  # fmt: skip
    group.add_argument("--allow-private", action="store_true",
                       help="let an address mean a host of a private network, or this machine")  # fmt: skip
    group.add_argument("--parent", action="append", default=[], metavar="DIR",
                       help="a folder with parents of a differencing disk; may be given again")  # fmt: skip
    group.add_argument("--shadow-copy", metavar="ID", type=_shadow_copy,
                       help="look at a volume as this shadow copy of it has it: its identifier, that of its set, or "
                            "the first 8 digits; `stopcode disk` lists them")  # fmt: skip
    add_key_options(parser)


def image_options(args: argparse.Namespace, keys: VolumeKeys) -> ImageOptions:
    """Return what the user gave, with the keys.

    Raises:
        UsageError: a folder that is none.

    """
    from forensics.disk.options import ImageOptions

    parents = tuple(Path(folder) for folder in args.parent)
    for folder in parents:
        if not folder.is_dir():
            raise UsageError(f"--parent {folder}: no such folder")
    return ImageOptions(
        parents, keys, allow_redirects=args.allow_redirects, allow_private=args.allow_private,
        shadow_copy=args.shadow_copy or "",
    )  # fmt: skip


def _shadow_copy(text: str) -> str:
    identifier = text.strip("{}").lower()
    if not _IDENTIFIER.fullmatch(identifier):
        raise argparse.ArgumentTypeError(f"{text!r} is no identifier of a shadow copy")
    return identifier


def named_images(verb: str, args: argparse.Namespace) -> list[str]:
    """Return the images that the user named, as arguments first, then in --url-file.

    Raises:
        UsageError: none at all, or the file holds something else than addresses.
        OSError: the file cannot be read.

    """
    images: list[str] = list(args.images)
    if args.url_file is not None:
        text = sys.stdin.read(_MAX_LIST) if args.url_file == "-" else _text(args.url_file)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        # What stands there is not repeated: it may be a secret with a typing error.
        if not lines or not all(map(is_address, lines)):
            raise UsageError(
                f"--url-file {args.url_file}: {'not an address on every line' if lines else 'nothing in it'}",
                hint="one address a line: https://...",
            )
        images += lines
    if not images:
        raise UsageError("no image was named", hint=f"stopcode {verb} --help")
    return images


def _text(path: str) -> str:
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        return file.read(_MAX_LIST)


def shown_image(image: str) -> str:
    """Return what an image is called in everything that is written: an address without its query."""
    return shown_address(image) if is_address(image) else image
