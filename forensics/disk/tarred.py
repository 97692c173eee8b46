"""Files in an uncompressed tar (dissect's acquire writes them); Python's tarfile reads the headers.

tarfile follows sizes and offsets as they stand (negative ones made it run in circles, CVE-2025-8194), so every step
must lead onwards and every read is bounded.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial

from forensics.disk.archive import ArchiveFiles, Member
from forensics.disk.foreign import SourceFile, as_ours
from parsers.bytesource import ByteSource, FileSource, WindowSource
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, StopcodeError, TruncatedError, UnsupportedError

__all__ = ["MAGIC", "open_tar"]

#: Offset and bytes of what tells a tar.
MAGIC = (257, b"ustar")
_EPOCH = 11_644_473_600


def open_tar(file: FileSource, diagnostics: Diagnostics) -> ArchiveFiles:
    """Return the files of a tar; of one that is cut or damaged those before the damage, which is told.

    Raises:
        FormatError: a header is damaged, or there are too many members.
        TruncatedError: it ends within a header.

    """
    with as_ours("tar"):
        archive = tarfile.TarFile(fileobj=_Forward(file))  # type: ignore[arg-type]  # read, seek, tell: all it needs
        return ArchiveFiles(_members(archive, file, diagnostics), file, "tar")


class _Forward(SourceFile):
    """The file as tarfile wants it."""

    name = None
    mode = "rb"


def _members(archive: tarfile.TarFile, file: FileSource, diagnostics: Diagnostics) -> Iterator[Member]:
    last = -1
    while True:
        try:
            info = archive.next()
        except (tarfile.TarError, StopcodeError) as error:
            diagnostics.error(
                "archive.damaged",
                f"The tar is cut or damaged behind {last:#x}: {error}; what stands before was read",
                hint="copy the archive again",
                source=file.path.name,
            )
            return
        if info is None:
            return
        # The list that tarfile keeps of what it has read is not used here.
        archive.members.clear()  # type: ignore[attr-defined]  # there since Python 2, and left out of the stubs
        if archive.offset <= last or info.size < 0 or info.offset_data < 0:
            raise FormatError("tar", "a header leads backwards", offset=info.offset)
        last = archive.offset
        modified = max(0, int((info.mtime + _EPOCH) * 10_000_000))
        if info.isdir():
            yield Member(info.name, 0, modified, None)
        elif info.isreg():
            yield Member(info.name, info.size, modified, partial(_open, info, file))


def _open(info: tarfile.TarInfo, file: FileSource) -> ByteSource:
    if info.issparse():
        raise UnsupportedError(f"{info.name} is stored sparse in the tar, which is not read", hint="unpack the tar")
    window = WindowSource(file, info.offset_data, info.size)
    if window.size != info.size:
        raise TruncatedError("tar", f"{info.name} reaches beyond the end of the archive", offset=info.offset_data)
    return window
