"""`stopcode scan`: one image to one report, the main job."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from forensics.remote.address import is_address
from parsers.errors import StopcodeError
from stopcode.cli.arguments import add_output
from stopcode.cli.context import Context
from stopcode.cli.crash_options import add_crash_options, crash_options
from stopcode.cli.errors import UsageError, error_lines
from stopcode.cli.exits import Exit, combined
from stopcode.cli.image_options import add_image_options, image_options, named_images, shown_image
from stopcode.cli.key_options import unlocking
from stopcode.cli.output import json_text, output_to, write_lines

if TYPE_CHECKING:
    from forensics.disk.keys import VolumeKeys
    from parsers.diagnostics import Diagnostic
    from signatures import Database
    from stopcode.report.document import Report
    from stopcode.scan.lone import Extras

SENTENCE = (
    "Tell from a disk alone which Windows it holds, why it died, which known problem that is, and what to do. "
    "Nothing is written to the disk."
)
EXAMPLES = ("stopcode scan disk.vhdx", "stopcode scan -o json --output report.json disk.vhd")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", nargs="*", metavar="IMAGE",
                        help="a disk image (VHD, VHDX, VMDK, QCOW2, VDI, E01, raw), a folder with a Windows tree in "
                             "it, a crash dump, or the address of an image")  # fmt: skip
    parser.add_argument("--signatures", action="append", default=[], metavar="PATH",
                        help="further rules: a folder, or one file; may be given again")  # fmt: skip
    parser.add_argument(
        "--exit-zero", action="store_true", help="end with 0 where 1 would say that something was found"
    )
    parser.add_argument("--progress-json", action="store_true", help="tell progress on stderr as JSON lines")
    add_crash_options(parser)
    add_image_options(parser)
    add_output(parser, ("table", "json", "jsonl", "md"))


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Scan each image; one that cannot be read does not stop the others."""
    images = named_images("scan", args)
    if args.format == "json" and len(images) > 1:
        raise UsageError(
            "-o json is one document, and several images were named", hint="use -o jsonl: one line an image"
        )
    from stopcode.cli.rules import load_rules

    rules = load_rules(args.signatures)
    extras = crash_options(args)
    codes: list[int] = []
    with output_to(args.output, ctx, [image for image in images if not is_address(image)]) as to:
        for number, image in enumerate(images):
            try:
                codes.append(_one(image, args, rules, extras, ctx, to, first=number == 0))
            except KeyboardInterrupt:
                # What was finished is kept: the file of --output holds it.
                ctx.say("interrupted", error=True)
                codes.append(Exit.INTERRUPTED)
                break
            except (StopcodeError, OSError) as error:
                # An error of the system that names no file is about stdout: no input is to blame.
                if len(images) == 1 or not (isinstance(error, StopcodeError) or error.filename):
                    raise
                told = error if isinstance(error, StopcodeError) else StopcodeError(error.strerror or str(error))
                for line in error_lines(told, shown_image(image)):
                    ctx.say(line, error=True)
                codes.append(Exit.UNREADABLE)
    code = combined(codes)
    return Exit.OK if code == Exit.FOUND and args.exit_zero else code


def _one(
    image: str,
    args: argparse.Namespace,
    rules: tuple[Database, list[Diagnostic]],
    extras: Extras,
    ctx: Context,
    to: Context,
    *,
    first: bool,
) -> int:
    from stopcode.cli.progress import watcher_of
    from stopcode.report.outcome import exit_of
    from stopcode.scan import scan

    def once(keys: VolumeKeys) -> Report:
        options = image_options(args, keys)
        with watcher_of(ctx, shown_image(image), as_json=args.progress_json) as progress:
            return scan(image, database=rules[0], progress=progress, remarks=rules[1], options=options, extras=extras)

    report = unlocking(args, ctx, once)
    _write(report, args.format, to, first=first)
    return exit_of(report)


def _write(report: Report, form: str, to: Context, *, first: bool) -> None:
    if form in ("json", "jsonl"):
        to.out.write(json_text(report, lines=form == "jsonl"))
        to.out.flush()
        return
    from stopcode.report.full import report_lines
    from stopcode.report.lines import blank

    lines = [*([] if first else [blank()]), *report_lines(report, verbose=to.verbosity > 0)]
    if form == "md":
        from stopcode.report.markdown import write_markdown

        write_markdown(lines, to.out)
    else:
        write_lines(lines, to)
    to.out.flush()
