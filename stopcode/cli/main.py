"""The command `stopcode`: finds the verb, imports its module alone, and ends with an exit code.

Each verb's module has `SENTENCE`, `EXAMPLES`, optionally `CODES`, `add_arguments(parser)` and `run(args, ctx) -> int`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from stopcode import __version__
from stopcode.cli.arguments import Parser, add_common, exit_text, make_parser
from stopcode.cli.context import make_context
from stopcode.cli.errors import UsageError, guarded
from stopcode.cli.exits import Exit

__all__ = ["VERBS", "entry", "main", "parser_of"]

#: verb -> (module, what it does). Static, so that only the chosen verb's module is imported.
VERBS: dict[str, tuple[str, str]] = {
    "scan": ("stopcode.cli.scan", "tell from a disk why the Windows on it died, or will"),
    "dump": ("stopcode.cli.dump", "read a crash dump: bug check, stack, culprit"),
    "disk": ("stopcode.cli.disk", "tell what a disk image is, and the digest of its content"),
    "tui": ("stopcode.cli.tui", "look at a scan in the terminal, down to its evidence"),
    "batch": ("stopcode.cli.batch", "scan many images into a case"),
    "rescue": ("stopcode.cli.rescue", "list every dump on a disk, copy dumps and artefacts out"),
    "explain": ("stopcode.cli.explain", "say what a bug check or a start-up error code means"),
    "signatures": ("stopcode.cli.signatures", "list, show, check and try the known problems"),
    "report": ("stopcode.cli.report", "show a stored report again, without the disk"),
    "schema": ("stopcode.cli.schema", "print the JSON Schema of a document"),
}


def parser_of(verb: str) -> tuple[Parser, ModuleType]:
    """Return the parser of a verb and its module."""
    module = importlib.import_module(VERBS[verb][0])
    parser = make_parser(verb, module.SENTENCE, module.EXAMPLES, getattr(module, "CODES", None))
    module.add_arguments(parser)
    add_common(parser)
    return parser, module


def _overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {text}" for name, (_module, text) in VERBS.items())
    return (
        "Why a Windows machine died, or will: read from its disk or its crash dump alone.\n\n"
        "usage: stopcode VERB ...\n       stopcode IMAGE          the same as: stopcode scan IMAGE\n\n"
        "examples:\n  stopcode scan disk.vhdx\n  stopcode explain 0x7B\n\n"
        f"verbs:\n{verbs}\n\n{exit_text(Exit)}\n\n"
        "stopcode VERB --help tells more of one verb.\n"
    )


def _split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the verb that is meant and its arguments.

    Raises:
        UsageError: no such verb.

    """
    first = argv[0]
    if first in VERBS:
        return first, list(argv[1:])
    if not first or first.startswith("-") or os.path.exists(first) or os.sep in first or "." in first:  # noqa: PTH110  # start-up
        return "scan", list(argv)
    import difflib

    near = difflib.get_close_matches(first, VERBS, n=1)
    hint = f"did you mean: stopcode {near[0]}" if near else "stopcode --help lists the verbs"
    raise UsageError(f"no such verb or file: {first}", hint=hint)


def _run(argv: Sequence[str]) -> int:
    if len(argv) > 1 and argv[0] == "help" and argv[1] in VERBS:
        argv = [argv[1], "--help"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(_overview())
        return Exit.OK if argv else Exit.USAGE
    if argv[0] in ("-V", "--version"):
        sys.stdout.write(f"stopcode {__version__}\n")
        return Exit.OK
    verb, rest = _split(argv)
    parser, module = parser_of(verb)
    try:
        args = parser.parse_intermixed_args(rest)
    except SystemExit as left:
        # argparse leaves this way after --help.
        return int(left.code or 0)
    context = make_context(
        sys.stdout,
        sys.stderr,
        dict(os.environ),
        colour=args.color,
        verbosity=-1 if args.quiet else args.verbose,
        traceback=args.traceback,
    )
    return int(module.run(args, context))


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    if sys.stderr is None:
        # Started with stderr closed: what would be said there is lost, the rest is not.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # lives as long as the process
    if sys.stdout is None:
        sys.stderr.write("stopcode: error: stdout is closed\n")
        return Exit.UNREADABLE
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name that the encoding does not know must not stop the output.
            stream.reconfigure(errors="backslashreplace")
    return guarded(lambda: _run(argv), err=sys.stderr, environment=os.environ, show_traceback="--traceback" in argv)


def entry() -> None:
    """Run the command line of this process."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
