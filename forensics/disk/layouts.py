r"""Where collected files show the volumes of a machine: the layouts of the tools that collect them.

======================== ==============================================================================================
KAPE                     `C\Windows\…`, a folder a drive; logs (`…_CopyLog.csv`) beside it, or `$Extend\$J` in it
Velociraptor             `uploads\ACCESSOR\DEVICE\Windows\…`, names percent-encoded; DEVICE is `%5C%5C.%5CC%3A`, `C%3A`;
                         several accessors show parts of one volume
acquire                  `fs\C:\Windows\…`, `sysvol\Windows\…`
VM Inspector (Azure)     `device_0\Windows\…`
stopcode rescue          `C\Windows\…` with `manifest.json`
folder                   any other folder with a Windows folder in it
======================== ==============================================================================================

States of the past (shadow copies, Windows.old) are never taken for the machine, nor put together with it.

Sources: fox-it/dissect.target (loaders kape, velociraptor, acquire, dir), Azure/azure-diskinspect-service (the service
that writes VM Inspector's zips), a collection of Velociraptor's own tests.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from forensics.disk.collected import decoded
from parsers.errors import StopcodeError
from parsers.limits import MAX_LAYOUT_FOLDERS

if TYPE_CHECKING:
    from forensics.collect.volume import FileEntry, FileTree

__all__ = ["Collected", "drive_folders", "find_collected"]

#: Folders one below another down to the root of a volume: a case, a host, a day, `uploads`, an accessor, a device.
_MAX_DEPTH: Final = 7
#: Velociraptor's ways of reading, those first that read what Windows holds open.
_ACCESSORS: Final = ("ntfs", "mft", "lazy_ntfs", "auto", "file")
_DEVICE: Final = re.compile(r"(?:\\\\[.?]\\)?([a-z]):?\\?", re.IGNORECASE)
_DRIVE: Final = re.compile(r"([a-z])[:_$]?|([a-z])%3a", re.IGNORECASE)
_PAST: Final = re.compile(r"vss\d+|.*shadowcopy.*|windows\.old.*|\$windows\.~.*", re.IGNORECASE)
_WINDOWS: Final = ("windows", "winnt")
_KAPE_LOGS: Final = ("_copylog.csv", "_skiplog.csv", "_consolelog.txt")
_MANIFEST: Final = b"stopcode/rescue-manifest/"


@dataclass(frozen=True, slots=True)
class Collected:
    """The Windows volume of one machine among collected files.

    Attributes:
        layout: which tool's it is ("KAPE", …).
        roots: the folders that show the root of the volume.
        encoded: whether names are percent-encoded.
        drives: the folders of the machine's other volumes, by their drive ("D:").

    """

    layout: str
    roots: tuple[str, ...]
    encoded: bool = False
    drives: dict[str, tuple[str, ...]] = field(default_factory=dict)


def find_collected(tree: FileTree) -> list[Collected]:
    """Return the Windows volumes among collected files, those first that lie less deep.

    Raises:
        StopcodeError: a folder cannot be read.

    """
    found: list[Collected] = []
    taken: set[str] = set()
    waiting = deque([("", 0)])
    looked = 0
    while waiting and looked < MAX_LAYOUT_FOLDERS:
        path, depth = waiting.popleft()
        looked += 1
        listed = tree.listdir(path or "\\")
        if _holds_windows(tree, listed):
            if path not in taken:
                found.append(_described(tree, path, listed))
                taken.update(found[-1].roots)
            continue
        if depth < _MAX_DEPTH:
            waiting += [
                (entry.path, depth + 1)
                for entry in listed
                if entry.is_dir and not _PAST.fullmatch(decoded(entry.name)) and not _may_be_windows(entry)
            ]
    return found


def drive_folders(tree: FileTree) -> list[Collected]:
    """Return the Windows volumes in drives' folders (`C`) at the root of a volume: KAPE's containers have them there.

    Raises:
        StopcodeError: the root cannot be read.

    """
    folders = [entry for entry in tree.listdir("\\") if entry.is_dir and _DRIVE.fullmatch(entry.name)]
    return [
        Collected("KAPE", (entry.path,), drives=_drives(tree, "", entry.path))
        for entry in folders
        if _holds_windows(tree, tree.listdir(entry.path))
    ]


def _may_be_windows(entry: FileEntry) -> bool:
    return entry.is_dir and entry.name.lower().startswith(_WINDOWS)


def _holds_windows(tree: FileTree, listed: Sequence[FileEntry]) -> bool:
    return any(
        _may_be_windows(entry) and not _PAST.fullmatch(entry.name) and tree.stat(f"{entry.path}\\System32") is not None
        for entry in listed
    )


def _described(tree: FileTree, path: str, listed: Sequence[FileEntry]) -> Collected:
    """Return what the way to a volume's root tells."""
    above, _, name = path.rpartition("\\")
    base, _, kind = above.rpartition("\\")
    if kind.lower() in _ACCESSORS and "%" in name and _DEVICE.fullmatch(_device(name)):
        return _velociraptor(tree, base, _device(name))
    lower = name.lower()
    if re.fullmatch(r"device_\d+", lower):
        return Collected("VM Inspector", (path,))
    drive = _DRIVE.fullmatch(name) is not None
    drives = _drives(tree, above, path) if drive else {}
    if lower in ("sysvol", "$rootfs$") or (drive and kind.lower() == "fs"):
        return Collected("acquire", (path,), drives=drives)
    if not drive:
        return Collected("folder", (path,))
    beside = tree.listdir(above or "\\")
    if any(entry.name.lower().endswith(_KAPE_LOGS) for entry in beside) or _is_there(tree, f"{path}\\$Extend\\$J"):
        return Collected("KAPE", (path,), drives=drives)
    if _is_ours(tree, f"{above}\\manifest.json"):
        return Collected("stopcode rescue", (path,), drives=drives)
    return Collected("folder", (path,), drives=drives)


