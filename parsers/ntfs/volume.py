"""NTFS volumes: our own reader, read-only, lazy and bounded.

Written because fox-it/dissect.ntfs, which is the second reader in the tests, returns what the disk held before for the
part of a file that was never written (it does not know the initialized size), goes on for ever over hostile runs of a
compressed file, swallows damage of a folder's index, and takes several times as long for a folder of drivers.

References: tuxera/ntfs-3g (include/ntfs-3g/layout.h, libntfs-3g: runlist.c, index.c), fox-it/dissect.ntfs; read beside
ntfscat, ntfsinfo and 7-Zip. Tried on volumes that Windows, ntfs-3g and wimlib wrote.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from parsers.bytesource import ByteSource, BytesSource, read_exact
from parsers.errors import FormatError, ReadError, StopcodeError, UnsupportedError
from parsers.limits import MAX_ATTRIBUTE_LIST, MAX_NTFS_EXTENSIONS, MAX_NTFS_RECORDS_KEPT
from parsers.ntfs.index import Index
from parsers.ntfs.record import (
    ATTRIBUTE_LIST,
    DATA,
    INDEX_ALLOCATION,
    INDEX_ROOT,
    REPARSE_POINT,
    VOLUME_INFORMATION,
    VOLUME_NAME,
    Attribute,
    Record,
    record_number,
)
from parsers.ntfs.runs import Run, RunSource, decode_runs

__all__ = ["OEM_ID", "ROOT", "BootSector", "NtfsVolume"]

OEM_ID: Final = b"NTFS    "
#: Number of the root folder's record.
ROOT: Final = 5
_VOLUME: Final = 3
_UPCASE: Final = 10
_ENCRYPTED: Final = 0x4000
_COMPRESSED: Final = 0x00FF
_DIRTY: Final = 1
_BOOT = struct.Struct("<3s8sHB14xI8xQQQb3xb3xQ")


@dataclass(frozen=True, slots=True)
class BootSector:
    """What the first sector of a volume tells.

    Attributes:
        cluster: bytes of a cluster.
        clusters: clusters of the volume.
        record: bytes of a record of the master file table.
        mft, mirror: where the table and the copy of its first records begin, in clusters.
        serial: the volume's serial number.
        size: bytes of the volume, its last sector (the copy of this one) not counted.

    """

    cluster: int
    clusters: int
    record: int
    mft: int
    mirror: int
    serial: int
    size: int

    @classmethod
    def parse(cls, data: bytes) -> BootSector:
        """Read a boot sector.

        Raises:
            FormatError: not that of an NTFS volume, or with sizes that NTFS does not know.

        """
        if len(data) < _BOOT.size or data[3:11] != OEM_ID:
            raise FormatError("NTFS", "not the boot sector of an NTFS volume", offset=3, found=data[3:11].hex())
        _, _, sector, per_cluster, _, sectors, mft, mirror, per_record, _, serial = _BOOT.unpack_from(data)
        factor = 1 << (256 - per_cluster) if per_cluster > 0x80 else per_cluster
        cluster = sector * factor
        if sector not in (256, 512, 1024, 2048, 4096) or factor & (factor - 1) or not 256 <= cluster <= 2 << 20:
            raise FormatError("NTFS", "the size of clusters is impossible", offset=0xB, found=f"{sector} x {factor}")
        record = 1 << -per_record if per_record < 0 else per_record * cluster
        if record & (record - 1) or not 512 <= record <= 0x10000:
            raise FormatError("NTFS", "the size of file records is impossible", offset=0x40, found=per_record)
        clusters = sectors // factor
        if not (mft < clusters or mirror < clusters):
            raise FormatError("NTFS", "the master file table lies outside of the volume", offset=0x30, found=mft)
        return cls(cluster, clusters, record, mft, mirror, serial, sectors * sector)


class NtfsVolume:
    """One NTFS volume.

    Args:
        source: the volume's bytes.
        boot: its boot sector, where the first sector is damaged and the copy at the end was read; None reads it.
        lost: data within file records whose content is not known: number of the record, name of the stream.

    Attributes:
        boot: what the boot sector tells.
        used_mirror: whether the first record of the table had to be read from its copy.

    Raises:
        FormatError: not NTFS, or the master file table cannot be read.
        ReadError: a place cannot be read.

    """

    def __init__(
        self, source: ByteSource, boot: BootSector | None = None, lost: frozenset[tuple[int, str]] = frozenset()
    ) -> None:
        self._source = source
        self._lost = lost
        self.boot = boot or BootSector.parse(source.read_at(0, 512))
        self._records: OrderedDict[int, Record] = OrderedDict()
        self.used_mirror = False
        self._mft = self._open_mft()

    def _open_mft(self) -> RunSource:
        try:
            record = self._first_record(self.boot.mft)
        except StopcodeError:
            record = self._first_record(self.boot.mirror)
            self.used_mirror = True
        data = record.find(DATA)
        if data is None or data.value is not None or data.lowest != 0:
            raise FormatError("NTFS", "the master file table has no data of its own", offset=record.offset)
        runs = self._runs(data)
        # A table in many pieces is described by records that lie in the pieces found so far.
        self._mft = RunSource(self._source, self.boot.cluster, runs, data.size, data.initialized)
        if record.find(ATTRIBUTE_LIST) is not None:
            following = data.highest + 1
            for stretch in self._stretches(record, DATA, "")[1:]:
                if stretch.lowest != following:
                    raise FormatError("NTFS", "pieces of the master file table are missing", offset=record.offset)
                following = stretch.highest + 1
                runs += self._runs(stretch)
                self._mft = RunSource(self._source, self.boot.cluster, runs, data.size, data.initialized)
        return self._mft

    def _first_record(self, lcn: int) -> Record:
        offset = lcn * self.boot.cluster
        return Record.parse(read_exact(self._source, offset, self.boot.record, format="NTFS"), 0, offset)

    def own_record(self, number: int) -> Record:
        """Return the record of one of the volume's first files ($MFT, $MFTMirr, $LogFile, $Volume), or its copy.

        Raises:
            FormatError: both are damaged.
            ReadError: a place cannot be read.

        """
        try:
            return self.record(number)
        except StopcodeError:
            offset = self.boot.mirror * self.boot.cluster + number * self.boot.record
            return Record.parse(read_exact(self._source, offset, self.boot.record, format="NTFS"), number, offset)

    def place_of_record(self, number: int) -> int | None:
        """Return where on the volume a record begins; None when the table does not reach so far."""
        return self._mft.place(number * self.boot.record)

    def record(self, reference: int, *, checked: bool = True) -> Record:
        """Return a record.

        Args:
            reference: its number, and its sequence number (0: any) in the upper 16 bits.
            checked: whether it must be in use and of the sequence the reference names.

        Raises:
            FormatError: it is damaged, free, or used for another file by now.
            ReadError: its place cannot be read.

        """
        number = record_number(reference)
        record = self._records.get(number)
        if record is None:
            offset = number * self.boot.record
            record = Record.parse(read_exact(self._mft, offset, self.boot.record, format="NTFS"), number, offset)
            self._records[number] = record
            if len(self._records) > MAX_NTFS_RECORDS_KEPT:
                self._records.popitem(last=False)
        sequence = reference >> 48
        if checked and (not record.in_use or (sequence and record.sequence != sequence)):
            raise FormatError("NTFS", "a file record is free, or used for another file", offset=record.offset)
        return record

    def _stretches(self, record: Record, kind: int, name: str) -> list[Attribute]:
        """Return all stretches of an attribute, from the record and its extensions, in order of their clusters."""
        found = [item for item in record.attributes if item.type == kind and item.name == name]
        listing = record.find(ATTRIBUTE_LIST)
        if listing is None:
            return found
        numbers: list[int] = []
        for listed_kind, listed_name, reference in self._listed(listing):
            number = record_number(reference)
            if listed_kind == kind and listed_name == name and number not in (record.number, *numbers[-1:]):
                numbers.append(reference)
        if len(numbers) > MAX_NTFS_EXTENSIONS:
            raise FormatError("NTFS", "a file has too many extension records", offset=record.offset)
        for reference in dict.fromkeys(numbers):
            extension = self.record(reference)
            if extension.base != record.number:
                raise FormatError("NTFS", "an extension record belongs to another file", offset=extension.offset)
            found += [item for item in extension.attributes if item.type == kind and item.name == name]
        return sorted(found, key=lambda item: item.lowest)

    def _listed(self, listing: Attribute) -> list[tuple[int, str, int]]:
        if listing.size > MAX_ATTRIBUTE_LIST:
            raise FormatError("NTFS", "a list of attributes is too long", offset=listing.offset, found=listing.size)
        source = self._bytes_of([listing])
        data = source.read_at(0, source.size)
        entries: list[tuple[int, str, int]] = []
        at = 0
        while at + 26 <= len(data):
            kind, length, name_length, name_at, _lowest, reference = struct.unpack_from("<IHBBQQ", data, at)
            if length < 26 or at + length > len(data) or name_at + 2 * name_length > length:
                raise FormatError("NTFS", "a list of attributes is damaged", offset=listing.offset)
            name = data[at + name_at : at + name_at + 2 * name_length].decode("utf-16-le", "replace")
            entries.append((kind, name, reference))
            at += length
        return entries

    def _runs(self, attribute: Attribute) -> list[Run]:
        wanted = attribute.highest + 1 - attribute.lowest
        # An attribute without clusters has 2^64 - 1 as its last one.
        if attribute.highest == 0xFFFFFFFFFFFFFFFF and attribute.lowest == 0:
            wanted = 0
        if wanted < 0:
            raise FormatError("NTFS", "an attribute ends before it begins", offset=attribute.offset)
        return decode_runs(attribute.pairs, self.boot.clusters, wanted, attribute.offset)

    def _bytes_of(self, stretches: list[Attribute]) -> ByteSource:
        first = stretches[0]
        if first.value is not None:
            return BytesSource(first.value)
        if first.flags & _ENCRYPTED:
            raise UnsupportedError("the file is encrypted (EFS)")
        runs: list[Run] = []
        following = 0
        for stretch in stretches:
            if stretch.value is not None or stretch.lowest != following:
                raise FormatError("NTFS", "a stretch of a file is missing or stands twice", offset=stretch.offset)
            runs += self._runs(stretch)
            following = (stretch.highest + 1) & 0xFFFFFFFFFFFFFFFF
        unit = 0
        if first.flags & _COMPRESSED:
            if not 0 < first.unit <= 8:
                raise FormatError("NTFS", "the compression unit is impossible", offset=first.offset, found=first.unit)
            unit = 1 << first.unit
        return RunSource(self._source, self.boot.cluster, runs, first.size, first.initialized, unit)

    def stream(self, record: Record, kind: int = DATA, name: str = "") -> ByteSource | None:
        """Return the bytes of an attribute, or None when the file has none of that type and name.

        Raises:
            FormatError: it is damaged.
            UnsupportedError: it is encrypted.
            ReadError: a place cannot be read.

        """
        stretches = self._stretches(record, kind, name)
        if self._lost and kind == DATA and stretches and stretches[0].value is not None:
            number = stretches[0].offset // self.boot.record
            if (number, name) in self._lost:
                raise ReadError("the file changed last in the volume's journal, which holds no content of files")
        return self._bytes_of(stretches) if stretches else None

    def reparse_tag(self, record: Record) -> int | None:
        """Return the tag of a file that is not what it seems (a link, compressed elsewhere), or None.

        Raises:
            FormatError: the attribute is damaged.

        """
        source = self.stream(record, REPARSE_POINT)
        return None if source is None else int.from_bytes(source.read_at(0, 4), "little")

    def index(self, record: Record) -> Index:
        """Return the index of a folder.

        Raises:
            FormatError: it has none, or it is damaged.

        """
        root = self._stretches(record, INDEX_ROOT, "$I30")
        # It always stands in a record; one that claims clusters claims any size.
        if not root or root[0].value is None:
            raise FormatError("NTFS", "a folder without an index", offset=record.offset)
        return Index(root[0].value, self.stream(record, INDEX_ALLOCATION, "$I30"), self.boot.cluster)

    @cached_property
    def label(self) -> str:
        """The volume's label; "" when it has none."""
        name = self.record(_VOLUME).find(VOLUME_NAME)
        return (name.value or b"").decode("utf-16-le", "replace") if name is not None else ""

    @cached_property
    def dirty(self) -> bool:
        """Whether Windows marked the volume for a check."""
        information = self.record(_VOLUME).find(VOLUME_INFORMATION)
        value = information.value if information is not None else None
        return value is not None and len(value) >= 12 and bool(value[10] & _DIRTY)

    @cached_property
    def _upper(self) -> tuple[int, ...]:
        """The volume's own table of upper-case characters ($UpCase)."""
        source = self.stream(self.record(_UPCASE))
        data = source.read_at(0, 0x20000) if source is not None else b""
        if len(data) != 0x20000:
            raise FormatError("NTFS", "$UpCase has another length", expected=0x20000, found=len(data))
        return struct.unpack("<65536H", data)

    def fold(self, units: bytes) -> bytes:
        """Return what names are ordered and compared by: their UTF-16 units in upper case, big-endian.

        Raises:
            FormatError: the name has characters beyond ASCII and the volume's table is damaged.

        """
        if units.isascii():
            # UTF-16 of ASCII characters has NULs between; upper() leaves them alone.
            swapped = bytearray(len(units))
            swapped[0::2], swapped[1::2] = units[1::2], units[0::2]
            if not any(swapped[0::2]):
                return bytes(swapped).upper()
        upper = self._upper
        numbers = struct.unpack(f"<{len(units) // 2}H", units)
        return struct.pack(f">{len(numbers)}H", *(upper[number] for number in numbers))
