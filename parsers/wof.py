"""Files that CompactOS compressed: what the Windows Overlay Filter (WOF) makes of their stream.

Such a file's own data are all zeros; the content stands in the stream `WofCompressedData`, a table of places and then
chunks, each compressed on its own. So one place is read by unpacking one chunk.

References: ebiggers/ntfs-3g-system-compression (src/system_compression.c) for the layout, Microsoft's wofapi.h and
ntifs.h (FILE_PROVIDER_EXTERNAL_INFO) for the reparse point.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from parsers import lzx, xpress
from parsers.bytesource import ByteSource
from parsers.errors import FormatError, ReadError, UnsupportedError
from parsers.limits import MAX_WOF_CHUNKS_KEPT

__all__ = ["STREAM", "TAG", "WofSource", "compression_of"]

#: Tag of the reparse point, and name of the stream with the content.
TAG: Final = 0x80000017
STREAM: Final = "WofCompressedData"

_REPARSE = struct.Struct("<IHHIIII")
_VERSION: Final = 1
_WIM, _FILE = 1, 2
#: The format's number -> its name, bytes of a chunk, and what unpacks one.
_FORMATS: Final[dict[int, tuple[str, int, Callable[[bytes, int], bytes]]]] = {
    0: ("XPRESS4K", 0x1000, xpress.decompress),
    1: ("LZX", lzx.CHUNK, lzx.decompress),
    2: ("XPRESS8K", 0x2000, xpress.decompress),
    3: ("XPRESS16K", 0x4000, xpress.decompress),
}
#: From this size on the places in the table have eight bytes.
_LARGE: Final = 1 << 32


def compression_of(reparse_point: bytes) -> int:
    """Return the number of the format that a file's reparse point names.

    Raises:
        FormatError: the reparse point is damaged.
        UnsupportedError: the content is elsewhere, or in a format that is not known.

    """
    if len(reparse_point) < 16:
        raise FormatError("WOF", "the reparse point ends too early", expected=_REPARSE.size, found=len(reparse_point))
    fields: tuple[int, ...] = _REPARSE.unpack(reparse_point[: _REPARSE.size].ljust(_REPARSE.size, b"\0"))
    tag, _, _, version, provider, own_version, form = fields
    if tag != TAG or version != _VERSION:
        raise FormatError("WOF", "the reparse point is damaged", expected=f"{TAG:#x}, 1", found=f"{tag:#x}, {version}")
    if provider == _WIM:
        raise UnsupportedError("the file's content is in a WIM archive (WIMBoot), which is not here")
    if provider != _FILE or own_version != _VERSION or form not in _FORMATS:
        raise UnsupportedError(f"the file is compressed in a way that is not known (WOF {provider}, {form})")
    if len(reparse_point) < _REPARSE.size:
        raise FormatError("WOF", "the reparse point ends too early", expected=_REPARSE.size, found=len(reparse_point))
    return form


class WofSource:
    """The content of a compressed file.

    Args:
        packed: the stream with the chunks.
        size: bytes of the content.
        form: number of the format (see `compression_of`).

    Attributes:
        format: its name ("XPRESS4K").

    Raises:
        FormatError: the stream is shorter than its table of chunks.

    """

    def __init__(self, packed: ByteSource, size: int, form: int) -> None:
        self.format, self._chunk, self._unpack = _FORMATS[form]
        self._packed = packed
        self._size = size
        self._count = -(-size // self._chunk)
        self._width = 8 if size >= _LARGE else 4
        self._data_at = max(0, self._count - 1) * self._width
        # Each chunk takes at least one byte.
        if packed.size < self._data_at + self._count:
            raise FormatError(
                "WOF",
                f"{STREAM} is shorter than its table of chunks",
                expected=f">= {self._data_at + self._count}",
                found=packed.size,
            )
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`.

        Raises:
            ReadError: a chunk is damaged, or cannot be read.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        end = min(offset + length, self._size)
        first, last = offset // self._chunk, (end - 1) // self._chunk
        data = b"".join(self._content(number) for number in range(first, last + 1))
        return data[offset - first * self._chunk :][: end - offset]

    def _content(self, number: int) -> bytes:
        kept = self._kept.get(number)
        if kept is not None:
            self._kept.move_to_end(number)
            return kept
        start, end = self._places(number)
        wanted = min(self._chunk, self._size - number * self._chunk)
        if not start < end <= self._packed.size or end - start > wanted:
            raise self._damage(number, "its place is impossible")
        stored = self._packed.read_at(start, end - start)
        if len(stored) < end - start:
            raise self._damage(number, "it is cut off")
        if len(stored) < wanted:
            try:
                stored = self._unpack(stored, wanted)
            except FormatError as error:
                raise self._damage(number, str(error)) from error
        self._kept[number] = stored
        if len(self._kept) > MAX_WOF_CHUNKS_KEPT:
            self._kept.popitem(last=False)
        return stored

    def _places(self, number: int) -> tuple[int, int]:
        """Return where a chunk begins and ends in the stream."""
        width = self._width
        first = max(0, number - 1)
        table = self._packed.read_at(first * width, min(2, self._count - 1 - first) * width)
        places = [int.from_bytes(table[at : at + width], "little") for at in range(0, len(table), width)]
        start = 0 if number == 0 else places.pop(0) if places else -1
        end = places[0] if number < self._count - 1 and places else self._packed.size - self._data_at
        return self._data_at + start, self._data_at + end

    def _damage(self, number: int, why: str) -> ReadError:
        at = number * self._chunk
        return ReadError(f"a chunk of a file that CompactOS compressed ({self.format}) is damaged: {why}", address=at)
