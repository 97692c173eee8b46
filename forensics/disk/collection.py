r"""Opening a folder, a zip or a tar: which machine's Windows is in it, and whether it is the whole of its volume.

A folder is believed to be a whole volume, so that a file that is not in it is absent, where it is one that is mounted
here, or where it has all the folders that every Windows volume has and no collector takes (`WinSxS`, the driver store,
`Program Files`, …), and as many drivers as no collector takes one by one. Everything else was collected: what is not
in it is not known (`forensics.disk.collected`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from forensics.disk.archive import ArchiveFiles
from forensics.disk.collected import CollectedFiles
from forensics.disk.find import Candidate, best, candidates
from forensics.disk.folder import FolderFiles
from forensics.disk.layouts import Collected, find_collected
from forensics.disk.windows import Beside
from parsers.bytesource import FileSource, first_bytes
from parsers.diagnostics import Diagnostics
from parsers.errors import InputNotFoundError, NoWindowsError, OpenError, StopcodeError
from parsers.limits import MAX_COLLECTION_LIST

if TYPE_CHECKING:
    from forensics.collect.volume import FileTree

__all__ = [
    "Collection",
    "archive_kind",
    "choose",
    "describe_layout",
    "drives_beside",
    "holds_windows",
    "open_archive",
    "open_folder",
]

_WHOLE_FOLDERS: Final = (
    r"Program Files", r"ProgramData", r"Users", r"Windows\WinSxS", r"Windows\INF", r"Windows\Fonts",
    r"Windows\System32\DriverStore\FileRepository", r"Windows\System32\config", r"Windows\SoftwareDistribution",
)  # fmt: skip
#: Drivers of the smallest Windows seen: some 250.
_WHOLE_DRIVERS: Final = 150
_DISKS: Final = (".vhd", ".vhdx", ".avhdx", ".vmdk", ".qcow2", ".vdi", ".e01", ".img", ".raw", ".dd", ".bin", ".001")


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder or an archive, opened.

    Attributes:
        kind: "folder", "zip" or "tar".
        tree: what was opened; closed by whoever uses it.
        chosen: the Windows in it.
        beside: the machine's other volumes.
        details: for the report.

    """

    kind: str
    tree: FolderFiles | ArchiveFiles
    chosen: Candidate
    beside: Sequence[Beside]
    details: dict[str, Any]


def open_folder(place: Path, diagnostics: Diagnostics) -> Collection:
    """Open a folder.

    Raises:
        InputNotFoundError: it cannot be looked at.
        NoWindowsError: there is no Windows in it.
        StopcodeError: a folder in it cannot be read.

    """
    try:
        tree = FolderFiles(place)
    except OSError as error:
        raise InputNotFoundError(f"{place} cannot be opened: {error.strerror}") from error
    try:
        if _is_whole(tree, place):
            chosen = best(candidates(tree, "the folder", 0), diagnostics)
            if chosen is not None:
                return Collection("folder", tree, chosen, (), {})
        return _opened("folder", tree, place, diagnostics)
    except BaseException:
        tree.close()
        raise


def archive_kind(head: bytes) -> str:
    """Return "zip" or "tar" by a file's first 512 bytes, "" for anything else."""
    from forensics.disk.tarred import MAGIC
    from forensics.disk.zipped import MAGICS

    if head.startswith(MAGICS):
        return "zip"
    # A boot sector is no tar, whatever its code holds.
    is_tar = head.startswith(MAGIC[1], MAGIC[0]) and head[510:512] != b"\x55\xaa"
    return "tar" if is_tar else ""


def holds_windows(place: Path) -> bool:
    """Tell whether an archive shows a Windows folder by its members' names; nothing is unpacked."""
    kind = archive_kind(first_bytes(place))
    if not kind:
        return False
    try:
        with FileSource(place) as file:
            return bool(find_collected(_tree(kind, file, Diagnostics())))
    except (StopcodeError, OSError):
        return False


def _tree(kind: str, file: FileSource, diagnostics: Diagnostics) -> ArchiveFiles:
    if kind == "zip":
        from forensics.disk.zipped import open_zip

        return open_zip(file)
    from forensics.disk.tarred import open_tar

    return open_tar(file, diagnostics)


def open_archive(place: Path, kind: str, diagnostics: Diagnostics) -> Collection:
    """Open a zip or a tar.

    Raises:
        OpenError: the file cannot be opened.
        NoWindowsError: there is no Windows in it; the hint says what to do with what is.
        UnsupportedError: it is encrypted.
        FormatError: its directory is damaged or larger than any sane one.

    """
    try:
        file = FileSource(place)
    except OSError as error:
        raise OpenError(f"{place} cannot be opened: {error.strerror}") from error
    try:
        tree = _tree(kind, file, diagnostics)
        if tree.passed_over:
            diagnostics.warning(
                "archive.names",
                f"{tree.passed_over} members of the archive have names that no file of a volume can have: passed over",
                source=place.name,
            )
        return _opened(kind, tree, place, diagnostics)
    except BaseException:
        file.close()
        raise


