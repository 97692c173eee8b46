"""VMDK: descriptors and their extents; the grains of sparse extents are dissect's work.

Reference: VMware "Virtual Disk Format 5.0"; `qemu/qemu: block/vmdk.c`; `libyal/libvmdk`. dissect's own disk class is
not used: it fails at the end of disks that are no multiple of 8 KiB, leaves out ZERO extents, so that what follows
moves up, ignores where a flat extent begins in its file, and opens parents outside the image's folder.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from forensics.disk.foreign import as_ours
from forensics.disk.opening import Layer, Opener, Opening, base_name, beside
from forensics.disk.parents import Wanted, called, missing, named, parent_of
from forensics.disk.vmdk_sparse import MAX_DESCRIPTOR, SECTOR, Part, embedded, open_sparse, sparse_header, truncated
from parsers.bytesource import ImageFile
from parsers.disk.extents import joined, split_at
from parsers.disk.reading import ConcatSource, ExtentSource, ZeroSource
from parsers.errors import FormatError, MissingParentError, StopcodeError, UnsupportedError
from parsers.limits import MAX_CHECKED_BLOCKS, MAX_DISK_PARTS

__all__ = ["open_vmdk"]

_DESCRIPTOR_MAGIC = b"# Disk DescriptorFile"
_NO_PARENT = "ffffffff"
_SPARSE = ("SPARSE", "VMFSSPARSE", "SESPARSE")
_FLAT = ("FLAT", "VMFS")


def open_vmdk(source: ImageFile, path: Path, opening: Opening, opener: Opener) -> Layer:
    """Open a VMDK: a descriptor with its extents, or one sparse file.

    Raises:
        FormatError: bytes that contradict the format.
        MissingParentError: an extent is not beside it, the parent is in none of the folders, or was changed.
        UnsupportedError: raw device mappings and other extents that are not files.

    """
    descriptor, header = _descriptor(source)
    if header is not None and not descriptor.attr:
        opening.diagnostics.warning(
            "vmdk.no-descriptor",
            f"{path.name} is one extent of a disk; it was read as if it were all of it",
            hint="name the small .vmdk that lists the extents",
            source=path.name,
        )
    disk_size = sum(extent.sectors for extent in descriptor.extents) * SECTOR
    parent = None
    if _parent_id(descriptor) != _NO_PARENT:
        wanted = Wanted(called(_parent_names(descriptor)), _parent_id(descriptor), disk_size)
        parent = parent_of(path, opening, lambda: _open_parent(descriptor, path, opening, opener), wanted)
    opened = len(opening.files)
    if header is None:
        parts = _open_extents(descriptor, path, opening, parent)
    else:
        parts = [open_sparse(source, path, 0, opening, parent)]
    disk = parts[0].source if len(parts) == 1 else ConcatSource([part.source for part in parts])
    layer = Layer(disk, "VMDK", path, str(descriptor.attr.get("createType", "")))
    if len(parts) == 1 and parts[0].grain:
        layer.details["block_size"] = parts[0].grain
    if sum(part.source.size // part.grain for part in parts if part.grain) <= MAX_CHECKED_BLOCKS:
        layer.extents = partial(joined, [(part.source.size, part.extents) for part in parts])
    layer.file_size = source.size + sum(file.size for file in opening.files[opened:])
    if "CID" in descriptor.attr:
        layer.details["cid"] = layer.identity = str(descriptor.attr["CID"]).lower()
    if parent is not None:
        layer.parents = [parent, *parent.parents]
    return layer


def _descriptor(source: ImageFile) -> tuple[Any, Any]:
    """Return a VMDK's descriptor, and the header of the sparse extent that holds it, or None where it is a file."""
    if source.read_at(0, len(_DESCRIPTOR_MAGIC)) == _DESCRIPTOR_MAGIC:
        if source.size > MAX_DESCRIPTOR:
            raise FormatError("VMDK", "a descriptor of impossible size", found=source.size)
        return _parse(source.read_at(0, source.size)), None
    header = sparse_header(source)
    return _parse(embedded(source, header)), header


