"""Shadow copies that Windows keeps on an NTFS volume (System Restore, backups): which there are, and when made.

The volume's boot area names a catalog of them; each has a store, whose header names the copy and its set. Our own
reader, because dissect.volume 3.18 follows a chain of blocks that leads in circles for ever, reads no catalog of which
one entry is damaged, and gives wrong content (the first blocks of both copies of vsstest.qcow2 as zeros) with no error.

Sources: libyal/libvshadow (documentation, "Volume Shadow Snapshot (VSS)"); Microsoft Learn,
`_VSS_VOLUME_SNAPSHOT_ATTRIBUTES`. Tried on vsstest.qcow2 of log2timeline/plaso, held against libvshadow. Integers are
little-endian, places are bytes on the volume.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from parsers.bytesource import ByteSource, read_exact
from parsers.errors import FormatError, StopcodeError
from parsers.limits import MAX_SHADOW_BLOCKS, MAX_SHADOW_COPIES, require_count

__all__ = ["BLOCK", "ShadowCopies", "ShadowCopy", "read_blocks", "read_shadow_copies"]

BLOCK: Final = 0x4000
_MAGIC: Final = UUID("3808876b-c176-4e48-b7ae-04046e6cc752").bytes_le
_HEADER_AT: Final = 0x1E00
_HEAD: Final = 128
_VOLUME = struct.Struct("<16sII24xQ")
_BLOCK = struct.Struct("<16sIIQQQQ")
_ENTRY: Final = 128
_MADE = struct.Struct("<8xQ16s16xQ")
_PLACES = struct.Struct("<8xQ16sQQQ16xQ")
_INFORMATION = struct.Struct("<16x16s16s8xI4x")
_CATALOG, _STORE = 2, 4
#: Attributes of a copy, by bit.
_CLIENT_ACCESSIBLE, _NO_WRITERS = 0x4, 0x10


@dataclass(frozen=True, slots=True)
class ShadowCopy:
    """One shadow copy.

    Attributes:
        id: what vssadmin and backup programs call it; None where its store is damaged.
        set_id: copies of several volumes that were made together have the same.
        store: identifier of its store, which is in the name of the store's file.
        created: FILETIME.
        volume_size: bytes that the volume had.
        attributes: `_VSS_VOLUME_SNAPSHOT_ATTRIBUTES`.
        machine: the machine that made it, as it says itself.
        blocks, bitmap, previous_bitmap: where its tables begin; 0 where it has none.
        problem: what is damaged of it; "" for nothing.

    """

    id: UUID | None
    set_id: UUID | None
    store: UUID
    created: int
    volume_size: int
    attributes: int
    machine: str
    blocks: int
    bitmap: int
    previous_bitmap: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ShadowCopies:
    """The shadow copies of a volume.

    Attributes:
        copies: the oldest one first.
        problem: why the list may not be whole; "" where it is.

    """

    copies: tuple[ShadowCopy, ...]
    problem: str = ""


def read_shadow_copies(volume: ByteSource) -> ShadowCopies | None:
    """Return the shadow copies of an NTFS volume, or None for a volume that never had any.

    Raises:
        ReadError: the place of the volume's header cannot be read.

    """
    data = volume.read_at(_HEADER_AT, _VOLUME.size)
    if len(data) < _VOLUME.size:
        return None
    magic, version, kind, catalog = _VOLUME.unpack(data)
    if magic != _MAGIC or kind != 1:
        return None
    if version not in (1, 2):
        return ShadowCopies((), f"the header is of version {version}, which is not known")
    made: dict[bytes, tuple[int, int]] = {}
    places: dict[bytes, tuple[int, int, int, int]] = {}
    problem = ""
    try:
        for block in read_blocks(volume, catalog, _CATALOG, MAX_SHADOW_COPIES) if catalog else ():
            for at in range(0, len(block) - _ENTRY + 1, _ENTRY):
                entry = block[at : at + _ENTRY]
                if entry[0] == 2:
                    size, store, created = _MADE.unpack_from(entry)
                    made[store] = (size, created)
                elif entry[0] == 3:
                    blocks, store, header, _, bitmap, previous = _PLACES.unpack_from(entry)
                    places[store] = (header, blocks, bitmap, previous)
                require_count(len(made), MAX_SHADOW_COPIES, format="VSS", what="number of shadow copies")
        if places.keys() - made.keys():
            problem = "the catalog has a store of a copy that it does not name"
    except StopcodeError as error:
        problem = error.message
    copies = [_copy(volume, store, *made[store], places.get(store)) for store in made]
    return ShadowCopies(tuple(sorted(copies, key=lambda copy: (copy.created, copy.store.bytes_le))), problem)


def _copy(
    volume: ByteSource, store: bytes, size: int, created: int, places: tuple[int, int, int, int] | None
) -> ShadowCopy:
    identity = UUID(bytes_le=store)
    if places is None:
        return ShadowCopy(None, None, identity, created, size, 0, "", 0, 0, 0, "its store is not in the catalog")
    header, blocks, bitmap, previous = places
    try:
        first = next(iter(read_blocks(volume, header, _STORE, 1)))
        copy, copy_set, attributes = _INFORMATION.unpack_from(first)
        machine = _text(first, _INFORMATION.size)
    except StopcodeError as error:
        return ShadowCopy(None, None, identity, created, size, 0, "", blocks, bitmap, previous, error.message)
    return ShadowCopy(
        UUID(bytes_le=copy), UUID(bytes_le=copy_set), identity, created, size, attributes, machine, blocks, bitmap,
        previous,
    )  # fmt: skip


def _text(data: bytes, at: int) -> str:
    length = int.from_bytes(data[at : at + 2], "little")
    return data[at + 2 : at + 2 + length].decode("utf-16-le", "replace").split("\0", 1)[0]


def read_blocks(volume: ByteSource, offset: int, kind: int, limit: int = MAX_SHADOW_BLOCKS) -> Iterator[bytes]:
    """Yield what the blocks of one chain hold behind their heads.

    Args:
        volume: the volume.
        offset: where the first block is.
        kind: type of the records.
        limit: blocks that the chain may have.

    Raises:
        FormatError, TruncatedError: a block is none of the chain, or the chain leads in circles.
        ReadError: a block cannot be read.

    """
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise FormatError("VSS", "a chain of blocks leads in circles", offset=offset)
        if len(seen) >= limit:
            if kind == _STORE:
                return
            raise FormatError("VSS", "a chain of blocks is too long", offset=offset, expected=f"at most {limit}")
        seen.add(offset)
        data = read_exact(volume, offset, BLOCK, format="VSS")
        magic, version, found, _, current, following, _ = _BLOCK.unpack_from(data)
        if magic != _MAGIC or found != kind or version not in (1, 2):
            raise FormatError("VSS", "no block of its kind", offset=offset, expected=f"type {kind}", found=found)
        if current != offset:
            raise FormatError("VSS", "a block says that it is elsewhere", offset=offset, found=f"{current:#x}")
        yield data[_HEAD:]
        offset = following
