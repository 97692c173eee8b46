"""VMDK: descriptors and their extents; the grains of sparse extents are dissect's work.

Reference: VMware "Virtual Disk Format 5.0"; `qemu/qemu: block/vmdk.c`; `libyal/libvmdk`. dissect's own disk class is
not used: it fails at the end of disks that are no multiple of 8 KiB, leaves out ZERO extents, so that what follows
moves up, ignores where a flat extent begins in its file, and opens parents outside the image's folder.
"""

from __future__ import annotations

import zlib
from array import array
from pathlib import Path
from typing import Any

from forensics.disk.foreign import ForeignSource, SourceFile, as_ours
from forensics.disk.opening import Layer, Opener, Opening, base_name, beside
from forensics.disk.parents import Wanted, called, missing, named, parent_of
from parsers.bytesource import ByteSource, ImageFile
from parsers.disk.reading import ConcatSource, ExtentSource, ZeroSource, read_padded
from parsers.disk.table import numbers
from parsers.errors import (
    FormatError,
    MissingParentError,
    ReadError,
    StopcodeError,
    TruncatedError,
    UnsupportedError,
)
from parsers.limits import MAX_DISK_PARTS

__all__ = ["open_vmdk"]

_SECTOR = 512
_MAX_DESCRIPTOR = 1 << 20
_DESCRIPTOR_MAGIC = b"# Disk DescriptorFile"
_NO_PARENT = "ffffffff"
_COMPRESSED = 0x10000
_EMBEDDED_LBA = 0x20000
#: Grain tables that are all read at open to see whether the file holds what they name: 16 GiB of disk, 1 MiB of file.
_CHECKED_TABLES = 512
_MAX_GRAIN = 0x10000
_SPARSE = ("SPARSE", "VMFSSPARSE", "SESPARSE")
_FLAT = ("FLAT", "VMFS")


class _ParentSectors:
    """A parent's disk, as dissect's sparse extents ask for it."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    def read_sectors(self, sector: int, count: int) -> bytes:
        return read_padded(self._source, sector * _SECTOR, count * _SECTOR)


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
    disk_size = sum(extent.sectors for extent in descriptor.extents) * _SECTOR
    parent = None
    if _parent_id(descriptor) != _NO_PARENT:
        wanted = Wanted(called(_parent_names(descriptor)), _parent_id(descriptor), disk_size)
        parent = parent_of(path, opening, lambda: _open_parent(descriptor, path, opening, opener), wanted)
    opened = len(opening.files)
    if header is None:
        disk = _open_extents(descriptor, path, opening, parent)
    else:
        disk = _open_sparse(source, path, 0, opening, parent)
    layer = Layer(disk, "VMDK", path, str(descriptor.attr.get("createType", "")))
    layer.file_size = source.size + sum(file.size for file in opening.files[opened:])
    if "CID" in descriptor.attr:
        layer.details["cid"] = layer.identity = str(descriptor.attr["CID"]).lower()
    if parent is not None:
        layer.parents = [parent, *parent.parents]
    return layer


def _descriptor(source: ImageFile) -> tuple[Any, Any]:
    """Return a VMDK's descriptor, and the header of the sparse extent that holds it, or None where it is a file."""
    if source.read_at(0, len(_DESCRIPTOR_MAGIC)) == _DESCRIPTOR_MAGIC:
        if source.size > _MAX_DESCRIPTOR:
            raise FormatError("VMDK", "a descriptor of impossible size", found=source.size)
        return _parse(source.read_at(0, source.size)), None
    header = _sparse_header(source)
    return _parse(_embedded(source, header)), header


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


def _open_extents(descriptor: Any, path: Path, opening: Opening, parent: Layer | None) -> ByteSource:
    extents = descriptor.extents
    if not extents:
        raise FormatError("VMDK", f"{path.name} lists no extents")
    if len(extents) > MAX_DISK_PARTS:
        raise FormatError("VMDK", "too many extents", expected=f"at most {MAX_DISK_PARTS}", found=len(extents))
    parts: list[ByteSource] = []
    sector = 0
    for extent in extents:
        size = extent.sectors * _SECTOR
        if extent.type == "ZERO":
            parts.append(ZeroSource(size))
        elif extent.type in _SPARSE or extent.type in _FLAT:
            parts.append(_open_extent(extent, size, sector, path, opening, parent))
        else:
            raise UnsupportedError(
                f"{path.name} maps a device of its host ({extent.type}), not a file",
                hint="export the disk from its host",
            )
        sector += extent.sectors
    return parts[0] if len(parts) == 1 else ConcatSource(parts)


def _open_extent(extent: Any, size: int, sector: int, path: Path, opening: Opening, parent: Layer | None) -> ByteSource:
    name = base_name(extent.filename or "")
    found = beside(path, name)
    if found is None or found.name == path.name:
        raise MissingParentError(
            f"{path.name} keeps its data in {name or 'a file without a name'}, which is not in {path.parent}",
            hint="copy all files of the disk into one folder",
        )
    file = opening.file(found)
    if extent.type in _FLAT:
        start = int(extent.start_sector or 0) * _SECTOR
        if start + size > file.size:
            _truncated(found, file.size, start + size, opening)
        return ExtentSource(file, start, size, format="VMDK")
    disk = _open_sparse(file, found, sector, opening, parent)
    if disk.size < size:
        raise FormatError("VMDK", f"{found.name} is smaller than the descriptor says", expected=size, found=disk.size)
    return ExtentSource(disk, 0, size, format="VMDK")


