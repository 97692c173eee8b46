r"""Collected files as a volume: a part of one, so that what is not there is unknown and never absent.

Whoever collects takes what he wants, and what he could get: a driver that is not among collected files may well have
been on the machine. A rule that took it for missing would be wrong at the worst time, so here `stat` raises
NotCollectedError where other trees say None, and every list of a folder comes with the remark that it may lack some.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from forensics.disk.tree import glob, join, parts_of
from parsers.bytesource import ByteSource
from parsers.errors import NotCollectedError, ReadError, StopcodeError
from parsers.limits import MAX_FOLDERS_KEPT

if TYPE_CHECKING:
    from forensics.collect.volume import FileEntry, FileTree

__all__ = ["CollectedFiles", "decoded"]

#: Velociraptor keeps a sparse file without its holes, and says beside it (X.idx) where each piece belongs.
_SPARSE: Final = ".idx"


def decoded(name: str) -> str:
    """Return a name as it was before a collector percent-encoded it; as it is where that would make a path of it."""
    plain = unquote(name)
    return name if plain in ("", ".", "..") or any(sign in plain for sign in "\\/\0") else plain


class _Entry:
    """One file or folder; where several places show it, the first one that does."""

    __slots__ = ("inner", "name", "path", "places")

    def __init__(self, path: str, name: str, inner: FileEntry) -> None:
        self.path = path
        self.name = name
        self.inner = inner
        #: Where a folder's entries are looked up.
        self.places = [inner.path]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.inner.size

    @property
    def modified(self) -> int:
        """FILETIME of the last change of its data; 0 when it is not known."""
        return self.inner.modified

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.inner.is_dir


class CollectedFiles:
    """What was collected of one volume.

    Args:
        tree: where the collected files are.
        roots: the folders there that show the root of the volume; of a file in several the first is taken.
        encoded: whether names are percent-encoded (Velociraptor).

    """

    def __init__(self, tree: FileTree, roots: Sequence[str], *, encoded: bool = False) -> None:
        self._tree = tree
        self._roots = list(roots)
        self._encoded = encoded
        self._listings: OrderedDict[str, dict[str, _Entry]] = OrderedDict()

    def _below(self, path: str, places: Sequence[str]) -> dict[str, _Entry]:
        """Return a folder's entries by lower-case name.

        Raises:
            StopcodeError: a folder cannot be read.

        """
        key = path.lower()
        kept = self._listings.get(key)
        if kept is None:
            kept = {}
            for place in places:
                listed = self._tree.listdir(place or "\\")
                names = {entry.name.lower() for entry in listed if not entry.is_dir} if self._encoded else set[str]()
                for entry in listed:
                    plain = entry.name.lower().removesuffix(_SPARSE)
                    if plain in names and plain + _SPARSE in names:
                        continue
                    name = decoded(entry.name) if self._encoded else entry.name
                    other = kept.get(name.lower())
                    if other is None:
                        kept[name.lower()] = _Entry(f"{path}\\{name}", name, entry)
                    elif other.is_dir and entry.is_dir:
                        other.places.append(entry.path)
            self._listings[key] = kept
            if len(self._listings) > MAX_FOLDERS_KEPT:
                self._listings.popitem(last=False)
        return kept

    def _find(self, path: str) -> _Entry | None:
        """Return an entry; None for the root.

        Raises:
            NotCollectedError: it is not there.
            StopcodeError: a folder on the way cannot be read.

        """
        entry: _Entry | None = None
        for part in parts_of(path):
            below = self._folder(entry)
            entry = below.get(part.lower()) if below is not None else None
            if entry is None:
                raise NotCollectedError(f"not collected: {join(parts_of(path))}")
        return entry

    def _folder(self, entry: _Entry | None) -> dict[str, _Entry] | None:
        if entry is None:
            return self._below("", self._roots)
        return self._below(entry.path, entry.places) if entry.is_dir else None

    def stat(self, path: str) -> FileEntry | None:
        """Return an entry; None for the root alone.

        Raises:
            NotCollectedError: it is not there.
            ReadError: a folder on the way cannot be read.

        """
        return self._find(path)

    def open(self, path: str) -> ByteSource:
        """Open a file.

        Raises:
            NotCollectedError: it is not there.
            ReadError: it is a folder, or cannot be opened.
            UnsupportedError: it is stored in a way that is not read.

        """
        entry = self._find(path)
        if entry is None or entry.is_dir:
            raise ReadError(f"a folder, not a file: {path}")
        return self._tree.open(entry.inner.path)

    def listdir(self, path: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return a folder's entries sorted by name; `damage` is always told that there may have been more.

        Raises:
            NotCollectedError: the folder is not there, and nobody is told.
            ReadError: it cannot be read.

        """
        error = NotCollectedError(f"{path} was not collected whole")
        try:
            below = self._folder(self._find(path))
        except NotCollectedError as missing:
            below, error = None, missing
        if damage is not None:
            damage.append(error)
        elif below is None:
            raise error
        return [below[name] for name in sorted(below)] if below is not None else []

    def glob(self, pattern: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return the entries that match; `damage` is told that more may match where the pattern leaves a choice.

        Raises:
            NotCollectedError: a folder or file that the pattern names is not there, and nobody is told.
            StopcodeError: a folder on the way cannot be read.

        """
        return glob(self, pattern, damage)
