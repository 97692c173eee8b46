"""Differencing VHDs and VHDXs: a parent is believed only by its identity, and a renamed one is found by it."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from forensics.disk.opening import Layer, Opener, Opening
from forensics.disk.parents import find_by_identity
from parsers.bytesource import ImageFile
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
    if disk.kind == "differencing":
        wanted = disk.parent_id

        def is_parent(candidate: ImageFile) -> bool:
            return read_unique_id(candidate) == wanted

        # An id of zeros is no identity: nothing but the name speaks for a parent then.
        suffixes = {".vhd", ".avhd"} if any(wanted) else set()
        identity = str(UUID(bytes=wanted))
        parent = find_by_identity(path, disk.parent_names, is_parent, suffixes, identity, opening)
        _attach(layer, parent, opening, opener)
        disk.parent = layer.parents[0].source
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
    if disk.kind == "differencing":
        linkage = disk.parent_linkage
        if not linkage:
            raise FormatError("VHDX", f"{path.name} does not say which disk its parent is")

        def is_parent(candidate: ImageFile) -> bool:
            return read_data_write_guid(candidate) in linkage

        suffixes = (".vhdx", ".avhdx")
        parent = find_by_identity(path, disk.parent_names, is_parent, suffixes, linkage[0], opening)
        _attach(layer, parent, opening, opener)
        disk.parent = layer.parents[0].source
    return layer


def _attach(layer: Layer, parent: Path, opening: Opening, opener: Opener) -> None:
    above = opener(parent, opening)
    layer.parents = [above, *above.parents]
