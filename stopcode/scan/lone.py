"""A dump without its disk: facts that hold one crash, and a gap for everything else."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from forensics.crash.analyse import analyse
from forensics.facts import Facts, empty_facts
from parsers.bytesource import FileSource
from parsers.diagnostics import Diagnostics
from parsers.dump import looks_like_dump
from parsers.errors import FormatError, InputNotFoundError, UnsupportedError
from stopcode.report.outcome import ONLY_A_DUMP

__all__ = ["LoneDump", "is_dump", "read_lone", "require_named"]

_READS_DISKS = "stopcode scan reads disks, folders and dumps"


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


def is_dump(path: str) -> bool:
    """Tell whether a path is a file that begins as a kernel dump does."""
    try:
        if not _is_at_hand(path):
            return False
        with open(path, "rb") as file:  # noqa: PTH123  # a folder raises as well, and costs nothing
            return looks_like_dump(file.read(16))
    except OSError:
        return False


def read_lone(path: str, diagnostics: Diagnostics) -> LoneDump:
    """Analyse a dump.

    The crash is called by the file's name alone: where somebody keeps the file is no fact of the machine.

    Raises:
        InputNotFoundError: no such file.
        FormatError: cut before the end of its header's first part.
        UnsupportedError: no kernel dump: a disk, a folder, a pipe, a user-mode minidump, a hibernation file.

    """
    require_named(path)
    file = Path(path)
    if not file.exists():
        raise InputNotFoundError(f"{path}: no such file", hint="look at the path")
    if file.is_dir():
        raise UnsupportedError(f"{path} is a folder, not a dump", hint=_READS_DISKS)
    if not _is_at_hand(path):
        raise UnsupportedError(f"{path} is a pipe or a device", hint="write it to a file, and name that")
    with FileSource(file) as opened:
        try:
            crash = analyse(opened, path=file.name, diagnostics=diagnostics)
        except FormatError as error:
            if not looks_like_dump(opened.read_at(0, 16)):
                head = opened.read_at(0, 4096)
                why = "" if head.strip(b"\0") else ", it begins with zeros" if head else ", it is empty"
                raise UnsupportedError(f"{path}: not a kernel dump{why}", hint=_READS_DISKS) from error
            raise
        crash["latest"] = True
        crash["latest_because"] = "it is the only one: the disk was not given"
        facts = empty_facts()
        facts["crashes"] = [crash]
        for section in facts:
            if section not in ("schema", "crashes", "gaps"):
                facts["gaps"].append({"path": f"/{section}", "reason": ONLY_A_DUMP})
        facts["gaps"].sort(key=lambda gap: gap["path"])
        source = {"path": path, "kind": "dump", "size": opened.size}
        return LoneDump(facts, source, opened.bytes_read, opened.requests)
