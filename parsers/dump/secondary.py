"""Secondary data ("DumpBlob"): what drivers and the kernel append to a dump in their bug check callbacks.

A chain of tagged blobs; alignment is not guaranteed, tags may repeat, and kernel-written triage dumps go on with
zeros or stale bytes behind the chain. Source: `can1357/selene: resources/sdk/nt` (`_DUMP_BLOB_HEADER`) and
measurement on real triage dumps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from parsers.bytesource import ByteSource
from parsers.limits import MAX_SECONDARY_BLOBS

__all__ = ["REPORTED_BUILD_TAG", "SecondaryBlob", "guid_text", "read_reported_build", "read_secondary", "secondary_end"]

#: The kernel's blob that names the build Windows displays (inferred: it agrees in 30 of 30 real dumps).
REPORTED_BUILD_TAG = "2b88b710-1c93-4f7c-b06c-655ecc50decc"

_FILE_HEADER = struct.Struct("<8sII")
_BLOB_HEADER = struct.Struct("<I16sIII")
_GUID = struct.Struct("<IHH8s")


class SecondaryBlob(NamedTuple):
    """One blob.

    Attributes:
        tag: its GUID, lower case.
        offset: file offset of its data.
        size: bytes of data.

    """

    tag: str
    offset: int
    size: int


def guid_text(raw: bytes) -> str:
    """Return a GUID's usual text, lower case, of its 16 bytes."""
    first, second, third, rest = _GUID.unpack(raw)
    return f"{first:08x}-{second:04x}-{third:04x}-{rest[:2].hex()}-{rest[2:].hex()}"


def read_secondary(source: ByteSource, offset: int) -> Iterator[SecondaryBlob]:
    """Yield the blobs of the chain at a file offset; none when there is no chain; ends where it breaks.

    Raises:
        ReadError: the next blob's header cannot be read; those before it were given.

    """
    for blob, _end in _chain(source, offset):
        yield blob


def secondary_end(source: ByteSource, offset: int) -> int:
    """Return the file offset behind the chain that begins at one; that offset itself when no blob is there."""
    return [offset, *(end for _blob, end in _chain(source, offset))][-1]


def _chain(source: ByteSource, offset: int) -> Iterator[tuple[SecondaryBlob, int]]:
    """Yield each blob with the file offset behind it and its padding."""
    head = source.read_at(offset, _FILE_HEADER.size)
    if len(head) < _FILE_HEADER.size or head[:8] != b"DumpBlob" or head[8:12] != b"\x10\0\0\0":
        return
    at = offset + _FILE_HEADER.size
    for _ in range(MAX_SECONDARY_BLOBS):
        raw = source.read_at(at, _BLOB_HEADER.size)
        if len(raw) < _BLOB_HEADER.size:
            return
        size, tag, length, before, after = _BLOB_HEADER.unpack(raw)
        data_at = at + size + before
        if size != _BLOB_HEADER.size or data_at + length > source.size:
            return
        at = data_at + length + after
        yield SecondaryBlob(guid_text(tag), data_at, length), at


def read_reported_build(source: ByteSource, blobs: list[SecondaryBlob]) -> int | None:
    """Return the build number that Windows displays, where the kernel's blob is present and sane."""
    for blob in blobs:
        if blob.tag == REPORTED_BUILD_TAG and blob.size >= 8:
            data = source.read_at(blob.offset, 8)
            build = int.from_bytes(data[4:6], "little")
            if data[:4] == b"\x5a\x62\x02\x00" and build >= 2195:
                return build
    return None
