"""What file trees share: paths, and patterns matched one folder at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from parsers.errors import FormatError, NotCollectedError, StopcodeError, UnsupportedError
from parsers.limits import MAX_GLOB_ENTRIES

if TYPE_CHECKING:
    from forensics.collect.volume import FileEntry

__all__ = ["glob", "join", "parts_of"]


class _Listing(Protocol):
    def stat(self, path: str) -> FileEntry | None: ...
    def listdir(self, path: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]: ...


def parts_of(path: str) -> list[str]:
    r"""Return a path's names (`\Windows\System32` -> Windows, System32)."""
    return [part for part in path.replace("/", "\\").split("\\") if part]


def join(parts: Sequence[str]) -> str:
    r"""Return the path of names; `\` for none."""
    return "\\" + "\\".join(parts)


def _regex(pattern: str) -> re.Pattern[str]:
    text = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.compile(text, re.IGNORECASE | re.DOTALL)


def glob(tree: _Listing, pattern: str, damage: list[StopcodeError] | None = None) -> list[FileEntry]:
    """Return the entries that match a pattern: `*` and `?` within one name, case does not matter.

    A folder below that cannot be entered because it is a link is passed over: what it leads to stands elsewhere.

    Args:
        tree: the files.
        pattern: the pattern.
        damage: told why more may match than can be read; then what can be read is returned.

    Raises:
        FormatError: the pattern looks at too many entries, or a folder is damaged.
        ReadError: a folder cannot be read.

    """
    found: list[str] = [""]
    entries: list[FileEntry] = []
    looked_at = 0
    for part in parts_of(pattern):
        wild = "*" in part or "?" in part
        regex = _regex(part) if wild else None
        entries = []
        for folder in found:
            if regex is None:
                looked_at += 1
                entry = _within(tree, f"{folder}\\{part}", damage)
                entries += [entry] if entry is not None else []
            else:
                listed = _listed(tree, folder, damage)
                looked_at += len(listed)
                entries += [entry for entry in listed if regex.fullmatch(entry.name)]
            if looked_at > MAX_GLOB_ENTRIES:
                raise FormatError("pattern", f"{pattern} looks at more than {MAX_GLOB_ENTRIES} files")
        found = [entry.path for entry in entries if entry.is_dir]
    return entries


def _within(tree: _Listing, path: str, damage: list[StopcodeError] | None) -> FileEntry | None:
    try:
        return tree.stat(path)
    except UnsupportedError:
        return None
    except NotCollectedError as error:
        if damage is None:
            raise
        damage.append(error)
        return None


def _listed(tree: _Listing, folder: str, damage: list[StopcodeError] | None) -> Sequence[FileEntry]:
    try:
        return tree.listdir(folder or "\\", damage)
    except UnsupportedError:
        return ()
