"""Which files are images of their own: what a user names, and what lies in folders.

A folder that holds a Windows folder is one image. In other folders a file counts when its name or its content says
that it is a disk image or a kernel dump; the later parts of a split image, and the extents that a VMDK descriptor
names, belong to their first file. Parents of snapshots look like any other image: only when a child is opened does it
say who they are, so children come first (`Item.child`), and the supervisor leaves out what they name.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from forensics.remote.address import is_address, shown_address
from parsers.bytesource import FileSource
from parsers.errors import InputNotFoundError, StopcodeError

__all__ = ["MAX_DESCRIPTOR", "Item", "find_items"]

#: Bytes of a VMDK descriptor file that are looked at (real ones have about 1 kB).
MAX_DESCRIPTOR = 0x10000

#: Names that mean a disk image or a dump; such a file that holds none is told, not left out.
_NAMED = frozenset(
    {".vhd", ".vhdx", ".avhd", ".avhdx", ".vmdk", ".qcow2", ".vdi", ".e01", ".raw", ".dd", ".dmp"}
)  # fmt: skip
#: Later parts of a split image: x.002 (x.000 and x.001 are first parts), x.E02 ... x.EAA.
_LATER_PART = re.compile(r"\.(?:(?!0+[01]?$)\d{3,}|e(?!01$)(?:\d\d|[a-z]{2}))$", re.IGNORECASE)
#: Names that hypervisors give to snapshots.
_CHILD = re.compile(r"(?:\.avhdx?|-\d{6}\.vmdk)$", re.IGNORECASE)
_EXTENT = re.compile(rb'^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+\w+\s+"([^"\r\n]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Item:
    """One image to scan.

    Attributes:
        path: absolute; of a folder image the folder.
        parts: further files that hold its bytes.
        named: the user named this very file, so it is scanned whatever others say of it.

    """

    path: Path
    parts: tuple[Path, ...] = field(default=())
    named: bool = False

    @property
    def child(self) -> bool:
        """Whether its name is one of a snapshot."""
        return _CHILD.search(self.path.name) is not None


def find_items(named: Iterable[str]) -> list[Item]:
    """Return every image in the order of their paths, each file once.

    Raises:
        InputNotFoundError: a path that the user named is not there.

    """
    found: dict[Path, Item] = {}
    for name in named:
        if is_address(name):
            raise InputNotFoundError(
                f"{shown_address(name)}: a batch reads files and folders", hint="stopcode scan reads addresses"
            )
        path = Path(os.path.abspath(name))  # noqa: PTH100 - resolve() would follow a link to another name
        if not path.exists():
            raise InputNotFoundError(f"no such file or folder: {name}")
        if path.is_dir() and not _holds_windows(path):
            for item in _in_folder(path):
                found.setdefault(item.path, item)
        else:
            found[path] = Item(path, _parts(path), named=True)
    parts = {part for item in found.values() for part in item.parts}
    items = [item for item in found.values() if item.named or item.path not in parts]
    return sorted(items, key=lambda item: os.fsencode(item.path))


def _holds_windows(folder: Path) -> bool:
    """Tell whether a folder is the root of a Windows volume."""
    try:
        for entry in os.scandir(folder):
            if entry.name.lower() in ("windows", "winnt") and entry.is_dir():
                return any(below.name.lower() == "system32" and below.is_dir() for below in os.scandir(entry.path))
    except OSError:
        return False
    return False


def _in_folder(top: Path) -> Iterator[Item]:
    """Yield the images below a folder. Links to folders are not followed; what cannot be listed is passed over."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
        except OSError:
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                if _holds_windows(path):
                    yield Item(path)
                else:
                    waiting.append(path)
            elif _is_image(path):
                yield Item(path, _parts(path))


def _is_image(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    # A pipe or a device in a folder is nothing that somebody put there to be scanned.
    if not stat.S_ISREG(status.st_mode) or _LATER_PART.search(path.name):
        return False
    if path.suffix.lower() in _NAMED:
        return True
    if status.st_size < 0x1000:
        return False
    from forensics.disk.recognise import recognise
    from parsers.dump import looks_like_dump

    try:
        with FileSource(path) as source:
            return looks_like_dump(source.read_at(0, 16)) or recognise(source, path) != ""
    except (StopcodeError, OSError):
        return False


def _parts(path: Path) -> tuple[Path, ...]:
    """Return the other files that belong to an image, as far as its name or its descriptor tells."""
    suffix = path.suffix.lower()
    if suffix == ".vmdk":
        return _extents(path)
    if suffix == ".e01" or re.fullmatch(r"\.0+[01]?", suffix):
        try:
            beside = sorted(path.parent.iterdir())
        except OSError:
            return ()
        return tuple(
            other
            for other in beside
            if other.stem.lower() == path.stem.lower() and other != path and _LATER_PART.search(other.name)
        )
    return ()


def _extents(path: Path) -> tuple[Path, ...]:
    try:
        with path.open("rb") as file:
            head = file.read(MAX_DESCRIPTOR)
    except OSError:
        return ()
    if not head.lstrip().startswith(b"# Disk DescriptorFile"):
        return ()
    # The descriptor may come from an attacker: only names beside it count.
    names = dict.fromkeys(os.fsdecode(name).replace("\\", "/").rsplit("/", 1)[-1] for name in _EXTENT.findall(head))
    return tuple(path.parent / name for name in names if name not in ("", ".", "..") and "\0" not in name)
