"""Files of ours: never over one that exists, whole or not at all, read again before they count."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from parsers.bytesource import ByteSource
from parsers.errors import StopcodeError
from stopcode.rescue.reading import CHUNK, Unreadable, chunks

__all__ = ["Copied", "NotWrittenError", "copy_out", "new_file", "refuse_to_fill"]


class NotWrittenError(StopcodeError):
    """A file that was not written: its name is taken, there is no room, or it reads back as something else."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A file that was copied and read again.

    Attributes:
        path: where it is.
        size: bytes.
        sha256: of what was read from the image, and of what the file gave when it was read again.
        unreadable: the stretches that hold zeros because the image could not be read there.

    """

    path: Path
    size: int
    sha256: str
    unreadable: Unreadable


def refuse_to_fill(folder: Path, needed: int) -> None:
    """Refuse before the first byte where a folder has no room.

    Raises:
        NotWrittenError: there is less room than needed.

    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NotWrittenError(
            f"{folder} has {free:,} bytes free, and {needed:,} are needed", hint="name another folder with --to"
        )


@contextmanager
def new_file(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Give a file under a name of its own beside `path`, which becomes `path` when all of it is there.

    It is readable by its owner alone: memory and hives hold secrets.

    Raises:
        NotWrittenError: `path` is there already, or came to be meanwhile.

    """
    taken = NotWrittenError(f"{path} exists, and nothing is ever written over", hint="name another folder with --to")
    if os.path.lexists(path):
        raise taken
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".rescue-", suffix=".partial")
    partial = Path(name)
    try:
        with os.fdopen(handle, "w+b") as out:
            yield out, partial
        try:
            # The name is claimed first: whoever made it meanwhile keeps it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise taken from None
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def copy_out(source: ByteSource, path: Path, progress: Callable[[int, int], None] | None = None) -> Copied:
    """Copy all bytes of a source to a new file, and read it again.

    Zeros become holes: a dump of a large machine has many.

    Raises:
        NotWrittenError: the name is taken, there is no room, or the file gives other bytes than were written.
        OSError: the host cannot write it.

    """
    size = source.size
    refuse_to_fill(path.parent, size)
    unreadable = Unreadable()
    digest = hashlib.sha256()
    done = 0
    with new_file(path) as (out, partial):
        for data in chunks(source, unreadable):
            digest.update(data)
            if data.count(0) == len(data):
                out.seek(len(data), os.SEEK_CUR)
            else:
                out.write(data)
            done += len(data)
            if progress is not None:
                progress(done, size)
        out.truncate(size)
        out.flush()
        os.fsync(out.fileno())
        _forget(out)
        if _sha256(partial) != digest.hexdigest():
            raise NotWrittenError(
                f"{path} gives other bytes than were written to it: the medium under {path.parent} is bad",
                hint="name a folder on another disk with --to",
            )
    return Copied(path, size, digest.hexdigest(), unreadable)


def _forget(file: BinaryIO) -> None:
    """Ask the host to read the file from its medium when it is read again."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is not None:
        with suppress(OSError):
            advise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()
