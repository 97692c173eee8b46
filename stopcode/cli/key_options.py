"""What unlocks a BitLocker volume: from files, from stdin, from the environment, or asked for at a terminal.

A key is never the value of an option: the list of processes, and the shell's history, show arguments to everybody.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar, cast

from parsers.errors import LockedVolumeError, StopcodeError
from stopcode.cli.context import Context, is_terminal
from stopcode.cli.errors import UsageError

if TYPE_CHECKING:
    from forensics.disk.keys import VolumeKeys

__all__ = ["add_key_options", "given_keys", "unlocking"]

_PASSWORD: Final = "STOPCODE_RECOVERY_PASSWORD"  # noqa: S105 - the variable's name
_PASSPHRASE: Final = "STOPCODE_PASSPHRASE"  # noqa: S105 - as above
#: Bytes of a file with keys: 10,000 recovery passwords in UTF-16, with names and identifiers, are below it.
_MAX_FILE: Final = 16 << 20

_T = TypeVar("_T")


def add_key_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("unlocking BitLocker", f"{_PASSWORD} and {_PASSPHRASE} in the environment count.")
    group.add_argument("--bek", action="append", default=[], metavar="FILE",
                       help="a startup or recovery key (.BEK), also in base64 as Azure has it; may be given "
                            "again")  # fmt: skip
    group.add_argument("--recovery-password-file", action="append", default=[], metavar="FILE|-",
                       help="a text with one or many recovery passwords of 48 digits, or - for stdin; may be given "
                            "again")  # fmt: skip
    group.add_argument("--passphrase-file", action="append", default=[], metavar="FILE|-",
                       help="a file with one passphrase, or - for stdin; may be given again")  # fmt: skip


def given_keys(args: argparse.Namespace, environment: Mapping[str, str]) -> VolumeKeys:
    """Return every key that the user gave; the same ones at every call, as stdin is read once.

    Raises:
        UsageError: a file that cannot be read or holds no key; what it holds is not repeated.

    """
    kept = getattr(args, "given_keys", None)
    if kept is not None:
        return cast("VolumeKeys", kept)
    from forensics.disk.keys import VolumeKeys, bek_in, passphrase_in, recovery_passwords_in

    names = [*args.recovery_password_file, *args.passphrase_file, getattr(args, "url_file", None)]
    if names.count("-") > 1:
        raise UsageError("stdin can give one thing alone: - was named twice")
    passwords = [item for name in args.recovery_password_file for item in _from(name, recovery_passwords_in)]
    if environment.get(_PASSWORD):
        passwords += _taken(_PASSWORD, environment[_PASSWORD], recovery_passwords_in)
    phrases = [_from(name, passphrase_in) for name in args.passphrase_file]
    if environment.get(_PASSPHRASE):
        phrases.append(_taken(_PASSPHRASE, environment[_PASSPHRASE], passphrase_in))
    keys = VolumeKeys(tuple(_from(name, bek_in) for name in args.bek), tuple(passwords), tuple(phrases))
    args.given_keys = keys
    return keys


def _from(name: str, read: Callable[[bytes], _T]) -> _T:
    try:
        if name == "-":
            data = _all_of(sys.stdin.buffer)
        else:
            with Path(name).open("rb") as file:
                data = _all_of(file)
        return read(data)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from error
    except StopcodeError as error:
        raise UsageError(f"{name}: {error.message}", hint=error.hint) from error


def _taken(name: str, text: str, read: Callable[[bytes], _T]) -> _T:
    try:
        return read(text.encode("utf-8", "surrogateescape"))
    except (StopcodeError, ValueError) as error:
        raise UsageError(f"{name}: {error.message if isinstance(error, StopcodeError) else 'it is no text'}") from None


def _all_of(file: BinaryIO) -> bytes:
    data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise UsageError(f"a file with keys of more than {_MAX_FILE >> 20} MiB")
    return data


def unlocking(
    args: argparse.Namespace, ctx: Context, run: Callable[[VolumeKeys], _T], ask: Callable[[str], str] | None = None
) -> _T:
    """Run something with the keys; where a volume stays locked and a person sits there, ask for one and run it again.

    Args:
        args: the options.
        ctx: streams and environment; `-q` asks nothing.
        run: is given the keys.
        ask: asks a person (tests give their own).

    Raises:
        LockedVolumeError: it stays locked.
        UsageError: a file that cannot be read or holds no key.

    """
    keys = given_keys(args, ctx.environment)
    try:
        return run(keys)
    except LockedVolumeError as error:
        asked = ask or _asking(ctx)
        if keys or asked is None:
            raise
        ctx.say(error.message)
        text = asked("recovery password or passphrase (empty: none): ")
        if not text:
            raise
        from forensics.disk.keys import VolumeKeys, passphrase_in, recovery_passwords_in

        try:
            more = VolumeKeys(recovery_passwords=recovery_passwords_in(text.encode()))
        except StopcodeError:
            more = VolumeKeys(passphrases=(_taken("passphrase", text, passphrase_in),))
    return run(more)


def _asking(ctx: Context) -> Callable[[str], str] | None:
    if ctx.verbosity < 0 or not (is_terminal(sys.stdin) and is_terminal(ctx.err)):
        return None

    def ask(prompt: str) -> str:
        try:
            return getpass.getpass(f"stopcode: {prompt}", ctx.err)
        except EOFError:
            return ""

    return ask
