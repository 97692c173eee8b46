"""What opens an encrypted volume, as the user gives it: BEK files, recovery passwords, passphrases.

Keys never appear in a message, a report or a `repr`. A recovery password is found in whatever text it was kept in: the
file that Windows saves (UTF-16, with the identifier before it), the output of `manage-bde -protectors -get`, a table
out of a directory, or the 48 digits alone.

Sources: Microsoft Learn, "BitLocker recovery process" (48 digits in eight groups, each divisible by 11; the identifier
is that of the protector); fox-it/dissect.fve (the bounds of a group).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from parsers.errors import FormatError
from parsers.limits import MAX_KEYS

__all__ = ["RecoveryPassword", "VolumeKeys", "bek_in", "passphrase_in", "recovery_passwords_in"]

_GUID: Final = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_TOKEN: Final = re.compile(rf"(?P<guid>{_GUID})|(?<![\d-])(?P<digits>\d{{6}}(?:[- ]?\d{{6}}){{7}})(?![\d-])", re.ASCII)
#: A group stands for 16 bits, times 11.
_GROUP_BOUND: Final = 11 << 16


@dataclass(frozen=True, slots=True, repr=False)
class RecoveryPassword:
    """A recovery password.

    Attributes:
        digits: 48 digits in eight groups with `-` between them; each group is divisible by 11.
        near: the identifiers (upper case) that stand next to it in the text, before and behind: maybe its protector's.

    """

    digits: str
    near: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"RecoveryPassword(near={self.near!r})"


@dataclass(frozen=True, slots=True, repr=False)
class VolumeKeys:
    """Every key that the user gave.

    Attributes:
        beks: contents of BEK files.
        recovery_passwords: recovery passwords.
        passphrases: passphrases.

    """

    beks: tuple[bytes, ...] = ()
    recovery_passwords: tuple[RecoveryPassword, ...] = ()
    passphrases: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = f"{len(self.beks)}, {len(self.recovery_passwords)}, {len(self.passphrases)}"
        return f"VolumeKeys({counts})"

    def __bool__(self) -> bool:
        return bool(self.beks or self.recovery_passwords or self.passphrases)

    def __add__(self, other: VolumeKeys) -> VolumeKeys:
        return VolumeKeys(
            self.beks + other.beks,
            self.recovery_passwords + other.recovery_passwords,
            self.passphrases + other.passphrases,
        )

    def to_plain(self) -> dict[str, Any]:
        """Return the keys as plain data, to be handed to another process through a pipe."""
        return {
            "beks": [bek.hex() for bek in self.beks],
            "recovery_passwords": [[item.digits, list(item.near)] for item in self.recovery_passwords],
            "passphrases": list(self.passphrases),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> VolumeKeys:
        """Return the keys of `to_plain`."""
        return cls(
            tuple(bytes.fromhex(bek) for bek in plain["beks"]),
            tuple(RecoveryPassword(digits, tuple(near)) for digits, near in plain["recovery_passwords"]),
            tuple(plain["passphrases"]),
        )


def recovery_passwords_in(data: bytes) -> tuple[RecoveryPassword, ...]:
    """Return the recovery passwords in a text.

    Raises:
        FormatError: there is none, one is mistyped, or there are more than MAX_KEYS.

    """
    found: list[RecoveryPassword] = []
    before: tuple[str, ...] = ()
    open_end = False
    for match in _TOKEN.finditer(_text(data)):
        if match["guid"]:
            before = (match["guid"].upper(),)
            if open_end:
                found[-1] = RecoveryPassword(found[-1].digits, found[-1].near + before)
            open_end = False
            continue
        digits = re.sub(r"\D", "", match["digits"])
        groups = [digits[at : at + 6] for at in range(0, 48, 6)]
        for number, group in enumerate(groups, 1):
            if int(group) % 11 or int(group) >= _GROUP_BOUND:
                raise FormatError("recovery password", f"group {number} of number {len(found) + 1} is mistyped")
        if len(found) == MAX_KEYS:
            raise FormatError("recovery password", f"more than {MAX_KEYS} in one file")
        found.append(RecoveryPassword("-".join(groups), before))
        before, open_end = (), True
    if not found:
        raise FormatError("recovery password", "no 48 digits in eight groups of six are in it")
    return tuple(found)


def passphrase_in(data: bytes) -> str:
    """Return the passphrase in a file: its text without the line's end.

    Raises:
        FormatError: it is empty, or no text.

    """
    text = _text(data).rstrip("\r\n")
    if not text or "\n" in text:
        raise FormatError("passphrase", "the file must hold one line")
    return text


def bek_in(data: bytes) -> bytes:
    """Return the content of a BEK file, which may also be written in base64, as Azure's Key Vault keeps it.

    Raises:
        FormatError: it is no BEK file.

    """
    if b"\0" not in data:
        try:
            # What Key Vault unwrapped comes in the alphabet for URLs, without padding.
            packed = b"".join(data.split()).replace(b"-", b"+").replace(b"_", b"/")
            data = base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
        except (ValueError, binascii.Error) as error:
            raise FormatError("BEK", "it is no BEK file, nor one in base64") from error
    size = int.from_bytes(data[:4], "little")
    if not 48 <= size <= len(data) or int.from_bytes(data[4:8], "little") != 1:
        raise FormatError(
            "BEK", "it is no BEK file", hint="a secret that a key of Key Vault wraps must be unwrapped first"
        )
    return data


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif data[1:2] == b"\0":
        encoding = "utf-16-le"
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        # Its words would show the bytes.
        raise FormatError("key file", f"it is no text in {encoding}") from None
