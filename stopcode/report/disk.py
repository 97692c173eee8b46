"""What an image is, as one document (`stopcode/disk/1`)."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from forensics.disk.describe import DiskVolumeDict, LayerDict, TableDict
from parsers.diagnostics import DiagnosticDict
from stopcode.report.document import Tool

__all__ = ["DISK_SCHEMA", "ContentDict", "DiskDocument", "UnreadableDict", "WindowsDict"]

DISK_SCHEMA = "stopcode/disk/1"


class UnreadableDict(TypedDict):
    """Stretches of the virtual disk that cannot be read: how many bytes, and [offset, bytes] of the first hundred."""

    bytes: int
    ranges: list[list[int]]


class ContentDict(TypedDict):
    """The digest of the virtual disk's bytes, which `sha256sum` gives of the disk converted to raw.

    Where a part cannot be read zeros stand in its place and `unreadable` names it: it is not the whole disk's digest.
    """

    bytes: int
    sha256: str
    unreadable: NotRequired[UnreadableDict]


class WindowsDict(TypedDict):
    """One Windows on the disk. `chosen` is the one that a scan looks at; `lacks` is what it has not, in words.

    `hibernation` is there when hiberfil.sys says "hibernated" (or shut down with fast startup) or "resumed".
    """

    volume: int
    root: str
    chosen: bool
    product: NotRequired[str]
    version: NotRequired[str]
    hostname: NotRequired[str]
    hibernation: NotRequired[str]
    lacks: list[str]


class DiskDocument(TypedDict):
    """What an image is: its container, the chain of its parents (nearest first), what is on its disk.

    `partition_table` is null where the disk has none; the key is missing where the disk's beginning cannot be read.
    `unreadable` is what is known to be lost before it is read.
    """

    schema: str
    tool: Tool
    source: dict[str, Any]
    container: LayerDict
    chain: list[LayerDict]
    partition_table: NotRequired[TableDict | None]
    volumes: list[DiskVolumeDict]
    windows: list[WindowsDict]
    unreadable: NotRequired[UnreadableDict]
    content: NotRequired[ContentDict]
    diagnostics: list[DiagnosticDict]
    stats: dict[str, Any]
