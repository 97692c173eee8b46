r"""The files of a FAT volume (the EFI system partition): dissect reads them, and its chains of clusters are ours.

dissect.fat 3.13 follows a chain without end where it leads in circles, and where a cluster is followed by the one
before it, reads the one behind it instead (`FAT.runlist`): silently other data. So chains are walked here.

Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03 (end marks, the limit of a folder's size).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from forensics.disk.foreign import ForeignSource, SourceFile, as_ours
from forensics.disk.tree import glob, join, parts_of
from parsers.bytesource import ByteSource, BytesSource, StreamSource
from parsers.errors import FormatError, ReadError, StopcodeError
from parsers.limits import MAX_FAT_CHAIN, MAX_FAT_FOLDER

if TYPE_CHECKING:
    from forensics.collect.volume import FileEntry

__all__ = ["FatFiles"]

#: Values of the table from which on a chain has ended, by the bits of an entry.
_ENDS: Final = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}


class _Entry:
    """One file or folder. FAT keeps local times, so none is told."""

    __slots__ = ("inner", "is_dir", "modified", "name", "path", "size")

    def __init__(self, inner: Any, above: str) -> None:
        self.inner = inner
        self.name = str(inner.name)
        self.path = f"{above}\\{self.name}"
        self.is_dir = bool(inner.is_directory())
        self.size = 0 if self.is_dir else int(inner.dirent.DIR_FileSize)
        self.modified = 0


class FatFiles:
    """The files of a FAT12, FAT16 or FAT32 volume.

    Args:
        source: the volume.

    Raises:
        FormatError: its boot sector is no sound one.

    """

    def __init__(self, source: ByteSource) -> None:
        from dissect.fat.fat import FATFS

        file = SourceFile(source)
        with as_ours("FAT"):
            self._fs = FATFS(file)
        self._fs.fat.runlist = self._runs
        file.strict = True
        self._listings: dict[str, list[_Entry]] = {}

    def _runs(self, cluster: int) -> Iterator[tuple[int, int]]:
        """Yield (cluster behind the first two, count) of a chain.

        Raises:
            FormatError: it leads in circles, out of the volume, or is longer than any sane one.

        """
        fat = self._fs.fat
        end = _ENDS[fat.bits_per_entry]
        seen: set[int] = set()
        start = count = 0
        while cluster < end:
            if cluster < 2 or cluster >= fat.entry_count or cluster in seen or len(seen) >= MAX_FAT_CHAIN:
                raise FormatError("FAT", "a chain of clusters leads in circles or nowhere", found=cluster)
            seen.add(cluster)
            if count and cluster == start + count:
                count += 1
            else:
                if count:
                    yield start - 2, count
                start, count = cluster, 1
            cluster = fat.get(cluster)
        if count:
            yield start - 2, count

    def _below(self, folder: Any, path: str) -> list[_Entry]:
        key = path.lower()
        if key not in self._listings:
            with as_ours("FAT"):
                if folder.size > MAX_FAT_FOLDER:
                    raise FormatError("FAT", "a folder is too large", expected=f"<= {MAX_FAT_FOLDER}")
                found = [_Entry(item, path) for item in folder.iterdir() if not item.is_volume_id()]
            self._listings[key] = [entry for entry in found if entry.name not in (".", "..")]
        return self._listings[key]

    def _find(self, path: str) -> _Entry | None:
        """Return an entry; None where it is not there, and for the root."""
        folder, above, entry = self._fs.root, "", None
        for part in parts_of(path):
            if entry is not None and not entry.is_dir:
                return None
            below = self._below(folder, above)
            entry = next((each for each in below if part.lower() in (each.name.lower(), _short(each))), None)
            if entry is None:
                return None
            folder, above = entry.inner, entry.path
        return entry

    def stat(self, path: str) -> FileEntry | None:
        """Return an entry, or None when it is not there, and for the root.

        Raises:
            StopcodeError: a folder on the way is damaged.

        """
        return self._find(path)

    def open(self, path: str) -> ByteSource:
        """Open a file.

        Raises:
            ReadError: it is not there, or is a folder.
            FormatError: its chain of clusters is damaged.

        """
        entry = self._find(path)
        if entry is None or entry.is_dir:
            raise ReadError(f"{'a folder, not a file' if entry is not None else 'no such file'}: {path}")
        if not entry.size:
            return BytesSource(b"")
        with as_ours("FAT"):
            runs = entry.inner.dataruns()
            if sum(count for _first, count in runs) * self._fs.cluster_size < entry.size:
                raise FormatError("FAT", f"the chain of clusters of {path} ends before the file")
            stream = entry.inner.open()
        return ForeignSource(StreamSource(stream, entry.size).read_at, entry.size, format="FAT")

    def listdir(self, path: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return a folder's entries sorted by name; none when it is not there.

        Raises:
            FormatError: the folder is damaged, and nobody is told.

        """
        parts = parts_of(path)
        try:
            entry = self._find(path)
            if parts and (entry is None or not entry.is_dir):
                return []
            folder = entry.inner if entry is not None else self._fs.root
            listed = self._below(folder, entry.path if entry is not None else "")
        except StopcodeError as error:
            if damage is None:
                raise
            damage.append(error)
            return []
        return sorted(listed, key=lambda each: each.name.lower())

    def glob(self, pattern: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return the entries that match: `*` and `?` within one name.

        Raises:
            StopcodeError: a folder on the way is damaged.

        """
        return glob(self, join(parts_of(pattern)), damage)


def _short(entry: _Entry) -> str:
    return str(entry.inner.short_name).lower()
