"""`stopcode dump`: read a crash dump on its own, without its disk and without rules.

The way of `-o json` imports neither rules nor disks nor rich: it is to cost little more than an interpreter.
"""

from __future__ import annotations

import argparse
import time

from parsers.diagnostics import Diagnostics
from parsers.errors import StopcodeError
from stopcode.cli.arguments import add_output
from stopcode.cli.context import Context
from stopcode.cli.errors import UsageError, error_lines
from stopcode.cli.exits import Exit, combined
from stopcode.cli.output import json_text, output_to, write_lines
from stopcode.report.outcome import exit_of

SENTENCE = "Read crash dumps: the bug check and its parameters, the registers, the stack, the culprit."
EXAMPLES = ("stopcode dump MEMORY.DMP", "stopcode dump -o json Minidump/030221-4515-01.dmp")
CODES = (Exit.OK, Exit.USAGE, Exit.UNREADABLE, Exit.PARTIAL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("dumps", nargs="+", metavar="FILE", help="MEMORY.DMP, a minidump, or any other kernel dump")
    add_output(parser, ("table", "json", "jsonl"))


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Read each dump; one that cannot be read does not stop the others."""
    paths: list[str] = args.dumps
    if args.format == "json" and len(paths) > 1:
        raise UsageError("-o json is one document, and several dumps were named", hint="use -o jsonl: one line a dump")
    codes = []
    with output_to(args.output, ctx, paths) as to:
        for number, path in enumerate(paths):
            try:
                codes.append(_one(path, args.format, to, first=number == 0))
            except (StopcodeError, OSError) as error:
                if len(paths) == 1:
                    raise
                if not (isinstance(error, StopcodeError) or error.filename):
                    raise  # of the system, and about no file: stdout
                codes.append(Exit.UNREADABLE)
                told = error if isinstance(error, StopcodeError) else StopcodeError(error.strerror or str(error))
                for line in error_lines(told, path):
                    ctx.say(line, error=True)
    return combined(codes)


def _one(path: str, form: str, to: Context, *, first: bool) -> int:
    from stopcode.scan.lone import read_lone
    from stopcode.scan.run import unjudged_report

    wall, cpu = time.perf_counter(), time.process_time()
    diagnostics = Diagnostics()
    lone = read_lone(path, diagnostics)
    stats = {
        "bytes_read": lone.bytes_read,
        "requests": lone.requests,
        "wall_s": round(time.perf_counter() - wall, 3),
        "cpu_s": round(time.process_time() - cpu, 3),
    }
    report = unjudged_report(lone, diagnostics, stats)
    if form == "table":
        from stopcode.report.lines import blank
        from stopcode.report.lone import lone_lines

        lines = [*([] if first else [blank()]), *lone_lines(report, verbose=to.verbosity > 0)]
        write_lines(lines, to)
    else:
        to.out.write(json_text(report, lines=form == "jsonl"))
    return exit_of(report)
