"""An image: a disk's container, a folder or an archive, opened read-only, with the Windows in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.disk.archive import ArchiveFiles
from forensics.disk.collection import (
    Collection,
    archive_kind,
    choose,
    describe_layout,
    drives_beside,
    open_archive,
    open_folder,
)
from forensics.disk.describe import describe_partitions
from forensics.disk.files import NtfsFiles
from forensics.disk.folder import FolderFiles
from forensics.disk.layouts import drive_folders
from forensics.disk.options import ImageOptions
from forensics.disk.pick import identity_of, pick_windows
from forensics.disk.volumes import Volume, find_volumes
from forensics.disk.windows import Beside, WindowsVolume
from forensics.facts import VolumeFact
from forensics.remote.address import is_address, shown_address
from forensics.remote.opening import answered
from parsers.bytesource import first_bytes
from parsers.diagnostics import Diagnostics
from parsers.disk.partitions import PartitionTable
from parsers.errors import (
    LockedVolumeError,
    NoWindowsError,
    OpenError,
    StopcodeError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from forensics.collect.volume import Windows
    from forensics.disk.container import Container
    from forensics.remote.blocks import RemoteFile

__all__ = ["Image", "open_image"]

_UNREAD = {
    "ReFS": "ReFS, which is not read yet",
    "LDM": "a dynamic disk (LDM) whose database cannot be read",
    "Storage Spaces": "Storage Spaces, which are not read",
}


class Image:
    """An opened image; close it, or use it in a `with` statement.

    Attributes:
        path: what the user named.
        kind: the container's kind ("VHDX"), or "folder", "zip" or "tar".
        size: bytes of the virtual disk; of a folder or an archive 0.
        volumes: the volumes, as they stand in the facts.
        windows: the volume with the Windows folder.
        beginning: bytes that were read, by one read, to know what it is.

    """

    beginning = 0

    def __init__(
        self,
        path: str,
        kind: str,
        size: int,
        volumes: list[VolumeFact],
        windows: WindowsVolume,
        opened: Container | FolderFiles | ArchiveFiles,
        details: dict[str, Any],
    ) -> None:
        self.path = path
        self.kind = kind
        self.size = size
        self.volumes = volumes
        self.windows: Windows = windows
        self._opened = opened
        self._details = details

    @property
    def bytes_read(self) -> int:
        """Bytes read of the image's files so far."""
        return self._opened.bytes_read + self.beginning

    @property
    def requests(self) -> int:
        """Reads of the image's files so far."""
        return self._opened.requests + bool(self.beginning)

    def describe(self) -> dict[str, Any]:
        """Return what the image is, for `report.source`."""
        return {"path": self.path, "kind": self.kind, "size": self.size, **self._details}

    def close(self) -> None:
        """Close every file."""
        self._opened.close()

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_image(
    path: str | Path | RemoteFile,
    diagnostics: Diagnostics,
    options: ImageOptions | None = None,
    *,
    head: bytes | None = None,
) -> Image:
    """Open a disk image, a folder or an archive, and find the Windows in it.

    Args:
        path: a disk image file, or a folder, zip or tar with a Windows folder in it; the address of an image, or that
            file opened already, which is closed with the image.
        diagnostics: told what is doubtful.
        options: what the user gives beside the name.
        head: the file's first bytes, where whoever calls has read them; they count as the image's.

    Raises:
        InputNotFoundError: there is no such file or folder.
        NotADiskError: the file is no disk.
        MissingParentError: a differencing disk without its parent.
        NoWindowsError: there is no Windows in it.
        LockedVolumeError: no Windows, and a volume encrypted with BitLocker.
        UnsupportedError: a container, or the only volume that can hold Windows, is of a kind that is not read.
        FormatError, TruncatedError, ReadError: the container is damaged.
        OpenError: it may not be read, or its server failed.

    """
    if not isinstance(path, Path) and (not isinstance(path, str) or is_address(path)):
        shown = shown_address(path) if isinstance(path, str) else path.shown
        return _open_container(path, shown, diagnostics, options)
    place = Path(path)
    head = first_bytes(place) if head is None else head
    kind = archive_kind(head) if place.is_file() else ""
    if (kind or place.is_dir()) and options is not None and options.shadow_copy:
        raise UnsupportedError(f"{place} holds files, and only the volumes of a disk image have shadow copies")
    if place.is_dir():
        return _open_files(str(place), open_folder(place, diagnostics), diagnostics)
    if kind:
        image = _open_files(str(path), open_archive(place, kind, diagnostics), diagnostics)
    else:
        image = _open_container(place, str(path), diagnostics, options)
    image.beginning = len(head)
    return image


