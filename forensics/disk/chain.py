"""Parents of differencing VHDs and VHDXs: found beside the child, believed only by their identity.

What a child says of its parent's path is a hint written on another machine, perhaps by an attacker: only its last
part is used, and only in the child's own folder. A parent that was renamed is found there by its identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from forensics.disk.opening import Layer, Opener, Opening, base_name, beside, neighbours
from parsers.bytesource import FileSource
from parsers.diagnostics import Diagnostics
from parsers.disk.vhd import SECTOR, Vhd, read_unique_id
from parsers.disk.vhdx import Vhdx, read_data_write_guid
from parsers.errors import FormatError, MissingParentError, StopcodeError
from parsers.limits import MAX_PARENT_CANDIDATES

__all__ = ["open_vhd", "open_vhdx"]


def open_vhd(source: FileSource, path: Path, opening: Opening, opener: Opener) -> Layer:
    """Open a VHD and its parents.

    Raises:
        FormatError: bytes that contradict the format.
        MissingParentError: a parent is not beside its child, or is another disk than the child was made from.

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

        def is_parent(candidate: FileSource) -> bool:
            return read_unique_id(candidate) == wanted

        # An id of zeros is no identity: nothing but the name speaks for a parent then.
        suffixes = {".vhd", ".avhd"} if any(wanted) else set()
        parent = _find(path, disk.parent_names, is_parent, suffixes, str(UUID(bytes=wanted)), opening)
        _attach(layer, parent, opening, opener)
        disk.parent = layer.parents[0].source
    return layer


def open_vhdx(source: FileSource, path: Path, opening: Opening, opener: Opener) -> Layer:
    """Open a VHDX and its parents.

    Raises:
        FormatError: bytes that contradict the format.
        MissingParentError: a parent is not beside its child, or has been written to since the child was made.

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

        def is_parent(candidate: FileSource) -> bool:
            return read_data_write_guid(candidate) in linkage

        parent = _find(path, disk.parent_names, is_parent, {".vhdx", ".avhdx"}, linkage[0], opening)
        _attach(layer, parent, opening, opener)
        disk.parent = layer.parents[0].source
    return layer


def _attach(layer: Layer, parent: Path, opening: Opening, opener: Opener) -> None:
    above = opener(parent, opening)
    layer.parents = [above, *above.parents]


def _find(
    child: Path,
    names: tuple[str, ...],
    is_parent: Callable[[FileSource], bool],
    suffixes: set[str],
    identity: str,
    opening: Opening,
) -> Path:
    """Return the parent's file: by the names that the child has for it, else by identity among its neighbours."""
    wrong: Path | None = None
    asked = list(dict.fromkeys(base_name(name) for name in names if base_name(name)))
    for name in asked:
        found = beside(child, name)
        if found is None or found.name == child.name:
            continue
        if _matches(found, is_parent, opening):
            return found
        wrong = wrong or found
    for candidate in _candidates(child, suffixes):
        if candidate != wrong and _matches(candidate, is_parent, opening):
            opening.diagnostics.info(
                "container.parent-renamed",
                f"the parent was found by its identity under the name {candidate.name}",
                source=child.name,
            )
            return candidate
    called = asked[0] if asked else "a disk without a name"
    if wrong is not None:
        raise MissingParentError(
            f"{wrong.name} is not the disk that {child.name} was made from: its identity is not {identity}",
            hint=f"the parent was changed or replaced since; find the {called} of that time, or use a merged disk",
        )
    raise MissingParentError(
        f"{child.name} is a differencing disk, and its parent {called} ({identity}) is not in {child.parent}",
        hint="copy the parent into that folder, or merge the chain on its host",
    )


def _candidates(child: Path, suffixes: set[str]) -> Iterator[Path]:
    tried = 0
    for entry in neighbours(child):
        if entry.suffix.lower() in suffixes:
            tried += 1
            if tried > MAX_PARENT_CANDIDATES:
                return
            yield entry


def _matches(path: Path, is_parent: Callable[[FileSource], bool], opening: Opening) -> bool:
    try:
        with opening.file(path) as source:
            return is_parent(source)
    except StopcodeError:
        return False
