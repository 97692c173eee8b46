"""What a block cache stands on: ranges of one file that lies elsewhere and does not change."""

from __future__ import annotations

from typing import Protocol

from parsers.errors import ReadError

__all__ = ["FIRST", "RangeSource", "RemoteError"]

#: Bytes of the first request: they come with size and identity.
FIRST = 0x10000


class RemoteError(ReadError):
    """Nothing more can be read of an image: it changed, the token expired, the server is gone.

    Args:
        code: of the diagnostic that tells it.
        message, hint: as of every error.

    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class RangeSource(Protocol):
    """Ranges of one remote file. `read_range` is called from several threads at once."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    @property
    def head(self) -> bytes:
        """The file's first bytes, which came with the first answer; may be empty."""
        ...

    @property
    def requests(self) -> int:
        """Requests made so far, retries and those for lists of pages included."""
        ...

    @property
    def bytes_read(self) -> int:
        """Bytes received so far, of bodies."""
        ...

    def read_range(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`, which the file has.

        Raises:
            ReadError: they could not be had; RemoteError when nothing more will be.

        """
        ...

    def is_zero(self, offset: int, length: int) -> bool:
        """Tell whether a range is known to hold zeros alone; may ask the server for its list of pages."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
