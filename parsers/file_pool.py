"""Many files of the host read through few open handles: a folder may hold more images than a process may open."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from parsers.bytesource import FileSource
from parsers.errors import ReadError

__all__ = ["FilePool", "PooledFile"]

#: Handles of one pool: well below what systems allow a process (256 and more).
_MAX_OPEN = 64


class FilePool:
    """Opens files when they are read, and closes those that were not read for longest."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, FileSource] = OrderedDict()

    def file(self, path: Path) -> PooledFile:
        """Return a file as a byte source.

        Raises:
            OSError: it cannot be opened.

        """
        return PooledFile(self, path, self.opened(path).size)

    def opened(self, path: Path) -> FileSource:
        """Return the open file; good until the next call.

        Raises:
            OSError: it cannot be opened.

        """
        found = self._open.get(path)
        if found is None:
            found = self._open[path] = FileSource(path)
            while len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return found

    def close(self) -> None:
        """Close every file; a later read opens its file again."""
        while self._open:
            self._open.popitem()[1].close()


class PooledFile:
    """One file of a pool."""

    def __init__(self, pool: FilePool, path: Path, size: int) -> None:
        self._pool = pool
        self._path = path
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`.

        Raises:
            ReadError: the host cannot read its medium there, or the file is gone.

        """
        try:
            return self._pool.opened(self._path).read_at(offset, length)
        except OSError as error:
            raise ReadError(f"{self._path.name} cannot be opened again: {error.strerror or error}") from error
