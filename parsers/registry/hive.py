"""Registry hives: our own reader of the regf format, lazy and bounded.

Written because nothing available is both quick and careful: dissect.regf takes two seconds for the values of a SYSTEM
hive and does not check free cells, hivex is no Python package, regipy takes a minute.

References: msuhanov/regf "Windows registry file format specification"; hivex, python-registry, dissect.regf and yarp
read as second opinions. Tried on SYSTEM hives of Windows XP, 7, 8.1, 10 1709 and 10 1903, BCD stores, Amcache hives
and damaged test hives.

A hive that was not written out cleanly (`dirty`) is read as it stands: the changes in its .LOG files are not applied
here. A replayer can put a source that shows the changed pages under `Hive`.
"""

from __future__ import annotations

import struct
from typing import Final

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, TruncatedError
from parsers.limits import MAX_HIVE_BYTES, require_count
from parsers.registry.cells import FIRST_BIN, Cells
from parsers.registry.keys import Key

__all__ = ["Hive", "checksum"]

_BASE = struct.Struct("<4sIIQIIIIII")
_BASE_BLOCK: Final = 512
_CHECKSUM_AT: Final = 0x1FC


def checksum(base_block: bytes) -> int:
    """Return the checksum of a base block: exclusive or of its first 127 words; 0 and 0xFFFFFFFF are avoided."""
    total = 0
    for (word,) in struct.iter_unpack("<I", base_block[:_CHECKSUM_AT]):
        total ^= word
    return {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(total, total)


class Hive:
    """One hive.

    Attributes:
        root_cell: offset of the topmost key's cell.
        minor_version: 3 (Windows NT 4 to 2000), 5 (XP and later), 6 (differencing).
        last_written: FILETIME in the base block; 0 or old since Windows 8.1, so no time of a change.
        primary_sequence, secondary_sequence: equal in a hive that was written out cleanly.
        header_valid: whether the base block's checksum is right.
        misfiled: what `Key` found out of its lists: cell of a key to names that are listed with another's hash.

    Raises:
        FormatError: not a hive, or its topmost key cannot be read.
        TruncatedError: the file ends before the topmost key.
        ReadError: a place cannot be read.

    """

    def __init__(self, source: ByteSource) -> None:
        head = source.read_at(0, _BASE_BLOCK)
        if not head.strip(b"\0"):
            what = "the file is empty" if source.size == 0 else "its beginning is all zeros"
            raise FormatError("regf", f"not a registry hive: {what}", offset=0)
        if head[:4] != b"regf":
            raise FormatError("regf", "not a registry hive", offset=0, expected="regf", found=head[:4].hex())
        if len(head) < _BASE_BLOCK or source.size <= FIRST_BIN:
            raise TruncatedError("regf", "the hive ends within its base block", offset=source.size)
        (_, primary, secondary, written, major, minor, kind, form, root, bins) = _BASE.unpack_from(head)
        if major != 1 or form != 1:
            raise FormatError("regf", "unknown version", offset=0x14, expected="1, 1", found=f"{major}, {form}")
        if kind != 0:
            raise FormatError("regf", "a transaction log, not a hive", offset=0x1C, expected=0, found=kind)
        require_count(bins, MAX_HIVE_BYTES, format="regf", what="size of the hive bins", offset=0x28)
        self.minor_version: int = minor
        self.last_written: int = written
        self.primary_sequence: int = primary
        self.secondary_sequence: int = secondary
        self.header_valid = checksum(head) == int.from_bytes(head[_CHECKSUM_AT : _CHECKSUM_AT + 4], "little")
        self.root_cell: int = root
        self.misfiled: dict[int, frozenset[str]] = {}
        self.cells = Cells(source, bins)
        self.root = Key(self, root, None)

    @property
    def dirty(self) -> bool:
        """Whether the hive was not written out cleanly: its sequence numbers differ, or its checksum is wrong."""
        return self.primary_sequence != self.secondary_sequence or not self.header_valid

    @property
    def truncated(self) -> int:
        """Bytes of the hive bins that lie behind the end of the file; 0 in a whole hive."""
        return self.cells.end - self.cells.available

    def open_key(self, path: str) -> Key | None:
        r"""Return a key by its path below the root (`ControlSet001\Services`), or None when it is not there.

        Raises:
            FormatError: the way to it is damaged.
            ReadError: a place cannot be read.

        """
        key: Key | None = self.root
        for part in path.split("\\"):
            if key is None:
                return None
            if part:
                key = key.subkey(part)
        return key
