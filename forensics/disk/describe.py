"""What an opened disk image is, as plain data: its files and their chain, its partition table, its volumes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal, NotRequired, TypedDict, cast
from uuid import UUID

from forensics.disk.opening import Layer
from forensics.disk.parents import MISSING
from forensics.disk.volumes import Volume
from forensics.facts import VolumeFact
from parsers.bytesource import ByteSource
from parsers.disk.extents import Extent, through
from parsers.disk.partitions import GPT_TYPES, MBR_TYPES, Partition, PartitionTable, gpt_copies
from parsers.errors import StopcodeError
from parsers.limits import MAX_CHECKED_BLOCKS

__all__ = [
    "AllocationDict",
    "CopiesDict",
    "DiskVolumeDict",
    "LayerDict",
    "LogDict",
    "PartitionDict",
    "TableDict",
    "describe_layer",
    "describe_partitions",
    "describe_volume",
    "extents_of",
    "is_counted",
]


class LogDict(TypedDict):
    """The log of a VHDX: "clean", "replayed" (in memory), "dirty" (it could not be replayed).

    Of a replayed one how many entries were applied, and the sequence numbers of the first and the last of them, as hex.
    """

    state: Literal["clean", "replayed", "dirty"]
    entries: NotRequired[int]
    first: NotRequired[str]
    last: NotRequired[str]


class AllocationDict(TypedDict):
    """Where the bytes of a disk come from: bytes of the virtual disk each.

    `stored` in the file, `mixed` in blocks of which some sectors are the parent's, `zero` not stored, `parent` the
    parent's, `lost` in the file by its tables and not there. `blocks` is how many the disk has, `blocks_stored` of how
    many of them the file holds something.
    """

    stored: int
    mixed: int
    zero: int
    parent: int
    lost: int
    blocks: NotRequired[int]
    blocks_stored: NotRequired[int]


class LayerDict(TypedDict):
    """One disk of the chain: its file or files, and the virtual disk that its container makes of them.

    `kind` is "missing" for a parent that was not found: its name and identity are what its child says. `identity` is
    by what a child knows it; `disk_id` is the virtual disk's, the same in child and parent (VHDX). Sizes are bytes.
    """

    path: str
    kind: str
    subtype: NotRequired[str]
    creator: NotRequired[str]
    created: NotRequired[str]
    identity: NotRequired[str]
    disk_id: NotRequired[str]
    virtual_size: int
    file_size: NotRequired[int]
    sector_size: NotRequired[int]
    physical_sector_size: NotRequired[int]
    block_size: NotRequired[int]
    parts: NotRequired[int]
    segments: NotRequired[int]
    version: NotRequired[int]
    log: NotRequired[LogDict]
    allocation: NotRequired[AllocationDict]


class PartitionDict(TypedDict):
    """One partition. `type` is its number (MBR, hex) or GUID as stored, `type_name` what that is called, if known."""

    number: int
    offset: int
    size: int
    type: str
    type_name: NotRequired[str]
    name: NotRequired[str]
    guid: NotRequired[str]
    active: NotRequired[bool]


class CopiesDict(TypedDict):
    """The two copies of a GPT: "ok", "damaged", "missing", "unreadable"; the second also "different".

    `before_end` is how many bytes the second lies before the disk's last sector: a disk that was enlarged has it there.
    """

    first: Literal["ok", "damaged", "missing", "unreadable"]
    second: Literal["ok", "damaged", "missing", "unreadable", "different"]
    before_end: int


class TableDict(TypedDict):
    """The partition table. `disk_id` is the MBR's signature (hex) or the GPT's disk GUID."""

    scheme: Literal["mbr", "gpt"]
    sector_size: int
    disk_id: str
    copies: NotRequired[CopiesDict]
    partitions: list[PartitionDict]
    problems: list[str]


class DiskVolumeDict(VolumeFact, total=False):
    """One volume, as in the facts, with more of it.

    `partition` is its partition's number; `cluster_size` and `file_system_size` are bytes; `dirty` is whether Windows
    would check it at its next boot; `problem` is why it cannot be read.
    """

    partition: int
    cluster_size: int
    file_system_size: int
    dirty: bool
    problem: str
    hint: str


def describe_layer(layer: Layer) -> LayerDict:
    """Return what one disk of a chain is."""
    made: dict[str, Any] = {"path": str(layer.path), "kind": layer.kind, "virtual_size": layer.source.size}
    if layer.identity:
        made["identity"] = layer.identity
    if layer.kind == MISSING:
        return cast("LayerDict", made)
    made["file_size"] = layer.file_size
    made["sector_size"] = layer.sector_size
    if layer.subtype:
        made["subtype"] = layer.subtype
    for key in ("creator", "block_size", "parts", "segments", "version"):
        if layer.details.get(key):
            made[key] = layer.details[key]
    for key in ("created", "disk_id", "physical_sector_size"):
        if layer.facts.get(key):
            made[key] = layer.facts[key]
    if "log" in layer.details:
        made["log"] = {"state": layer.details["log"]}
        applied = layer.facts.get("log_entries")
        if applied is not None:
            made["log"] |= {
                "entries": applied["applied"], "first": hex(applied["first"]), "last": hex(applied["last"]),
            }  # fmt: skip
    allocation = _allocation(layer)
    if allocation is not None:
        made["allocation"] = allocation
    return cast("LayerDict", made)


def is_counted(layer: Layer) -> bool:
    """Tell whether a disk says where its bytes come from, in a table that is not too large to go through for that."""
    block = layer.details.get("block_size", 0)
    return layer.extents is not None and not (block and layer.source.size // block > MAX_CHECKED_BLOCKS)


def _allocation(layer: Layer) -> AllocationDict | None:
    """Count where a disk's bytes come from; None where its format does not tell, or its table is very large."""
    if layer.extents is None or not is_counted(layer):
        return None
    made: AllocationDict = {"stored": 0, "mixed": 0, "zero": 0, "parent": 0, "lost": 0}
    held = 0
    try:
        for extent in layer.extents():
            made[extent.state] += extent.length
            held += extent.state in ("stored", "mixed")
    except StopcodeError:
        return None
    block = layer.details.get("block_size", 0)
    if block:
        made["blocks"] = -(-layer.source.size // block)
        made["blocks_stored"] = held
    return made


def extents_of(layers: list[Layer]) -> Iterator[Extent]:
    """Yield where the bytes of the first disk of a chain come from, through all of its parents, in order.

    What nothing is known of counts as stored: whoever reads it will see.
    """
    top, *parents = layers
    if top.kind == MISSING:
        return iter([Extent(0, top.source.size, "lost")])
    return through(_own(top), extents_of(parents)) if parents else _own(top)


def _own(layer: Layer) -> Iterator[Extent]:
    end = 0
    if layer.extents is not None:
        try:
            for extent in layer.extents():
                yield extent
                end = extent.offset + extent.length
        except StopcodeError:
            pass  # its table ends here; reads of what lies behind say why
    if end < layer.source.size:
        yield Extent(end, layer.source.size - end, "stored")


def describe_partitions(table: PartitionTable, disk: ByteSource | None = None) -> TableDict:
    """Return a partition table.

    Args:
        table: the table.
        disk: the disk, to look at both copies of a GPT; None to read nothing for it.

    """
    gpt = table.scheme == "gpt"
    made: TableDict = {
        "scheme": table.scheme,
        "sector_size": table.sector_size,
        "disk_id": str(UUID(bytes_le=table.disk_guid)) if gpt else f"{table.signature:#010x}",
        "partitions": [_partition(item) for item in table.partitions],
        "problems": list(table.problems),
    }
    if gpt and disk is not None:
        first, second, before = gpt_copies(disk, table.sector_size)
        made["copies"] = cast("CopiesDict", {"first": first, "second": second, "before_end": before})
    return made


def _partition(item: Partition) -> PartitionDict:
    made: PartitionDict = {"number": item.number, "offset": item.offset, "size": item.size, "type": item.type}
    known = GPT_TYPES.get(item.type) or MBR_TYPES.get(item.type)
    if known:
        made["type_name"] = known
    if item.name:
        made["name"] = item.name
    if item.guid:
        made["guid"] = str(UUID(bytes_le=item.guid))
    if item.active:
        made["active"] = True
    return made


def describe_volume(volume: Volume) -> DiskVolumeDict:
    """Return what one volume is."""
    made = cast("DiskVolumeDict", dict(volume.fact()))
    if volume.partition is not None:
        made["partition"] = volume.partition.number
    if volume.ntfs is not None:
        made["cluster_size"] = volume.ntfs.boot.cluster
        made["file_system_size"] = volume.ntfs.boot.size
        # That it cannot be told was said where the volume was opened.
        with suppress(StopcodeError):
            made["dirty"] = volume.ntfs.dirty
    if volume.problem:
        made["problem"] = volume.problem
    if volume.hint:
        made["hint"] = volume.hint
    return made
