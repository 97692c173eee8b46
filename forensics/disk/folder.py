"""A folder on this machine as an image: collected artefacts, or a disk that is mounted here.

Names compare without regard to case on any host. A link is followed only where it stays within the folder: evidence
must not be able to show files of the machine that looks at it.
"""

from __future__ import annotations

import os
import stat as modes
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.disk.tree import glob, parts_of
from parsers.bytesource import ByteSource, FileSource
from parsers.errors import FormatError, ReadError, StopcodeError
from parsers.limits import MAX_FOLDER_ENTRIES, MAX_FOLDERS_KEPT

if TYPE_CHECKING:
    from forensics.collect.volume import FileEntry

__all__ = ["FolderFiles"]

#: Seconds from 1601, where FILETIMEs begin, to 1970.
_EPOCH = 11_644_473_600


@dataclass(frozen=True, slots=True)
class _Entry:
    """One file or folder."""

    path: str
    name: str
    size: int
    modified: int
    is_dir: bool
    host: Path


class FolderFiles:
    """The files below a folder.

    Args:
        top: the folder.

    Attributes:
        bytes_read, requests: of all files opened so far.

    Raises:
        OSError: the folder cannot be looked at.

    """

    def __init__(self, top: Path) -> None:
        self._top = top.resolve(strict=True)
        self._opened: list[FileSource] = []
        self._listings: OrderedDict[Path, dict[str, _Entry]] = OrderedDict()

    @property
    def bytes_read(self) -> int:
        """Bytes read of all files opened so far."""
        return sum(source.bytes_read for source in self._opened)

    @property
    def requests(self) -> int:
        """Reads so far."""
        return sum(source.requests for source in self._opened)

    def close(self) -> None:
        """Close every file."""
        for source in self._opened:
            source.close()

    def _listing(self, host: Path, path: str) -> dict[str, _Entry]:
        """Return a folder's entries by their lower-case names; of two that differ in case alone the first one."""
        kept = self._listings.get(host)
        if kept is not None:
            return kept
        kept = {}
        try:
            with os.scandir(host) as listed:
                for number, item in enumerate(listed):
                    if number >= MAX_FOLDER_ENTRIES:
                        raise FormatError("folder", "has too many entries", expected=f"<= {MAX_FOLDER_ENTRIES}")
                    entry = self._made(Path(item.path), f"{path}\\{item.name}")
                    if entry is not None and (other := kept.get(item.name.lower())) != entry:
                        kept[item.name.lower()] = entry if other is None else min(other, entry, key=lambda e: e.name)
        except OSError as error:
            raise ReadError(f"the folder {path or '.'} cannot be read: {error.strerror}") from error
        self._listings[host] = kept
        if len(self._listings) > MAX_FOLDERS_KEPT:
            self._listings.popitem(last=False)
        return kept

    def _made(self, host: Path, path: str) -> _Entry | None:
        """Return an entry; None for what leads out of the folder and for what is neither a file nor a folder."""
        try:
            if host.is_symlink():
                host = host.resolve(strict=True)
                if not host.is_relative_to(self._top):
                    return None
            found = host.stat()
        except (OSError, RuntimeError):
            return None
        is_dir = modes.S_ISDIR(found.st_mode)
        if not is_dir and not modes.S_ISREG(found.st_mode):
            return None
        modified = max(0, found.st_mtime_ns // 100 + _EPOCH * 10_000_000)
        return _Entry(path, path.rpartition("\\")[2], 0 if is_dir else found.st_size, modified, is_dir, host)

    def _find(self, path: str) -> _Entry | None:
        entry: _Entry | None = _Entry("", "", 0, 0, True, self._top)
        for part in parts_of(path):
            if entry is None or not entry.is_dir:
                return None
            entry = self._listing(entry.host, entry.path).get(part.lower())
        return entry

    def stat(self, path: str) -> FileEntry | None:
        """Return an entry, or None when it is not there.

        Raises:
            ReadError: a folder on the way cannot be read.

        """
        return self._find(path)

    def open(self, path: str) -> ByteSource:
        """Open a file.

        Raises:
            ReadError: it is not there, is a folder, or cannot be opened.

        """
        entry = self._find(path)
        if entry is None or entry.is_dir:
            raise ReadError(f"{'a folder, not a file' if entry is not None else 'no such file'}: {path}")
        try:
            source = FileSource(entry.host)
        except OSError as error:
            raise ReadError(f"{path} cannot be opened: {error.strerror}") from error
        self._opened.append(source)
        return source

    def listdir(self, path: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return a folder's entries sorted by name; none when it is not there. The host gives all of them or none.

        Raises:
            ReadError: the folder cannot be read.

        """
        entry = self._find(path)
        if entry is None or not entry.is_dir:
            return []
        listing = self._listing(entry.host, entry.path)
        return [listing[name] for name in sorted(listing)]

    def glob(self, pattern: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return the entries that match: `*` and `?` within one name.

        Raises:
            StopcodeError: a folder on the way cannot be read.

        """
        return glob(self, pattern, damage)
