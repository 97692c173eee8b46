"""Sparse extents of VMDKs: dissect looks the grains up and reads them; headers and tables are checked here.

Reference: VMware "Virtual Disk Format 5.0"; `qemu/qemu: block/vmdk.c`; `libyal/libvmdk`.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from forensics.disk.foreign import ForeignSource, SourceFile, as_ours
from forensics.disk.opening import Layer, Opening
from parsers.bytesource import ByteSource, ImageFile
from parsers.disk.extents import Extent, State, split_at
from parsers.disk.reading import read_padded
from parsers.disk.table import numbers
from parsers.errors import FormatError, ReadError, StopcodeError, TruncatedError, UnsupportedError

__all__ = ["MAX_DESCRIPTOR", "SECTOR", "Part", "embedded", "open_sparse", "sparse_header", "truncated"]

SECTOR = 512
MAX_DESCRIPTOR = 1 << 20
_COMPRESSED = 0x10000
_EMBEDDED_LBA = 0x20000
#: Grain tables that are all read at open to see whether the file holds what they name: 16 GiB of disk, 1 MiB of file.
_CHECKED_TABLES = 512
_MAX_GRAIN = 0x10000
_VOLATILE = 0xCAFECAFE


class Part(NamedTuple):
    """One extent of a disk.

    Attributes:
        source: its bytes.
        extents: yields where they come from.
        grain: bytes of a grain; 0 in a flat extent.

    """

    source: ByteSource
    extents: Callable[[], Iterator[Extent]]
    grain: int = 0


class _ParentSectors:
    """A parent's disk, as dissect's sparse extents ask for it."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    def read_sectors(self, sector: int, count: int) -> bytes:
        return read_padded(self._source, sector * SECTOR, count * SECTOR)


def truncated(path: Path, size: int, wanted: int, opening: Opening) -> None:
    """Say that a file of a VMDK is shorter than the disk needs."""
    opening.diagnostics.error(
        "container.truncated",
        f"{path.name} has {size} bytes, and the VMDK needs {wanted} of it",
        hint="what is missing cannot be read: copy or download the file again",
        source=path.name,
    )


def sparse_header(source: ByteSource) -> Any:
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


def embedded(source: ByteSource, header: Any) -> bytes:
    """Return the descriptor in a sparse extent; nothing where there is none."""
    if header.magic != b"KDMV" or not header.descriptor_size:
        return b""
    length = min(header.descriptor_size * SECTOR, MAX_DESCRIPTOR)
    return source.read_at(header.descriptor_offset * SECTOR, length)


