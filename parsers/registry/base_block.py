"""The base block: the first sector of a hive, and of each of its logs.

Reference: msuhanov/regf "Windows registry file format specification".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

__all__ = ["BASE_BLOCK", "HIVE", "NEW_LOG", "OLD_LOGS", "BaseBlock", "checksum"]

#: Bytes of a base block that are kept in a log too; in a hive it is followed by zeros up to 4,096.
BASE_BLOCK: Final = 512
#: Types of file.
HIVE: Final = 0
OLD_LOGS: Final = (1, 2)
NEW_LOG: Final = 6

_FIELDS = struct.Struct("<4sIIQIIIIIII")
_TYPE_AT: Final = 0x1C
_BINS_SIZE_AT: Final = 0x28
_FLAGS_AT: Final = 0x90
_CHECKSUM_AT: Final = 0x1FC


def checksum(base_block: bytes) -> int:
    """Return the checksum of a base block: exclusive or of its first 127 words; 0 and 0xFFFFFFFF are avoided."""
    total = 0
    for (word,) in struct.iter_unpack("<I", base_block[:_CHECKSUM_AT]):
        total ^= word
    return {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(total, total)


@dataclass(frozen=True, slots=True)
class BaseBlock:
    """What a base block says.

    Attributes:
        data: its 512 bytes.
        signature: b"regf" in a sound one.
        primary, secondary: sequence numbers: the first is raised when a write begins, the second when it has ended.
        written: FILETIME of the last write; not kept up to date since Windows 8.1.
        major, minor: version.
        kind: what the file is: `HIVE`, one of `OLD_LOGS`, `NEW_LOG`.
        form: 1.
        root: offset of the topmost key's cell.
        bins_size: bytes of the hive bins.
        cluster: sectors of 512 bytes in one of the disk's.

    """

    data: bytes
    signature: bytes
    primary: int
    secondary: int
    written: int
    major: int
    minor: int
    kind: int
    form: int
    root: int
    bins_size: int
    cluster: int

    @classmethod
    def parse(cls, data: bytes) -> BaseBlock:
        """Read a base block; whatever is missing at its end reads as zeros."""
        block = data[:BASE_BLOCK].ljust(BASE_BLOCK, b"\0")
        return cls(block, *_FIELDS.unpack_from(block))

    @property
    def checksum_is_right(self) -> bool:
        """Whether its checksum fits its content."""
        return checksum(self.data) == int.from_bytes(self.data[_CHECKSUM_AT:], "little")

    @property
    def damage(self) -> str:
        """Why Windows would not take it, in words; "" when it would."""
        if not self.data.strip(b"\0"):
            return "its header is all zeros"
        if self.signature != b"regf":
            return "its header has no signature"
        if not self.checksum_is_right:
            return "the checksum of its header is wrong"
        if self.major != 1 or self.form != 1 or self.bins_size % 4096:
            return "its header holds impossible values"
        return ""

    def changed(self, *, sequence: int, bins_size: int, flags: int | None = None) -> bytes:
        """Return the base block of a hive that was written out cleanly.

        Args:
            sequence: both of its sequence numbers.
            bins_size: bytes of its hive bins.
            flags: its new lowest flag, or None for the old one.

        """
        new = bytearray(self.data)
        struct.pack_into("<II", new, 4, sequence, sequence)
        struct.pack_into("<I", new, _TYPE_AT, HIVE)
        struct.pack_into("<I", new, _BINS_SIZE_AT, bins_size)
        if flags is not None:
            new[_FLAGS_AT] = new[_FLAGS_AT] & 0xFE | flags & 1
        struct.pack_into("<I", new, _CHECKSUM_AT, checksum(bytes(new)))
        return bytes(new)