def _truncated(path: Path, size: int, wanted: int, opening: Opening) -> None:
    opening.diagnostics.error(
        "container.truncated",
        f"{path.name} has {size} bytes, and the VMDK needs {wanted} of it",
        hint="what is missing cannot be read: copy or download the file again",
        source=path.name,
    )


# -- sparse extents ---------------------------------------------------------------------------------------------------


def _sparse_header(source: ByteSource) -> Any:
    """Return the header of a sparse extent: of a stream-optimised one the copy at its end, where the tables are known.

    Raises:
        TruncatedError: that copy is missing.
        FormatError: impossible geometry.

    """
    from dissect.hypervisor.disk.vmdk import SparseExtentHeader

    with as_ours("VMDK"):
        header = SparseExtentHeader(SourceFile(source))
        if header.magic == b"KDMV" and header.primary_grain_directory_offset == 0xFFFFFFFFFFFFFFFF:
            tail = SourceFile(source)
            tail.seek(max(0, source.size - 1024))
            if source.read_at(tail.tell(), 4) != b"KDMV":
                raise TruncatedError(
                    "VMDK",
                    "the end of the stream, with its tables, is missing",
                    offset=source.size,
                    hint="the file is cut: copy or download it again",
                )
            header = SparseExtentHeader(tail)
        grain = header.grain_size
        if not 0 < grain <= _MAX_GRAIN or header.capacity < 0:
            raise FormatError("VMDK", "impossible grain size", found=grain)
        if header.magic == b"KDMV":
            coverage = header.num_grain_table_entries * grain
            if not coverage or header.num_grain_table_entries > _MAX_GRAIN:
                raise FormatError("VMDK", "impossible grain table size", found=header.num_grain_table_entries)
            if -(-header.capacity // coverage) * 4 > source.size:
                raise FormatError("VMDK", "a disk too large for the file's tables", found=header.capacity)
    return header


def _embedded(source: ByteSource, header: Any) -> bytes:
    if header.magic != b"KDMV" or not header.descriptor_size:
        return b""
    length = min(header.descriptor_size * _SECTOR, _MAX_DESCRIPTOR)
    return source.read_at(header.descriptor_offset * _SECTOR, length)


def _open_sparse(source: ImageFile, path: Path, sector: int, opening: Opening, parent: Layer | None) -> ByteSource:
    from dissect.hypervisor.disk.vmdk import SparseDisk

    header = _sparse_header(source)
    file = SourceFile(source)
    with as_ours("VMDK"):
        above = _ParentSectors(parent.source) if parent is not None else None
        disk = SparseDisk(file, parent=above, offset=sector * _SECTOR, sector_offset=sector)
    file.strict = True
    if getattr(header, "flags", 0) & _COMPRESSED:
        # dissect's own has no bound on what a grain unpacks to.
        disk._read_compressed_grain = lambda where: _read_compressed(source, header, where)
    _check_grains(source, path, header, opening)

    def read(offset: int, length: int) -> bytes:
        first = offset // _SECTOR
        count = -(-(offset + length) // _SECTOR) - first
        data: bytes = disk.read_sectors(sector + first, count)
        if len(data) != count * _SECTOR:
            raise ReadError(f"{len(data)} of {count * _SECTOR} bytes came")
        return data[offset - first * _SECTOR :][:length]

    return ForeignSource(read, disk.size, format="VMDK")


def _read_compressed(source: ByteSource, header: Any, sector: int) -> bytes:
    """Return one unpacked grain, at most as long as a grain is.

    Raises:
        ReadError: it is cut or damaged.

    """
    at = sector * _SECTOR
    marked = bool(header.flags & _EMBEDDED_LBA)
    start = 12 if marked else 4
    size = int.from_bytes(source.read_at(at + start - 4, 4), "little")
    grain = header.grain_size * _SECTOR
    if size > 2 * grain + 1024:
        raise ReadError(f"a packed grain of {size} bytes", address=at)
    packed = source.read_at(at + start, size)
    try:
        # The last grain of a disk may hold less than a grain; whoever asks for more than it has sees that.
        return zlib.decompressobj().decompress(packed, grain)
    except zlib.error as error:
        raise ReadError(f"a damaged grain at file offset {at:#x} ({error})", address=at) from error


def _check_grains(source: ImageFile, path: Path, header: Any, opening: Opening) -> None:
    """Say when the tables of a sparse extent name places that its file does not have."""
    if header.magic != b"KDMV":
        return
    coverage = header.num_grain_table_entries * header.grain_size
    count = min(-(-header.capacity // coverage), _CHECKED_TABLES)
    directory = _numbers(source, header.primary_grain_directory_offset * _SECTOR, count)
    grain = 1 if header.flags & _COMPRESSED else header.grain_size
    end = 0
    for index, place in enumerate(directory):
        if not place:
            continue
        entries = header.num_grain_table_entries
        end = max(end, place * _SECTOR + entries * 4)
        table = _numbers(source, place * _SECTOR, entries)
        top = max(table, default=0)
        if top > 1:
            # The last grain of a disk need not be whole.
            last = (index * entries + table.index(top) + 1) * header.grain_size - header.capacity
            end = max(end, (top + grain - max(0, last if grain > 1 else 0)) * _SECTOR)
    if len(directory) < count or end > source.size:
        _truncated(path, source.size, max(end, source.size + 1), opening)


def _numbers(source: ByteSource, offset: int, count: int) -> array[int]:
    data = source.read_at(offset, count * 4)
    return numbers(data[: len(data) // 4 * 4], 4, "little")
