"""The files of an NTFS volume, by path.

Size and time of a file come from its own record: the copies in its folder's index are brought up to date late, and
only under the name by which the file was opened (system files have a second name in WinSxS).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from forensics.disk.tree import glob, join, parts_of
from parsers.bytesource import ByteSource, BytesSource
from parsers.errors import FormatError, ReadError, StopcodeError, UnsupportedError
from parsers.limits import MAX_FOLDERS_KEPT
from parsers.ntfs import DirEntry, NtfsVolume, Record
from parsers.ntfs.index import file_name
from parsers.ntfs.record import DATA, FILE_NAME, REPARSE_POINT, STANDARD_INFORMATION, record_number
from parsers.ntfs.volume import ROOT
from parsers.wof import STREAM, WofSource, compression_of
from parsers.wof import TAG as WOF_TAG

if TYPE_CHECKING:
    from forensics.collect.volume import FileEntry

__all__ = ["NtfsFiles"]

#: The records before are those of the volume's own files ($MFT, $LogFile, …).
_FIRST_FILE: Final = 24
_LINKS: Final = {0xA0000003: "a junction", 0xA000000C: "a symbolic link"}
#: Files whose unnamed data are zeros: the content is elsewhere, and only a filter driver brings it.
_ELSEWHERE: Final = {
    0x80000013: "the file is deduplicated, and its content is in the chunk store",
    0x80000008: "the file is backed by a WIM image, which is not here",
}
_CLOUD: Final = 0x9000001A
_CLOUD_MASK: Final = 0xFFFF0FFF


class _Entry:
    """One file or folder; what its record tells is read when it is asked for."""

    __slots__ = ("_copy", "_exact", "_files", "is_dir", "name", "path")

    def __init__(self, files: NtfsFiles, path: str, copy: DirEntry) -> None:
        self._files = files
        self._copy = copy
        self._exact: tuple[int, int] | None = None
        self.path = path
        self.name = path.rpartition("\\")[2]
        self.is_dir = copy.is_dir

    def __repr__(self) -> str:
        return f"<{'folder' if self.is_dir else 'file'} {self.path!r}>"

    @property
    def size(self) -> int:
        """Bytes."""
        return self._read()[0]

    @property
    def modified(self) -> int:
        """FILETIME of the last change of its data."""
        return self._read()[1]

    def _read(self) -> tuple[int, int]:
        if self._exact is None:
            try:
                self._exact = self._files.exact(self._copy.reference)
            except StopcodeError:
                # Whoever opens the file is told; the folder's copy is the best that is left.
                self._exact = (self._copy.size, self._copy.modified)
        return self._exact


class NtfsFiles:
    """The files of one volume; names compare without regard to case, as the volume's own table has it.

    Args:
        volume: the volume.

    """

    def __init__(self, volume: NtfsVolume) -> None:
        self.volume = volume
        self._listings: OrderedDict[int, list[DirEntry]] = OrderedDict()
        self._by_name: dict[int, dict[bytes, DirEntry]] = {}
        self._folders: OrderedDict[str, tuple[Record, list[str]]] = OrderedDict()

    def exact(self, reference: int) -> tuple[int, int]:
        """Return size and time of a file, from its record.

        Raises:
            StopcodeError: the record cannot be read.

        """
        record = self.volume.record(reference)
        data = record.find(DATA)
        if data is not None and data.lowest == 0:
            size = data.size
        else:
            stream = self.volume.stream(record)
            size = stream.size if stream is not None else 0
        times = record.find(STANDARD_INFORMATION)
        value = times.value if times is not None and times.value is not None else b""
        return size, int.from_bytes(value[8:16], "little") if len(value) >= 16 else 0

    def _listing(self, folder: Record, damage: list[StopcodeError] | None) -> list[DirEntry]:
        kept = self._listings.get(folder.number)
        if kept is None:
            kept = []
            try:
                for entry in self.volume.index(folder).entries():
                    # The root folder lists itself and the volume's own files, which Windows shows nobody.
                    if not entry.dos and record_number(entry.reference) >= _FIRST_FILE:
                        kept.append(entry)
            except StopcodeError as error:
                if damage is None:
                    raise
                damage.append(error)
                # Not kept: a name that is missing here may be in the part that cannot be read.
                return kept
            self._listings[folder.number] = kept
            self._by_name.pop(folder.number, None)
            if len(self._listings) > MAX_FOLDERS_KEPT:
                self._by_name.pop(self._listings.popitem(last=False)[0], None)
        return kept

    def _find(self, folder: Record, name: str) -> DirEntry | None:
        units = name.encode("utf-16-le", "replace")
        fold = self.volume.fold
        if folder.number in self._listings:
            names = self._by_name.get(folder.number)
            if names is None:
                names = {fold(entry.units): entry for entry in reversed(self._listings[folder.number])}
                self._by_name[folder.number] = names
            found = names.get(fold(units))
            # Short names and the volume's own files do not stand in the listing.
            if found is not None or ("~" not in name and not name.startswith("$")):
                return found
        return self.volume.index(folder).find(units, fold)

    def _folder(self, parts: list[str]) -> tuple[Record, list[str]] | None:
        """Return the record of a folder and its path with the names' own case."""
        keys = ["\\".join(parts[:count]).lower() for count in range(len(parts) + 1)]
        # From the deepest folder above that is known already.
        count = next((count for count in range(len(parts), 0, -1) if keys[count] in self._folders), 0)
        found = self._folders[keys[count]] if count else (self.volume.record(ROOT), list[str]())
        for part, key in zip(parts[count:], keys[count + 1 :], strict=True):
            entry = self._find(found[0], part)
            if entry is None or not entry.is_dir:
                return None
            record = self.volume.record(entry.reference)
            tag = self.volume.reparse_tag(record)
            names = [*found[1], self._long_name(entry, record)]
            if tag in _LINKS:
                raise UnsupportedError(f"{join(names)} is {_LINKS[tag]}, which is not followed")
            found = (record, names)
            self._folders[key] = found
            if len(self._folders) > MAX_FOLDERS_KEPT:
                self._folders.popitem(last=False)
        return found

    @staticmethod
    def _long_name(entry: DirEntry, record: Record) -> str:
        if not entry.dos:
            return entry.name
        for attribute in record.attributes:
            if attribute.type == FILE_NAME and attribute.value is not None:
                name = file_name(attribute.value, entry.reference, record.offset)
                if not name.dos and record_number(name.parent) == record_number(entry.parent):
                    return name.name
        return entry.name

    def _entry(self, path: str) -> tuple[DirEntry, list[str]] | None:
        parts = parts_of(path)
        above = self._folder(parts[:-1])
        entry = self._find(above[0], parts[-1]) if above is not None else None
        if above is None or entry is None:
            return None
        name = self._long_name(entry, self.volume.record(entry.reference)) if entry.dos else entry.name
        return entry, [*above[1], name]

    def stat(self, path: str) -> FileEntry | None:
        """Return an entry, or None when it is not there.

        Raises:
            FormatError: a folder on the way is damaged.
            UnsupportedError: a folder on the way is a link.
            ReadError: a place cannot be read.

        """
        if not parts_of(path):
            return _Entry(self, "\\", DirEntry(ROOT, "", b"", False, ROOT, 0, 0, True))
        found = self._entry(path)
        return None if found is None else _Entry(self, join(found[1]), found[0])

    def open(self, path: str) -> ByteSource:
        """Open a file.

        Raises:
            ReadError: it is not there, is a folder, or a place cannot be read.
            FormatError: it, or a folder on the way, is damaged.
            UnsupportedError: it is encrypted, a link, or its content is stored in a way that is not read.

        """
        found = self._entry(path) if parts_of(path) else None
        if found is None:
            raise ReadError(f"no such file: {path}")
        record = self.volume.record(found[0].reference)
        if record.is_dir:
            raise ReadError(f"a folder, not a file: {path}")
        tag = self.volume.reparse_tag(record)
        if tag == WOF_TAG:
            return self._unpacked(record, path)
        if tag is not None:
            reason = _ELSEWHERE.get(tag)
            if tag in _LINKS:
                reason = f"the file is {_LINKS[tag]}, which is not followed"
            elif tag & _CLOUD_MASK == _CLOUD:
                reason = "the file's content is in the cloud"
            if reason is not None:
                raise UnsupportedError(f"{path}: {reason}")
        stream = self.volume.stream(record)
        return stream if stream is not None else BytesSource(b"")

    def _unpacked(self, record: Record, path: str) -> ByteSource:
        """Return the content of a file that CompactOS compressed."""
        point = self.volume.stream(record, REPARSE_POINT)
        zeros, packed = self.volume.stream(record), self.volume.stream(record, DATA, STREAM)
        try:
            form = compression_of(point.read_at(0, 24) if point is not None else b"")
            if zeros is None or packed is None:
                raise FormatError("WOF", f"the file has no stream {STREAM}", offset=record.offset)
            return WofSource(packed, zeros.size, form)
        except UnsupportedError as error:
            raise UnsupportedError(f"{path}: {error.message}") from error

    def listdir(self, path: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return a folder's entries without short names, sorted as the volume has them; none when it is not there.

        Args:
            path: the folder.
            damage: told what is damaged in the folder's index; then the entries that can be read are returned.

        Raises:
            FormatError: the folder is damaged, and nobody is told.
            UnsupportedError: it, or one on the way, is a link.
            ReadError: a place cannot be read.

        """
        found = self._folder(parts_of(path))
        if found is None:
            return []
        record, names = found
        prefix = join(names).rstrip("\\")
        return [_Entry(self, f"{prefix}\\{entry.name}", entry) for entry in self._listing(record, damage)]

    def glob(self, pattern: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return the entries that match: `*` and `?` within one name.

        Args:
            pattern: the pattern.
            damage: told what is damaged of the folders on the way; then what can be read is returned.

        Raises:
            StopcodeError: a folder on the way cannot be read.

        """
        return glob(self, pattern, damage)
