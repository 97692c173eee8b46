"""A raw disk in parts: .001, .002 ... or .000, .001 ..., as imaging programs write them."""

from __future__ import annotations

import re
from pathlib import Path

from forensics.disk.opening import Opening, beside
from parsers.bytesource import ByteSource, ImageFile
from parsers.disk.reading import ConcatSource
from parsers.errors import FormatError
from parsers.limits import MAX_DISK_PARTS

__all__ = ["joined", "open_parts"]


def open_parts(source: ImageFile, path: Path, opening: Opening) -> list[ByteSource]:
    """Return the parts of a raw disk whose first part is `path`: only that one where its name is no first part's.

    Raises:
        FormatError: too many parts.

    """
    parts: list[ByteSource] = [source]
    digits = re.fullmatch(r"\.(0+[01]?)", path.suffix)
    if digits is None or len(digits[1]) < 2:
        return parts
    number = int(digits[1])
    while True:
        number += 1
        found = beside(path, f"{path.stem}.{number:0{len(digits[1])}d}")
        if found is None:
            return parts
        if len(parts) >= MAX_DISK_PARTS:
            raise FormatError("raw disk", "too many parts", expected=f"at most {MAX_DISK_PARTS}")
        parts.append(opening.file(found))


def joined(parts: list[ByteSource]) -> ByteSource:
    """Return the disk that the parts make up."""
    return parts[0] if len(parts) == 1 else ConcatSource(parts)
