"""The chunks of an event log: where they are, and what they tell of records that are not there any more.

The header of a log that was not closed is stale (a real Windows 10 log says 3 chunks and holds 15), so chunks are
found by their own signature. Each chunk's header tells the numbers of its records, and every record of the real logs
of Windows 7 to Server 2016 was where those say: a number that no record has is a record that was lost.

Source: libyal/libevtx: documentation/Windows XML Event Log (EVTX).asciidoc (signatures, headers, checksums, the flag
that says that there are none).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct

from parsers.bytesource import ByteSource
from parsers.errors import FormatError

__all__ = ["Chunks", "find_chunks"]

_FILE_HEADER = Struct("<8sQQQIHHHH76xII")
_FILE_SIGNATURE = b"ElfFile\0"
_HEADER_BLOCK = 0x1000
_CHUNK = 0x10000
_CHUNK_SIGNATURE = b"ElfChnk\0"
#: Numbers of the first and the last record in the file, their EventRecordIDs, lengths, end of the records, checksum.
_CHUNK_HEADER = Struct("<8sQQQQIIII64xII")
_RECORDS_AT = 0x200
#: A record has 24 bytes of its own at least.
_MAX_RECORDS = (_CHUNK - _RECORDS_AT) // 24
_NO_CHECKSUMS = 4


@dataclass(frozen=True, slots=True)
class Chunks:
    """What a log's chunks tell.

    Attributes:
        data: a log of a fresh header and the newest whole chunks.
        left_out: bytes of older chunks that are not in it.
        cut: how the file was cut, "" when it was not.
        records: how many records the headers promise, from the oldest in `data` on.
        last: EventRecordID of the newest that a header tells of; 0 when none does.
        wrong: chunks in `data` whose records' checksum is not right.

    """

    data: bytes
    left_out: int = 0
    cut: str = ""
    records: int = 0
    last: int = 0
    wrong: int = 0


def find_chunks(source: ByteSource, limit: int) -> Chunks:
    """Find the newest whole chunks, as many as `limit` bytes hold.

    Raises:
        FormatError: no event log.
        ReadError: it cannot be read.

    """
    slots: list[tuple[int, int]] = []
    for offset in range(_HEADER_BLOCK, source.size - _CHUNK + 1, _CHUNK):
        head = source.read_at(offset, _CHUNK_HEADER.size)
        if len(head) == _CHUNK_HEADER.size and head.startswith(_CHUNK_SIGNATURE):
            slots.append((_CHUNK_HEADER.unpack(head)[4], offset))
    head = source.read_at(0, _FILE_HEADER.size)
    headed = len(head) == _FILE_HEADER.size and head.startswith(_FILE_SIGNATURE)
    cut = _cut(source, _FILE_HEADER.unpack(head)[8] if headed else 0)
    if not slots:
        if head.startswith(_FILE_SIGNATURE):
            return Chunks(_header(0), cut=cut)
        raise FormatError("EVTX", "holds no event log", offset=0, expected="ElfFile", found=head[:8])
    keep = max(1, limit // _CHUNK)
    left_out = 0
    if len(slots) > keep:
        slots = sorted(slots)[-keep:]
        left_out = source.size - keep * _CHUNK
    chunks = [source.read_at(offset, _CHUNK) for offset in sorted(offset for _last, offset in slots)]
    # A stale header tells of fewer records than there are, never of more.
    sound = headed and zlib.crc32(head[:120]) == _FILE_HEADER.unpack(head)[10]
    records, last = _promised(chunks, _FILE_HEADER.unpack(head)[3] - 1 if sound else 0)
    wrong = sum(not _is_sound(chunk) for chunk in chunks)
    return Chunks(_header(len(chunks)) + b"".join(chunks), left_out, cut, records, last, wrong)


def _cut(source: ByteSource, claimed: int) -> str:
    """Tell how a file was cut: a stale header tells too few chunks, never more than there is room for."""
    room, rest = divmod(max(0, source.size - _HEADER_BLOCK), _CHUNK)
    begun = rest > 0 and source.read_at(source.size - rest, 8) == _CHUNK_SIGNATURE
    if claimed > room or begun:
        return f"the file is cut: there is room for {room} chunks of {max(claimed, room + begun)}"
    return ""


def _promised(chunks: list[bytes], newest: int) -> tuple[int, int]:
    """Return how many records there should be, and the number of the newest."""
    spans = []
    for chunk in chunks:
        first, last = _CHUNK_HEADER.unpack_from(chunk)[3:5]
        # A chunk that was begun and has no record yet tells nothing.
        if 0 < first <= last < first + _MAX_RECORDS:
            spans.append((first, last))
    if not spans:
        return 0, 0
    spans.sort()
    count = sum(last - first + 1 for first, last in spans)
    count += sum(max(0, after[0] - before[1] - 1) for before, after in pairwise(spans))
    end = max(last for _first, last in spans)
    return count + max(0, newest - end), max(newest, end)


def _is_sound(chunk: bytes) -> bool:
    """Tell whether the records' checksum is right; what the header alone holds (tables for speed) changes no record."""
    fields = _CHUNK_HEADER.unpack_from(chunk)
    end: int = fields[7]
    checksum: int = fields[8]
    flags: int = fields[9]
    if flags & _NO_CHECKSUMS:
        return True
    return _RECORDS_AT <= end <= _CHUNK and zlib.crc32(chunk[_RECORDS_AT:end]) == checksum


def _header(chunks: int) -> bytes:
    """Return a sound file header for a number of chunks; the stored one may be stale or damaged."""
    head = _FILE_HEADER.pack(_FILE_SIGNATURE, 0, max(0, chunks - 1), 1, 128, 1, 3, _HEADER_BLOCK, chunks, 0, 0)
    head = head[:124] + zlib.crc32(head[:120]).to_bytes(4, "little")
    return head.ljust(_HEADER_BLOCK, b"\0")
