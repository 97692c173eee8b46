"""Dumps inside archives: .zip, .gz, .xz and .cab, opened as if they were the dump itself.

An archive is looked at only far enough to find the member that begins as a dump does; that one is unpacked, into memory
or, when it is large, a temporary file. What a hostile archive can cost is bounded twice: by MAX_UNPACKED_DUMP and by
MAX_UNPACK_RATIO, which no dump reaches. An archive that is cut or damaged gives the dump up to there.

Sources: PKWARE APPNOTE (Python's zipfile), RFC 1952, the XZ format (Python's lzma), Microsoft [MS-CAB] for cabinets
(stored, MSZIP and LZX folders; Quantum ones are named and left).
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple

from parsers.bytesource import ByteSource, StreamSource
from parsers.diagnostics import Diagnostics
from parsers.dump.cabinet import read_cabinet
from parsers.errors import FormatError, StopcodeError, TruncatedError, UnsupportedError
from parsers.limits import MAX_PACKED_MEMBERS, MAX_UNPACK_RATIO, MAX_UNPACKED_DUMP, MAX_XZ_MEMORY

__all__ = ["Packed", "holds_dump", "packed_kind", "unpack"]

_BLOCK = 1 << 20
#: Kept in memory up to here, in a temporary file beyond.
_IN_MEMORY = 64 << 20
#: Every dump may grow to this, however small its archive.
_ALWAYS = 64 << 20
_DUMP = (b"PAGEDU64", b"PAGEDUMP")
_MAGICS = ((b"PK\x03\x04", "zip"), (b"\x1f\x8b\x08", "gz"), (b"\xfd7zXZ\x00", "xz"), (b"MSCF\0\0\0\0", "cab"))


class Packed(NamedTuple):
    """An unpacked dump.

    Attributes:
        kind: "zip", "gz", "xz" or "cab".
        member: its name in the archive, "" where the format has none.
        source: its bytes.

    """

    kind: str
    member: str
    source: ByteSource


def packed_kind(head: bytes) -> str | None:
    """Return the kind of archive by its first eight bytes, None when it is none that can hold a dump."""
    return next((kind for magic, kind in _MAGICS if head.startswith(magic)), None)


def holds_dump(source: ByteSource) -> bool:
    """Tell whether a file is an archive with a dump in it; unpacks the first bytes of its members alone.

    A member that is called a dump and cannot be unpacked here counts as one: `unpack` says why it is not read.
    """
    kind = packed_kind(source.read_at(0, 8))
    if kind is None:
        return False
    try:
        for number, (name, blocks) in enumerate(_members(kind, source)):
            if number == MAX_PACKED_MEMBERS:
                break
            try:
                if _next(blocks, Diagnostics(), quiet=True).startswith(_DUMP):
                    return True
            except UnsupportedError:
                if name.lower().endswith(".dmp"):
                    return True
    except StopcodeError:
        pass
    return False


def unpack(source: ByteSource, diagnostics: Diagnostics) -> Packed:
    """Unpack the first dump of an archive.

    Raises:
        FormatError: no archive, or no dump in it.
        UnsupportedError: it is encrypted, or compressed in a way that is not read.
        ReadError: a place of the archive cannot be read.

    """
    kind = packed_kind(source.read_at(0, 8))
    found = others = 0
    made: Packed | None = None
    for name, blocks in _members(kind, source):
        found += 1
        if found > MAX_PACKED_MEMBERS:
            diagnostics.warning("dump.packed-members", f"only the first {MAX_PACKED_MEMBERS} members were looked at")
            break
        first = _next(blocks, diagnostics, quiet=True)
        if not first.startswith(_DUMP):
            continue
        if made is not None:
            others += 1
            continue
        made = Packed(kind or "", name, _spool(first, blocks, source.size, diagnostics))
    if made is None:
        raise FormatError(
            f"{kind or 'unknown'} archive",
            "it holds no kernel dump",
            expected="PAGEDU64 or PAGEDUMP",
            found=f"{found} members",
        )
    if others:
        diagnostics.info("dump.packed-others", f"the archive holds {others} more dumps; {made.member} was read")
    return made


def _next(blocks: Iterator[bytes], diagnostics: Diagnostics, *, quiet: bool = False) -> bytes:
    """Return the next block; empty at the end, and where the archive is cut or damaged, which is told."""
    try:
        return next(blocks, b"")
    except UnsupportedError:
        raise
    except (zlib.error, lzma.LZMAError, zipfile.BadZipFile, EOFError, FormatError, OSError) as error:
        if not quiet:
            diagnostics.error(
                "dump.packed-damaged",
                f"the archive is cut or damaged: {error}",
                hint="copy it again; the dump was read up to there",
            )
        return b""


def _spool(first: bytes, blocks: Iterator[bytes], packed: int, diagnostics: Diagnostics) -> ByteSource:
    """Write a member out, up to the limits."""
    limit = min(MAX_UNPACKED_DUMP, max(_ALWAYS, packed * MAX_UNPACK_RATIO))
    # Closed with the source that holds it.
    file: IO[bytes] = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - outlives this function
    size = 0
    block = first
    while block:
        if size + len(block) > limit:
            file.write(block[: limit - size])
            size = limit
            diagnostics.error(
                "dump.packed-large",
                f"the dump in the archive is larger than {limit >> 20} MiB: the rest was not unpacked",
                hint="unpack it yourself and give the dump",
            )
            break
        file.write(block)
        size += len(block)
        block = _next(blocks, diagnostics)
    return StreamSource(file, size)  # type: ignore[arg-type]  # seek and read, all that is asked for, are there


class _Stream(io.RawIOBase):
    """A byte source as zipfile wants it."""

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        data = self._source.read_at(self._at, self._source.size - self._at if size < 0 else size)
        self._at += len(data)
        return data


def _members(kind: str | None, source: ByteSource) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield (name, blocks of bytes) of each member."""
    if kind == "zip":
        yield from _zip_members(source)
    elif kind == "gz":
        yield "", _gz_blocks(source)
    elif kind == "xz":
        yield "", _xz_blocks(source)
    elif kind == "cab":
        yield from read_cabinet(source)


