"""Differencing VHDs and VHDXs: a parent is believed only by its identity, and a renamed one is found by it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from forensics.disk.opening import Layer, Opener, Opening
from forensics.disk.parents import Wanted, called, find_by_identity, parent_of
from parsers.bytesource import ByteSource, ImageFile
from parsers.diagnostics import Diagnostics
from parsers.disk.vhd import SECTOR, Vhd, read_unique_id
from parsers.disk.vhdx import Vhdx, read_data_write_guid
from parsers.errors import FormatError

__all__ = ["open_vhd", "open_vhdx"]


def open_vhd(source: ImageFile, path: Path, opening: Opening, opener: Opener) -> Layer:
    """Open a VHD and its parents.

    Raises:
        FormatError: bytes that contradict the format.
        MissingParentError: a parent is in none of the folders, or is another disk than the child was made from.

    """
    said = Diagnostics()
    disk = Vhd(source, said)
    opening.take(said, path)
    layer = Layer(disk, "VHD", path, disk.kind, SECTOR)
    layer.details["creator"] = disk.creator.strip()
    if disk.block_size:
        layer.details["block_size"] = disk.block_size
    layer.identity = str(UUID(bytes=disk.unique_id))
    layer.extents = disk.extents
    if disk.created:
        layer.facts["created"] = _moment(disk.created)
    if disk.kind == "differencing":
        wanted = disk.parent_id

        def is_parent(candidate: ImageFile) -> bool:
            return read_unique_id(candidate) == wanted

        # An id of zeros is no identity: nothing but the name speaks for a parent then.
        suffixes = {".vhd", ".avhd"} if any(wanted) else set()
        identity = str(UUID(bytes=wanted))

        def find() -> Layer:
            found = find_by_identity(path, disk.parent_names, is_parent, suffixes, identity, opening)
            return opener(found, opening)

        disk.parent = _attach(layer, opening, find, Wanted(called(disk.parent_names), identity, disk.size))
    return layer


def open_vhdx(source: ImageFile, path: Path, opening: Opening, opener: Opener) -> Layer:
    """Open a VHDX and its parents.

    Raises:
        FormatError: bytes that contradict the format.
        MissingParentError: a parent is in none of the folders, or has been written to since the child was made.

    """
    said = Diagnostics()
    disk = Vhdx(source, said)
    opening.take(said, path)
    layer = Layer(disk, "VHDX", path, disk.kind, disk.sector_size)
    layer.details.update({"creator": disk.creator, "block_size": disk.block_size, "log": disk.log})
    layer.identity = disk.data_write_guid
    layer.extents = disk.extents
    layer.facts["disk_id"] = disk.metadata.disk_id
    if disk.metadata.physical_sector_size:
        layer.facts["physical_sector_size"] = disk.metadata.physical_sector_size
    if disk.log_entries is not None:
        layer.facts["log_entries"] = dict(zip(("applied", "first", "last"), disk.log_entries, strict=True))
    if disk.kind == "differencing":
        linkage = disk.parent_linkage
        if not linkage:
            raise FormatError("VHDX", f"{path.name} does not say which disk its parent is")

        def is_parent(candidate: ImageFile) -> bool:
            return read_data_write_guid(candidate) in linkage

        suffixes = (".vhdx", ".avhdx")

        def find() -> Layer:
            found = find_by_identity(path, disk.parent_names, is_parent, suffixes, linkage[0], opening)
            return opener(found, opening)

        disk.parent = _attach(layer, opening, find, Wanted(called(disk.parent_names), linkage[0], disk.size))
    return layer


def _attach(layer: Layer, opening: Opening, find: Callable[[], Layer], wanted: Wanted) -> ByteSource:
    """Give a child its chain and return its parent's disk."""
    above = parent_of(layer.path, opening, find, wanted)
    layer.parents = [above, *above.parents]
    return above.source


def _moment(seconds: int) -> str:
    """Return a VHD's time stamp, which counts from the year 2000."""
    return (datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
