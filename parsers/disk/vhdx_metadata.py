"""The metadata region of a VHDX: what the disk is, and who its parent is."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from parsers.bytesource import ByteSource, read_exact
from parsers.disk.vhdx_header import Region
from parsers.disk.vhdx_layouts import (
    FILE_PARAMETERS,
    FILE_PARAMETERS_ITEM,
    KNOWN_ITEMS,
    LOCATOR_ENTRY,
    LOCATOR_HEADER,
    LOGICAL_SECTOR_SIZE,
    METADATA_ENTRY,
    METADATA_HEADER,
    PARENT_LOCATOR,
    PHYSICAL_SECTOR_SIZE,
    VHDX_LOCATOR_TYPE,
    VIRTUAL_DISK_ID,
    VIRTUAL_DISK_SIZE,
)
from parsers.errors import FormatError, UnsupportedError
from parsers.limits import (
    MAX_DISK_BLOCK,
    MAX_PARENT_NAME,
    MAX_VHDX_ENTRIES,
    MAX_VHDX_METADATA,
    require,
    require_count,
)

__all__ = ["VhdxMetadata", "read_metadata"]

_MIB = 1 << 20
_MAX_DISK = 64 << 40
_TABLE_SIZE = 0x10000
_REQUIRED = 4


@dataclass(frozen=True, slots=True)
class VhdxMetadata:
    """What the disk is.

    Attributes:
        size: bytes of the virtual disk.
        block_size: bytes of a payload block.
        logical_sector_size: 512 or 4096; partition tables and NTFS count in it.
        physical_sector_size: 512 or 4096; 0 when the file does not say.
        fixed: all blocks are to stay allocated.
        has_parent: a differencing disk.
        disk_id: GUID, the same in a child and its parent.
        parent: the parent locator's pairs ("parent_linkage", "relative_path" ...), as they stand.

    """

    size: int
    block_size: int
    logical_sector_size: int
    physical_sector_size: int
    fixed: bool
    has_parent: bool
    disk_id: str
    parent: dict[str, str] = field(default_factory=dict)


def _read_items(source: ByteSource, region: Region) -> dict[bytes, bytes]:
    table = read_exact(source, region.offset, min(region.length, _TABLE_SIZE), format="VHDX")
    require(table, 32, format="VHDX", offset=region.offset)
    head = METADATA_HEADER.parse(table)
    if head.signature != b"metadata":
        raise FormatError("VHDX", "no metadata table", offset=region.offset, found=head.signature)
    count = require_count(
        head.entry_count, MAX_VHDX_ENTRIES, format="VHDX", what="metadata count", offset=region.offset + 10
    )
    items: dict[bytes, bytes] = {}
    for index in range(count):
        at = 32 + index * 32
        entry = METADATA_ENTRY.parse(require(table[at : at + 32], 32, format="VHDX", offset=region.offset + at))
        if entry.item_id not in KNOWN_ITEMS:
            if entry.flags & _REQUIRED:
                raise UnsupportedError(f"the VHDX has a required metadata item of unknown kind {entry.item_id.hex()}")
            continue
        limit = MAX_PARENT_NAME if entry.item_id == PARENT_LOCATOR else 64
        if entry.offset + entry.length > min(region.length, MAX_VHDX_METADATA) or entry.length > limit:
            raise FormatError(
                "VHDX", "a metadata item lies outside its region", offset=region.offset + at, found=entry.offset
            )
        items[entry.item_id] = read_exact(source, region.offset + entry.offset, entry.length, format="VHDX")
    return items


def _number(items: dict[bytes, bytes], item: bytes, width: int, name: str, where: int) -> int:
    data = items.get(item)
    if data is None or len(data) < width:
        raise FormatError("VHDX", f"no {name} in the metadata", offset=where)
    return int.from_bytes(data[:width], "little")


def _read_locator(data: bytes, where: int) -> dict[str, str]:
    """Return the pairs of a parent locator.

    Raises:
        TruncatedError: it ends before its pairs do.
        UnsupportedError: another kind of locator.

    """
    head = LOCATOR_HEADER.parse(require(data, 20, format="VHDX", offset=where))
    if head.locator_type != VHDX_LOCATOR_TYPE:
        raise UnsupportedError(f"the VHDX names its parent in an unknown way ({head.locator_type.hex()})")
    pairs: dict[str, str] = {}
    for index in range(head.key_value_count):
        at = 20 + index * 12
        entry = LOCATOR_ENTRY.parse(require(data[at : at + 12], 12, format="VHDX", offset=where + at))
        texts = []
        for start, length in ((entry.key_offset, entry.key_length), (entry.value_offset, entry.value_length)):
            part = require(data[start : start + length], length, format="VHDX", offset=where + start)
            texts.append(part.decode("utf-16-le", "replace"))
        pairs.setdefault(texts[0], texts[1])
    return pairs


def read_metadata(source: ByteSource, region: Region) -> VhdxMetadata:
    """Return what the metadata region says.

    Raises:
        FormatError: an item is missing or impossible.
        UnsupportedError: an item that must be understood is not known.

    """
    items = _read_items(source, region)
    data = items.get(FILE_PARAMETERS_ITEM, b"")
    if len(data) < 8:
        raise FormatError("VHDX", "no file parameters in the metadata", offset=region.offset)
    parameters = FILE_PARAMETERS.parse(data)
    block = parameters.block_size
    if not _MIB <= block <= MAX_DISK_BLOCK or block & (block - 1):
        raise FormatError(
            "VHDX",
            "impossible block size",
            offset=region.offset,
            expected="a power of two from 1 MiB to 256 MiB",
            found=block,
        )
    sector = _number(items, LOGICAL_SECTOR_SIZE, 4, "logical sector size", region.offset)
    if sector not in (512, 4096):
        raise FormatError("VHDX", "impossible logical sector size", expected="512 or 4096", found=sector)
    size = _number(items, VIRTUAL_DISK_SIZE, 8, "virtual disk size", region.offset)
    if not 0 < size <= _MAX_DISK or size % sector:
        raise FormatError("VHDX", "impossible virtual size", offset=region.offset, found=size)
    has_parent = bool(parameters.flags & 2)
    parent: dict[str, str] = {}
    if has_parent:
        if PARENT_LOCATOR not in items:
            raise FormatError("VHDX", "a differencing disk that does not name its parent", offset=region.offset)
        parent = _read_locator(items[PARENT_LOCATOR], region.offset)
    disk_id = items.get(VIRTUAL_DISK_ID, b"")
    return VhdxMetadata(
        size=size,
        block_size=block,
        logical_sector_size=sector,
        physical_sector_size=int.from_bytes(items.get(PHYSICAL_SECTOR_SIZE, b"")[:4], "little"),
        fixed=bool(parameters.flags & 1),
        has_parent=has_parent,
        disk_id=str(UUID(bytes_le=disk_id)) if len(disk_id) == 16 else "",
        parent=parent,
    )
