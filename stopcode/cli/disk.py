"""`stopcode disk`: what an image is, from its container down to its volumes; with a digest of what it holds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from forensics.remote.address import is_address
from stopcode.cli.arguments import add_output
from stopcode.cli.context import Context
from stopcode.cli.errors import UsageError
from stopcode.cli.exits import Exit
from stopcode.cli.image_options import add_image_options, image_options, named_images, shown_image
from stopcode.cli.key_options import given_keys
from stopcode.cli.output import json_text, output_to, write_lines
from stopcode.cli.progress import PercentProgress

if TYPE_CHECKING:
    from stopcode.report.disk import DiskDocument

SENTENCE = (
    "Tell what a disk image is: container, chain, log, damage, partitions, volumes, encryption, each Windows on it; "
    "with --sha256 the digest of the disk in it. Nothing is written to the disk."
)
EXAMPLES = ("stopcode disk disk.vhdx", "stopcode disk --sha256 -o json disk.avhdx --parent base")
CODES = (Exit.OK, Exit.USAGE, Exit.UNREADABLE, Exit.PARTIAL, Exit.INTERRUPTED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", nargs="*", metavar="IMAGE",
                        help="a disk image (VHD, VHDX, VMDK, QCOW2, VDI, E01, raw) or its address")  # fmt: skip
    parser.add_argument("--sha256", action="store_true",
                        help="read the whole disk and tell the SHA-256 of its content: that of the disk converted to "
                             "raw, log replayed, parents included")  # fmt: skip
    add_image_options(parser)
    add_output(parser, ("table", "json"))


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Describe one image."""
    images = named_images("disk", args)
    if len(images) > 1:
        raise UsageError("disk takes one image", hint="stopcode disk --help")
    image = images[0]

    from stopcode.scan.disk import DiskImage
    from stopcode.scan.lone import require_named

    if not is_address(image):
        require_named(image)
    interrupted = False
    with (
        output_to(args.output, ctx, [] if is_address(image) else [image]) as to,
        DiskImage(image, image_options(args, given_keys(args, ctx.environment))) as disk,
    ):
        if args.sha256:
            try:
                with PercentProgress(ctx, f"SHA-256 of {shown_image(image)}") as progress:
                    disk.add_digest(progress)
            except KeyboardInterrupt:
                # What is known without the digest is told.
                ctx.say("interrupted", error=True)
                interrupted = True
        if args.format == "json":
            to.out.write(json_text(disk.document))
        else:
            from stopcode.report.disk_lines import disk_lines

            write_lines(disk_lines(disk.document, verbose=to.verbosity > 0), to)
        to.out.flush()
    return Exit.INTERRUPTED if interrupted else _code(disk.document)


def _code(document: DiskDocument) -> Exit:
    """Return whether all of the disk can be read; that a volume is locked is an answer."""
    damaged = any(item["severity"] == "error" for item in document["diagnostics"])
    lost = "unreadable" in document or "unreadable" in document.get("content", {})
    return Exit.PARTIAL if damaged or lost else Exit.OK
