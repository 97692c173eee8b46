"""How every verb's options are declared: one sentence, usage, two examples, options, exit codes."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Sequence
from typing import NoReturn

from stopcode.cli.errors import UsageError
from stopcode.cli.exits import MEANINGS, Exit

__all__ = ["Parser", "add_common", "add_output", "make_parser"]


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that fits 80 columns whatever the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=79)


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of leaving the program, and puts the examples before the options."""

    examples: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(message, hint=f"{self.prog} --help")

    def format_help(self) -> str:
        """Return the help: sentence, usage, examples, options, exit codes."""
        formatter = self._get_formatter()
        formatter.add_text(self.description)
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        if self.examples:
            formatter.add_text("examples:\n" + "\n".join(f"  {line}" for line in self.examples))
        for group in self._action_groups:
            formatter.start_section(group.title)
            formatter.add_text(group.description)
            formatter.add_arguments(group._group_actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()


def exit_text(codes: Iterable[Exit]) -> str:
    """Return the exit codes for the end of a help page."""
    return "exit codes:\n" + "\n".join(f"  {code.value:<4} {MEANINGS[code]}" for code in codes)


def make_parser(verb: str, sentence: str, examples: Sequence[str], codes: Iterable[Exit] | None = None) -> Parser:
    """Return the parser of one verb with the options that every verb has.

    Args:
        verb: its name, with the name of the command below it where there is one.
        sentence: what it does.
        examples: real command lines.
        codes: the exit codes it ends with; all of them when None.

    """
    parser = Parser(
        prog=f"stopcode {verb}",
        description="\n".join(textwrap.wrap(sentence, 79)),
        epilog=exit_text(codes if codes is not None else Exit) + "\n\nmore: docs/command-line.md",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.examples = examples
    return parser


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every verb understands."""
    group = parser.add_argument_group("common options")
    group.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="colour on stdout (default: auto)"
    )
    group.add_argument("-v", "--verbose", action="count", default=0, help="tell more; list what is cut short")
    group.add_argument("-q", "--quiet", action="store_true", help="tell errors alone on stderr")
    group.add_argument("--traceback", action="store_true", help="show where an error came from")


def add_output(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    """Add the choice of format and place."""
    group = parser.add_argument_group("output")
    group.add_argument("-o", dest="format", metavar="FORMAT", choices=formats, default=formats[0],
                       help=f"{', '.join(formats)} (default: {formats[0]})")  # fmt: skip
    group.add_argument("--output", metavar="FILE", default="-", help="write the result there instead of to stdout")
