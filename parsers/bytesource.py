"""Random access to bytes: the one way every parser reads.

A source is a file, a stretch of a disk, a file inside a file system, or plain bytes. Reads are bounded: a read
past the end gives fewer bytes, never an error; a place that is there and cannot be read raises `ReadError`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, Self, runtime_checkable

from parsers.errors import ReadError, TruncatedError

__all__ = [
    "ByteSource",
    "BytesSource",
    "FileSource",
    "ImageFile",
    "StreamSource",
    "WindowSource",
    "first_bytes",
    "pieces",
    "read_exact",
]

_PIECE = 1 << 20


@runtime_checkable
class ByteSource(Protocol):
    """Random access to bytes.

    Attributes:
        size: length in bytes.

    """

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end.

        Raises:
            ReadError: the place exists and cannot be read.

        """
        ...


class ImageFile(ByteSource, Protocol):
    """One of the files of an image, on this machine or elsewhere: what is read of it is counted.

    Attributes:
        bytes_read: bytes read so far.
        requests: reads, or requests to a server, so far.

    """

    @property
    def bytes_read(self) -> int:
        """Bytes read so far."""
        ...

    @property
    def requests(self) -> int:
        """Reads so far."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class BytesSource:
    """Plain bytes."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = bytes(data)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        if offset < 0 or length <= 0:
            return b""
        return self._data[offset : offset + length]


#: What a container, an archive and a dump are known by.
_FIRST = 512


def first_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the first 512 bytes of a file or device, by one read; b"" of a folder, a pipe, and what is unreadable."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  # pathlib would be no shorter
        # A pipe would wait for its writer.
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            return b""
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # as above
            return file.read(_FIRST)
    except (OSError, ValueError):
        return b""


class FileSource:
    """A file on the machine stopcode runs on, opened read-only; every byte read is counted.

    Attributes:
        bytes_read: bytes read so far.
        requests: reads so far.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = self.path.open("rb", buffering=0)
        self._size = self._file.seek(0, os.SEEK_END)
        self.bytes_read = 0
        self.requests = 0

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`.

        Raises:
            ReadError: the host cannot read its medium there.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        wanted = min(length, self._size - offset)
        parts: list[bytes] = []
        try:
            self._file.seek(offset)
            while wanted > 0:
                part = self._file.read(wanted)
                if not part:
                    break
                parts.append(part)
                wanted -= len(part)
        except OSError as error:
            raise ReadError(
                f"{self.path.name} cannot be read at {offset:#x}: {error.strerror or error}",
                address=offset,
                hint="copy the file to another medium, or take it from its source again",
            ) from error
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self.bytes_read += len(data)
        self.requests += 1
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class StreamSource:
    """A seekable binary stream (dissect's, or any other)."""

    def __init__(self, stream: BinaryIO, size: int | None = None) -> None:
        self._stream = stream
        self._size = stream.seek(0, os.SEEK_END) if size is None else size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        self._stream.seek(offset)
        return self._stream.read(min(length, self._size - offset))


class WindowSource:
    """A stretch of another source, with offsets of its own."""

    def __init__(self, source: ByteSource, offset: int, size: int) -> None:
        self._source = source
        self._offset = offset
        self._size = max(0, min(size, source.size - offset))

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset` of the window."""
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        return self._source.read_at(self._offset + offset, min(length, self._size - offset))


def pieces(source: ByteSource, limit: int) -> list[Callable[[], bytes]]:
    """Return what reads the first `limit` bytes of a source, in pieces of a MiB that need nothing of each other."""
    return [partial(source.read_at, at, _PIECE) for at in range(0, min(source.size, limit), _PIECE)]


def read_exact(source: ByteSource, offset: int, length: int, *, format: str) -> bytes:
    """Return exactly `length` bytes from `offset`.

    Raises:
        TruncatedError: the source ends before.

    """
    data = source.read_at(offset, length)
    if len(data) != length:
        raise TruncatedError(
            format, "ends too early", offset=offset, expected=f"{length} bytes", found=f"{len(data)} bytes"
        )
    return data