def open_sparse(source: ImageFile, path: Path, sector: int, opening: Opening, parent: Layer | None) -> Part:
    """Open a sparse extent.

    Args:
        source: its file.
        path: its path, for messages.
        sector: where it begins on the disk.
        opening: the image, which is told of what its file lacks.
        parent: of a snapshot: the disk below.

    Raises:
        FormatError: bytes that contradict the format.
        TruncatedError: the copy of a stream's header, at its end, is missing.
        UnsupportedError: an SE sparse extent whose journal was not replayed.

    """
    from dissect.hypervisor.disk.vmdk import SparseDisk

    header = sparse_header(source)
    _require_clean(source, header)
    file = SourceFile(source)
    with as_ours("VMDK"):
        above = _ParentSectors(parent.source) if parent is not None else None
        disk = SparseDisk(file, parent=above, offset=sector * SECTOR, sector_offset=sector)
    file.strict = True
    packed = bool(getattr(header, "flags", 0) & _COMPRESSED)
    if packed:
        # dissect's own has no bound on what a grain unpacks to.
        disk._read_compressed_grain = lambda where: _read_compressed(source, header, where)
    _check_grains(source, path, header, opening)

    def read(offset: int, length: int) -> bytes:
        first = offset // SECTOR
        count = -(-(offset + length) // SECTOR) - first
        data: bytes = disk.read_sectors(sector + first, count)
        if len(data) != count * SECTOR:
            raise ReadError(f"{len(data)} of {count * SECTOR} bytes came")
        return data[offset - first * SECTOR :][:length]

    extents = partial(_extents, disk, source, packed, "zero" if parent is None else "parent")
    return Part(ForeignSource(read, disk.size, format="VMDK"), extents, header.grain_size * SECTOR)


def _require_clean(source: ByteSource, header: Any) -> None:
    """Refuse an SE sparse extent that a host left in the middle of a change: dissect takes its tables as they stand.

    Source: `qemu/qemu: block/vmdk.c` (the volatile header), which refuses it too.
    """
    place = getattr(header, "volatile_header_offset", None)
    if place is None:
        return
    volatile = source.read_at(place * SECTOR, 32)
    if int.from_bytes(volatile[:8], "little") != _VOLATILE:
        raise FormatError("VMDK", "no second header of an SE sparse disk", offset=place * SECTOR)
    if any(volatile[24:32]):
        raise UnsupportedError(
            "VMDK: an SE sparse disk with a journal that was not replayed",
            hint="let its host open and close it, or copy it there by vmkfstools -i",
        )


def _read_compressed(source: ByteSource, header: Any, sector: int) -> bytes:
    """Return one unpacked grain, at most as long as a grain is.

    Raises:
        ReadError: it is cut or damaged.

    """
    at = sector * SECTOR
    marked = bool(header.flags & _EMBEDDED_LBA)
    start = 12 if marked else 4
    size = int.from_bytes(source.read_at(at + start - 4, 4), "little")
    grain = header.grain_size * SECTOR
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
    directory = _numbers(source, header.primary_grain_directory_offset * SECTOR, count)
    grain = 1 if header.flags & _COMPRESSED else header.grain_size
    end = 0
    for index, place in enumerate(directory):
        if not place:
            continue
        entries = header.num_grain_table_entries
        end = max(end, place * SECTOR + entries * 4)
        table = _numbers(source, place * SECTOR, entries)
        top = max(table, default=0)
        if top > 1:
            # The last grain of a disk need not be whole.
            last = (index * entries + table.index(top) + 1) * header.grain_size - header.capacity
            end = max(end, (top + grain - max(0, last if grain > 1 else 0)) * SECTOR)
    if len(directory) < count or end > source.size:
        truncated(path, source.size, max(end, source.size + 1), opening)


def _numbers(source: ByteSource, offset: int, count: int) -> array[int]:
    data = source.read_at(offset, count * 4)
    return numbers(data[: len(data) // 4 * 4], 4, "little")


def _extents(disk: Any, source: ByteSource, packed: bool, absent: State) -> Iterator[Extent]:
    """Yield where the bytes of a sparse extent come from, grain by grain.

    Args:
        disk: dissect's `SparseDisk`, which looks grains up: 0 is absent, 1 zero, all else a sector of the file.
        source: the extent's file.
        packed: whether its grains are.
        absent: what a grain is that is not stored.

    """
    grain = disk.header.grain_size * SECTOR
    per_table = disk._grain_table_size
    size = disk.size
    for table in range(-(-size // (grain * per_table))):
        start = table * grain * per_table
        stop = min(start + grain * per_table, size)
        try:
            with as_ours("VMDK"):
                there = disk._lookup_grain_table(table) is not None
        except StopcodeError:
            yield Extent(start, stop - start, "lost")
            continue
        if not there:
            yield Extent(start, stop - start, absent)
            continue
        for offset in range(start, stop, grain):
            length = min(grain, stop - offset)
            try:
                with as_ours("VMDK"):
                    place = disk._lookup_grain(offset // grain)
            except StopcodeError:
                yield Extent(offset, length, "lost")
                continue
            if place < 2:
                yield Extent(offset, length, "zero" if place else absent)
            elif packed:
                yield Extent(offset, length, "stored" if place * SECTOR < source.size else "lost")
            else:
                yield from split_at(offset, length, source.size - place * SECTOR, "stored")
