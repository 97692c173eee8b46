"""E01, the format of EnCase: one disk in compressed chunks, in one or many segment files.

Reference: `libyal/libewf: documentation/Expert Witness Compression Format (EWF).asciidoc`. dissect reads header,
volume and tables; chunks are unpacked here, with a bound. dissect leaves out a segment that it cannot read, so that
what follows moves up, and never ends on a section that points back, so segments and sections are checked first.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

from construct import Bytes, Int16ul, Int32ul, Int64ul, Padding, Struct

from forensics.disk.foreign import ForeignSource, SourceFile, as_ours
from forensics.disk.opening import Layer, Opening, beside
from parsers.bytesource import ImageFile, read_exact
from parsers.errors import FormatError, MissingParentError, ReadError
from parsers.limits import MAX_DISK_PARTS

__all__ = ["open_ewf", "segment_suffix"]

_FILE_HEADER = Struct(
    "signature" / Bytes(8),  # 0x0 EVF\t\r\n\xff\0
    "fields_start" / Bytes(1),  # 0x8
    "segment_number" / Int16ul,  # 0x9 from 1
    "fields_end" / Bytes(2),  # 0xB
)
_SECTION = Struct(
    "type" / Bytes(16),  # 0x00 "header", "volume", "table", "next", "done"
    "next" / Int64ul,  # 0x10 file offset of the next section
    "size" / Int64ul,  # 0x18
    Padding(40),
    "checksum" / Int32ul,  # 0x48 Adler-32 of the 76 bytes before
)
_SECTION_SIZE = 76
_MAX_SECTIONS = 1 << 16
_MAX_CHUNK = 16 << 20
#: Bytes of unpacked chunks kept.
_KEPT = 4 << 20


def segment_suffix(first: str, number: int) -> str:
    """Return the suffix of segment `number`: .E01 to .E99, then .EAA to .EZZ, .FAA to .ZZZ, in the case of `first`.

    Raises:
        FormatError: there is no such name.

    """
    letter = first[1:2] or "E"
    if number < 100:
        return f".{letter}{number:02d}"
    index = number - 100
    lead = ord(letter.upper()) + index // 676
    if lead > ord("Z"):
        raise FormatError("E01", "too many segments", found=number)
    suffix = chr(lead) + chr(ord("A") + index // 26 % 26) + chr(ord("A") + index % 26)
    return "." + (suffix if letter.isupper() else suffix.lower())


def open_ewf(source: ImageFile, path: Path, opening: Opening) -> Layer:
    """Open an E01 by any of its segments.

    Raises:
        MissingParentError: a segment is not beside it.
        FormatError: bytes that contradict the format.

    """
    segments = _segments(source, path, opening)
    from dissect.evidence.ewf import EWF

    files = [SourceFile(segment) for segment in segments]
    with as_ours("E01"):
        image = EWF(list(files))
        opened = [image.segment(index) for index in range(len(files))]
        chunk_size = image.volume.sector_count * image.volume.sector_size
        size = int(image.size)
        stored = sum(segment.chunk_count for segment in opened)
    if not 0 < chunk_size <= _MAX_CHUNK or image.volume.sector_size not in (512, 1024, 2048, 4096):
        raise FormatError("E01", "impossible chunk size", found=chunk_size)
    if stored < image.volume.chunk_count:
        opening.diagnostics.error(
            "container.truncated",
            f"{path.name} holds {stored} of {image.volume.chunk_count} chunks of its disk",
            hint="what is missing cannot be read",
            source=path.name,
        )
    for file in files:
        file.strict = True
    chunks = _Chunks(opened, chunk_size)
    layer = Layer(ForeignSource(chunks.read, size, format="E01"), "E01", path, "", image.volume.sector_size)
    layer.file_size = sum(segment.size for segment in segments)
    if len(files) > 1:
        layer.details["segments"] = len(files)
    return layer


def _segments(source: ImageFile, path: Path, opening: Opening) -> list[ImageFile]:
    """Return all segments in order, each of them checked.

    Raises:
        MissingParentError: one is missing.

    """
    number = 1
    files: list[ImageFile] = []
    while number <= MAX_DISK_PARTS:
        name = path.with_suffix(segment_suffix(path.suffix, number)).name
        if name == path.name:
            file = source
        else:
            found = beside(path, name)
            if found is None and number == 1 and not files and _number(source) == 1:
                file = source  # the only one, under a name of its own
            elif found is None:
                raise MissingParentError(
                    f"segment {number} of {path.name} is not in {path.parent}: {name}",
                    hint="copy all segments into one folder",
                )
            else:
                file = opening.file(found)
        if _number(file) != number:
            raise FormatError("E01", f"{name} is not segment {number}", found=_number(file))
        files.append(file)
        if _last_section(file) != b"next":
            return files
        number += 1
    raise FormatError("E01", "too many segments", expected=f"at most {MAX_DISK_PARTS}")


def _number(file: ImageFile) -> int:
    return int(_FILE_HEADER.parse(read_exact(file, 0, 13, format="E01")).segment_number)


def _last_section(file: ImageFile) -> bytes:
    """Walk the sections of a segment and return the type of the last one.

    Raises:
        TruncatedError: the file ends before.
        FormatError: a section points back.

    """
    at = 13
    for _ in range(_MAX_SECTIONS):
        section = _SECTION.parse(read_exact(file, at, _SECTION_SIZE, format="E01"))
        kind: bytes = section.type.rstrip(b"\0")
        if kind in (b"done", b"next") or section.next == at:
            return kind
        if section.next < at + _SECTION_SIZE:
            raise FormatError("E01", "a section points back", offset=at + 16, found=section.next)
        at = section.next
    raise FormatError("E01", "too many sections", expected=f"at most {_MAX_SECTIONS}")


class _Chunks:
    """The chunks of all segments, in the order of the disk.

    Args:
        segments: dissect's segments.
        chunk_size: bytes of a chunk, unpacked.

    """

    def __init__(self, segments: list[Any], chunk_size: int) -> None:
        self._tables: list[tuple[int, Any]] = []
        first = 0
        for segment in segments:
            for table in segment.tables:
                self._tables.append((first, table))
                first += table.num_entries
        self._count = first
        self._chunk_size = chunk_size
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` of the disk.

        Raises:
            ReadError: a chunk is missing, cut or damaged.

        """
        pieces: list[bytes] = []
        while length > 0:
            number, within = divmod(offset, self._chunk_size)
            piece = self._chunk(number)[within : within + length]
            if not piece:
                raise ReadError(f"chunk {number} ends too early", address=offset)
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return b"".join(pieces)

    def _chunk(self, number: int) -> bytes:
        data = self._kept.get(number)
        if data is not None:
            self._kept.move_to_end(number)
            return data
        data = self._unpack(number)
        while self._kept and (len(self._kept) + 1) * self._chunk_size > _KEPT:
            self._kept.popitem(last=False)
        self._kept[number] = data
        return data

    def _unpack(self, number: int) -> bytes:
        if number >= self._count:
            raise ReadError(f"chunk {number} is not stored: a segment is missing or cut")
        first, table = next((start, table) for start, table in reversed(self._tables) if start <= number)
        index = number - first
        entry = table.entries[index]
        at = table.base_offset + (entry & 0x7FFFFFFF)
        if index + 1 < table.num_entries:
            end = table.base_offset + (table.entries[index + 1] & 0x7FFFFFFF)
        else:
            # Chunks lie before their table, or inside its section.
            section = table.section
            end = section.offset if at < section.offset else section.offset + section.size
        size = end - at
        if not 0 < size <= 2 * self._chunk_size + 1024:
            raise ReadError(f"chunk {number} has the impossible size {size}", address=at)
        file = table.segment.fh
        file.seek(at)
        packed: bytes = file.read(size)
        if entry >> 31:
            try:
                return zlib.decompressobj().decompress(packed, self._chunk_size)
            except zlib.error as error:
                raise ReadError(f"chunk {number} is damaged ({error})", address=at) from error
        data, checksum = packed[:-4], packed[-4:]
        if zlib.adler32(data) != int.from_bytes(checksum, "little"):
            raise ReadError(f"chunk {number} is damaged: its checksum is wrong", address=at)
        return data
