"""`stopcode dump`: read crash dumps on their own, without their disk and without rules.

One dump is told whole; several, or a folder, are told as the problems they are. The way of one dump to `-o json`
imports neither rules nor disks nor rich: it is to cost little more than an interpreter.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from parsers.diagnostics import Diagnostics
from parsers.errors import StopcodeError, UnsupportedError
from stopcode.cli.arguments import add_output
from stopcode.cli.context import Context
from stopcode.cli.crash_options import add_crash_options, crash_options
from stopcode.cli.errors import error_lines
from stopcode.cli.exits import Exit, combined
from stopcode.cli.output import json_text, output_to, write_lines
from stopcode.report.outcome import exit_of

if TYPE_CHECKING:
    from stopcode.report.dumps import DumpRow, UnreadDump
    from stopcode.scan.dump_files import DumpFiles
    from stopcode.scan.lone import Extras

SENTENCE = (
    "Read crash dumps: the bug check and its parameters, the registers, the stack, the culprit. Several dumps, or a "
    "folder, are told as the problems they are."
)
EXAMPLES = (
    "stopcode dump MEMORY.DMP",
    "stopcode dump C:\\Windows\\Minidump",
    "stopcode dump --images drivers --symbols symbols MEMORY.DMP",
)
CODES = (Exit.OK, Exit.USAGE, Exit.UNREADABLE, Exit.PARTIAL, Exit.INTERRUPTED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("dumps", nargs="+", metavar="DUMP",
                        help="MEMORY.DMP, a minidump, any other kernel dump, also packed (.zip, .gz, .xz, .cab), or a "
                             "folder with dumps in it")  # fmt: skip
    add_crash_options(parser)
    parser.add_argument("--serials", action="store_true", help="tell serial numbers too, which are left out otherwise")
    add_output(parser, ("table", "json", "jsonl"))


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Read each dump; one that cannot be read does not stop the others."""
    paths: list[str] = args.dumps
    extras = crash_options(args)._replace(serials=args.serials)
    with output_to(args.output, ctx, [*paths, *args.driver_images, *([args.symbols] if args.symbols else [])]) as to:
        if len(paths) > 1 or os.path.isdir(paths[0]):  # noqa: PTH112  # start-up: one dump needs no pathlib here
            return _many(paths, args.format, extras, ctx, to)
        report = _report(paths[0], extras)
        if args.format == "table":
            from stopcode.report.lone import lone_lines

            write_lines(lone_lines(report, verbose=to.verbosity > 0), to)
        else:
            to.out.write(json_text(report, lines=args.format == "jsonl"))
        return exit_of(report)


def _report(path: str, extras: Extras) -> Any:
    """Read one dump to a report."""
    from stopcode.scan.clock import Clock
    from stopcode.scan.lone import read_lone
    from stopcode.scan.run import unjudged_report

    cost, diagnostics = Clock(), Diagnostics()
    lone = read_lone(path, diagnostics, extras)
    return unjudged_report(lone, diagnostics, cost.stats(lone.bytes_read, lone.requests))


def _many(paths: Sequence[str], form: str, extras: Extras, ctx: Context, to: Context) -> int:
    """Read many dumps: a report a line, or one document of all.

    Raises:
        UnsupportedError: no dump is there.

    """
    from stopcode.scan.dump_files import dump_files

    files = dump_files(paths)
    if not files.paths:
        hint = f"{files.user_mode} user-mode minidumps are there, which are of programs" if files.user_mode else ""
        raise UnsupportedError(
            f"{', '.join(paths)}: no kernel dump is in it",
            hint=hint or "stopcode scan reads disks, and folders with a Windows tree",
        )
    if files.cut:
        ctx.say("warning: the folder holds more files than are looked at", error=True)
    return _lines(files, extras, ctx, to) if form == "jsonl" else _table(paths, files, form, extras, ctx, to)


