"""Give an NTFS volume times and a serial number of its own story: mkntfs and ntfs-3g write the hour of the build.

Layout: libyal/libfsntfs, documentation/New Technologies File System (NTFS).asciidoc. Times that lie after the last
one that the machine can know are set to it: in $STANDARD_INFORMATION, in $FILE_NAME, and in the copies of $FILE_NAME
that folders hold. Every record and index buffer is protected by an update sequence, taken off and put back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["stamp"]

_RECORD, _CLUSTER, _SECTOR, _INDEX = 1024, 4096, 512, 4096
_STANDARD, _NAME, _ROOT, _ALLOCATION, _DATA = 0x10, 0x30, 0x90, 0xA0, 0x80


def _plain(block: bytes) -> bytearray:
    """Take the update sequence off."""
    data = bytearray(block)
    offset, count = struct.unpack_from("<HH", data, 4)
    for number in range(1, count):
        at = number * _SECTOR - 2
        data[at : at + 2] = data[offset + 2 * number : offset + 2 * number + 2]
    return data


def _protected(data: bytearray) -> bytes:
    """Put the update sequence back on."""
    offset, count = struct.unpack_from("<HH", data, 4)
    for number in range(1, count):
        at = number * _SECTOR - 2
        data[offset + 2 * number : offset + 2 * number + 2] = data[at : at + 2]
        data[at : at + 2] = data[offset : offset + 2]
    return bytes(data)


def _runs(attribute: bytes) -> Iterator[tuple[int, int]]:
    """Yield (first cluster, clusters) of a non-resident attribute; holes are left out."""
    at, cluster = struct.unpack_from("<H", attribute, 0x20)[0], 0
    while attribute[at]:
        size, offset = attribute[at] & 15, attribute[at] >> 4
        length = int.from_bytes(attribute[at + 1 : at + 1 + size], "little")
        if offset:
            cluster += int.from_bytes(attribute[at + 1 + size : at + 1 + size + offset], "little", signed=True)
            yield cluster, length
        at += 1 + size + offset


class _Stamper:
    def __init__(self, file: BinaryIO, newest: int) -> None:
        self.file = file
        self.newest = newest

    def _times(self, data: bytearray, at: int) -> None:
        for place in range(at, at + 32, 8):
            self._time(data, place)

    def _time(self, data: bytearray, place: int) -> None:
        if struct.unpack_from("<Q", data, place)[0] > self.newest:
            struct.pack_into("<Q", data, place, self.newest)

    def _entries(self, data: bytearray, header: int) -> None:
        """Stamp the entries of a file name index behind its index header."""
        first, total = struct.unpack_from("<II", data, header)
        at, end = header + first, header + total
        while at + 16 <= end:
            length, key, flags = struct.unpack_from("<HHI", data, at + 8)
            if flags & 2 or not length:
                return
            if key >= 0x42:
                self._times(data, at + 16 + 8)
            at += length

    def _quotas(self, data: bytearray, header: int) -> None:
        """Stamp the entries of the quota index: QUOTA_CONTROL_ENTRY holds the time of its last change."""
        first, total = struct.unpack_from("<II", data, header)
        at, end = header + first, header + total
        while at + 16 <= end:
            place, _size, _, length, _key, flags = struct.unpack_from("<HHIHHI", data, at)
            if flags & 2 or not length:
                return
            self._time(data, at + place + 16)
            at += length

    def _record(self, data: bytearray) -> list[tuple[int, int]]:
        """Stamp one record; return the runs of its folder's index buffers."""
        at = struct.unpack_from("<H", data, 0x14)[0]
        runs: list[tuple[int, int]] = []
        while (kind := struct.unpack_from("<I", data, at)[0]) != 0xFFFFFFFF:
            length, named = struct.unpack_from("<IxB", data, at + 4)
            content = at + struct.unpack_from("<H", data, at + 0x14)[0]
            where = at + struct.unpack_from("<H", data, at + 0x0A)[0]
            name = bytes(data[where : where + 2 * named]).decode("utf-16-le")
            if kind == _STANDARD:
                self._times(data, content)
            elif kind == _NAME:
                self._times(data, content + 8)
            elif kind == _ROOT and name == "$I30":
                self._entries(data, content + 16)
            elif kind == _ROOT and name == "$Q":
                self._quotas(data, content + 16)
            elif kind == _ALLOCATION and name == "$I30":
                runs += _runs(bytes(data[at : at + length]))
            at += length
        # What was there before lies behind the end; it would tell of the build.
        data[at + 8 :] = bytes(len(data) - at - 8)
        return runs

    def _blocks(self, start: int, count: int, size: int, magic: bytes) -> Iterator[tuple[int, bytearray]]:
        for number in range(count):
            place = start + number * size
            self.file.seek(place)
            block = self.file.read(size)
            if block[:4] == magic:
                yield place, _plain(block)

    def _write(self, place: int, data: bytearray) -> None:
        self.file.seek(place)
        self.file.write(_protected(data))

    def run(self) -> None:
        """Stamp every record of $MFT, its mirror, and every folder's index."""
        self.file.seek(0x30)
        table, mirror = (number * _CLUSTER for number in struct.unpack("<QQ", self.file.read(16)))
        self.file.seek(table)
        own = _plain(self.file.read(_RECORD))
        at = struct.unpack_from("<H", own, 0x14)[0]
        while struct.unpack_from("<I", own, at)[0] != _DATA:
            at += struct.unpack_from("<I", own, at + 4)[0]
        extents = list(_runs(bytes(own[at : at + struct.unpack_from("<I", own, at + 4)[0]])))
        for cluster, length in extents:
            for place, data in self._blocks(cluster * _CLUSTER, length * _CLUSTER // _RECORD, _RECORD, b"FILE"):
                runs = self._record(data)
                self._write(place, data)
                for first, count in runs:
                    for buffer, index in self._blocks(first * _CLUSTER, count * _CLUSTER // _INDEX, _INDEX, b"INDX"):
                        self._entries(index, 0x18)
                        used = 0x18 + struct.unpack_from("<I", index, 0x1C)[0]
                        index[used:] = bytes(len(index) - used)
                        self._write(buffer, index)
        self.file.seek(table)
        beginning = self.file.read(4 * _RECORD)
        self.file.seek(mirror)
        self.file.write(beginning)


def stamp(path: Path, *, newest: int, serial: int) -> None:
    """Stamp a volume.

    Args:
        path: of the volume, clusters of 4096 bytes and records of 1024.
        newest: FILETIME that no time is to be after.
        serial: for both boot sectors.

    """
    with path.open("r+b") as file:
        _Stamper(file, newest).run()
        for place in (0, path.stat().st_size - _SECTOR):
            file.seek(place)
            sector = file.read(_SECTOR)
            if sector[3:7] == b"NTFS":
                file.seek(place + 0x48)
                file.write(struct.pack("<Q", serial))
