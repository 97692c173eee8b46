"""The fixed places of a VHDX: its two headers and its two region tables, of which one each is believed."""

from __future__ import annotations

from dataclasses import dataclass

from dissect.util.hash import crc32c

from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.disk.vhdx_layouts import (
    BAT_REGION,
    HEADER,
    METADATA_REGION,
    REGION_ENTRY,
    REGION_HEADER,
)
from parsers.errors import FormatError, TruncatedError, UnsupportedError
from parsers.limits import MAX_VHDX_ENTRIES, require_count

__all__ = ["Region", "VhdxHeader", "checksum_is_right", "choose_header", "read_regions"]

_HEADERS = (0x10000, 0x20000)
_TABLES = (0x30000, 0x40000)
_HEADER_SIZE = 0x1000
_TABLE_SIZE = 0x10000


@dataclass(frozen=True, slots=True)
class VhdxHeader:
    """The current header.

    Attributes:
        offset: where it lies.
        sequence_number: grows with every update.
        data_write_guid: changes when the disk's data does; a child names its parent by it.
        log_guid: not zero when the log must be replayed before anything else is believed.
        log_version: 0.
        log_offset: where the log lies.
        log_length: its bytes.

    """

    offset: int
    sequence_number: int
    data_write_guid: bytes
    log_guid: bytes
    log_version: int
    log_offset: int
    log_length: int


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of the file with a purpose."""

    offset: int
    length: int


def checksum_is_right(data: bytes) -> bool:
    """Return whether the CRC-32C at 4 is that of `data` with the field as 0."""
    calculated: int = crc32c.crc32c(data[:4] + bytes(4) + data[8:])
    return int.from_bytes(data[4:8], "little") == calculated


def choose_header(source: ByteSource, diagnostics: Diagnostics) -> VhdxHeader:
    """Return the current header: of those with a right checksum the one with the higher sequence number.

    Raises:
        TruncatedError: the file ends before them.
        FormatError: none is valid, or both are current.
        UnsupportedError: a version other than 1.

    """
    valid: list[tuple[int, bytes, VhdxHeader]] = []
    damaged = b""
    for offset in _HEADERS:
        data = source.read_at(offset, _HEADER_SIZE)
        if len(data) < _HEADER_SIZE or not data.startswith(b"head") or not checksum_is_right(data):
            damaged = data
            continue
        fields = HEADER.parse(data)
        if fields.version != 1:
            raise UnsupportedError(f"VHDX version {fields.version} at offset {offset:#x}; version 1 is read")
        header = VhdxHeader(
            offset,
            fields.sequence_number,
            fields.data_write_guid,
            fields.log_guid,
            fields.log_version,
            fields.log_offset,
            fields.log_length,
        )
        valid.append((fields.sequence_number, data, header))
    if not valid:
        if source.size < _HEADERS[1] + _HEADER_SIZE:
            raise TruncatedError("VHDX", "the file ends before its headers", offset=source.size)
        raise FormatError("VHDX", "neither header is valid", offset=_HEADERS[0])
    if len(valid) == 1:
        # A crash while the other one was being written leaves exactly this; the format is made for it. Damage leaves it
        # too, and then what the newer one told is missing: another log, or a log at all.
        text = f"only the header at {valid[0][2].offset:#x} is valid; it was used"
        if damaged.startswith(b"head") and int.from_bytes(damaged[8:16], "little") < valid[0][0]:
            diagnostics.info("vhdx.one-header", text)
        else:
            diagnostics.warning(
                "vhdx.one-header",
                f"{text}; the other one may have been the newer, and the disk older than it should be",
                hint="a crash of the host while it wrote the header leaves this too, and then nothing is missing",
            )
        return valid[0][2]
    first, second = valid
    if first[0] == second[0]:
        if first[1] != second[1]:
            raise FormatError("VHDX", "two different headers have the same sequence number", found=first[0])
        return first[2]
    return max(valid, key=lambda item: item[0])[2]


def read_regions(source: ByteSource, diagnostics: Diagnostics) -> dict[bytes, Region]:
    """Return the regions by GUID: of table 1, or of table 2 where the first one's checksum is wrong.

    Raises:
        TruncatedError: the file ends before them.
        FormatError: neither table is valid, or a region is missing or impossible.
        UnsupportedError: a region that must be understood is not known.

    """
    for offset in _TABLES:
        data = source.read_at(offset, _TABLE_SIZE)
        if len(data) == _TABLE_SIZE and data.startswith(b"regi") and checksum_is_right(data):
            break
    else:
        if source.size < _TABLES[1] + _TABLE_SIZE:
            raise TruncatedError("VHDX", "the file ends before its region tables", offset=source.size)
        raise FormatError("VHDX", "neither region table is valid", offset=_TABLES[0])
    if offset != _TABLES[0]:
        diagnostics.warning("vhdx.region-table", "the first region table is damaged; the second was used")
    count = require_count(
        REGION_HEADER.parse(data).entry_count, MAX_VHDX_ENTRIES, format="VHDX", what="region count", offset=offset + 8
    )
    regions: dict[bytes, Region] = {}
    for index in range(count):
        entry = REGION_ENTRY.parse(data[16 + index * 32 : 48 + index * 32])
        if entry.guid in (BAT_REGION, METADATA_REGION):
            regions[entry.guid] = Region(entry.file_offset, entry.length)
        elif entry.required & 1:
            raise UnsupportedError(f"the VHDX has a required region of unknown kind {entry.guid.hex()}")
    for guid, name in ((BAT_REGION, "block table"), (METADATA_REGION, "metadata")):
        region = regions.get(guid)
        if region is None:
            raise FormatError("VHDX", f"no {name} region", offset=offset)
        if region.offset < 0x100000 or region.offset % 0x100000:
            raise FormatError(
                "VHDX", f"the {name} region is at an impossible place", offset=offset, found=region.offset
            )
    return regions
