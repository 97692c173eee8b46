"""Which files the paths of `stopcode dump` mean: files as they are named, and the dumps below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from parsers.bytesource import first_bytes
from parsers.limits import MAX_DUMP_FILES
from stopcode.scan.lone import is_dump

__all__ = ["DumpFiles", "dump_files"]

_ENDING = ".dmp"
#: A user-mode minidump, as lie by the hundred in folders of error reporting.
_USER_MODE = b"MDMP"


class DumpFiles(NamedTuple):
    """What there is to read.

    Attributes:
        paths: each file once, in the order named; those of a folder by name.
        user_mode: user-mode minidumps that were stepped over.
        cut: whether a folder holds more files than are looked at.

    """

    paths: list[str]
    user_mode: int
    cut: bool


def dump_files(paths: Sequence[str]) -> DumpFiles:
    """List the files; a file that is named twice, or lies in a folder that is named too, is listed once.

    In a folder, files that are called a dump (`.dmp`) and those that begin as one, or as an archive with one, count;
    links to folders are not followed.
    """
    found: dict[tuple[int, int] | str, str] = {}
    user_mode = 0
    left = MAX_DUMP_FILES
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112  # start-up: this path needs no pathlib
            found.setdefault(_identity(path), path)
            continue
        for file in _files(path):
            left -= 1
            if left < 0:
                return DumpFiles(list(found.values()), user_mode, True)
            if _begins(file, _USER_MODE):
                user_mode += 1
            elif file.lower().endswith(_ENDING) or is_dump(file, first_bytes(file)):
                found.setdefault(_identity(file), file)
    return DumpFiles(list(found.values()), user_mode, False)


def _files(folder: str) -> Iterator[str]:
    """Yield the regular files below a folder, by name."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(place, name)  # noqa: PTH118  # as above
            if os.path.isfile(path):  # noqa: PTH113  # a pipe would wait for its writer
                yield path


def _begins(path: str, magic: bytes) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # as above
            return file.read(len(magic)) == magic
    except OSError:
        return False


def _identity(path: str) -> tuple[int, int] | str:
    """Return what is the same for two names of one file."""
    try:
        about = os.stat(path)  # noqa: PTH116  # as above
    except (OSError, ValueError):
        return path
    return (about.st_dev, about.st_ino) if about.st_ino else os.path.realpath(path)