def _parse(text: bytes) -> Any:
    from dissect.hypervisor.disk.vmdk import DiskDescriptor

    with as_ours("VMDK"):
        return DiskDescriptor.parse(text.split(b"\0", 1)[0].decode("utf-8", "replace"))


def _parent_id(descriptor: Any) -> str:
    return str(descriptor.attr.get("parentCID", _NO_PARENT)).lower()


def _parent_names(descriptor: Any) -> list[str]:
    return [str(descriptor.attr.get("parentFileNameHint", ""))]


def _open_parent(descriptor: Any, path: Path, opening: Opening, opener: Opener) -> Layer:
    wanted, names = _parent_id(descriptor), _parent_names(descriptor)
    wrong = ""
    for found in named(path, names, opening):
        identity = _content_id(found, opening) or wanted
        if identity == wanted:
            return opener(found, opening)
        wrong = wrong or f"{found.name} is not the disk that {path.name} was made from: its content id is {identity}"
    if wrong:
        raise MissingParentError(
            f"{wrong}, not {wanted}",
            hint="the parent was changed since; give the folder with the one of that time with --parent DIR, or use "
            "a consolidated disk",
        )
    what = f"{path.name} is a snapshot, and its parent {called(names)}"
    raise missing(what, path, opening, instead="consolidate the snapshots on the host")


def _content_id(path: Path, opening: Opening) -> str:
    """Return the content id of a VMDK; "" where the file has none."""
    try:
        with opening.file(path) as source:
            return str(_descriptor(source)[0].attr.get("CID", "")).lower()
    except StopcodeError:
        return ""


# -- extents ----------------------------------------------------------------------------------------------------------


def _open_extents(descriptor: Any, path: Path, opening: Opening, parent: Layer | None) -> list[Part]:
    extents = descriptor.extents
    if not extents:
        raise FormatError("VMDK", f"{path.name} lists no extents")
    if len(extents) > MAX_DISK_PARTS:
        raise FormatError("VMDK", "too many extents", expected=f"at most {MAX_DISK_PARTS}", found=len(extents))
    parts: list[Part] = []
    sector = 0
    for extent in extents:
        size = extent.sectors * SECTOR
        if extent.type == "ZERO":
            parts.append(Part(ZeroSource(size), partial(split_at, 0, size, size, "zero")))
        elif extent.type in _SPARSE or extent.type in _FLAT:
            parts.append(_open_extent(extent, size, sector, path, opening, parent))
        else:
            raise UnsupportedError(
                f"{path.name} maps a device of its host ({extent.type}), not a file",
                hint="export the disk from its host",
            )
        sector += extent.sectors
    return parts


def _open_extent(extent: Any, size: int, sector: int, path: Path, opening: Opening, parent: Layer | None) -> Part:
    name = base_name(extent.filename or "")
    found = beside(path, name)
    if found is None or found.name == path.name:
        raise MissingParentError(
            f"{path.name} keeps its data in {name or 'a file without a name'}, which is not in {path.parent}",
            hint="copy all files of the disk into one folder",
        )
    file = opening.file(found)
    if extent.type in _FLAT:
        start = int(extent.start_sector or 0) * SECTOR
        if start + size > file.size:
            truncated(found, file.size, start + size, opening)
        flat = ExtentSource(file, start, size, format="VMDK")
        return Part(flat, partial(split_at, 0, size, file.size - start, "stored"))
    disk = open_sparse(file, found, sector, opening, parent)
    there = disk.source.size
    if there < size:
        raise FormatError("VMDK", f"{found.name} is smaller than the descriptor says", expected=size, found=there)
    return disk._replace(source=ExtentSource(disk.source, 0, size, format="VMDK"))
