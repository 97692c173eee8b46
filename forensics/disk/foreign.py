"""A guard around readers of other projects (dissect): their exceptions and their short reads become ours.

They raise whatever their code runs into (EOFError, IndexError, struct.error, ValueError, AttributeError ...), and
where a file ends too early they join what they got, so that later data moves up. Both are wrong for a tool that
must not be silently wrong: here every read of theirs below is exact or an error, and so is every read of ours above.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, ReadError, StopcodeError, TruncatedError, UnsupportedError
from parsers.limits import MAX_FOREIGN_READ

__all__ = ["ForeignSource", "SourceFile", "as_ours"]

#: Bytes that are asked for at once, below MAX_FOREIGN_READ.
_CUT = 16 << 20


class SourceFile:
    """A byte source as the binary file that dissect's readers take.

    Args:
        source: the file.
        spare: bytes that a read may reach beyond the end without being an error.

    Attributes:
        strict: a read beyond the end raises ReadError instead of giving fewer bytes.

    """

    def __init__(self, source: ByteSource, *, spare: int = 0) -> None:
        self._source = source
        self._at = 0
        self._spare = spare
        self.strict = False

    def read(self, length: int | None = -1) -> bytes:
        """Return up to `length` bytes from the current place; a length must be given.

        Raises:
            ReadError: strict, and the file ends before; or more is wanted than any sound image makes a reader want.

        """
        if length is None or not 0 <= length <= MAX_FOREIGN_READ:
            raise ReadError(f"a read of {length} bytes", address=self._at)
        data = self._source.read_at(self._at, length)
        if self.strict and len(data) + self._spare < length:
            raise ReadError(
                f"{length - len(data)} of {length} bytes lie beyond the end of the file",
                address=self._at,
                hint="the file is cut: copy or download it again",
            )
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise ReadError(f"a seek to {base + offset}")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the current place."""
        return self._at

    def close(self) -> None:
        """Leave the source open: whoever opened it closes it."""


@contextmanager
def as_ours(format: str) -> Iterator[None]:
    """Turn what a foreign reader raises while it opens an image into an error of ours.

    Raises:
        TruncatedError: it ran into the end of the file.
        UnsupportedError: it said that it does not do this.
        FormatError: it raised anything else.

    """
    try:
        yield
    except StopcodeError:
        raise
    except EOFError as error:
        raise TruncatedError(format, "ends in the middle of a structure") from error
    except NotImplementedError as error:
        raise UnsupportedError(f"{format}: {error}") from error
    except Exception as error:  # dissect raises every kind where bytes are not as it expects
        raise FormatError(format, f"cannot be read ({type(error).__name__}: {error})") from error


class ForeignSource:
    """A virtual disk that a foreign reader gives.

    Args:
        read: gives `length` bytes from `offset`; may raise anything.
        size: bytes of the virtual disk.
        format: name of the format, for messages.
        cut: reads are cut at multiples of it, for readers that are wrong across their blocks.

    """

    def __init__(self, read: Callable[[int, int], bytes], size: int, *, format: str, cut: int = _CUT) -> None:
        self._read = read
        self._size = size
        self._format = format
        self._cut = cut

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end.

        Raises:
            ReadError: the reader raised, or gave fewer bytes.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        end = min(offset + length, self._size)
        pieces: list[bytes] = []
        while offset < end:
            stop = min(end, (offset // self._cut + 1) * self._cut)
            pieces.append(self._exact(offset, stop - offset))
            offset = stop
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _exact(self, offset: int, length: int) -> bytes:
        try:
            data = self._read(offset, length)
        except StopcodeError as error:
            raise ReadError(f"{self._format}: {error.message}", address=offset, hint=error.hint) from error
        except Exception as error:  # dissect raises every kind where bytes are not as it expects
            raise ReadError(
                f"{self._format}: the disk cannot be read at {offset:#x} ({type(error).__name__}: {error})",
                address=offset,
            ) from error
        if len(data) != length:
            raise ReadError(
                f"{self._format}: {len(data)} of {length} bytes came from disk offset {offset:#x}", address=offset
            )
        return data