def _device(name: str) -> str:
    """Return a device that stands percent-encoded as one name; its backslashes are no path here."""
    from urllib.parse import unquote

    return unquote(name)


def _velociraptor(tree: FileTree, base: str, device: str) -> Collected:
    """Put together what the accessors show of each drive."""
    drives: dict[str, list[str]] = {}
    own = _letter(device)
    for accessor in _ACCESSORS:
        for entry in tree.listdir(f"{base}\\{accessor}"):
            matched = _DEVICE.fullmatch(_device(entry.name))
            if matched is not None and entry.is_dir:
                drives.setdefault(f"{matched.group(1).upper()}:", []).append(entry.path)
    roots = tuple(drives.pop(own))
    others = {drive: tuple(places) for drive, places in sorted(drives.items())}
    return Collected("Velociraptor", roots, encoded=True, drives=others)


def _letter(device: str) -> str:
    matched = _DEVICE.fullmatch(device)
    return f"{matched.group(1).upper()}:" if matched is not None else ""


def _drives(tree: FileTree, above: str, own: str) -> dict[str, tuple[str, ...]]:
    """Return the other drives' folders beside one."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in tree.listdir(above or "\\"):
        matched = _DRIVE.fullmatch(entry.name)
        if entry.is_dir and matched is not None and entry.path != own:
            found.setdefault(f"{(matched.group(1) or matched.group(2)).upper()}:", (entry.path,))
    return found


def _is_there(tree: FileTree, path: str) -> bool:
    return tree.stat(path) is not None


def _is_ours(tree: FileTree, path: str) -> bool:
    """Tell whether a file is the manifest of our own archives; its schema stands at its beginning."""
    if not _is_there(tree, path):
        return False
    try:
        return _MANIFEST in tree.open(path).read_at(0, 4096)
    except StopcodeError:
        return False
