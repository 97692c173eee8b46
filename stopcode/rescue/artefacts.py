r"""Which files a pattern means, on every volume of the image, and the set that a support case usually needs.

A pattern is a path with `*` and `?` within one name and `**` for any folders between; it may begin with a drive, with
`%SystemRoot%` and the like, or with the root of the Windows volume (`Windows\INF\*.log`).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forensics.collect.volume import FileEntry, FileTree, Windows
from parsers.errors import FormatError, NotCollectedError, StopcodeError
from parsers.limits import MAX_RESCUED_DEPTH, MAX_RESCUED_FILES

__all__ = ["SUPPORT", "Artefact", "NotFound", "expand"]

_CONFIG = r"%SystemRoot%\System32\config"
_LOGS = r"%SystemRoot%\System32\winevt\Logs"
_REPORTS = r"%ProgramData%\Microsoft\Windows\WER\Report*\Kernel_*"

#: What `--support` takes. Never SAM and SECURITY, which hold password hashes, nor the hives of users.
SUPPORT: tuple[str, ...] = (
    *(f"{_CONFIG}\\{hive}{log}" for hive in ("SYSTEM", "SOFTWARE", "DRIVERS", "COMPONENTS") for log in ("", ".LOG*")),
    *(
        f"{_LOGS}\\{log}.evtx"
        for log in (
            "System", "Application", "Setup", "Microsoft-Windows-CodeIntegrity%4*", "Microsoft-Windows-Hyper-V-*",
            "Microsoft-Windows-Kernel-Boot%4*", "Microsoft-Windows-Kernel-PnP%4*", "Microsoft-Windows-Ntfs%4*",
            "Microsoft-Windows-Storage-*", "Microsoft-Windows-StorageSpaces-Driver%4*",
        )
    ),
    r"%SystemRoot%\Minidump\*.dmp",
    *(f"{_REPORTS}\\{name}" for name in ("*.wer", "*.xml", "*.dmp")),
    r"%SystemRoot%\ntbtlog.txt",
    r"%SystemRoot%\INF\setupapi.dev.log",
    r"%SystemRoot%\Logs\CBS\CBS.log",
    r"%SystemRoot%\WinSxS\pending.xml",
    r"%SystemRoot%\System32\LogFiles\Srt\SrtTrail.txt",
    r"?:\DumpStack.log*",
    r"?:\Boot\BCD*",
    r"?:\EFI\Microsoft\Boot\BCD*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file to be taken.

    Attributes:
        volume: "" for the Windows volume, else the other volume's name.
        files: its volume's files.
        entry: the file.

    """

    volume: str
    files: FileTree
    entry: FileEntry

    @property
    def path(self) -> str:
        """What documents call it."""
        if not self.volume:
            return self.entry.path
        return f"{self.volume.removesuffix(':')}:{self.entry.path}"


@dataclass(frozen=True, slots=True)
class NotFound:
    """A pattern, or a part of one, that gives nothing, and why.

    Attributes:
        pattern: as it was given.
        reason: in words.
        absent: whether the file is not among what was given, rather than there and unreadable.

    """

    pattern: str
    reason: str
    absent: bool = False


def expand(windows: Windows, patterns: Sequence[str]) -> tuple[list[Artefact], list[NotFound]]:
    """Return the files that patterns mean, each once and sorted, and what of the patterns gives none.

    Raises:
        FormatError: they mean too many files.

    """
    found: dict[tuple[str, str], Artefact] = {}
    missing: list[NotFound] = []
    for pattern in patterns:
        places = _places(windows, pattern)
        if not places:
            missing.append(NotFound(pattern, "its volume is not in the image"))
        before = len(found)
        problem = ""
        absent = False
        folders = 0
        for volume, files, path in places:
            try:
                for entry in _entries(files, path):
                    folders += entry.is_dir
                    if not entry.is_dir:
                        found.setdefault((volume, entry.path.lower()), Artefact(volume, files, entry))
            except StopcodeError as error:
                problem, absent = error.message, isinstance(error, NotCollectedError)
            if len(found) > MAX_RESCUED_FILES:
                raise FormatError(
                    "pattern", f"{pattern} means more than {MAX_RESCUED_FILES:,} files", hint="name fewer folders"
                )
        if problem:
            missing.append(NotFound(pattern, problem, absent))
        elif places and len(found) == before and folders:
            missing.append(NotFound(pattern, "it means a folder: add \\* for its files, \\** for all below it"))
        elif places and len(found) == before and not any(_entries_are_known(found, place) for place in places):
            missing.append(NotFound(pattern, "there is no such file", absent=True))
    return [found[key] for key in sorted(found)], missing


def _entries_are_known(found: dict[tuple[str, str], Artefact], place: tuple[str, FileTree, str]) -> bool:
    """Tell whether an earlier pattern has taken a file that this one means too."""
    volume, _files, path = place
    regex = re.compile(fnmatch.translate(_escaped(path.lower())))
    return any(name == volume and regex.fullmatch(key) for name, key in found)


def _places(windows: Windows, pattern: str) -> list[tuple[str, FileTree, str]]:
    """Return the volumes that a pattern means, with the path there."""
    text = pattern.strip().strip('"').replace("/", "\\")
    own: tuple[str, FileTree] = ("", windows.files)
    if text.startswith("?:"):
        others = [(volume.name, volume.files) for volume in windows.others()]
        return [(name, files, text[2:]) for name, files in (own, *others)]
    if text[1:2] == ":" or text.startswith(("%", "\\??\\", "\\\\")):
        path = windows.resolve(text)
        if path is not None:
            return [(*own, path)]
        other = windows.elsewhere(text)
        return [(other[0].name, other[0].files, other[1])] if other is not None else []
    # A user means the root of the volume, where the registry would mean the Windows folder.
    return [(*own, "\\" + text.lstrip("\\"))]


def _escaped(part: str) -> str:
    return part.replace("[", "[[]")


def _entries(files: FileTree, pattern: str) -> Iterator[FileEntry]:
    above, deep, below = pattern.partition("**")
    if not deep:
        yield from files.glob(pattern)
        return
    wanted = re.compile(fnmatch.translate(_escaped(below.strip("\\") or "*").lower()))
    top = above.rstrip("\\")
    tops = [entry.path for entry in files.glob(top) if entry.is_dir] if top else [""]
    looked_at = 0
    level = tops
    for _depth in range(MAX_RESCUED_DEPTH):
        following: list[str] = []
        for folder in level:
            for entry in files.listdir(folder or "\\"):
                looked_at += 1
                if looked_at > 10 * MAX_RESCUED_FILES:
                    raise FormatError("pattern", f"{pattern} looks at more than {10 * MAX_RESCUED_FILES:,} files")
                if entry.is_dir:
                    following.append(entry.path)
                elif wanted.fullmatch(entry.name.lower()):
                    yield entry
        level = following
