"""What every verb is given: the streams, how loud to be, and whether colour and wide characters can be used.

Decided once, here; nothing else reads the environment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

from forensics.remote.address import redacted
from stopcode.report.safe import shown

__all__ = ["Context", "colour_wanted", "make_context", "speaks_unicode"]

#: What the reports draw beyond ASCII.
_DRAWN = "✖▲·—…→│"


def speaks_unicode(stream: TextIO) -> bool:
    """Tell whether a stream's encoding can carry what the reports draw."""
    try:
        _DRAWN.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person reads the stream."""
    try:
        return stream.isatty()
    except (ValueError, OSError):
        return False


def colour_wanted(choice: str, environment: Mapping[str, str], terminal: bool) -> bool:
    """Decide on colour: option, NO_COLOR, FORCE_COLOR or CLICOLOR_FORCE, CLICOLOR=0, TERM, terminal, in this order."""
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR") or environment.get("CLICOLOR_FORCE"):
        return True
    if environment.get("CLICOLOR") == "0" or environment.get("TERM", "dumb" if os.name != "nt" else "") == "dumb":
        return False
    return terminal


@dataclass(slots=True)
class Context:
    """What a verb works with.

    Attributes:
        out: results, and nothing else.
        err: progress, diagnostics, errors.
        environment: the process's, as it was at the start.
        verbosity: -1 quiet (errors alone), 0 normal, 1 and more: every diagnostic.
        colour: whether `out` gets colour.
        terminal: whether a person reads `out`: then lines are wrapped to `width`.
        progress: whether a person watches `err`: then long work shows a bar.
        unicode: whether `out` can carry wide characters.
        width: columns of the terminal.
        traceback: whether a bug shows its traceback.

    """

    out: TextIO
    err: TextIO
    environment: Mapping[str, str] = field(default_factory=dict)
    verbosity: int = 0
    colour: bool = False
    terminal: bool = False
    progress: bool = False
    unicode: bool = True
    width: int = 80
    traceback: bool = False

    def say(self, text: str, *, error: bool = False) -> None:
        """Write one line to stderr; `-q` keeps all but errors back."""
        if error or self.verbosity >= 0:
            self.err.write(f"stopcode: {shown(redacted(text))}\n")
            self.err.flush()


def make_context(out: TextIO, err: TextIO, environment: Mapping[str, str], *, colour: str = "auto",
                 verbosity: int = 0, traceback: bool = False) -> Context:  # fmt: skip
    """Look at the streams and the environment once."""
    terminal = is_terminal(out)
    return Context(
        out,
        err,
        environment,
        verbosity,
        colour_wanted(colour, environment, terminal),
        terminal,
        is_terminal(err) and verbosity >= 0 and environment.get("TERM") != "dumb",
        speaks_unicode(out),
        max(shutil.get_terminal_size((80, 24)).columns, 20) if terminal else 80,
        traceback,
    )
