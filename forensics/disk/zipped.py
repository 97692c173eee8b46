"""Files in a zip, each unpacked when it is read, into memory or, when it is large, a temporary file.

Python's zipfile reads the directory and the members; what a hostile one can cost is bounded: the directory's bytes, how
much one member may unpack to (by its declared size and by what its packed bytes can sanely hold), and all of them
together. A member is believed when its checksum holds, never a part of it.

Sources: PKWARE APPNOTE 4.3.7 (local header), 4.5.5 (NTFS times); Info-ZIP's extra field 0x5455 (time in UTC). The time
in the directory itself is local to an unknown zone, so it is not taken.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, Final

from forensics.disk.archive import ArchiveFiles, Member
from forensics.disk.foreign import SourceFile
from parsers.bytesource import ByteSource, FileSource, WindowSource
from parsers.errors import FormatError, ReadError, StopcodeError, UnsupportedError
from parsers.limits import MAX_ARCHIVE_DIRECTORY, MAX_ARCHIVE_UNPACKED, MAX_UNPACK_RATIO, MAX_UNPACKED_DUMP

__all__ = ["MAGICS", "open_zip"]

#: How a zip begins; the second is an empty one.
MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_BLOCK: Final = 1 << 20
#: Kept in memory up to here, in a temporary file beyond; also what every member may unpack to.
_IN_MEMORY: Final = 64 << 20
#: Seconds from 1601, where FILETIMEs begin, to 1970.
_EPOCH: Final = 11_644_473_600
_ENCRYPTED: Final = 1
_LOCAL_HEADER: Final = 30
_NTFS_TIMES, _UNIX_TIMES = 0x000A, 0x5455


def open_zip(file: FileSource) -> ArchiveFiles:
    """Return the files of a zip.

    Raises:
        FormatError: its directory is damaged, too large, or has too many members.
        UnsupportedError: all that it holds is encrypted.

    """
    try:
        archive = zipfile.ZipFile(_Directory(file))
        infos = archive.infolist()
    except StopcodeError:
        raise
    except Exception as error:  # zipfile raises every kind where bytes are not as it expects
        raise FormatError(
            "ZIP",
            f"its directory is damaged ({type(error).__name__}: {error})",
            hint="copy it again, or unpack it with a program that can repair it",
        ) from error
    files = [info for info in infos if not _is_folder(info)]
    if files and all(info.flag_bits & _ENCRYPTED for info in files):
        raise UnsupportedError(
            f"{file.path.name} is encrypted", hint="unpack it with its password, and scan the folder with its files"
        )
    budget = _Budget()
    return ArchiveFiles(_members(archive, infos, file, budget), file, "ZIP")


class _Directory(SourceFile):
    """The file as zipfile wants it; the directory is what it reads at once."""

    def __init__(self, file: FileSource) -> None:
        super().__init__(file)
        self._end = file.size

    def read(self, length: int | None = -1) -> bytes:
        if length is None or length < 0:
            length = max(0, self._end - self.tell())
        if length > MAX_ARCHIVE_DIRECTORY:
            raise FormatError("ZIP", "its directory is too large", expected=f"<= {MAX_ARCHIVE_DIRECTORY}", found=length)
        return super().read(length)

    def seekable(self) -> bool:
        return True


class _Budget:
    """How much may still be unpacked of one archive."""

    def __init__(self) -> None:
        self.left = MAX_ARCHIVE_UNPACKED


def _is_folder(info: zipfile.ZipInfo) -> bool:
    """Tell whether a member is a folder; zipfile's own word for it fails on a member without a name."""
    return info.filename.endswith("/")


def _members(
    archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], file: FileSource, budget: _Budget
) -> Iterator[Member]:
    for info in infos:
        mode = info.external_attr >> 16
        if _is_folder(info):
            yield Member(info.filename, 0, _modified(info.extra), None)
        elif not mode or stat.S_IFMT(mode) in (0, stat.S_IFREG):
            # A link or a device is passed over: it would show something that is not in the archive.
            opened = partial(_open, archive, info, file, budget)
            yield Member(info.filename, info.file_size, _modified(info.extra), opened)


def _modified(extra: bytes) -> int:
    """Return the time that a member's extra fields give, as FILETIME; 0 when they give none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + length]
        if kind == _NTFS_TIMES and len(field) >= 16 and field[4:8] == b"\x01\0\x18\0":
            return int.from_bytes(field[8:16], "little")
        if kind == _UNIX_TIMES and len(field) >= 5 and field[0] & 1:
            return (int.from_bytes(field[1:5], "little", signed=True) + _EPOCH) * 10_000_000
        at += 4 + length
    return 0


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: FileSource, budget: _Budget) -> ByteSource:
    if info.flag_bits & _ENCRYPTED:
        raise UnsupportedError(f"{info.filename} in the archive is encrypted", hint="unpack it with its password")
    if info.compress_type == zipfile.ZIP_STORED:
        header = file.read_at(info.header_offset, _LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or not header.startswith(MAGICS[0]) or info.compress_size != info.file_size:
            raise FormatError("ZIP", f"the header of {info.filename} is damaged", offset=info.header_offset)
        name, extra = struct.unpack_from("<HH", header, 26)
        window = WindowSource(file, info.header_offset + _LOCAL_HEADER + name + extra, info.file_size)
        if window.size != info.file_size:
            raise FormatError("ZIP", f"{info.filename} reaches beyond the end of the archive")
        return window
    limit = min(MAX_UNPACKED_DUMP, max(_IN_MEMORY, info.compress_size * MAX_UNPACK_RATIO))
    if info.file_size > limit:
        raise UnsupportedError(
            f"{info.filename} in the archive would unpack to {info.file_size} bytes, more than is believed of it",
            hint="unpack it yourself, and scan the folder",
        )
    return _Unpacked(archive, info, budget)


class _Unpacked:
    """A packed member; unpacked whole at the first read, because its checksum stands for the whole alone."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> None:
        self._archive = archive
        self._info = info
        self._budget = budget
        self._file: IO[bytes] | None = None
        self._problem: StopcodeError | None = None

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._info.file_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`.

        Raises:
            ReadError: the member is damaged, or too much would be unpacked.

        """
        if offset < 0 or length <= 0 or offset >= self.size:
            return b""
        if self._problem is not None:
            raise self._problem
        if self._file is None:
            try:
                self._file = self._unpack()
            except StopcodeError as error:
                self._problem = error
                raise
        self._file.seek(offset)
        return self._file.read(min(length, self.size - offset))

    def _unpack(self) -> IO[bytes]:
        name = self._info.filename
        if self._info.file_size > self._budget.left:
            raise ReadError(f"{name}: more than {MAX_ARCHIVE_UNPACKED >> 30} GiB of the archive would be unpacked")
        self._budget.left -= self._info.file_size
        # Closed with the source that holds it.
        made: IO[bytes] = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - outlives this function
        size = 0
        try:
            with self._archive.open(self._info) as member:
                while block := member.read(_BLOCK):
                    made.write(block)
                    size += len(block)
        except NotImplementedError as error:
            raise ReadError(f"{name}: {error}", hint="unpack the archive with another tool") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            raise ReadError(f"{name} in the archive is damaged: {error}", hint="copy the archive again") from error
        if size != self._info.file_size:
            raise ReadError(f"{name} in the archive is damaged: {size} of {self._info.file_size} bytes came")
        return made