def _each(files: DumpFiles, ctx: Context) -> Iterator[str]:
    """Yield the files, and say how far it is where a person watches."""
    if not ctx.progress:
        yield from files.paths
        return
    from stopcode.cli.progress import LineProgress
    from stopcode.scan.progress import Progress

    for number, path in enumerate(files.paths):
        with LineProgress(ctx.err, path, width=ctx.width) as line:
            line(Progress("the dump", number, len(files.paths)))
            yield path


def _why(error: StopcodeError | OSError) -> StopcodeError:
    """Return what is told of a file that cannot be read.

    Raises:
        OSError: the error is about no file, but of the system: stdout, most likely.

    """
    if isinstance(error, StopcodeError):
        return error
    if not error.filename:
        raise error
    return StopcodeError(error.strerror or str(error))


def _lines(files: DumpFiles, extras: Extras, ctx: Context, to: Context) -> int:
    """Write a report a line, each as soon as its dump is read."""
    codes: list[int] = []
    try:
        for path in _each(files, ctx):
            try:
                report = _report(path, extras)
            except (StopcodeError, OSError) as error:
                codes.append(Exit.UNREADABLE)
                for line in error_lines(_why(error), path):
                    ctx.say(line, error=True)
                continue
            codes.append(exit_of(report))
            to.out.write(json_text(report, lines=True))
            to.out.flush()
    except KeyboardInterrupt:
        # What was finished is kept: the file of --output holds it.
        ctx.say("interrupted", error=True)
        codes.append(Exit.INTERRUPTED)
    return combined(codes)


def _table(paths: Sequence[str], files: DumpFiles, form: str, extras: Extras, ctx: Context, to: Context) -> int:
    """Read every dump to a row of one document."""
    from stopcode.report.dumps import dumps_document
    from stopcode.scan.clock import Clock

    cost = Clock()
    read = _Read()
    try:
        for path in _each(files, ctx):
            read.take(path, extras)
    except KeyboardInterrupt:
        ctx.say("interrupted", error=True)
        read.codes.append(Exit.INTERRUPTED)
    if form == "json":
        for item in read.unread:
            for line in error_lines(StopcodeError(item["message"], hint=item.get("hint", "")), item["path"]):
                ctx.say(line, error=True)
    source = {"paths": list(paths), "files": len(files.paths), "user_mode": files.user_mode, "cut": files.cut}
    stats = cost.stats(read.bytes_read, read.requests)
    document = dumps_document(read.rows, read.hardware, read.unread, source, stats)
    if form == "json":
        to.out.write(json_text(document))
    else:
        from stopcode.report.dumps_lines import dumps_lines

        write_lines(dumps_lines(document, verbose=to.verbosity > 0), to)
    return combined(read.codes)


class _Read:
    """What was read so far: a row a dump, so that memory does not grow with what is in them."""

    def __init__(self) -> None:
        self.rows: list[DumpRow] = []
        self.hardware: dict[str, str] = {}
        self.unread: list[UnreadDump] = []
        self.codes: list[int] = []
        self.bytes_read = 0
        self.requests = 0

    def take(self, path: str, extras: Extras) -> None:
        """Read one dump."""
        from stopcode.report.dumps import row_of
        from stopcode.scan.lone import read_crash

        diagnostics = Diagnostics()
        try:
            crash, source, bytes_read, requests = read_crash(path, diagnostics, extras)
        except (StopcodeError, OSError) as error:
            told = _why(error)
            item: UnreadDump = {"path": path, "message": told.message}
            if told.hint:
                item["hint"] = told.hint
            self.unread.append(item)
            self.codes.append(Exit.UNREADABLE)
            return
        remarks = [remark.to_dict() for remark in diagnostics.items]
        row, hardware = row_of(path, crash, remarks)
        self.rows.append(row)
        if "machine" in row:
            self.hardware.setdefault(row["machine"], hardware)
        self.bytes_read += bytes_read
        self.requests += requests
        self.codes.append(exit_of({"diagnostics": remarks, "source": source, "facts": {"crashes": [crash]}}))
