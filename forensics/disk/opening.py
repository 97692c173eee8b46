"""One image being opened: the files that it opens, how deep its chain is, and what is said about it."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from forensics.disk.options import ImageOptions
from parsers.bytesource import ByteSource, FileSource, ImageFile
from parsers.diagnostics import Diagnostics
from parsers.disk.extents import Extent
from parsers.errors import FormatError, InputNotFoundError, NotADiskError, OpenError
from parsers.limits import MAX_DISK_CHAIN

if TYPE_CHECKING:
    from forensics.remote.blocks import RemoteFile

__all__ = ["Layer", "Opener", "Opening", "base_name", "beside", "files_in", "named_in"]


@dataclass(slots=True)
class Layer:
    """One disk of a chain, opened.

    Attributes:
        source: its virtual disk.
        kind: "VHD", "VHDX", "VMDK", "QCOW2", "VDI", "E01" or "raw".
        path: its file, the first one where there are several.
        subtype: what its format calls it ("dynamic", "streamOptimized"); "" where the format has one kind.
        sector_size: bytes of a logical sector.
        details: more facts about the container, plain data.
        parents: its chain, nearest first.
        identity: by what a child knows it; "" where its format has nothing of the kind.
        facts: what only `stopcode disk` tells of it, plain data.
        file_size: bytes of its file, or of all of its files.
        extents: yields where the disk's bytes come from, block by block; None where that is not known.

    """

    source: ByteSource
    kind: str
    path: Path
    subtype: str = ""
    sector_size: int = 512
    details: dict[str, Any] = field(default_factory=dict)
    parents: list[Layer] = field(default_factory=list)
    identity: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    file_size: int = 0
    extents: Callable[[], Iterator[Extent]] | None = None


class Opening:
    """The files of one image and the remarks about them.

    Args:
        diagnostics: takes the remarks.
        options: what the user gives beside the name.
        without_parents: go on where a parent is missing: what it holds cannot be read then, and that is told.

    Attributes:
        files: every file opened so far; all are closed with the image.
        remote: the one of them that lies elsewhere; None when all are on this machine.

    """

    def __init__(
        self, diagnostics: Diagnostics, options: ImageOptions | None = None, *, without_parents: bool = False
    ) -> None:
        self.diagnostics = diagnostics
        self.options = options or ImageOptions()
        self.without_parents = without_parents
        self.files: list[ImageFile] = []
        self.remote: RemoteFile | None = None
        self._elsewhere: dict[Path, RemoteFile] = {}
        self._chain: list[tuple[int, int]] = []

    def take_over(self, file: RemoteFile, path: Path) -> None:
        """Take a file that lies elsewhere, opened by whoever can; it is closed with the image.

        Args:
            file: the file.
            path: stands for it from now on; no file of this machine has it.

        """
        self.files.append(file)
        self.remote = file
        self._elsewhere[path] = file

    def file(self, path: Path) -> ImageFile:
        """Open a file for reading.

        Raises:
            InputNotFoundError: there is none.
            NotADiskError: it is a folder, a pipe or another thing without a beginning and an end.
            OpenError: it may not be read.

        """
        if path in self._elsewhere:
            return self._elsewhere[path]
        with _told(path):
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise NotADiskError(f"{path} is a folder, not a disk image")
            if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
                raise NotADiskError(f"{path} is not a file", hint="name a disk image or a block device")
            source = FileSource(path)
        self.files.append(source)
        return source

    def close(self) -> None:
        """Close every file."""
        for file in self.files:
            file.close()

    def enter(self, path: Path) -> None:
        """Begin with one more disk of the chain.

        Raises:
            InputNotFoundError: there is no such file.
            OpenError: it may not be looked at.
            FormatError: the chain runs into itself or is too long.

        """
        if path in self._elsewhere:
            identity = (-1, id(self._elsewhere[path]))
        else:
            with _told(path):
                entry = path.stat()
            identity = (entry.st_dev, entry.st_ino)
        if identity in self._chain:
            raise FormatError("disk chain", f"{path.name} is its own parent")
        if len(self._chain) >= MAX_DISK_CHAIN:
            raise FormatError("disk chain", "too many parents", expected=f"at most {MAX_DISK_CHAIN} disks")
        self._chain.append(identity)

    def leave(self) -> None:
        """End with the disk begun last."""
        self._chain.pop()

    def take(self, said: Diagnostics, path: Path) -> None:
        """Take over what a reader said about one file, with its name."""
        for item in said.items:
            self.diagnostics.add(item.severity, item.code, item.message, hint=item.hint, source=path.name)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the host says about a file into an error of ours."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputNotFoundError(f"{path}: no such file") from error
    except OSError as error:
        raise OpenError(f"{path} cannot be opened: {error.strerror or error}") from error


def _is_file(path: Path) -> bool:
    """Return whether there is such a file; a name that no file can have is no file."""
    try:
        return path.is_file()
    except OSError:
        return False


class Opener(Protocol):
    """Opens one more disk of a chain; given by the container, so that a parent may be of any kind."""

    def __call__(self, path: Path, opening: Opening, *, kind: str = "") -> Layer:
        """Open the disk at `path`, which is of `kind` where its child says so."""
        ...


def _is_elsewhere(folder: Path) -> bool:
    """Tell whether a folder is that of an address, which no folder of this machine may pass for."""
    first = folder.parts[0] if folder.parts else ""
    return len(first) > 2 and first.endswith(":")


def base_name(name: str) -> str:
    """Return the last part of a path of Windows, of Unix or of a URL; "" when it could lead out of a folder."""
    last = PurePosixPath(name.replace("\\", "/")).name
    # "C:base.vhd" would lead to another drive on Windows.
    last = last[2:] if last[1:2] == ":" and last[0].isalpha() else last
    return "" if last in ("", ".", "..") or "\0" in last else last


def named_in(folder: Path, name: str) -> Path | None:
    """Return the file called by the last part of `name` in a folder, by exact name or else without regard to case."""
    name = base_name(name)
    if not name:
        return None
    exact = folder / name
    if not _is_elsewhere(folder) and _is_file(exact):
        return exact
    wanted = name.casefold()
    return next((entry for entry in files_in(folder) if entry.name.casefold() == wanted), None)


def beside(path: Path, name: str) -> Path | None:
    """Return the file called `name` in the folder of `path`, by exact name or else without regard to case."""
    return named_in(path.parent, name)


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder, in the order of their names; what lies beside a remote file is not known."""
    if _is_elsewhere(folder):
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if _is_file(entry):
            yield entry
