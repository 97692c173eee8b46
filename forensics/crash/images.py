r"""The disk's own driver files for the modules of a dump: the very build that was loaded, or none.

A file stands for a module only when its TimeDateStamp and SizeOfImage are those of the module, and its CheckSum too
when both have one: a name alone proves nothing, for an update may have replaced the file since. Then its unwind data,
exports, code bytes and version are the module's.

Rules of names, seen in real dumps: `\SystemRoot\…`, `\??\C:\…`, base names alone in dumps that the kernel wrote
itself, and `dump_X.sys` / `hiber_X.sys`, second copies of X.sys that have no file of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from parsers.bytesource import ByteSource
from parsers.dump.modules import LoadedModule
from parsers.errors import NotCollectedError, StopcodeError
from parsers.pe import PeImage

__all__ = [
    "DiskFirst", "DiskImages", "FileTree", "FoundImage", "ImageFinder", "ImageLayers", "WindowsFiles", "file_names",
    "same_build", "version_text",
]  # fmt: skip

Status = Literal["same", "different", "missing", "unreadable", "not-checked"]

#: Copies of the storage stack for writing the dump and the hibernation file.
_COPIES = ("dump_", "hiber_")
#: Names that the loader gives to files that are called otherwise on the disk.
_LOADER_NAMES: dict[str, tuple[str, ...]] = {
    "kdcom.dll": ("kdcom.dll", "kd.dll"),
    "mcupdate.dll": ("mcupdate_GenuineIntel.dll", "mcupdate_AuthenticAMD.dll"),
    "ntkrnlmp.exe": ("ntoskrnl.exe",),
    "ntkrnlpa.exe": ("ntoskrnl.exe",),
    "ntkrpamp.exe": ("ntoskrnl.exe",),
}
#: Components whose folders do not hold the names of their files.
_COMPONENTS: dict[str, tuple[str, ...]] = {
    "ntoskrnl": ("os-kernel",), "ntkrla57": ("os-kernel",), "win32kbase": ("win32k",), "win32kfull": ("win32k",),
    "wdf01000": ("wdf-kernel",), "fltmgr": ("filtermanager",), "netio": ("netio",), "srv2": ("smbserver",),
    "vmstorfl": ("wstorflt", "storflt"),
}  # fmt: skip
#: Files of one name in the driver store that are looked at.
_MAX_STORE_COPIES = 32


@dataclass(frozen=True, slots=True)
class FoundImage:
    """What the disk has for a module.

    Attributes:
        status: "same" (this very build), "different" (a file of that name is another build), "missing" (no such
            file), "unreadable" (it is there and cannot be read), "not-checked" (there is no disk, or the dump does
            not tell the module's stamp).
        version: file version of the same build; None otherwise: another build's version says nothing of the module.
        image: the same build's file.
        path: on the volume, or in the folder.
        kind: what stack frames say of unwind data from here.

    """

    status: Status
    version: str | None = None
    image: PeImage | None = None
    path: str | None = None
    kind: Literal["disk", "folder"] = "disk"


class ImageFinder(Protocol):
    """A place that holds driver files."""

    def find(self, module: LoadedModule, *, deep: bool = False) -> FoundImage:
        """Return what is there for a module; never raises.

        With `deep`, look in the dear places too: for the few modules whose unwind data a stack needs.
        """
        ...


class FileStatLike(Protocol):
    """A folder entry."""

    @property
    def path(self) -> str:
        """Path on the volume."""
        ...


class FileTree(Protocol):
    """The files of a volume, as forensics.disk gives them."""

    def stat(self, path: str) -> FileStatLike | None:
        """Return an entry, or None when it is not there."""
        ...

    def open(self, path: str) -> ByteSource:
        """Open a file; raises StopcodeError."""
        ...

    def glob(self, pattern: str) -> Sequence[FileStatLike]:
        """Return the entries that match, one level a component."""
        ...


class WindowsFiles(Protocol):
    """The part of a Windows volume that is needed here."""

    @property
    def root(self) -> str:
        """The Windows folder on the volume."""
        ...

    @property
    def files(self) -> FileTree:
        """Its files."""
        ...

    def resolve(self, image_path: str) -> str | None:
        """Return a volume path for an NT path, or None when it is on another volume."""
        ...


def same_build(module: LoadedModule, image: PeImage) -> bool:
    """Tell whether a file is the very build of a module: TimeDateStamp, SizeOfImage, and CheckSum where both have it.

    A module whose stamp the dump does not know (0) is never the same.
    """
    if not module.timestamp or module.timestamp != image.timestamp:
        return False
    if module.size_of_image != image.size_of_image:
        return False
    return not (module.checksum and image.checksum and module.checksum != image.checksum)


def file_names(name: str) -> tuple[str, ...]:
    """Return the names that the file of a module may have, the likeliest first."""
    lower = name.lower()
    for prefix in _COPIES:
        if lower.startswith(prefix) and len(name) > len(prefix):
            return (name[len(prefix) :], name)
    return _LOADER_NAMES.get(lower, (name,))


class DiskImages:
    """The driver files of a Windows volume. Answers are kept: several dumps of one disk ask for the same files."""

    def __init__(self, windows: WindowsFiles) -> None:
        self._windows = windows
        self._answers: dict[tuple[str, int, int, int], FoundImage] = {}
        self._deep: dict[tuple[str, int, int, int], FoundImage] = {}
        self._images: dict[str, PeImage | None] = {}
        self._store: dict[str, list[str]] | None = None
        #: Whether these are collected files, among which a driver is not missed.
        self._partial = False

    def find(self, module: LoadedModule, *, deep: bool = False) -> FoundImage:
        """Return what the disk has for a module; never raises.

        With `deep`, the driver store and the component store are searched for the very build when the file in place is
        another one: an update leaves the old build there.
        """
        key = (module.path.lower() or module.name.lower(), module.timestamp, module.size_of_image, module.checksum)
        found = self._answers.get(key)
        if found is None:
            found = self._answers[key] = self._find(module)
        if not deep or found.status == "same" or not module.timestamp or not module.name:
            return found
        if key not in self._deep:
            self._deep[key] = self._find_copy(module) or found
        return self._deep[key]

    def _find_copy(self, module: LoadedModule) -> FoundImage | None:
        """Return the very build among the copies that Windows keeps, None when it is not there."""
        for path in [*self._store_copies(module), *self._component_copies(module)]:
            found = self._look(module, path)
            if found is not None and found.status == "same":
                return found
        return None

    def _candidates(self, module: LoadedModule) -> list[str]:
        """Return the volume paths to look at, the likeliest first."""
        paths: list[str] = []
        names = file_names(module.name)
        if module.path:
            folder = module.path.rpartition("\\")[0]
            for name in names:
                resolved = self._windows.resolve(f"{folder}\\{name}" if folder else name)
                if resolved is not None:
                    paths.append(resolved)
        for name in names:
            paths.append(f"{self._windows.root}\\System32\\drivers\\{name}")
            paths.append(f"{self._windows.root}\\System32\\{name}")
        return list(dict.fromkeys(paths))

    def _store_copies(self, module: LoadedModule) -> list[str]:
        """Return the driver store's files of the module's name; the store is listed once, when first needed."""
        if self._store is None:
            self._store = {}
            try:
                entries = self._windows.files.glob(
                    f"{self._windows.root}\\System32\\DriverStore\\FileRepository\\*\\*.sys"
                )
            except StopcodeError:
                entries = []
            for entry in entries:
                self._store.setdefault(entry.path.rpartition("\\")[2].lower(), []).append(entry.path)
        return [
            path for name in file_names(module.name) for path in self._store.get(name.lower(), [])[:_MAX_STORE_COPIES]
        ]

    def _component_copies(self, module: LoadedModule) -> list[str]:
        r"""Return the files of the module's name in the component store (`WinSxS`).

        The store has some 20,000 folders: only those are opened whose name holds the file's, or its component's.
        """
        paths: list[str] = []
        for name in file_names(module.name):
            stem = name.lower().rpartition(".")[0]
            if not stem or not all(sign.isalnum() or sign in "-_." for sign in stem):
                continue
            for part in dict.fromkeys((stem, *_COMPONENTS.get(stem, ()))):
                try:
                    entries = self._windows.files.glob(f"{self._windows.root}\\WinSxS\\*{part}*\\{name}")
                except StopcodeError:
                    continue
                paths += [entry.path for entry in entries[:_MAX_STORE_COPIES]]
        return list(dict.fromkeys(paths))

    def _image(self, path: str) -> PeImage | None:
        """Open a file; None when it cannot be read as an image."""
        key = path.lower()
        if key not in self._images:
            try:
                self._images[key] = PeImage(self._windows.files.open(path))
            except StopcodeError:
                self._images[key] = None
        return self._images[key]

    def _look(self, module: LoadedModule, path: str) -> FoundImage | None:
        """Return what one file is for a module; None when there is no such file, or it was not collected."""
        try:
            if self._windows.files.stat(path) is None:
                return None
        except NotCollectedError:
            self._partial = True
            return None
        except StopcodeError:
            return None
        image = self._image(path)
        if image is None:
            return FoundImage("unreadable", path=path)
        if same_build(module, image):
            return FoundImage("same", version_text(image), image, path)
        return FoundImage("different" if module.timestamp else "not-checked", path=path)

    def _find(self, module: LoadedModule) -> FoundImage:
        if not module.name:
            return FoundImage("not-checked")
        best: FoundImage | None = None
        for path in self._candidates(module):
            found = self._look(module, path)
            if found is not None and found.status == "same":
                return found
            best = best or found
        if best is None and not module.path and module.timestamp:
            # Dumps that the kernel wrote itself hold base names alone: the driver may run from the driver store.
            for path in self._store_copies(module):
                found = self._look(module, path)
                if found is not None and found.status == "same":
                    return found
                best = best or found
        return best or FoundImage("not-checked" if self._partial else "missing")


def version_text(image: PeImage) -> str | None:
    """Return the file version of an image, None when it has none that can be read."""
    from parsers.pe_version import version_of

    try:
        resource = version_of(image)
    except StopcodeError:
        return None
    return None if resource is None else str(resource.file_version)


class ImageLayers:
    """Several places, asked in their order: the first that has the very build answers."""

    def __init__(self, *finders: ImageFinder) -> None:
        self._finders = finders

    def find(self, module: LoadedModule, *, deep: bool = False) -> FoundImage:
        """Return what the places have for a module: the same build, else the first answer that is not `missing`."""
        answers = []
        for finder in self._finders:
            found = finder.find(module, deep=deep)
            if found.status == "same":
                return found
            answers.append(found)
        return next((found for found in answers if found.status != "missing"), FoundImage("missing"))


class DiskFirst:
    """The failed disk's own files, and for a stack whose build it does not keep, the analyst's folders."""

    def __init__(self, disk: ImageFinder, folders: ImageFinder) -> None:
        self._disk = disk
        self._folders = folders

    def find(self, module: LoadedModule, *, deep: bool = False) -> FoundImage:
        """Return what the disk has; with `deep`, the folders' very build where the disk has none."""
        found = self._disk.find(module, deep=deep)
        if found.status == "same" or not deep:
            return found
        other = self._folders.find(module, deep=True)
        return other if other.status == "same" else found
