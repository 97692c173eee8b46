"""The exit codes, in one place: documents and `--help` print them from here."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

__all__ = ["MEANINGS", "Exit", "combined"]


class Exit(IntEnum):
    """What a run says to the shell."""

    OK = 0
    FOUND = 1
    USAGE = 2
    UNREADABLE = 3
    PARTIAL = 4
    BUG = 70
    INTERRUPTED = 130
    PIPE = 141


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done, nothing crashed or exposed",
    Exit.FOUND: "done, at least one known problem crashed this machine or will",
    Exit.USAGE: "wrong usage",
    Exit.UNREADABLE: "the input cannot be read at all",
    Exit.PARTIAL: "done in part, and nothing was found in what could be read",
    Exit.BUG: "a bug of stopcode",
    Exit.INTERRUPTED: "interrupted; what was finished is kept",
    Exit.PIPE: "the reader closed the pipe",
}


def combined(codes: Iterable[int]) -> Exit:
    """Return the exit code of a run over several inputs.

    An interruption and a bug win; then 1 if anything was found; 3 if nothing could be read at all; 4 if anything
    could not; else 0.
    """
    every = {Exit(code) for code in codes}
    for first in (Exit.INTERRUPTED, Exit.BUG, Exit.FOUND):
        if first in every:
            return first
    if every == {Exit.UNREADABLE}:
        return Exit.UNREADABLE
    if every & {Exit.UNREADABLE, Exit.PARTIAL}:
        return Exit.PARTIAL
    return Exit.USAGE if Exit.USAGE in every else Exit.OK
