r"""Taking the machine's names out of text, and saying honestly where that cannot be done.

Replaced in text files and in the names of files: the host name, the domain, the names of users' folders, and security
identifiers of accounts (S-1-5-21-…). A name of five letters or more is replaced wherever it stands, a shorter one where
it is a word of its own ("corp" is not taken out of "corporation"), one of one or two letters not at all. Everything
else stays: addresses, names of other machines, whatever a program wrote. Files that are not text (hives, event logs,
dumps) cannot be cleaned so and are left out, each by name.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

from forensics.collect.volume import FileTree
from forensics.facts import Facts
from parsers.errors import StopcodeError

__all__ = ["MAX_TEXT", "Redactor", "user_names"]

#: Bytes of a text file that is cleaned; a larger one is left out.
MAX_TEXT = 64 << 20
_SHORTEST = 3
#: From so many letters on a name is replaced inside of other words too.
_ANYWHERE = 5
_SID = re.compile(r"S-1-5-21-\d+(?:-\d+)*", re.IGNORECASE)
_EVERYBODYS = frozenset({"all users", "default", "default user", "public", "administrator", "defaultapppool"})


def user_names(files: FileTree) -> list[str]:
    r"""Return the names of the users' folders; none where they cannot be listed.

    Raises:
        StopcodeError: the folder is damaged: then nobody can say that the names are gone.

    """
    return sorted(
        entry.name for entry in files.listdir("\\Users") if entry.is_dir and entry.name.lower() not in _EVERYBODYS
    )


class Redactor:
    """Replaces the names of one machine, the same name by the same word everywhere.

    Args:
        names: (name, word) pairs; longer names are replaced first.

    Attributes:
        kept: how many names are too short to be replaced without harm; they stay.

    """

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        wanted = {name.lower(): word for name, word in names if name}
        self.kept = sum(len(name) < _SHORTEST for name in wanted)
        self._words = {name: word for name, word in wanted.items() if len(name) >= _SHORTEST}
        parts = [
            re.escape(name) if len(name) >= _ANYWHERE else rf"(?<![^\W_]){re.escape(name)}(?![^\W_])"
            for name in sorted(self._words, key=lambda name: (-len(name), name))
        ]
        self._regex = re.compile("|".join(parts), re.IGNORECASE) if parts else None
        self._ascii = all(name.isascii() for name in self._words)

    @classmethod
    def of(cls, facts: Facts, users: Iterable[str]) -> Redactor:
        """Return the one for a machine."""
        system = facts["system"]
        names = [(system.get("domain", ""), "DOMAIN"), (system.get("domain", "").partition(".")[0], "DOMAIN")]
        names += [(user, f"USER{number}") for number, user in enumerate(users, 1)]
        # Of two with one name the host counts: last in a table wins.
        names.append((system.get("hostname", ""), "HOST"))
        return cls(names)

    def text(self, text: str) -> tuple[str, int]:
        """Return a text with its names replaced, and how many were."""
        count = 0
        if self._regex is not None:
            text, count = self._regex.subn(lambda match: self._words.get(match[0].lower(), "NAME"), text)
        text, sids = _SID.subn("S-1-5-21-ACCOUNT", text)
        return text, count + sids

    def data(self, data: bytes) -> tuple[bytes, int]:
        """Return a text file with its names replaced, and how many were.

        Raises:
            StopcodeError: it is no text, or it is not known how it is written and a name has letters that depend on it.

        """
        encoding, mark = _encoding(data)
        try:
            text = data[len(mark) :].decode(encoding)
        except UnicodeDecodeError as error:
            raise StopcodeError("it is not text throughout") from error
        if encoding == "latin-1" and not self._ascii:
            raise StopcodeError("its code page is not known, and a name of the machine has letters beyond ASCII")
        made, count = self.text(text)
        return mark + made.encode(encoding), count


def _encoding(data: bytes) -> tuple[str, bytes]:
    """Return how a text file is written and its byte order mark.

    Raises:
        StopcodeError: it is no text.

    """
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return encoding, mark
    if b"\0" in data:
        raise StopcodeError("it is not text")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        # Windows' own logs in the language of the machine: every byte is a character, and stays it.
        return "latin-1", b""
    return "utf-8", b""