def _zip_members(source: ByteSource) -> Iterator[tuple[str, Iterator[bytes]]]:
    try:
        archive = zipfile.ZipFile(_Stream(source))
        infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, EOFError) as error:
        raise FormatError("ZIP", f"its directory is damaged: {error}", offset=0) from error
    for info in sorted(infos, key=lambda one: not one.filename.lower().endswith(".dmp")):
        # Not info.is_dir(), which fails on a member without a name.
        if not info.filename.endswith("/") and info.file_size >= 8:
            yield info.filename, _zip_blocks(archive, info)


def _zip_blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    if info.flag_bits & 1:
        raise UnsupportedError(f"{info.filename} in the archive is encrypted", hint="unpack it with its password")
    try:
        with archive.open(info) as member:
            yield member.read(8)
            while block := member.read(_BLOCK):
                yield block
    except NotImplementedError as error:
        raise UnsupportedError(f"{info.filename}: {error}", hint="unpack it with another tool") from error
    except (RuntimeError, ValueError) as error:
        raise FormatError("ZIP", f"{info.filename}: {error}") from error


def _gz_blocks(source: ByteSource) -> Iterator[bytes]:
    at, size = 0, 8
    while at < source.size:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not stream.eof:
            fed = source.read_at(at, _BLOCK)
            at += len(fed)
            block = stream.decompress(fed, size)
            if not fed and not block and not stream.eof:
                raise TruncatedError("GZIP", "ends too early", offset=at)
            size = _BLOCK
            while block:
                yield block
                block = b"" if stream.eof else stream.decompress(stream.unconsumed_tail, _BLOCK)
        at -= len(stream.unused_data)
        if source.read_at(at, 2) != b"\x1f\x8b":
            return


def _xz_blocks(source: ByteSource) -> Iterator[bytes]:
    try:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)
        at = 0
        size = 8
        while not stream.eof:
            fed = b""
            if stream.needs_input:
                fed = source.read_at(at, _BLOCK)
                if not fed:
                    raise TruncatedError("XZ", "ends too early", offset=at)
                at += len(fed)
            block = stream.decompress(fed, size)
            size = _BLOCK
            if block:
                yield block
    except lzma.LZMAError as error:
        if "memory" in str(error).lower():
            raise UnsupportedError("the archive demands too much memory", hint="unpack it with xz") from error
        raise
    except MemoryError as error:
        raise UnsupportedError("the archive demands too much memory", hint="unpack it with xz") from error
