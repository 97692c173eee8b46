"""Logs of Windows 8.1 and later: entries (`HvLE`), each a set of pages with a number and two hashes.

Reference: msuhanov/regf "Windows registry file format specification", "New format"; tried on the logs of five hives,
two of which Windows itself recovered.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from parsers.bytesource import ByteSource
from parsers.limits import MAX_HIVE_LOG
from parsers.registry.base_block import BASE_BLOCK
from parsers.registry.marvin import marvin32

__all__ = ["SECTOR", "Entry", "entries", "is_damaged_behind", "pages_of"]

#: What sizes and places of entries and pages are multiples of.
SECTOR: Final = 512
_MAGIC: Final = b"HvLE"
_HEADER = struct.Struct("<4sIIIIIQQ")
_HASHED_HEADER: Final = 0x20
_PAGE = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry whose header is sound.

    Attributes:
        offset: byte offset in the log.
        size: bytes of all of it.
        flags: the lowest bit goes to the hive's base block.
        sequence: its number, one more than the entry's before.
        bins_size: bytes of the hive bins after it.
        pages: how many pages it changes.
        content_hash: what its content must hash to.

    """

    offset: int
    size: int
    flags: int
    sequence: int
    bins_size: int
    pages: int
    content_hash: int


def entries(log: ByteSource) -> Iterator[Entry]:
    """Yield the entries from the first on, up to where the log ends, is damaged, or holds what an older run left."""
    at = BASE_BLOCK
    end = min(log.size, MAX_HIVE_LOG)
    sequence: int | None = None
    while at + _HEADER.size <= end:
        header = log.read_at(at, _HEADER.size)
        if len(header) < _HEADER.size:
            return
        magic, size, flags, number, bins_size, pages, content_hash, header_hash = _HEADER.unpack(header)
        if magic != _MAGIC or marvin32(header[:_HASHED_HEADER]) != header_hash:
            return
        if sequence is not None and number != (sequence + 1) & 0xFFFFFFFF:
            return
        if size % SECTOR or size < _HEADER.size + pages * _PAGE.size:
            return
        yield Entry(at, size, flags, number, bins_size, pages, content_hash)
        sequence = number
        at += size


def is_damaged_behind(log: ByteSource, entry: Entry) -> bool:
    """Return whether behind an entry, the last sound one, begins another that was damaged, or not written to its end.

    What an older run of the log left there begins no entry, or one that is sound in itself and has another number.

    Raises:
        ReadError: the place cannot be read.

    """
    header = log.read_at(entry.offset + entry.size, _HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        return False
    _, _, _, number, _, _, _, header_hash = _HEADER.unpack(header)
    return bool(marvin32(header[:_HASHED_HEADER]) != header_hash or number == (entry.sequence + 1) & 0xFFFFFFFF)


def pages_of(log: ByteSource, entry: Entry) -> tuple[list[tuple[int, bytes]], str]:
    """Return the pages of an entry, each with its offset in the hive bins, and why it is not to be used, or ""."""
    if entry.offset + entry.size > min(log.size, MAX_HIVE_LOG):
        return [], "is cut off"
    data = log.read_at(entry.offset, entry.size)
    if len(data) < entry.size or marvin32(data[_HEADER.size :]) != entry.content_hash:
        return [], "is damaged: its hash is wrong"
    found: list[tuple[int, bytes]] = []
    at = _HEADER.size + entry.pages * _PAGE.size
    for offset, length in _PAGE.iter_unpack(data[_HEADER.size : at]):
        if offset % SECTOR or length % SECTOR or offset + length > entry.bins_size or at + length > len(data):
            return [], "changes a page that cannot be there"
        found.append((offset, data[at : at + length]))
        at += length
    return found, "" if entry.bins_size % 4096 == 0 else "gives the hive an impossible size"