def _open_container(
    place: str | Path | RemoteFile, shown: str, diagnostics: Diagnostics, options: ImageOptions | None
) -> Image:
    # Imported here: a folder needs no container.
    from forensics.disk.container import open_container

    container = open_container(place, diagnostics, options)
    try:
        with answered(container.remote):
            return _open_disk(shown, container, diagnostics, options)
    except BaseException:
        container.close()
        raise


def _open_files(path: str, opened: Collection, diagnostics: Diagnostics) -> Image:
    chosen = opened.chosen
    windows = WindowsVolume(chosen.root, chosen.files, diagnostics, beside=opened.beside)
    return Image(path, opened.kind, 0, [], windows, opened.tree, opened.details)


def _open_disk(path: str, container: Container, diagnostics: Diagnostics, options: ImageOptions | None) -> Image:
    given = options or ImageOptions()
    table, volumes = find_volumes(container.source, container.sector_size, diagnostics, given.keys, given.shadow_copy)
    picked = pick_windows(table, volumes, diagnostics)
    chosen, boot = picked.chosen, picked.boot
    if chosen is None:
        collected = _collected_on(path, container, volumes, diagnostics)
        if collected is not None:
            return collected
        raise _no_windows(path, table, volumes)
    volumes[chosen.index].role = "windows"
    beside = [
        Beside(f"volume {index}", volumes[index].label, files, identity_of(table, volumes[index]))
        for index, files in picked.files.items()
        if index != chosen.index
    ]
    identity = identity_of(table, volumes[chosen.index])
    partitions = [identity_of(table, volume) for volume in volumes if volume.partition is not None]
    windows = WindowsVolume(chosen.root, chosen.files, diagnostics, identity, beside, partitions, boot, container.ahead)
    described = describe_partitions(table) if table is not None else None
    details = {"sector_size": container.sector_size, "partition_table": described, **container.details}
    shadow = volumes[chosen.index].shadow_copy
    if shadow is not None:
        details["shadow_copy"] = shadow
    facts = [volume.fact() for volume in volumes]
    return Image(path, container.kind, container.size, facts, windows, container, details)


def _collected_on(path: str, container: Container, volumes: list[Volume], diagnostics: Diagnostics) -> Image | None:
    """Return the Windows among files that were collected into a disk image (KAPE); None when there is none.

    The image's own volumes are not the machine's, so nothing is told of them.
    """
    for volume in volumes:
        if volume.ntfs is None:
            continue
        files = NtfsFiles(volume.ntfs)
        try:
            picked = choose(files, drive_folders(files), str(volume), diagnostics)
        except StopcodeError:
            continue
        if picked is not None:
            chosen, layout = picked
            beside = drives_beside(files, layout)
            windows = WindowsVolume(chosen.root, chosen.files, diagnostics, beside=beside)
            details = {**container.details, **describe_layout(layout)}
            return Image(path, container.kind, container.size, [], windows, container, details)
    return None


def _no_windows(path: str, table: PartitionTable | None, volumes: list[Volume]) -> OpenError | UnsupportedError:
    kinds = {volume.kind for volume in volumes}
    told = "; ".join(str(volume) for volume in volumes if volume.kind != "reserved")
    if "BitLocker" in kinds:
        locked = next(volume for volume in volumes if volume.kind == "BitLocker")
        return LockedVolumeError(
            f"no Windows found; the volume at {locked.offset:#x}: {locked.problem}", hint=locked.hint
        )
    for kind, reason in _UNREAD.items():
        if kind in kinds:
            told_of = next((volume.problem for volume in volumes if volume.kind == kind and volume.problem), "")
            return UnsupportedError(f"no Windows found; {told_of or f'a volume is on {reason}'}", hint=f"found: {told}")
    broken = next((volume for volume in volumes if volume.problem), None)
    if broken is not None:
        return NoWindowsError(
            f"no Windows found; the volume at {broken.offset:#x} cannot be read: {broken.problem}",
            hint=f"found: {told}",
        )
    if not volumes:
        what = "neither a partition table nor a file system"
        if table is not None:
            what = "no volume of its dynamic disk group" if table.partitions else "an empty partition table"
        return NoWindowsError(
            f"{path} is a disk with {what}",
            hint="is it a data disk, a new disk, or an image that was cut or not copied to its end?",
        )
    return NoWindowsError(
        "no volume of this disk holds a Windows folder",
        hint=f"found: {told}; name the operating system's disk",
    )