def choose(
    tree: FileTree, found: Sequence[Collected], where: str, diagnostics: Diagnostics, index: int = 0
) -> tuple[Candidate, Collected] | None:
    """Return the Windows to look at among collected ones, or None; that it is a part of a volume is told."""
    views = {number: CollectedFiles(tree, item.roots, encoded=item.encoded) for number, item in enumerate(found)}
    every = [
        (candidate, found[number])
        for number, view in views.items()
        for candidate in candidates(view, found[number].roots[0] or where, index)
    ]
    chosen = best([candidate for candidate, _item in every], diagnostics)
    if chosen is None:
        return None
    layout = next(item for candidate, item in every if candidate is chosen)
    diagnostics.info(
        "disk.collected",
        f"These are collected files ({layout.layout}), not a whole volume: what is not among them is unknown",
        hint="rules that need a file that was not collected say what is missing; scan the disk for a full answer",
    )
    return chosen, layout


def _opened(kind: str, tree: FolderFiles | ArchiveFiles, place: Path, diagnostics: Diagnostics) -> Collection:
    picked = choose(tree, find_collected(tree), f"the {kind}", diagnostics)
    if picked is None:
        raise NoWindowsError(f"no Windows folder in {place}", hint=_hint(kind, tree))
    chosen, layout = picked
    if layout.layout == "Velociraptor":
        _tell_cut_uploads(tree, layout, diagnostics)
    return Collection(kind, tree, chosen, drives_beside(tree, layout), describe_layout(layout))


def drives_beside(tree: FileTree, layout: Collected) -> list[Beside]:
    """Return the machine's other volumes among collected files."""
    return [
        Beside(drive, "", CollectedFiles(tree, places, encoded=layout.encoded))
        for drive, places in layout.drives.items()
    ]


def describe_layout(layout: Collected) -> dict[str, Any]:
    """Return a layout for `report.source`: whose it is, and where in it the volume's root is."""
    root = layout.roots[0].lstrip("\\").replace("\\", "/")
    if not root:
        return {} if layout.layout == "folder" else {"layout": layout.layout}
    return {"layout": layout.layout, "root": root}


def _is_whole(tree: FolderFiles, place: Path) -> bool:
    try:
        if os.path.ismount(place):
            return True
        drivers = tree.listdir(r"\Windows\System32\drivers")
        if sum(entry.name.lower().endswith(".sys") for entry in drivers) < _WHOLE_DRIVERS:
            return False
        return all((entry := tree.stat(f"\\{name}")) is not None and entry.is_dir for name in _WHOLE_FOLDERS)
    except (StopcodeError, OSError):
        return False


def _hint(kind: str, tree: FolderFiles | ArchiveFiles) -> str:
    if kind == "folder":
        return "name the folder that holds Windows/System32, or a disk image"
    names = [
        entry.path.lstrip("\\").replace("\\", "/")
        for pattern in ("*", r"*\*")
        for entry in tree.glob(pattern)
        if not entry.is_dir
    ]
    disk = next((name for name in names if name.lower().endswith(_DISKS)), None)
    if disk is not None:
        return f"it holds what looks like a disk image, {disk}: unpack it, and scan that"
    packed = next((name for name in names if name.lower().endswith((".zip", ".7z", ".tar", ".gz"))), None)
    if packed is not None:
        return f"it holds another archive, {packed}: unpack that one, with its password where it has one"
    return "an archive of collected files has Windows/System32 in it, as KAPE, Velociraptor or VM Inspector write it"


def _tell_cut_uploads(tree: FolderFiles | ArchiveFiles, layout: Collected, diagnostics: Diagnostics) -> None:
    """Tell which files the collector itself says that it did not upload whole (`uploads.json`)."""
    base = layout.roots[0].rsplit("\\", 3)[0]
    try:
        listed = tree.open(f"{base}\\uploads.json")
        lines = listed.read_at(0, min(listed.size, MAX_COLLECTION_LIST)).splitlines()
    except StopcodeError:
        return
    cut = []
    for line in lines:
        try:
            item = json.loads(line)
            name, whole, got = str(item["vfs_path"]), int(item["file_size"]), int(item["uploaded_size"])
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            continue
        if got < whole:
            cut.append(f"{name} ({got} of {whole} bytes)")
    if cut:
        more = f" and {len(cut) - 5} more" if len(cut) > 5 else ""
        diagnostics.warning(
            "disk.collected-in-part",
            f"By uploads.json {len(cut)} files were not collected whole: {', '.join(cut[:5])}{more}",
            hint="what is read of them ends where the collection ended",
        )
