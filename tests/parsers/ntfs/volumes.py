"""Volumes for tests of the NTFS reader: made by mkntfs, wimlib-imagex and ntfscp, patched in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from parsers.bytesource import FileSource
from parsers.errors import StopcodeError
from parsers.ntfs import DirEntry, NtfsVolume, Record
from parsers.ntfs.volume import ROOT

#: Bytes of a file record on every volume made here.
RECORD = 1024


class Patched:
    """A volume with other bytes at some places."""

    def __init__(self, path: Path, patches: Mapping[int, bytes]) -> None:
        self._data = bytearray(path.read_bytes())
        for offset, new in patches.items():
            self._data[offset : offset + len(new)] = new

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self._data[offset : offset + length]) if offset >= 0 and length > 0 else b""


def opened(path: Path, patches: Mapping[int, bytes] | None = None) -> NtfsVolume:
    return NtfsVolume(Patched(path, patches) if patches else FileSource(path))


def children(volume: NtfsVolume, record: Record) -> list[DirEntry]:
    return [entry for entry in volume.index(record).entries() if not entry.dos and entry.name != "."]


def at(volume: NtfsVolume, path: str) -> Record:
    """The record of a path with slashes; names compare as they stand."""
    record = volume.record(ROOT)
    for part in path.strip("/").split("/"):
        found = volume.index(record).find(part.encode("utf-16-le"), volume.fold)
        assert found is not None, path
        record = volume.record(found.reference)
    return record


def content(volume: NtfsVolume, record: Record, name: str = "") -> bytes:
    source = volume.stream(record, 0x80, name)
    assert source is not None
    return source.read_at(0, source.size)


def every_file(volume: NtfsVolume) -> Iterator[tuple[str, Record]]:
    """Yield each file that is no metadata file with its path."""
    stack = [("", volume.record(ROOT))]
    while stack:
        path, folder = stack.pop()
        for entry in children(volume, folder):
            record = volume.record(entry.reference)
            if record.number < 24:
                continue
            if entry.is_dir:
                stack.append((f"{path}/{entry.name}", record))
            else:
                yield f"{path}/{entry.name}", record


def survey(volume: NtfsVolume, most: int = 1 << 20) -> tuple[int, int]:
    """Read all that can be read; return the numbers of entries and of errors."""
    entries = errors = 0
    seen = {ROOT}
    try:
        stack = [volume.record(ROOT)]
    except StopcodeError:
        return 0, 1
    while stack:
        folder = stack.pop()
        try:
            found = list(volume.index(folder).entries())
        except StopcodeError:
            errors += 1
            continue
        for entry in found:
            entries += 1
            try:
                record = volume.record(entry.reference)
                volume.reparse_tag(record)
                if record.number in seen:
                    continue
                seen.add(record.number)
                if record.is_dir:
                    stack.append(record)
                elif (source := volume.stream(record)) is not None:
                    source.read_at(0, min(source.size, most))
                    source.read_at(max(0, source.size - 100), 100)
            except StopcodeError:
                errors += 1
    return entries, errors


def data_attribute(path: Path, record: Record, volume: NtfsVolume) -> int:
    """Return where on the volume the unnamed $DATA of a record begins (in the record's first sector)."""
    offset = volume.boot.mft * volume.boot.cluster + record.number * volume.boot.record
    raw = path.read_bytes()[offset : offset + volume.boot.record]
    place = int.from_bytes(raw[0x14:0x16], "little")
    while raw[place] != 0x80:
        place += int.from_bytes(raw[place + 4 : place + 8], "little")
    assert place + 64 < 510, "the attribute would straddle a fixed-up place"
    return offset + place


def taken_apart(data: bytes | bytearray, start: int) -> tuple[bytes, dict[int, bytes]]:
    """Return what stands before the attributes of the record at a place, and the attributes by their type."""
    raw = bytearray(data[start : start + RECORD])
    sequence = int.from_bytes(raw[4:6], "little")
    for sector in range(2):
        raw[sector * 512 + 510 : sector * 512 + 512] = raw[sequence + 2 + 2 * sector : sequence + 4 + 2 * sector]
    at = int.from_bytes(raw[0x14:0x16], "little")
    head = bytes(raw[:at])
    attributes = {}
    while raw[at : at + 4] != b"\xff\xff\xff\xff":
        kind, length = struct.unpack_from("<II", raw, at)
        attributes[kind] = bytes(raw[at : at + length])
        at += length
    return head, attributes


def record_of(head: bytes, attributes: list[bytes]) -> bytes:
    """Return a record as it stands on disk, its sectors guarded."""
    raw = bytearray(head + b"".join(attributes) + b"\xff\xff\xff\xff\0\0\0\0")
    struct.pack_into("<I", raw, 0x18, len(raw))
    raw = raw.ljust(RECORD, b"\0")
    sequence = int.from_bytes(raw[4:6], "little")
    raw[sequence : sequence + 2] = b"\x05\0"
    for sector in range(2):
        end = sector * 512 + 510
        raw[sequence + 2 + 2 * sector : sequence + 4 + 2 * sector] = raw[end : end + 2]
        raw[end : end + 2] = b"\x05\0"
    return bytes(raw)


def sized(attribute: bytes) -> bytes:
    padded = attribute.ljust((len(attribute) + 7) & ~7, b"\0")
    return padded[:4] + struct.pack("<I", len(padded)) + padded[8:]
