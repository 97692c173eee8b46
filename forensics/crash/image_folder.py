"""Driver files in a folder of the analyst's (`--images DIR`): loose files, a copied Windows tree, a symbol server's.

A symbol server keeps an image as `name/STAMPsize/name`, TimeDateStamp as eight hex digits and SizeOfImage without
leading zeros (Microsoft's public description of SymStore's keys). Everything else is found by its base name, and
believed by the identity that it was linked with, never by the name.
"""

from __future__ import annotations

import os
from pathlib import Path

from forensics.crash.images import FoundImage, file_names, same_build, version_text
from parsers.dump.modules import LoadedModule
from parsers.errors import InputNotFoundError, StopcodeError
from parsers.file_pool import FilePool
from parsers.limits import MAX_IMAGE_FILES
from parsers.pe import PeImage

__all__ = ["FolderImages"]

_ENDINGS = (".sys", ".exe", ".dll")
#: Files of one name that are looked at.
_MAX_SAME_NAME = 64


class FolderImages:
    """The images below a folder, listed once, when the first module asks.

    Raises:
        InputNotFoundError: there is no such folder.

    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise InputNotFoundError(f"{folder}: no such folder", hint="--images takes a folder with driver files")
        self._listed: dict[str, list[Path]] | None = None
        self._images: dict[Path, PeImage | None] = {}
        self._pool = FilePool()

    def find(self, module: LoadedModule, *, deep: bool = False) -> FoundImage:
        """Return the very build of a module, or what else has its name; never raises."""
        best: FoundImage | None = None
        for name in file_names(module.name):
            if not 0 < len(name) < 64 or any(sign in name for sign in "/\\\0"):
                continue
            for path in self._paths(name, module):
                image = self._image(path)
                told = path.relative_to(self._folder).as_posix()
                if image is None:
                    best = best or FoundImage("unreadable", path=told, kind="folder")
                elif same_build(module, image):
                    return FoundImage("same", version_text(image), image, told, "folder")
                else:
                    best = best or FoundImage(
                        "different" if module.timestamp else "not-checked", path=told, kind="folder"
                    )
        return best or FoundImage("missing", kind="folder")

    def _paths(self, name: str, module: LoadedModule) -> list[Path]:
        key = f"{module.timestamp:08X}{module.size_of_image:x}"
        served = [self._folder / name / key / name, self._folder / name.lower() / key / name.lower()]
        found = [path for path in dict.fromkeys(served) if path.is_file()]
        return found or self._by_name().get(name.lower(), [])[:_MAX_SAME_NAME]

    def _by_name(self) -> dict[str, list[Path]]:
        if self._listed is None:
            self._listed = {}
            left = MAX_IMAGE_FILES
            for folder, folders, files in os.walk(self._folder):
                folders.sort()
                for name in sorted(files):
                    left -= 1
                    if name.lower().endswith(_ENDINGS):
                        self._listed.setdefault(name.lower(), []).append(Path(folder) / name)
                if left <= 0:
                    break
        return self._listed

    def _image(self, path: Path) -> PeImage | None:
        if path not in self._images:
            try:
                self._images[path] = PeImage(self._pool.file(path))
            except (StopcodeError, OSError):
                self._images[path] = None
        return self._images[path]
