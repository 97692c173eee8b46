"""`stopcode explain`: what a code on a blue screen, in a dump or in the event log means."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from parsers.errors import StopcodeError
from stopcode.cli.arguments import add_output
from stopcode.cli.context import Context
from stopcode.cli.exits import Exit
from stopcode.cli.output import json_text, output_to, write_lines
from stopcode.report.lines import Line, aligned, blank

if TYPE_CHECKING:
    from forensics.crash.bugchecks import BootCode, BugCheckInfo, Explanation

SENTENCE = (
    "Say what a bug check, an NTSTATUS or a start-up error means: by number (0x7B, 7B, 123 as the event log writes "
    "it), by name or a part of it, or by the id of a screen; with the four parameters, what they say."
)
EXAMPLES = ("stopcode explain 0x7B", "stopcode explain 0x9F 3 ffffcf0d5c3e7060 fffff80254f3b7d0 ffffcf0d5bb45a60")
CODES = (Exit.OK, Exit.USAGE, Exit.UNREADABLE)

#: Answers that are told whole; of more, one line each.
_WHOLE = 4
#: The licences' texts stand behind -v and in docs/crash.md.
_CREDIT = "Facts from Microsoft's documentation (CC BY 4.0), shortened and reworded; -v names the sources."
_NUMBER = re.compile(r"(?:0x)?[0-9a-f`]{1,17}", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("words", nargs="+", metavar="CODE", help="number or name, then up to four parameters (hex)")
    add_output(parser, ("table", "json"))


def split_words(words: Sequence[str]) -> tuple[str, list[int]]:
    """Return the code or name, and the parameters behind it ("STOP: 0x7B (0x1, 0x2)" too)."""
    cleaned = [part for word in words for part in re.split(r"[\s(),]+", word) if part]
    head = 2 if len(cleaned) > 1 and cleaned[0].lower().rstrip(":") == "stop" else 1
    rest = cleaned[head:]
    if rest and len(rest) <= 4 and all(_NUMBER.fullmatch(word) for word in rest):
        return " ".join(cleaned[:head]), [int(word.replace("`", "") or "0", 16) & (1 << 64) - 1 for word in rest]
    return " ".join(cleaned), []


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Find and tell."""
    from forensics.crash.bugchecks import attributions, find

    text, parameters = split_words(args.words)
    found = find(text, parameters)
    if not found:
        numbers = [word for word in text.split() if _NUMBER.fullmatch(word)]
        if numbers and find(numbers[0]):
            hint = f"{numbers[0]} is known: behind it stand at most four parameters, each a hexadecimal number"
        else:
            hint = "try a part of the name: stopcode explain BOOT_DEVICE"
        raise StopcodeError(f"nothing is known of {text!r}", hint=hint)
    with output_to(args.output, ctx) as to:
        if args.format == "json":
            from stopcode.report.explained import explained

            to.out.write(json_text(explained(found, attributions())))
        elif len(found) > _WHOLE and to.verbosity < 1:
            write_lines(_short(found), to)
        else:
            verbose = to.verbosity > 0
            credits = attributions() if verbose else [_CREDIT]
            write_lines([*_whole(found, verbose=verbose), blank(), *(Line(text, "quiet") for text in credits)], to)
    return Exit.OK


def _name(item: Explanation) -> str:
    if item.bugcheck is not None:
        return item.bugcheck.name
    if item.boot:
        return item.boot[0].name or item.boot[0].id
    return item.status or ""


def _short(found: Sequence[Explanation]) -> Iterator[Line]:
    yield Line(f"{len(found)} codes fit (-v tells all of them whole)", "strong")
    yield from aligned([("" if item.code is None else f"0x{item.code:X}", _name(item)) for item in found], indent=2)


def _whole(found: Sequence[Explanation], *, verbose: bool) -> Iterator[Line]:
    for number, item in enumerate(found):
        if number:
            yield blank()
        if item.bugcheck is not None:
            yield from _bugcheck(item.bugcheck, verbose=verbose)
        if item.status is not None:
            yield Line(item.status, "strong", lead="NTSTATUS ")
        for number_of, screen in enumerate(item.boot):
            if number_of or item.bugcheck is not None or item.status is not None:
                yield blank()
            yield from _screen(screen)


def _bugcheck(info: BugCheckInfo, *, verbose: bool) -> Iterator[Line]:
    yield Line(f"0x{info.raw:X} {info.name}", "strong")
    if info.code != info.raw:
        yield Line(f"this is 0x{info.code:X} with a mark: the dump's header holds the registers at the fault", indent=2)
    if info.case:
        yield Line(info.case, indent=2, lead="this case: ")
    given = any(row.value is not None for row in info.parameters)
    rows = [
        (f"P{row.number}", *(("-" if row.value is None else f"{row.value:#x}",) if given else ()),
         row.meaning or "reserved, or not documented")
        for row in info.parameters
        if row.value is not None or row.meaning
    ]  # fmt: skip
    yield from aligned(rows, indent=2)
    if not rows:
        yield Line("its parameters are reserved, or not documented", "quiet", 2)
    for key, table in info.subcodes.items():
        number, _at, condition = key.partition("@")
        value = next((row.value for row in info.parameters if str(row.number) == number), None)
        if info.case and value is not None and not verbose:
            continue  # which one it is was told
        yield Line(f"P{number} may be{f', where {condition}' if condition else ''}:", "heading", 2)
        yield from aligned([(value, meaning) for value, meaning in table.items()], indent=4)
    if info.source and verbose:
        yield Line(info.source, "quiet", 2, "source: ")


def _screen(screen: BootCode) -> Iterator[Line]:
    code = "" if screen.code is None else f"0x{screen.code:X} "
    yield Line(f"{code}{screen.name}".strip() or screen.id, "strong", lead=f"start-up screen [{screen.id}] ")
    yield Line(screen.screen, "quiet", 2, "shows: ")
    yield Line(f"{screen.stage} ({screen.confidence} confidence)", indent=2, lead="stage: ")
    yield Line(screen.means, indent=2, lead="means: ")
    for place in screen.look_at:
        yield Line(place, indent=2, lead="look at: ")
    for number, step in enumerate(screen.remedy, 1):
        yield Line(step, indent=2, lead=f"do {number}: ")
