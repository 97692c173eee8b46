"""What `stopcode rescue` says as plain data: the dumps of a disk, and what lies in a zip of its files."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from forensics.facts import Where
from parsers.diagnostics import DiagnosticDict

__all__ = [
    "MANIFEST_SCHEMA", "RESCUE_SCHEMA", "Archive", "CopiedDump", "DumpEntry", "LeftOut", "Lost", "Manifest",
    "ManifestTool", "PackedFile", "Rescue", "UnmatchedPattern",
]  # fmt: skip

RESCUE_SCHEMA = "stopcode/rescue/1"
MANIFEST_SCHEMA = "stopcode/rescue-manifest/1"


class Lost(TypedDict):
    """Bytes that could not be read and are zeros in the copy: how many, where (offset, length), the first reason."""

    bytes: int
    reason: str
    ranges: list[list[int]]


class DumpEntry(TypedDict):
    """One dump, or a file that is called one; `problem` says why it cannot be read, and then nothing more is known.

    `n` is its number for `--dump`. The other keys are those of a crash and its dump in the facts; `code` and `name` are
    the bug check's.
    """

    n: int
    path: str
    where: Where
    size: int
    problem: NotRequired[str]
    kind: NotRequired[str]
    complete: NotRequired[bool]
    copy_of: NotRequired[str]
    archive: NotRequired[str]
    time: NotRequired[str]
    build: NotRequired[int]
    live: NotRequired[bool]
    latest: NotRequired[bool]
    latest_because: NotRequired[str]
    code: NotRequired[str]
    name: NotRequired[str]


class CopiedDump(TypedDict):
    """A dump that was to be copied: where `to`, with its digest, read again; or the `problem` that was in the way."""

    n: int
    path: str
    problem: NotRequired[str]
    to: NotRequired[str]
    size: NotRequired[int]
    sha256: NotRequired[str]
    unreadable: NotRequired[Lost]


class ManifestTool(TypedDict):
    """What made the zip."""

    name: str
    version: str


class PackedFile(TypedDict):
    """One file of the zip: its `name` there, its `path` on the disk. `replaced` counts the names taken out of it."""

    name: str
    path: str
    size: int
    sha256: str
    modified: NotRequired[str]
    unreadable: NotRequired[Lost]
    replaced: NotRequired[int]


class LeftOut(TypedDict):
    """A file that is not in the zip, and why."""

    path: str
    reason: str


class UnmatchedPattern(TypedDict):
    """A pattern that meant nothing, and why."""

    pattern: str
    reason: str


class Manifest(TypedDict):
    """`manifest.json`. `names_too_short` counts names that stayed, and stands only in a redacted zip's."""

    schema: str
    tool: ManifestTool
    redacted: bool
    files: list[PackedFile]
    left_out: list[LeftOut]
    not_found: list[UnmatchedPattern]
    names_too_short: NotRequired[int]


class Archive(Manifest):
    """The zip that was written, `to` where, with all that its manifest says."""

    to: str


class Rescue(TypedDict):
    """The whole document. `dumps` are sorted newest first; `copied` and `archive` stand where something was taken.

    `process_dumps` are paths of dumps of processes among the error reports, which tell nothing of the kernel.
    """

    schema: str
    source: dict[str, Any]
    dumps: list[DumpEntry]
    process_dumps: list[str]
    diagnostics: list[DiagnosticDict]
    copied: NotRequired[list[CopiedDump]]
    archive: NotRequired[Archive]
