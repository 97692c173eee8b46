"""Reading from inside a container file: what is not there is an error, never zeros and never the bytes behind it."""

from __future__ import annotations

from parsers.bytesource import ByteSource
from parsers.errors import ReadError, StopcodeError

__all__ = ["ConcatSource", "ExtentSource", "PaddedSource", "ZeroSource", "read_padded", "read_present"]


def read_present(source: ByteSource, offset: int, length: int, *, end: int, format: str, what: str) -> bytes:
    """Return exactly `length` bytes from `offset` of a container file.

    Args:
        source: the container file.
        offset: byte offset in it.
        length: bytes wanted.
        end: where data may reach to; behind it stands a footer, or nothing.
        format: name of the container's format.
        what: what is being read, for the message.

    Raises:
        ReadError: the file does not hold all of it.

    """
    if offset + length > end:
        missing = length - max(0, end - offset)
        raise ReadError(
            f"{format}: {what} at file offset {offset:#x} lies beyond the end of the file: {missing} bytes are missing",
            address=offset,
            hint="the file is cut: copy or download it again",
        )
    data = source.read_at(offset, length)
    if len(data) != length:
        raise ReadError(
            f"{format}: {what} at file offset {offset:#x} gave {len(data)} of {length} bytes", address=offset
        )
    return data


def read_padded(source: ByteSource, offset: int, length: int) -> bytes:
    """Return `length` bytes from `offset`, with zeros behind the end of the source, as behind a shorter parent.

    Raises:
        ReadError: the source cannot be read there.

    """
    there = max(0, min(length, source.size - offset))
    try:
        data = source.read_at(offset, there) if there else b""
    except ReadError:
        raise
    except StopcodeError as error:
        raise ReadError(error.message, address=offset, hint=error.hint) from error
    if len(data) != there:
        raise ReadError(f"{len(data)} of {there} bytes came from offset {offset:#x}", address=offset)
    return data + bytes(length - there)


class ZeroSource:
    """Zeros of a given length."""

    def __init__(self, size: int) -> None:
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` zeros."""
        if offset < 0 or length <= 0:
            return b""
        return bytes(max(0, min(length, self._size - offset)))


class ExtentSource:
    """A stretch of a file that has its length whether the file has it or not: what is cut off raises ReadError.

    Args:
        source: the file.
        offset: where the stretch begins.
        size: its bytes.
        format: name of the container's format, for messages.

    """

    def __init__(self, source: ByteSource, offset: int, size: int, *, format: str) -> None:
        self._source = source
        self._offset = offset
        self._size = size
        self._format = format

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`.

        Raises:
            ReadError: the file ends before.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        length = min(length, self._size - offset)
        at, end = self._offset + offset, self._source.size
        return read_present(self._source, at, length, end=end, format=self._format, what="data")


class PaddedSource:
    """A source of a given length over a shorter one: zeros behind its end, as behind the end of a shorter parent."""

    def __init__(self, source: ByteSource, size: int) -> None:
        self._source = source
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        return read_padded(self._source, offset, min(length, self._size - offset))


class ConcatSource:
    """Sources one after another, as the parts of a split image."""

    def __init__(self, parts: list[ByteSource]) -> None:
        self._parts: list[tuple[int, ByteSource]] = []
        at = 0
        for part in parts:
            self._parts.append((at, part))
            at += part.size
        self._size = at

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`.

        Raises:
            ReadError: a part gave fewer bytes than it claims to have.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        end = min(offset + length, self._size)
        pieces: list[bytes] = []
        for start, part in self._parts:
            low, high = max(offset, start), min(end, start + part.size)
            if low >= high:
                continue
            data = part.read_at(low - start, high - low)
            if len(data) != high - low:
                raise ReadError(f"{len(data)} of {high - low} bytes came from offset {low:#x}", address=low)
            pieces.append(data)
        return b"".join(pieces)
