"""A dump without its disk: facts that hold one crash, and a gap for everything else."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict, Facts, empty_facts
from forensics.remote.address import is_address, shown_address
from forensics.remote.opening import answered
from parsers.bytesource import ByteSource, FileSource, ImageFile
from parsers.diagnostics import Diagnostics
from parsers.dump import looks_like_dump
from parsers.errors import FormatError, InputNotFoundError, UnsupportedError
from stopcode.report.outcome import ONLY_A_DUMP

if TYPE_CHECKING:
    # Only where the analyst gives some: a dump alone pays for neither.
    from forensics.crash.images import ImageFinder
    from forensics.crash.symbol_files import SymbolSource
    from forensics.remote.blocks import RemoteFile

__all__ = [
    "NOTHING_MORE",
    "Extras",
    "LoneDump",
    "begins_dump",
    "is_dump",
    "read_crash",
    "read_lone",
    "require_named",
]

_READS_DISKS = "stopcode scan reads disks, folders and dumps"
#: First bytes of the archives that are looked into (`parsers.dump.packed`): cheap to hold against any file.
_ARCHIVES = (b"PK", b"\x1f\x8b", b"\xfd7", b"MS")


class Extras(NamedTuple):
    """What the analyst gives beside the dumps.

    Attributes:
        images: driver files for unwind data and versions.
        symbols: symbol files for names.
        serials: whether serial numbers of the machine are told.

    """

    images: ImageFinder | None = None
    symbols: SymbolSource | None = None
    serials: bool = False


NOTHING_MORE = Extras()


class LoneDump:
    """What a lone dump gives.

    Attributes:
        facts: the document.
        source: the report's `source`.
        bytes_read: bytes read of the file.
        requests: reads of the file.

    """

    def __init__(self, facts: Facts, source: dict[str, Any], bytes_read: int, requests: int) -> None:
        self.facts = facts
        self.source = source
        self.bytes_read = bytes_read
        self.requests = requests


def _is_at_hand(path: str) -> bool:
    """Tell whether a path can be read at random places: a pipe would wait for its writer, or lose what was read."""
    mode = os.stat(path).st_mode  # noqa: PTH116  # pathlib would be no shorter
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode)


def require_named(path: str) -> None:
    """Refuse a path that names nothing that could be read at random places.

    Raises:
        InputNotFoundError: the empty path, or `-` where no file is called so.

    """
    if not path:
        # An empty path would mean the folder one stands in: a variable that was not set, most often.
        raise InputNotFoundError("the path is empty", hint="name a file; is a variable not set?")
    if path == "-" and not os.path.lexists(path):
        raise InputNotFoundError(
            "standard input cannot be read at random places", hint="write it to a file, and name that"
        )


def is_dump(path: str, head: bytes) -> bool:
    """Tell whether a file begins as a kernel dump does, or is an archive with one and without a Windows.

    Args:
        path: the file.
        head: its first bytes, 16 at least.

    """
    try:
        if head[:2] not in _ARCHIVES:
            return looks_like_dump(head)
        # Collected files may have dumps among them: then there is more to tell than a dump.
        return not _holds_windows(path) and _holds_dump(path)
    except OSError:
        return False


def begins_dump(file: ByteSource) -> bool:
    """Tell whether a file begins as a kernel dump does, or is an archive that holds one.

    Raises:
        ReadError: its beginning cannot be read.

    """
    head = file.read_at(0, 16)
    if head[:2] not in _ARCHIVES:
        return looks_like_dump(head)
    from parsers.dump.packed import holds_dump

    return holds_dump(file)


def _holds_windows(path: str) -> bool:
    from forensics.disk.collection import holds_windows

    return holds_windows(Path(path))


def _holds_dump(path: str) -> bool:
    from parsers.dump.packed import holds_dump

    with FileSource(path) as opened:
        return holds_dump(opened)


def read_lone(path: str | RemoteFile, diagnostics: Diagnostics, extras: Extras = NOTHING_MORE) -> LoneDump:
    """Analyse a dump and make a whole facts document of it.

    Raises:
        StopcodeError: as `read_crash`.

    """
    crash, source, bytes_read, requests = read_crash(path, diagnostics, extras)
    facts = empty_facts()
    facts["crashes"] = [crash]
    for section in facts:
        if section not in ("schema", "crashes", "gaps"):
            facts["gaps"].append({"path": f"/{section}", "reason": ONLY_A_DUMP})
    facts["gaps"].sort(key=lambda gap: gap["path"])
    return LoneDump(facts, source, bytes_read, requests)


def read_crash(
    path: str | RemoteFile, diagnostics: Diagnostics, extras: Extras = NOTHING_MORE
) -> tuple[CrashDict, dict[str, Any], int, int]:
    """Analyse a dump; return the crash, the report's `source`, and the bytes and reads of the file.

    The crash is called by the file's name alone: where somebody keeps the file is no fact of the machine. A remote file
    is given opened, and closed here.

    Raises:
        InputNotFoundError: no such file.
        FormatError: cut before the end of its header's first part.
        OpenError: the server of a remote file failed.
        UnsupportedError: no kernel dump: a disk, a folder, a pipe, a user-mode minidump, a hibernation file.

    """
    if not isinstance(path, str):
        # Part of a dump is not told for the whole: which part is missing decides who is to blame.
        with path, answered(path, "the dump could not be read"):
            return _analysed(path, path.shown, diagnostics, extras)
    if is_address(path):
        raise UnsupportedError(f"{shown_address(path)} is an address", hint="stopcode scan reads dumps at addresses")
    require_named(path)
    file = Path(path)
    if not file.exists():
        raise InputNotFoundError(f"{path}: no such file", hint="look at the path")
    if file.is_dir():
        raise UnsupportedError(f"{path} is a folder, not a dump", hint=_READS_DISKS)
    if not _is_at_hand(path):
        raise UnsupportedError(f"{path} is a pipe or a device", hint="write it to a file, and name that")
    with FileSource(file) as opened:
        return _analysed(opened, path, diagnostics, extras)


def _analysed(
    opened: ImageFile, path: str, diagnostics: Diagnostics, extras: Extras
) -> tuple[CrashDict, dict[str, Any], int, int]:
    try:
        crash = analyse(opened, path=Path(path).name, diagnostics=diagnostics, images=extras.images,
                        symbols=extras.symbols, serials=extras.serials)  # fmt: skip
    except FormatError as error:
        head = opened.read_at(0, 4096)
        # A header that was prepared and never written has a reason of its own.
        if not looks_like_dump(head[:16]) and head[:2] not in _ARCHIVES and not head.startswith(b"PAGEPAGE"):
            why = "" if head.strip(b"\0") else ", it begins with zeros" if head else ", it is empty"
            raise UnsupportedError(f"{path}: not a kernel dump{why}", hint=_READS_DISKS) from error
        raise
    if not crash.get("live"):
        crash["latest"] = True
        crash["latest_because"] = "it is the only one: the disk was not given"
    source = {"path": path, "kind": "dump", "size": opened.size}
    return crash, source, opened.bytes_read, opened.requests
