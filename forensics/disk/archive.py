"""The files of an archive as a tree; what kind of archive it is does not matter here.

Names are those that the archive gives, so nothing of them reaches the host: no path is ever opened by them. A name
that leads upwards (`..`) names nothing; of two files of one name the last one counts, as every unpacker has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forensics.disk.tree import glob, parts_of
from parsers.bytesource import ByteSource, FileSource
from parsers.errors import FormatError, ReadError, StopcodeError
from parsers.limits import MAX_ARCHIVE_DEPTH, MAX_ARCHIVE_MEMBERS

if TYPE_CHECKING:
    from forensics.collect.volume import FileEntry

__all__ = ["ArchiveFiles", "Member"]


@dataclass(frozen=True, slots=True)
class Member:
    """One file or folder of an archive.

    Attributes:
        name: its path as the archive has it.
        size: bytes.
        modified: FILETIME; 0 where the archive gives no time in UTC.
        open: gives its bytes; raises StopcodeError. None for a folder.

    """

    name: str
    size: int
    modified: int
    open: Callable[[], ByteSource] | None


class _Node:
    """One entry of the tree."""

    __slots__ = ("below", "member", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.member: Member | None = None
        #: Entries below by lower-case name; None for a file.
        self.below: dict[str, _Node] | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("\\")[2]

    @property
    def is_dir(self) -> bool:
        return self.below is not None

    @property
    def size(self) -> int:
        return self.member.size if self.member is not None and not self.is_dir else 0

    @property
    def modified(self) -> int:
        return self.member.modified if self.member is not None else 0


class ArchiveFiles:
    """The files of an archive.

    Args:
        members: what is in it.
        file: the archive; closed with the tree.
        format: its kind, for messages.

    Attributes:
        passed_over: members whose names lead upwards, lie too deep, or stand where a file has folders below it.

    Raises:
        FormatError: it has too many members.

    """

    def __init__(self, members: Iterable[Member], file: FileSource, format: str) -> None:
        self._file = file
        self._top = _Node("")
        self._top.below = {}
        self.passed_over = 0
        for number, member in enumerate(members):
            if number >= MAX_ARCHIVE_MEMBERS:
                raise FormatError(format, "has too many members", expected=f"<= {MAX_ARCHIVE_MEMBERS}")
            self.passed_over += not self._put(member)

    def _put(self, member: Member) -> bool:
        parts = [part for part in parts_of(member.name) if part != "."]
        if ".." in parts or len(parts) > MAX_ARCHIVE_DEPTH:
            return False
        node = self._top
        for number, part in enumerate(parts):
            if node.below is None:
                return False
            below = node.below.get(part.lower())
            if below is None:
                below = node.below[part.lower()] = _Node(f"{node.path}\\{part}")
                if number < len(parts) - 1:
                    below.below = {}
            node = below
        if member.open is None:
            if node.member is not None and node.member.open is not None:
                return False
            node.below = {} if node.below is None else node.below
        elif node.below is not None:
            return False
        node.member = member
        return True

    @property
    def bytes_read(self) -> int:
        """Bytes read of the archive so far."""
        return self._file.bytes_read

    @property
    def requests(self) -> int:
        """Reads of the archive so far."""
        return self._file.requests

    def close(self) -> None:
        """Close the archive."""
        self._file.close()

    def _find(self, path: str) -> _Node | None:
        node: _Node | None = self._top
        for part in parts_of(path):
            if node is None or node.below is None:
                return None
            node = node.below.get(part.lower())
        return node

    def stat(self, path: str) -> FileEntry | None:
        """Return an entry, or None when it is not there."""
        return self._find(path)

    def open(self, path: str) -> ByteSource:
        """Open a file.

        Raises:
            ReadError: it is not there, or is a folder.
            UnsupportedError: it is encrypted, or packed in a way that is not read.

        """
        node = self._find(path)
        if node is None or node.member is None or node.member.open is None:
            raise ReadError(f"{'a folder, not a file' if node is not None else 'no such file'}: {path}")
        return node.member.open()

    def listdir(self, path: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return a folder's entries sorted by name; none when it is not there."""
        node = self._find(path)
        if node is None or node.below is None:
            return []
        return [node.below[name] for name in sorted(node.below)]

    def glob(self, pattern: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return the entries that match: `*` and `?` within one name.

        Raises:
            FormatError: the pattern looks at too many entries.

        """
        return glob(self, pattern, damage)
