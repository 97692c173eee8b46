"""QCOW2: dissect reads the clusters; header, backing files and what dissect gets wrong are checked here.

Reference: `qemu/qemu: docs/interop/qcow2.txt`, `block/qcow2.c`. dissect 3.21 never ends on extended L2 entries and
takes the header extensions of a version 2 file for feature bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from construct import Bytes, Container, Int32ub, Int64ub, Struct

from forensics.disk.foreign import ForeignSource, SourceFile, as_ours
from forensics.disk.opening import Layer, Opener, Opening, base_name, beside
from forensics.disk.parents import Wanted, called, missing, named, parent_of
from parsers.bytesource import ByteSource, ImageFile, StreamSource, read_exact
from parsers.disk.extents import Extent, State
from parsers.disk.reading import PaddedSource
from parsers.disk.table import EntryTable, numbers
from parsers.errors import FormatError, MissingParentError, UnsupportedError
from parsers.overlay import GRANULE, OverlaySource

__all__ = ["open_qcow2"]

_HEADER = Struct(
    "magic" / Bytes(4),  # 0x00 QFI\xfb
    "version" / Int32ub,  # 0x04 2 or 3
    "backing_file_offset" / Int64ub,  # 0x08 0: none
    "backing_file_size" / Int32ub,  # 0x10
    "cluster_bits" / Int32ub,  # 0x14 9 to 21
    "size" / Int64ub,  # 0x18 bytes of the virtual disk
    "crypt_method" / Int32ub,  # 0x20 0 none, 1 AES, 2 LUKS
    "l1_size" / Int32ub,  # 0x24 entries
    "l1_table_offset" / Int64ub,  # 0x28
    "refcounts" / Bytes(0x18),  # 0x30 refcount table and snapshots
    "incompatible_features" / Int64ub,  # 0x48 version 3 only, as all that follows
    "other_features" / Bytes(20),  # 0x50
    "header_length" / Int32ub,  # 0x64
    "compression_type" / Bytes(1),  # 0x68 0 zlib, 1 zstd
)
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1, 2, 4, 8, 16
_EXTENSION_BACKING_FORMAT = 0xE2792ACA
_EXTENSION_DATA_FILE = 0x44415441
#: Bits of a table's entry: where a cluster or table lies; whether a cluster is compressed, is zeros, is in use.
_OFFSET = 0x00FFFFFFFFFFFE00
_PACKED, _ZERO, _USED = 1 << 62, 1, 1 << 63
#: Tables that are looked at before the first read: 2 TiB of disk, and 8 GiB cluster by cluster.
_CHECKED_L1 = 4096
_CHECKED_L2_BYTES = 1 << 20
_MAX_NAME = 1023
_MAX_EXTENSIONS = 64
_BACKING = {b"raw": "raw", b"qcow2": "QCOW2", b"vmdk": "VMDK", b"vdi": "VDI", b"vpc": "VHD", b"vhdx": "VHDX"}
_CONVERT = "convert it with qemu-img convert -O raw and scan that"


def open_qcow2(source: ImageFile, path: Path, opening: Opening, opener: Opener) -> Layer:
    """Open a QCOW2 and its backing files.

    Raises:
        FormatError: bytes that contradict the format.
        MissingParentError: its backing file is in none of the folders, or its data file not beside it.
        UnsupportedError: encrypted, compressed with neither zlib nor zstd, or with extended L2 entries.

    """
    data = source.read_at(0, 0x69)
    header = _HEADER.parse(data.ljust(0x69, b"\0"))
    features = header.incompatible_features if header.version >= 3 else 0
    _check(header.version, header.cluster_bits, header.crypt_method, features, path)
    if features & _COMPRESSION and header.header_length > 0x68 and header.compression_type > b"\1":
        raise UnsupportedError(f"{path.name} is compressed in a way that stopcode does not unpack", hint=_CONVERT)
    cluster = 1 << header.cluster_bits
    if header.l1_size * 8 > source.size or header.l1_table_offset + header.l1_size * 8 > source.size:
        raise FormatError("QCOW2", "the cluster table lies beyond the end of the file", found=header.l1_size)
    if header.size > header.l1_size * cluster * (cluster // 8):
        raise FormatError("QCOW2", "the cluster table is too small for the disk", found=header.l1_size)
    _check_clusters(source, header, path, opening, data=not features & _DATA_FILE)
    if features & _CORRUPT:
        opening.diagnostics.warning("qcow2.corrupt", f"{path.name} is marked as corrupt", source=path.name)
    extensions = _extensions(source, header.header_length if header.version >= 3 else 0x48, cluster)
    parent = None
    if header.backing_file_offset:
        parent = _open_backing(source, header, extensions.get(_EXTENSION_BACKING_FORMAT, b""), path, opening, opener)
    data_file, external, file_size = None, None, source.size
    if features & _DATA_FILE:
        data_file = _data_file(extensions.get(_EXTENSION_DATA_FILE, b""), path, opening)
        external, file_size = SourceFile(data_file), source.size + data_file.size
    view: ByteSource = source if header.version >= 3 else _as_version_3(source)
    layer = Layer(_open_disk(view, header.size, external, parent), "QCOW2", path)
    layer.details.update({"version": header.version, "block_size": cluster})
    layer.extents = partial(_extents, source, data_file, header, "zero" if parent is None else "parent")
    layer.file_size = file_size
    if parent is not None:
        layer.parents = [parent, *parent.parents]
    return layer


def _check(version: int, cluster_bits: int, crypt_method: int, features: int, path: Path) -> None:
    if version not in (2, 3):
        raise UnsupportedError(f"{path.name} is a QCOW2 of version {version}; 2 and 3 are read", hint=_CONVERT)
    if not 9 <= cluster_bits <= 21:
        raise FormatError("QCOW2", "impossible cluster size", expected="9 to 21 bits", found=cluster_bits)
    if crypt_method:
        raise UnsupportedError(
            f"{path.name} is encrypted", hint="convert it with qemu-img convert and its key, and scan the raw disk"
        )
    if features & _EXTENDED_L2 or features & ~(_DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2):
        raise UnsupportedError(f"{path.name} uses features ({features:#x}) that stopcode does not read", hint=_CONVERT)


def _check_clusters(source: ByteSource, header: Container[Any], path: Path, opening: Opening, *, data: bool) -> None:
    """Say when the tables name places that the file does not have.

    Args:
        source: the file.
        header: its header.
        path: its path, for the message.
        opening: takes the remark.
        data: whether the disk's data is in this file as well.

    """
    cluster = 1 << header.cluster_bits
    if header.l1_size > _CHECKED_L1:
        return
    entries = numbers(source.read_at(header.l1_table_offset, header.l1_size * 8), 8, "big")
    tables = [(index, entry & _OFFSET) for index, entry in enumerate(entries) if entry & _OFFSET]
    end = max((place for _, place in tables), default=0) + cluster
    packed = (1 << (62 - (header.cluster_bits - 8))) - 1
    if data and len(tables) * cluster <= _CHECKED_L2_BYTES:
        for index, place in tables:
            table = source.read_at(place, cluster)
            left = header.size - index * cluster * (cluster // 8)
            for entry in numbers(table[: len(table) // 8 * 8], 8, "big"):
                # The disk's last cluster need not be whole; how long a packed one is only unpacking tells.
                if entry & _PACKED:
                    end = max(end, (entry & packed) + 1)
                elif entry & _OFFSET:
                    end = max(end, (entry & _OFFSET) + max(0, min(cluster, left)))
                left -= cluster
    if end > source.size:
        opening.diagnostics.error(
            "container.truncated",
            f"{path.name} has {source.size} bytes, and its tables reach to {end}",
            hint="what is missing cannot be read: copy or download the file again",
            source=path.name,
        )


def _extensions(source: ByteSource, start: int, cluster: int) -> dict[int, bytes]:
    """Return the header extensions by type."""
    found: dict[int, bytes] = {}
    at = start
    for _ in range(_MAX_EXTENSIONS):
        head = source.read_at(at, 8)
        kind, length = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
        if len(head) < 8 or not kind or at + 8 + length > cluster:
            break
        found[kind] = source.read_at(at + 8, min(length, _MAX_NAME))
        at += 8 + (length + 7) // 8 * 8
    return found


def _open_backing(
    source: ByteSource, header: Container[Any], format: bytes, path: Path, opening: Opening, opener: Opener
) -> Layer:
    offset, size = header.backing_file_offset, header.backing_file_size
    if size > _MAX_NAME:
        raise FormatError("QCOW2", "the name of the backing file is too long", found=size)
    name = read_exact(source, offset, size, format="QCOW2").decode("utf-8", "replace")

    def find() -> Layer:
        found = next(named(path, [name], opening), None)
        if found is None:
            what = f"{path.name} has the backing file {called([name])}, which"
            raise missing(what, path, opening, instead="flatten the disk: qemu-img convert")
        return opener(found, opening, kind=_BACKING.get(format, ""))

    return parent_of(path, opening, find, Wanted(called([name]), "", header.size))


def _data_file(name: bytes, path: Path, opening: Opening) -> ImageFile:
    text = name.decode("utf-8", "replace")
    found = beside(path, text)
    if found is None:
        raise MissingParentError(
            f"{path.name} keeps its data in {base_name(text) or 'an unnamed file'}, which is not in {path.parent}",
            hint="copy both files into one folder",
        )
    return opening.file(found)


def _as_version_3(source: ByteSource) -> ByteSource:
    """Return a version 2 file with the fields that version 3 added, all 0: dissect reads them without asking."""
    overlay = OverlaySource(source)
    first = bytearray(source.read_at(0, GRANULE).ljust(GRANULE, b"\0"))
    first[0x48:0x70] = bytes(0x1C) + (0x68).to_bytes(4, "big") + bytes(8)
    overlay.put(0, bytes(first))
    return overlay


def _open_disk(view: ByteSource, size: int, external: SourceFile | None, parent: Layer | None) -> ByteSource:
    from dissect.hypervisor.disk.qcow2 import QCow2

    # A packed cluster's length is given in sectors, and the file may end inside its last one.
    file = SourceFile(view, spare=511)
    with as_ours("QCOW2"):
        disk = QCow2(file, external, allow_no_backing_file=True)
        if parent is not None:
            # Set and not handed over: dissect would look in it for a QCOW2 header, which is the guest's to write.
            disk.backing_file = SourceFile(PaddedSource(parent.source, size))
        stream = disk.open()
    file.strict = True
    if external is not None:
        external.strict = True
    plain = StreamSource(stream, size)
    return ForeignSource(plain.read_at, size, format="QCOW2")


def _extents(source: ByteSource, data: ByteSource | None, header: Container[Any], absent: State) -> Iterator[Extent]:
    """Yield where the disk's bytes come from, cluster by cluster.

    Args:
        source: the file.
        data: the file that holds the data, where it is another one.
        header: its header.
        absent: what a cluster is that is not stored.

    """
    size = header.size
    cluster = 1 << header.cluster_bits
    span = cluster * (cluster // 8)
    packed_place = (1 << (62 - (header.cluster_bits - 8))) - 1
    tables = EntryTable(source, header.l1_table_offset, -(-size // span), width=8, byteorder="big", format="QCOW2")
    held_by = source if data is None else data
    for first, page in tables.pages():
        for number, place in enumerate(page, first):
            start = number * span
            stop = min(start + span, size)
            if not place & _OFFSET:
                yield Extent(start, stop - start, absent)
                continue
            table = source.read_at(place & _OFFSET, cluster)
            entries = numbers(table[: len(table) // 8 * 8], 8, "big")
            for offset, entry in zip(range(start, stop, cluster), entries, strict=False):
                length = min(cluster, stop - offset)
                at = entry & _OFFSET
                if entry & _PACKED:
                    # How much of the file a packed cluster takes only unpacking tells.
                    yield Extent(offset, length, "stored" if entry & packed_place < source.size else "lost")
                elif entry & _ZERO:
                    yield Extent(offset, length, "zero")
                elif at or (data is not None and entry & _USED):
                    # Clusters are read whole.
                    yield Extent(offset, length, "stored" if at + length <= held_by.size else "lost")
                else:
                    yield Extent(offset, length, absent)
            told = start + len(entries) * cluster
            if told < stop:
                yield Extent(told, stop - told, "lost")
