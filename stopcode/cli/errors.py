"""The edge of the command line: every way a run can end badly becomes one line and an exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from forensics.remote.address import redacted
from parsers.errors import RuleError, StopcodeError
from stopcode import __version__
from stopcode.cli.exits import Exit
from stopcode.config import cache_folder
from stopcode.report.safe import shown

__all__ = ["UsageError", "error_lines", "guarded"]


#: Who gives a recovery password as an option's value reads of a wrong command line; logs need not keep what it was.
_RECOVERY_PASSWORD = re.compile(r"(?<!\d)\d{6}(?:[- ]?\d{6}){7}(?!\d)")


class UsageError(StopcodeError):
    """A command line that cannot be meant (exit code 2)."""


def error_lines(error: StopcodeError, what: str = "") -> list[str]:
    """Return what is told of an error: what went wrong with which input, then what to do about it."""
    about = f"{what}: " if what and what not in error.message else ""
    lines = [f"error: {about}{error.message}"]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return lines


def _silence(stream: int) -> None:
    """Point a standard stream at the null device, so that the interpreter's last flush has nowhere to fail."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream)
        os.close(null)
    except OSError:
        pass


def _keep_traceback(environment: Mapping[str, str]) -> str | None:
    """Write the traceback into the log and return its path; None where no log can be written."""
    folder = cache_folder(environment)
    if folder is None:
        return None
    path = os.path.join(folder, "last-error.log")  # noqa: PTH118  # pathlib is not needed on the dump path
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103  # as above
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as log:  # noqa: PTH123  # as above
            log.write(f"stopcode {__version__}, Python {sys.version}\n{redacted(traceback.format_exc())}")
    except OSError:
        return None
    return path


def _bug(error: Exception, err: TextIO, environment: Mapping[str, str]) -> None:
    log = _keep_traceback(environment)
    where = f"the traceback is in {log}" if log else "--traceback shows where"
    text = f"bug: {type(error).__name__}: {error}; {where}; please report it with the command line and that log"
    _tell(err, [" ".join(text.split())])


def _tell(err: TextIO, lines: Sequence[str]) -> None:
    try:
        for line in lines:
            err.write(f"stopcode: {shown(_RECOVERY_PASSWORD.sub('<recovery password>', redacted(line)))}\n")
        err.flush()
    except (OSError, ValueError):
        # Nobody listens any more; the exit code still says it.
        _silence(2)


def guarded(run: Callable[[], int], *, err: TextIO, environment: Mapping[str, str], show_traceback: bool) -> int:
    """Run a command and turn whatever it raises into an exit code and at most two lines."""
    try:
        code = run()
        sys.stdout.flush()
        return int(code)
    except KeyboardInterrupt:
        _tell(err, ["interrupted"])
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _silence(1)
        return Exit.PIPE
    except StopcodeError as error:
        if show_traceback:
            err.write(redacted(traceback.format_exc()))
        _tell(err, error_lines(error))
        return Exit.USAGE if isinstance(error, UsageError | RuleError) else Exit.UNREADABLE
    except OSError as error:
        # A full disk behind stdout, an input that the system cannot read: the system's own words say which.
        if show_traceback:
            err.write(redacted(traceback.format_exc()))
        _silence(1)
        name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        _tell(err, [f"error: {name}{error.strerror or error}"])
        return Exit.UNREADABLE
    except Exception as error:  # noqa: BLE001  # the edge: a bug becomes one line, never a traceback
        if show_traceback:
            err.write(redacted(traceback.format_exc()))
        _bug(error, err, environment)
        return Exit.BUG
