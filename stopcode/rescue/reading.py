"""Reading evidence to its end: a place that cannot be read is passed over, zeros stand for it, and it is listed."""

from __future__ import annotations

from collections.abc import Iterator

from parsers.bytesource import ByteSource
from parsers.errors import StopcodeError

__all__ = ["Unreadable", "chunks"]

CHUNK = 1 << 20
_BLOCK = 4096
#: Stretches that are listed one by one; of more only their bytes are counted.
_MAX_LISTED = 100


class Unreadable:
    """The stretches that could not be read.

    Attributes:
        ranges: (offset, bytes), joined where they touch; the first hundred.
        bytes: of all of them.
        reason: why the first one could not.

    """

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.bytes = 0
        self.reason = ""

    def add(self, offset: int, length: int, reason: str) -> None:
        """Note a stretch."""
        self.bytes += length
        self.reason = self.reason or reason
        if self.ranges and sum(self.ranges[-1]) == offset:
            self.ranges[-1] = (self.ranges[-1][0], self.ranges[-1][1] + length)
        elif len(self.ranges) < _MAX_LISTED:
            self.ranges.append((offset, length))

    def __bool__(self) -> bool:
        return bool(self.bytes)


def chunks(source: ByteSource, unreadable: Unreadable) -> Iterator[bytes]:
    """Yield all bytes of a source, as many as its size says."""
    dead = False
    for offset in range(0, source.size, CHUNK):
        length = min(CHUNK, source.size - offset)
        try:
            data = source.read_at(offset, length)
        except StopcodeError as error:
            # Of a medium that is dead for long stretches one block a stretch is enough to see it.
            if dead and not _reads(source, offset):
                unreadable.add(offset, length, error.message)
                yield bytes(length)
                continue
            before = unreadable.bytes
            yield _piecewise(source, offset, length, unreadable)
            dead = unreadable.bytes - before == length
            continue
        dead = False
        if len(data) < length:
            unreadable.add(offset + len(data), length - len(data), "the image ends before")
            data += bytes(length - len(data))
        yield data


def _reads(source: ByteSource, offset: int) -> bool:
    try:
        return bool(source.read_at(offset, _BLOCK))
    except StopcodeError:
        return False


def _piecewise(source: ByteSource, offset: int, length: int, unreadable: Unreadable) -> bytes:
    parts = []
    for at in range(offset, offset + length, _BLOCK):
        size = min(_BLOCK, offset + length - at)
        try:
            part = source.read_at(at, size)
            if len(part) < size:
                unreadable.add(at + len(part), size - len(part), "the image ends before")
        except StopcodeError as error:
            unreadable.add(at, size, error.message)
            part = b""
        parts.append(part + bytes(size - len(part)))
    return b"".join(parts)
