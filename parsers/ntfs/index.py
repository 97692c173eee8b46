"""The index of a folder: entries sorted by name in a tree of blocks."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from parsers.bytesource import ByteSource, read_exact
from parsers.errors import FormatError, StopcodeError
from parsers.limits import MAX_FOLDER_ENTRIES, MAX_NTFS_INDEX_DEPTH
from parsers.ntfs.record import fix_up

__all__ = ["DirEntry", "Index", "file_name"]

_ENTRY = struct.Struct("<QHHH2x")
_FILE_NAME = struct.Struct("<QQQQQQQIIBB")
_HEADER = struct.Struct("<III")
_ROOT_HEADER: Final = 16
_BLOCK_HEADER: Final = 24
_HAS_BLOCK: Final = 1
_LAST: Final = 2
_DOS: Final = 2
_FOLDER: Final = 0x10000000


@dataclass(frozen=True, slots=True)
class DirEntry:
    """One name in a folder.

    Attributes:
        reference: the record (48 bits) and its sequence number (16 bits).
        name: the name; lone surrogates are U+FFFD.
        units: the name as UTF-16 on disk.
        dos: whether this is a short (8.3) name beside a long one.
        parent: reference of the folder.
        size, modified: bytes and FILETIME as the folder keeps them: copies that Windows brings up to date late, and
            only under the name by which the file was opened.
        is_dir: whether it is a folder.

    """

    reference: int
    name: str
    units: bytes
    dos: bool
    parent: int
    size: int
    modified: int
    is_dir: bool


def file_name(data: bytes, reference: int, offset: int) -> DirEntry:
    """Read a $FILE_NAME.

    Raises:
        FormatError: it is cut.

    """
    if len(data) < _FILE_NAME.size:
        raise FormatError("NTFS", "a file name is cut", offset=offset, found=len(data))
    parent, _, modified, _, _, _, size, flags, _, length, space = _FILE_NAME.unpack_from(data)
    units = data[_FILE_NAME.size : _FILE_NAME.size + 2 * length]
    if len(units) != 2 * length:
        raise FormatError("NTFS", "a file name is cut", offset=offset, found=len(units))
    name = units.decode("utf-16-le", "replace")
    return DirEntry(reference, name, units, space == _DOS, parent, size, modified, bool(flags & _FOLDER))


class Index:
    """The index of one folder.

    Args:
        root: the $INDEX_ROOT attribute's value.
        blocks: the $INDEX_ALLOCATION attribute's bytes; None when the folder is small.
        cluster: bytes of a cluster.

    Raises:
        FormatError: the root is damaged.

    """

    def __init__(self, root: bytes, blocks: ByteSource | None, cluster: int) -> None:
        if len(root) < _ROOT_HEADER + 16:
            raise FormatError("NTFS", "the root of a folder's index is cut", found=len(root))
        self._root = root
        self._blocks = blocks
        self._block_size = int.from_bytes(root[8:12], "little")
        if not 512 <= self._block_size <= 0x10000 or self._block_size & 511:
            raise FormatError("NTFS", "the size of index blocks is impossible", found=self._block_size)
        # Blocks smaller than a cluster are counted in sectors of 512 bytes.
        self._unit = cluster if cluster <= self._block_size else 512

    def _node(self, data: bytes, header: int, where: int) -> Iterator[tuple[DirEntry | None, int | None]]:
        """Yield the entries of a node, each with the block that lies before it; None for the last, which has no name.

        Args:
            data: the node.
            header: where its index header stands.
            where: for errors.

        """
        first, length, _ = _HEADER.unpack_from(data, header)
        at, end = header + first, header + length
        if end > len(data):
            raise FormatError("NTFS", "an index node is longer than its block", offset=where, found=length)
        while True:
            if at + 16 > end:
                raise FormatError("NTFS", "an index node has no last entry", offset=where)
            reference, size, key_size, flags = _ENTRY.unpack_from(data, at)
            if size < 16 or at + size > end or 16 + key_size > size:
                raise FormatError("NTFS", "an index entry's length is impossible", offset=where + at, found=size)
            below = None
            if flags & _HAS_BLOCK:
                if size < 24:
                    raise FormatError("NTFS", "an index entry has no room for its block", offset=where + at)
                below = int.from_bytes(data[at + size - 8 : at + size], "little")
            if flags & _LAST:
                yield None, below
                return
            yield file_name(data[at + 16 : at + 16 + key_size], reference, where + at), below
            at += size

    def _block(self, vcn: int) -> Iterator[tuple[DirEntry | None, int | None]]:
        if self._blocks is None:
            raise FormatError("NTFS", "a folder's index names a block and has none", found=vcn)
        offset = vcn * self._unit
        data = read_exact(self._blocks, offset, self._block_size, format="NTFS")
        data = fix_up(data, b"INDX", offset)
        if int.from_bytes(data[16:24], "little") != vcn:
            raise FormatError("NTFS", "an index block names another place", offset=offset, expected=vcn)
        return self._node(data, _BLOCK_HEADER, offset)

    def entries(self) -> Iterator[DirEntry]:
        """Yield all entries in order, short names among them.

        Raises:
            FormatError: behind the sound ones: blocks are damaged, cannot be read, form a loop or go deeper than is
                sane; at once: the folder is longer than is sane.

        """
        seen: set[int] = set()
        damaged: list[StopcodeError] = []
        stack = [self._node(self._root, _ROOT_HEADER, 0)]
        pending: list[DirEntry | None] = []
        count = 0
        while stack:
            try:
                found = next(stack[-1], None)
            except StopcodeError as error:
                # The rest of this block; what lies beside it goes on.
                damaged.append(error)
                found = None
            if found is None:
                stack.pop()
                if pending and (entry := pending.pop()) is not None:
                    yield entry
                continue
            count += 1
            if count > MAX_FOLDER_ENTRIES:
                raise FormatError("NTFS", "a folder has too many entries", expected=f"<= {MAX_FOLDER_ENTRIES}")
            entry, below = found
            if below is None:
                if entry is not None:
                    yield entry
                continue
            try:
                if below in seen or len(stack) > MAX_NTFS_INDEX_DEPTH:
                    raise FormatError("NTFS", "the blocks of a folder's index form a loop", found=below)
                seen.add(below)
                stack.append(self._block(below))
            except StopcodeError as error:
                damaged.append(error)
                if entry is not None:
                    yield entry
                continue
            pending.append(entry)
        if damaged:
            blocks = f"{len(damaged)} block{'s' if len(damaged) > 1 else ''}"
            raise FormatError(
                "NTFS", f"{blocks} of a folder's index cannot be read: {damaged[0].message}"
            ) from damaged[0]

    def find(self, name: bytes, fold: Callable[[bytes], bytes]) -> DirEntry | None:
        """Return the entry of a name, or None when it is not there; reads one block a level.

        Args:
            name: UTF-16 (little-endian).
            fold: gives what names are ordered by: upper-case UTF-16 (big-endian).

        Raises:
            FormatError: the index is damaged on the way.
            ReadError: a block cannot be read.

        """
        wanted = fold(name)
        node = self._node(self._root, _ROOT_HEADER, 0)
        for _ in range(MAX_NTFS_INDEX_DEPTH):
            following = None
            for entry, below in node:
                if entry is not None:
                    key = fold(entry.units)
                    if key == wanted:
                        return entry
                    if key < wanted:
                        continue
                following = below
                break
            if following is None:
                return None
            node = self._block(following)
        raise FormatError("NTFS", "the blocks of a folder's index form a loop")
