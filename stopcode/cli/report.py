"""`stopcode report`: show a stored report again, without the disk."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from parsers.errors import InputNotFoundError
from stopcode.cli.arguments import add_output
from stopcode.cli.context import Context
from stopcode.cli.errors import UsageError
from stopcode.cli.exits import Exit, combined
from stopcode.cli.output import json_text, output_to, write_lines

SENTENCE = "Show a report again that `scan` or `dump` wrote as JSON; the disk is not needed."
EXAMPLES = ("stopcode report report.json", "stopcode report -o md --output ticket.md report.json")
CODES = (Exit.OK, Exit.FOUND, Exit.USAGE, Exit.UNREADABLE, Exit.PARTIAL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="FILE", help="what -o json or -o jsonl wrote; - is stdin")
    parser.add_argument(
        "--exit-zero", action="store_true", help="end with 0 where 1 would say that something was found"
    )
    add_output(parser, ("table", "json", "jsonl", "md"))


def _read(name: str) -> bytes:
    from parsers.limits import MAX_STORED_REPORT

    if name == "-":
        if sys.stdin is None:
            raise UsageError("stdin is closed", hint="name a file")
        return sys.stdin.buffer.read(MAX_STORED_REPORT + 1)
    path = Path(name)
    if not path.exists():
        raise InputNotFoundError(f"{name}: no such file", hint="look at the path")
    with path.open("rb") as file:
        return file.read(MAX_STORED_REPORT + 1)


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Read, check, show."""
    from stopcode.report.full import report_lines
    from stopcode.report.lines import blank
    from stopcode.report.outcome import exit_of
    from stopcode.report.stored import read_reports

    reports = read_reports(_read(args.file))
    if args.format == "json" and len(reports) > 1:
        raise UsageError("-o json is one document, and the file holds several reports", hint="use -o jsonl")
    with output_to(args.output, ctx, [] if args.file == "-" else [args.file]) as to:
        for number, report in enumerate(reports):
            if args.format in ("json", "jsonl"):
                to.out.write(json_text(report, lines=args.format == "jsonl"))
                continue
            lines = [*([blank()] if number else []), *report_lines(report, verbose=to.verbosity > 0)]
            if args.format == "md":
                from stopcode.report.markdown import write_markdown

                write_markdown(lines, to.out)
            else:
                write_lines(lines, to)
    code = combined(exit_of(report) for report in reports)
    return Exit.OK if code == Exit.FOUND and args.exit_zero else code
