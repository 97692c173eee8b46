"""`stopcode batch`: many images into a case, and what they say of the fleet."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsers.diagnostics import Diagnostics
from parsers.errors import InputNotFoundError, StopcodeError
from stopcode.cli.arguments import add_output
from stopcode.cli.context import Context
from stopcode.cli.errors import UsageError
from stopcode.cli.exits import Exit, combined
from stopcode.cli.key_options import add_key_options, given_keys
from stopcode.cli.output import json_text, output_to, refuse_inputs, write_lines

if TYPE_CHECKING:
    from stopcode.batch import Item, Settings
    from stopcode.batch.supervisor import Outcome
    from stopcode.case import Case

SENTENCE = (
    "Scan many images, each in a process of its own, and say which machines are exposed. One bad image stops nothing; "
    "what is in the case file already, and unchanged, is not read again."
)
EXAMPLES = ("stopcode batch replicas/ --case fleet.case", "stopcode batch *.vhdx -o csv --output fleet.csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image, or a folder to search for images")
    parser.add_argument("--case", metavar="FILE", help="keep the results in this case file, made where there is none")
    parser.add_argument("-j", "--jobs", type=_at_least_one, metavar="N",
                        help="images at once (default: the processors, at most 4)")  # fmt: skip
    parser.add_argument("--timeout", type=_seconds, default=300.0, metavar="S",
                        help="seconds that one image may take (default: 300)")  # fmt: skip
    parser.add_argument("--memory", type=_mebibytes, default=4 << 30, metavar="MIB",
                        help="memory that one image may take (default: 4096)")  # fmt: skip
    parser.add_argument("--rescan", action="store_true", help="read unchanged images again")
    parser.add_argument("--signatures", action="append", default=[], metavar="PATH",
                        help="further rules: a folder, or one file; may be given again")  # fmt: skip
    parser.add_argument(
        "--exit-zero", action="store_true", help="end with 0 where 1 would say that something was found"
    )
    add_key_options(parser)
    add_output(parser, ("table", "json", "jsonl", "csv"))


def _at_least_one(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1024:
        raise argparse.ArgumentTypeError("from 1 to 1024")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1e6:
        raise argparse.ArgumentTypeError("more than 0")
    return number


def _mebibytes(text: str) -> int:
    number = int(text)
    if not 256 <= number <= 1 << 24:
        raise argparse.ArgumentTypeError("at least 256")
    return number << 20


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Find the images, scan them, show the fleet."""
    from stopcode.batch import Settings, find_items

    items = find_items(args.paths)
    case_path = Path(args.case) if args.case else None
    if case_path is not None:
        refuse_inputs("--case", case_path, (item.path for item in items))
    if not items:
        raise InputNotFoundError("no disk image and no dump in what was named", hint="name a disk image itself")
    settings = Settings(
        jobs=args.jobs or Settings().jobs,
        timeout=args.timeout,
        memory=args.memory,
        signatures=tuple(os.path.abspath(name) for name in args.signatures),  # noqa: PTH100 - must not follow links
        rescan=args.rescan,
        keys=given_keys(args, ctx.environment),
    )
    remarks = Diagnostics()
    with _opened(case_path, remarks) as case, output_to(args.output, ctx, [str(item.path) for item in items]) as to:
        for remark in remarks.items:
            ctx.say(f"{remark.severity}: {remark.message}")
        code = _batch(items, case, settings, args, ctx, to)
    return Exit.OK if code == Exit.FOUND and args.exit_zero else code


def _opened(path: Path | None, remarks: Diagnostics) -> Case:
    """Open the case.

    Raises:
        UsageError: it is no case file, or cannot be used: an option's value, not the evidence, is at fault.

    """
    from stopcode.case import open_case

    try:
        return open_case(path, remarks)
    except StopcodeError as error:
        raise UsageError(f"--case: {error.message}", hint=error.hint) from error


def _batch(
    items: list[Item], case: Case, settings: Settings, args: argparse.Namespace, ctx: Context, to: Context
) -> Exit:
    from stopcode.batch import run_batch
    from stopcode.cli.batch_progress import progress_of
    from stopcode.cli.rules import load_rules

    database, said = load_rules(args.signatures)
    for remark in said:
        ctx.say(f"{remark.severity}: {remark.message}")
    with progress_of(ctx, len(items)) as progress:
        result = run_batch(items, case, database, settings, remarks=said, tell=progress.ended, begins=progress.begins)
    _show(args.format, case, result.outcomes, to)
    told = ", ".join(f"{number} {how}" for how, number in progress.counts.items())
    kept = f"; kept in {args.case}" if args.case else ""
    ctx.say(f"{len(result.outcomes)} of {len(items)} images: {told or 'none'}{kept}")
    if result.interrupted:
        ctx.say("interrupted; the same command goes on where this one stopped" if args.case else "interrupted",
                error=True)  # fmt: skip
        return Exit.INTERRUPTED
    return combined(outcome.exit for outcome in result.outcomes if outcome.how != "parent")


def _show(form: str, case: Case, outcomes: Iterable[Outcome], to: Context) -> None:
    from stopcode.batch.fleet import fleet_of
    from stopcode.batch.tables import fleet_lines, write_csv

    outcomes = list(outcomes)
    if form == "jsonl":
        for document in _documents(case, outcomes):
            to.out.write(json_text(document, lines=True))
    else:
        fleet = fleet_of(case, outcomes)
        if form == "json":
            to.out.write(json_text(fleet))
        elif form == "csv":
            write_csv(fleet, to.out)
        else:
            write_lines(fleet_lines(fleet), to)
    to.out.flush()


def _documents(case: Case, outcomes: Iterable[Outcome]) -> Iterable[Mapping[str, Any]]:
    """Yield a report an image; for one that gave none, what is to be said instead."""
    from stopcode.batch.fleet import failure_of

    rows = case.rows()
    for outcome in outcomes:
        row = rows.get(outcome.uri)
        if row is None or outcome.how == "parent":
            continue
        if row.done:
            yield case.report(row.scan_pk)
        else:
            yield failure_of(outcome, row)
