"""The log of a VHDX, replayed in memory.

Reference: [MS-VHDX] 2.3; compared with `qemu/qemu: block/vhdx-log.c`, whose replay of a copy is equal to this one's.
The log holds sectors of the block table, of bitmaps and of the metadata. Without it, what was written last is
missing or older data stands in its place, and nothing shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

from parsers.bytesource import ByteSource
from parsers.disk.vhdx_header import checksum_is_right
from parsers.disk.vhdx_layouts import FAST_DESCRIPTOR, FAST_LOG_ENTRY
from parsers.overlay import GRANULE, OverlaySource

__all__ = ["LogEntry", "Replay", "active_sequence", "apply_log", "newest_number"]

_SECTOR = 4096
_HEADER_SIZE = 64
_DESCRIPTOR_SIZE = 32
#: How often each byte of the log may be covered by what claims to be an entry; stale ones overlap a little.
_CHECKED_TIMES = 16


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One valid entry.

    Attributes:
        position: byte offset in the log.
        sequence_number: one more than the entry's before.
        tail: position of the first entry that was still needed when this one was written.
        data: the whole entry, unwrapped.
        descriptors: how many.
        flushed: length that the file had on stable storage.
        last: length that the file is to have.

    """

    position: int
    sequence_number: int
    tail: int
    data: bytes
    descriptors: int
    flushed: int
    last: int


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay did.

    Attributes:
        source: the file as it would be after it.
        entries: entries applied.
        first, last: sequence numbers of the first and last of them.
        missing: bytes that the file is too short by; 0 when it is whole.

    """

    source: OverlaySource
    entries: int
    first: int
    last: int
    missing: int


def _entry_at(log: bytes, position: int, guid: bytes) -> LogEntry | None:
    """Return the entry at a position of the log when all of it is valid, else None."""
    if not log.startswith(b"loge", position):
        return None
    header = log[position : position + _HEADER_SIZE]
    (_, _, length, tail, number, count, log_guid, flushed, last) = FAST_LOG_ENTRY.unpack(header)
    if length % _SECTOR or not _SECTOR <= length <= len(log) or tail % _SECTOR or tail >= len(log):
        return None
    if not number or log_guid != guid or _HEADER_SIZE + count * _DESCRIPTOR_SIZE > length:
        return None
    data = log[position : position + length]
    data += log[: length - len(data)]  # the log is a ring
    at_data = -(-(_HEADER_SIZE + count * _DESCRIPTOR_SIZE) // _SECTOR) * _SECTOR
    for at in range(_HEADER_SIZE, _HEADER_SIZE + count * _DESCRIPTOR_SIZE, _DESCRIPTOR_SIZE):
        signature, _, leading, offset, descriptor_number = FAST_DESCRIPTOR.unpack_from(data, at)
        if descriptor_number != number or offset % GRANULE:
            return None
        if signature == b"desc":
            sector = data[at_data : at_data + _SECTOR]
            high, low = sector[4:8], sector[-4:]
            if len(sector) != _SECTOR or sector[:4] != b"data" or low + high != number.to_bytes(8, "little"):
                return None
            at_data += _SECTOR
        elif signature != b"zero" or int.from_bytes(leading, "little") % GRANULE:
            return None
    if not checksum_is_right(data):
        return None
    return LogEntry(position, number, tail, data, count, flushed, last)


def active_sequence(log: bytes, guid: bytes) -> list[LogEntry]:
    """Return the entries to apply, in order; none when the log holds no valid sequence.

    A sequence runs from the tail that its head names to that head, each entry right behind the one before and one
    higher in number. Of several the one with the highest head counts.

    Args:
        log: all of the log.
        guid: the header's log GUID; entries of other sessions do not count.

    """
    entries: dict[int, LogEntry] = {}
    budget = _CHECKED_TIMES * len(log)
    for position in range(0, len(log) - _HEADER_SIZE + 1, _SECTOR):
        if not log.startswith(b"loge", position):
            continue
        budget -= int.from_bytes(log[position + 8 : position + 12], "little")
        if budget < 0:
            break
        entry = _entry_at(log, position, guid)
        if entry is not None:
            entries[position] = entry

    heads: dict[int, LogEntry] = {}

    def head_of(entry: LogEntry) -> LogEntry:
        way: list[LogEntry] = []
        while entry.position not in heads:
            way.append(entry)
            following = entries.get((entry.position + len(entry.data)) % len(log))
            if following is None or following.sequence_number != entry.sequence_number + 1:
                heads[entry.position] = entry
                break
            entry = following
        head = heads[entry.position]
        for passed in way:
            heads[passed.position] = head
        return head

    best: LogEntry | None = None
    for entry in entries.values():
        head = head_of(entry)
        tail = entries.get(head.tail)
        if tail is None or head_of(tail) is not head:
            continue
        if best is None or head.sequence_number > best.sequence_number:
            best = head
    if best is None:
        return []
    run = [entries[best.tail]]
    while run[-1] is not best:
        run.append(entries[(run[-1].position + len(run[-1].data)) % len(log)])
    return run


def newest_number(log: bytes, guid: bytes) -> int:
    """Return the highest sequence number that the beginning of an entry has, whether or not the entry is valid.

    No sector inside an entry begins as one does, so that what begins so was written as one; 0 when nothing does.

    Args:
        log: all of the log.
        guid: the header's log GUID.

    """
    newest = 0
    for position in range(0, len(log) - _HEADER_SIZE + 1, _SECTOR):
        if log.startswith(b"loge", position):
            entry = FAST_LOG_ENTRY.unpack_from(log, position)
            if entry[6] == guid:
                newest = max(newest, entry[4])
    return newest


def apply_log(source: ByteSource, entries: list[LogEntry]) -> Replay:
    """Return the file as it would be after the entries, of which there is at least one."""
    overlay = OverlaySource(source)
    head = entries[-1]
    for entry in entries:
        count = entry.descriptors * _DESCRIPTOR_SIZE
        at_data = -(-(_HEADER_SIZE + count) // _SECTOR) * _SECTOR
        for at in range(_HEADER_SIZE, _HEADER_SIZE + count, _DESCRIPTOR_SIZE):
            signature, trailing, leading, offset, _ = FAST_DESCRIPTOR.unpack_from(entry.data, at)
            if signature == b"zero":
                overlay.zero(offset, int.from_bytes(leading, "little"))
            else:
                overlay.put(offset, leading + entry.data[at_data + 8 : at_data + _SECTOR - 4] + trailing)
                at_data += _SECTOR
    missing = max(0, head.flushed - source.size)
    if missing:
        overlay.lose(head.flushed)
    else:
        overlay.grow(head.last)
    return Replay(overlay, len(entries), entries[0].sequence_number, head.sequence_number, missing)
