"""`stopcode signatures`: the known problems: list and show them, check and try their files, ask why."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stopcode.cli.arguments import add_output
from stopcode.cli.context import Context
from stopcode.cli.errors import UsageError
from stopcode.cli.exits import Exit
from stopcode.cli.output import json_text, output_to, write_lines
from stopcode.cli.rules import load_rules
from stopcode.report.lines import Line, aligned, blank, paragraphs
from stopcode.report.words import count_of

if TYPE_CHECKING:
    from signatures import Database
    from signatures.model import Rule
    from signatures.problems import Problem

SENTENCE = (
    "The known problems: list them, show one, check rule files (lint), run the tests in them (test), and tell why a "
    "rule says what it says of an image (why)."
)
EXAMPLES = (
    "stopcode signatures show vmstorfl",
    "stopcode signatures lint my-rules",
    "stopcode signatures why vmstorfl disk.vhdx",
)
CODES = (Exit.OK, Exit.FOUND, Exit.USAGE, Exit.UNREADABLE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the five things that can be asked."""
    parser.add_argument("what", choices=("list", "show", "lint", "test", "why"), help="what to do")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="show: ids; lint: files or folders; test: ids, files or folders; why: an id and an image "
                             "(or a stored report)")  # fmt: skip
    parser.add_argument("--signatures", action="append", default=[], metavar="PATH",
                        help="further rules: a folder, or one file; may be given again")  # fmt: skip
    parser.add_argument("--profile", choices=("load", "rules", "strict"), default="rules",
                        help="lint: how much to ask of a rule (default: rules)")  # fmt: skip
    add_output(parser, ("table", "json"))


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Do what is asked."""
    work = {"list": _list, "show": _show, "lint": _lint, "test": _test, "why": _why}[args.what]
    with output_to(args.output, ctx, args.names) as to:
        return work(args, to)


def _rules(args: argparse.Namespace, ctx: Context) -> Database:
    database, remarks = load_rules(args.signatures, tests=True)
    for item in remarks:
        ctx.say(f"{item.severity}: {item.message} ({item.source})", error=True)
    return database


def _get(database: Database, name: str) -> Rule:
    """Return a rule.

    Raises:
        UsageError: there is none of that name.

    """
    from signatures.problems import nearest

    rule = database.get(name)
    if rule is None:
        near = nearest(name, [rule.id for rule in database.rules])
        raise UsageError(f"no such rule: {name}", hint=near or "stopcode signatures list")
    return rule


def _list(args: argparse.Namespace, ctx: Context) -> int:
    if args.names:
        raise UsageError("list takes no names", hint="stopcode signatures show ID")
    rules = _rules(args, ctx).rules
    if args.format == "json":
        from stopcode.report.rules import rule_list

        ctx.out.write(json_text(rule_list(rules)))
        return Exit.OK
    write_lines(aligned([(rule.id, rule.severity, rule.status, rule.kind, rule.title) for rule in rules]), ctx)
    return Exit.OK


def _show(args: argparse.Namespace, ctx: Context) -> int:
    if not args.names:
        raise UsageError("show needs the id of a rule", hint="stopcode signatures list")
    database = _rules(args, ctx)
    rules = [_get(database, name) for name in args.names]
    if args.format == "json":
        from stopcode.report.rules import rule_texts

        ctx.out.write(json_text(rule_texts(rules)))
        return Exit.OK
    for number, rule in enumerate(rules):
        write_lines([*([blank()] if number else []), *_rule_lines(rule)], ctx)
    return Exit.OK


def _rule_lines(rule: Rule) -> Iterator[Line]:
    from stopcode.report.rules import conditions_of

    yield Line(f"{rule.id}: {rule.title}", "strong")
    yield Line(rule.summary, indent=2)
    rows = [
        ("Kind", f"{rule.severity}, {rule.kind}, {rule.family}, {rule.status}, version {rule.version}"),
        ("Comes with", ", ".join(rule.triggers)),
        ("Where", ", ".join(rule.targets)),
        *((name[:1].upper() + name[1:], words) for name, words in conditions_of(rule)),
        ("File", rule.file),
    ]
    yield from aligned([row for row in rows if row[1]], indent=2)
    yield Line("Why", "heading", 2)
    yield from paragraphs(rule.explain, indent=4)
    yield Line("What to do", "heading", 2)
    for number, step in enumerate(rule.remediation, 1):
        yield Line(step.do, "plain", 4, f"{number}. ")
        for command in step.commands:
            yield Line(command, "command", 9)
        if step.risk:
            yield Line(f"Mind: {step.risk}", "doubt", 7)
    yield Line("Sources", "heading", 2)
    for item in rule.references:
        place = item.get("url") or item.get("repo") or ""
        yield Line(f"{item.get('title')} {place}".rstrip(), "quiet", 4, "- ")
        if item.get("says"):
            yield Line(f"says: {item['says']}", "quiet", 6)


def _paths(names: Sequence[str]) -> list[Path]:
    """Return named files and folders, the built-in rules when none is named.

    Raises:
        UsageError: one is not there.

    """
    from signatures.load import BUILT_IN

    paths = [Path(name) for name in names] or [BUILT_IN]
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder", hint="name rule files, or folders with them")
    return paths


def _code_of(problems: Sequence[Problem]) -> int:
    """Return 2 when a file does not load, 1 when one loads and has other problems."""
    if any(problem.code < "SC2" for problem in problems):
        return Exit.USAGE
    return Exit.FOUND if problems else Exit.OK


def _lint(args: argparse.Namespace, ctx: Context) -> int:
    from signatures.lint import lint_paths
    from signatures.problems import render

    rules, problems = lint_paths(_paths(args.names), args.profile)
    if args.format == "json":
        from stopcode.report.rules import linted

        ctx.out.write(json_text(linted(rules, problems)))
        return _code_of(problems)
    lines = [Line(text, "verbatim") for problem in problems for text in render(problem).splitlines()]
    tail = f"{count_of(len(problems), 'problem')} in {count_of(len(rules), 'sound rule')}" if problems else (
        f"{count_of(len(rules), 'rule')}, no problem"
    )  # fmt: skip
    write_lines([*lines, Line(tail, "bad" if problems else "good")], ctx)
    return _code_of(problems)


def _to_test(args: argparse.Namespace, ctx: Context) -> tuple[list[Rule], list[Problem]]:
    """Return the rules that the names mean, ids or paths; all built-in ones without a name."""
    from signatures.load import load_files, rule_files

    database = _rules(args, ctx)
    if not args.names:
        return list(database.rules), []
    rules: list[Rule] = []
    problems: list[Problem] = []
    for name in args.names:
        if database.get(name) is None and Path(name).exists():
            loaded = load_files(rule_files(Path(name)))
            rules += loaded.rules
            problems += loaded.problems
        else:
            rules.append(_get(database, name))
    return rules, problems


def _test(args: argparse.Namespace, ctx: Context) -> int:
    from signatures.problems import render
    from signatures.testing import run_tests

    rules, problems = _to_test(args, ctx)
    results = [result for rule in rules for result in run_tests(rule)]
    failed = [result for result in results if not result.passed]
    code = Exit.USAGE if problems else Exit.FOUND if failed else Exit.OK
    if args.format == "json":
        from stopcode.report.rules import tested

        ctx.out.write(json_text(tested(rules, problems, results)))
        return code
    lines = [Line(text, "verbatim") for problem in problems for text in render(problem).splitlines()]
    for item in results:
        if not item.passed:
            lines.append(Line(f"{item.name}: {item.problem}", "bad", 0, f"FAILED {item.rule}: "))
        elif ctx.verbosity > 0:
            word = f"skipped ({item.skipped})" if item.skipped else "ok"
            lines.append(Line(item.name, "quiet" if item.skipped else "plain", 0, f"{word} {item.rule}: "))
    skipped = sum(1 for item in results if item.skipped)
    tail = f"{count_of(len(rules), 'rule')}, {count_of(len(results), 'test')}, {len(failed)} failed"
    write_lines([*lines, Line(f"{tail}, {skipped} skipped" if skipped else tail, "bad" if failed else "good")], ctx)
    return code


def _facts(image: str, database: Database) -> Any:
    """Return the facts of an image, or those in a stored report."""
    from stopcode.report.stored import report_in

    report = report_in(Path(image)) if image else None
    if report is None:
        from stopcode.scan import scan

        report = scan(image, database=database)
    return report["facts"]


def _why(args: argparse.Namespace, ctx: Context) -> int:
    if len(args.names) != 2:
        raise UsageError("why needs a rule and an image", hint="stopcode signatures why vmstorfl disk.vhdx")
    from signatures.why import render_why, why

    database = _rules(args, ctx)
    rule = _get(database, args.names[0])
    tree = why(rule, _facts(args.names[1], database))
    if args.format == "json":
        from stopcode.report.rules import why_document

        ctx.out.write(json_text(why_document(tree)))
    else:
        write_lines([Line(text, "verbatim") for text in render_why(tree)], ctx)
    return Exit.OK
