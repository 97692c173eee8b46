"""VDI: dissect reads the blocks; block table and parents are checked here.

Reference: `VirtualBox/virtualbox: src/VBox/Storage/VDICore.h`, `qemu/qemu: block/vdi.c`. dissect 3.21 reads on past a
block's end into whatever follows it in the file, so every read is cut at block ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from construct import Bytes, Container, Int32ul, Int64ul, Padding, Struct

from forensics.disk.foreign import ForeignSource, SourceFile, as_ours
from forensics.disk.opening import Layer, Opener, Opening
from forensics.disk.parents import Wanted, missing, others, parent_of
from parsers.bytesource import ByteSource, ImageFile, StreamSource, read_exact
from parsers.disk.extents import Extent, State, split_at
from parsers.disk.reading import PaddedSource
from parsers.disk.table import EntryTable, numbers
from parsers.errors import FormatError, MissingParentError, StopcodeError, UnsupportedError
from parsers.limits import MAX_DISK_BLOCK

__all__ = ["open_vdi"]

_HEADER = Struct(
    "text" / Bytes(0x40),  # 0x000 for people
    "signature" / Int32ul,  # 0x040 0xBEDA107F
    "version" / Int32ul,  # 0x044 0x00010001
    "header_size" / Int32ul,  # 0x048
    "image_type" / Int32ul,  # 0x04C 1 dynamic, 2 fixed, 3 undo, 4 differencing
    Padding(0x104),
    "table_offset" / Int32ul,  # 0x154
    "data_offset" / Int32ul,  # 0x158
    Padding(20),
    "size" / Int64ul,  # 0x170 bytes of the virtual disk
    "block_size" / Int32ul,  # 0x178
    "block_extra" / Int32ul,  # 0x17C bytes before each block
    "blocks" / Int32ul,  # 0x180
    "blocks_allocated" / Int32ul,  # 0x184
    "unique_id" / Bytes(16),  # 0x188
    "modify_id" / Bytes(16),  # 0x198
    "parent_id" / Bytes(16),  # 0x1A8
    "parent_modify_id" / Bytes(16),  # 0x1B8
)
_HEADER_SIZE = 0x1C8
_TYPES = {1: "dynamic", 2: "fixed", 3: "undo", 4: "differencing"}
_MAX_BLOCKS = 1 << 24
#: Block numbers from the first on mean "not stored": zeros; or the parent's, or zeros where there is none.
_ZERO_BLOCK, _FREE_BLOCK = 0xFFFFFFFE, 0xFFFFFFFF
#: dissect reads whole aligned pieces; smaller ones than its blocks of 1 MiB do.
_PIECE = 0x4000


def open_vdi(source: ImageFile, path: Path, opening: Opening, opener: Opener) -> Layer:
    """Open a VDI and its parents.

    Raises:
        FormatError: bytes that contradict the format.
        MissingParentError: no disk in the folders is its parent.
        UnsupportedError: blocks with extra data.

    """
    header = _header(source)
    if header.version >> 16 != 1 or header.block_extra:
        raise UnsupportedError(
            f"{path.name} is a VDI of a kind that stopcode does not read",
            hint="convert it with qemu-img convert -O raw",
        )
    block = header.block_size
    if not 512 <= block <= MAX_DISK_BLOCK or block & (block - 1):
        raise FormatError("VDI", "impossible block size", offset=0x178, found=block)
    if not 0 < header.blocks <= _MAX_BLOCKS or header.size > header.blocks * block:
        raise FormatError("VDI", "the block table is too small or too large", offset=0x180, found=header.blocks)
    _check_blocks(source, header, path, opening)
    parent = None
    if header.image_type in (3, 4) or any(header.parent_id):
        wanted = Wanted("without a name", str(UUID(bytes_le=bytes(header.parent_id))), header.size)
        parent = parent_of(
            path, opening, lambda: opener(_find_parent(header, path, opening), opening, kind="VDI"), wanted
        )
    layer = Layer(_open_disk(source, header, parent), "VDI", path, _TYPES.get(header.image_type, ""))
    layer.details["block_size"] = block
    layer.extents = partial(_extents, source, header, "zero" if parent is None else "parent")
    layer.identity = str(UUID(bytes_le=bytes(header.unique_id)))
    if parent is not None:
        layer.parents = [parent, *parent.parents]
    return layer


def _header(source: ImageFile) -> Container[Any]:
    return _HEADER.parse(read_exact(source, 0, _HEADER_SIZE, format="VDI"))


def _check_blocks(source: ImageFile, header: Container[Any], path: Path, opening: Opening) -> None:
    table = numbers(read_exact(source, header.table_offset, header.blocks * 4, format="VDI"), 4, "little")
    stored = [entry for entry in table if entry < _ZERO_BLOCK]
    ends = header.data_offset + (max(stored) + 1) * header.block_size if stored else 0
    if ends > source.size:
        opening.diagnostics.error(
            "container.truncated",
            f"{path.name} has {source.size} bytes, and its blocks reach to {ends}",
            hint="what is missing cannot be read: copy or download the file again",
            source=path.name,
        )
    if len(set(stored)) != len(stored):
        opening.diagnostics.error(
            "container.damaged", "blocks of the VDI lie in the place of other blocks", source=path.name
        )


def _find_parent(header: Container[Any], path: Path, opening: Opening) -> Path:
    """Return the disk in the folders that has the parent's id; a VDI does not name its parent's file."""
    identity = UUID(bytes_le=bytes(header.parent_id))
    changed: Path | None = None
    for entry in others(path, (".vdi",), opening):
        try:
            with opening.file(entry) as candidate:
                found = _header(candidate)
        except StopcodeError:
            continue
        if found.signature == header.signature and found.unique_id == header.parent_id:
            if not any(header.parent_modify_id) or found.modify_id == header.parent_modify_id:
                return entry
            changed = changed or entry
    if changed is not None:
        raise MissingParentError(
            f"{changed.name} was changed since {path.name} was made from it",
            hint="give the folder with the parent as it was with --parent DIR, or merge the chain on its host",
        )
    raise missing(f"{path.name} is a differencing disk, and its parent {{{identity}}}", path, opening)


def _open_disk(source: ImageFile, header: Container[Any], parent: Layer | None) -> ForeignSource:
    from dissect.hypervisor.disk.vdi import VDI

    file = SourceFile(source)
    with as_ours("VDI"):
        above = SourceFile(PaddedSource(parent.source, header.size)) if parent is not None else None
        stream = VDI(file, above).open()
        stream.align = min(stream.align, _PIECE)
    file.strict = True
    plain = StreamSource(stream, header.size)
    return ForeignSource(plain.read_at, header.size, format="VDI", cut=header.block_size)


def _extents(source: ByteSource, header: Container[Any], absent: State) -> Iterator[Extent]:
    """Yield where the disk's bytes come from, block by block; `absent` is what a block is that is not stored."""
    block, size = header.block_size, header.size
    table = EntryTable(source, header.table_offset, -(-size // block), width=4, byteorder="little", format="VDI")
    for first, page in table.pages():
        for number, entry in enumerate(page, first):
            offset = number * block
            length = min(block, size - offset)
            if entry >= _ZERO_BLOCK:
                yield Extent(offset, length, absent if entry == _FREE_BLOCK else "zero")
            else:
                there = source.size - header.data_offset - entry * block
                if there < length:
                    there -= there % min(block, _PIECE)
                yield from split_at(offset, length, there, "stored")
