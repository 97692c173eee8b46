"""The one tree of exceptions.

::

    StopcodeError
    ├── FormatError            bytes that contradict the format they claim to be
    │   └── TruncatedError     the bytes end before the structure does
    ├── UnsupportedError       a sound input that stopcode does not read
    ├── ReadError              a place that exists and cannot be read (absent page, unreadable sector)
    │   └── NotCollectedError  a file that is not among collected ones: nobody knows whether it was there
    ├── RuleError              a signature file that does not load
    └── OpenError              the named input gives nothing at all
        ├── InputNotFoundError no such file (also FileNotFoundError)
        ├── NotADiskError      neither a disk image nor a dump
        ├── MissingParentError a differencing disk without its parent
        ├── LockedVolumeError  encrypted, and no key was given
        └── NoWindowsError     a disk without a Windows volume

Every error says what, where (offset) and what to do (`hint`). Parsers raise; collectors turn what they can
survive into a gap and a diagnostic; the command line prints the rest in one line.
"""

from __future__ import annotations

import builtins

__all__ = [
    "FormatError",
    "InputNotFoundError",
    "LockedVolumeError",
    "MissingParentError",
    "NoWindowsError",
    "NotADiskError",
    "NotCollectedError",
    "OpenError",
    "ReadError",
    "RuleError",
    "StopcodeError",
    "TruncatedError",
    "UnsupportedError",
]


class StopcodeError(Exception):
    """Root of all errors that stopcode raises on purpose.

    Args:
        message: what went wrong, in plain words, without a full stop.
        hint: what the user can do about it; may be empty.

    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class FormatError(StopcodeError):
    """Bytes that contradict the format they claim to be.

    Args:
        format: name of the format, as the field calls it ("VHDX", "regf", "DUMP_HEADER64").
        message: what is wrong.
        offset: byte offset in the input where it is wrong, or None when no single place is.
        expected: what the format demands there.
        found: what stands there.
        hint: what the user can do about it.

    """

    def __init__(
        self,
        format: str,
        message: str,
        *,
        offset: int | None = None,
        expected: object = None,
        found: object = None,
        hint: str = "",
    ) -> None:
        text = f"{format}: {message}"
        told = [f"{word} {value}" for word, value in (("expected", expected), ("found", found)) if value is not None]
        if told:
            text += f" ({', '.join(told)})"
        if offset is not None:
            text += f" at offset {offset:#x}"
        super().__init__(text, hint=hint)
        self.format = format
        self.offset = offset
        self.expected = expected
        self.found = found


class TruncatedError(FormatError):
    """The bytes end before the structure does."""


class UnsupportedError(StopcodeError):
    """A sound input of a kind that stopcode does not read (yet)."""


class ReadError(StopcodeError):
    """A place that exists and cannot be read: an absent page, an unreadable sector.

    Args:
        message: what could not be read, and why.
        address: the address or byte offset asked for.
        hint: what the user can do about it.

    """

    def __init__(self, message: str, *, address: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.address = address


class NotCollectedError(ReadError):
    """A file that is not among those that somebody collected: whether the machine had it, nobody knows."""


class RuleError(StopcodeError):
    """A signature file that does not load; the text lists every problem with file, line and column."""


class OpenError(StopcodeError):
    """The named input gives nothing at all (exit code 3)."""


class InputNotFoundError(OpenError, builtins.FileNotFoundError):
    """No such file or folder."""


class NotADiskError(OpenError):
    """The input is neither a disk image nor a crash dump."""


class MissingParentError(OpenError):
    """A differencing disk whose parent is not beside it."""


class LockedVolumeError(OpenError):
    """The Windows volume is encrypted and no key was given."""


class NoWindowsError(OpenError):
    """A readable disk without a Windows volume on it."""
