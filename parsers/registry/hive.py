"""Registry hives: our own reader of the regf format, lazy and bounded.

Written because nothing available is both quick and careful: dissect.regf takes seven times as long for the values of a
SYSTEM hive (`make bench BENCH_ARGS=readers`) and does not check free cells, hivex is no Python package, regipy takes a
minute.

References: msuhanov/regf "Windows registry file format specification"; hivex, python-registry, dissect.regf and yarp
read as second opinions. Tried on SYSTEM hives of Windows XP, 7, 8.1, 10 1709 and 10 1903, BCD stores, Amcache hives
and damaged test hives.

A hive that was not written out cleanly (`dirty`) is read as it stands: `parsers.registry.log.recover` gives a source
that shows it with the changes in its logs.
"""

from __future__ import annotations

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, TruncatedError
from parsers.limits import MAX_HIVE_BYTES, require_count
from parsers.registry.base_block import BASE_BLOCK, HIVE, BaseBlock
from parsers.registry.cells import FIRST_BIN, Cells
from parsers.registry.keys import Key

__all__ = ["Hive"]


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
        head = source.read_at(0, BASE_BLOCK)
        if not head.strip(b"\0"):
            what = "the file is empty" if source.size == 0 else "its beginning is all zeros"
            raise FormatError("regf", f"not a registry hive: {what}", offset=0)
        if head[:4] != b"regf":
            raise FormatError("regf", "not a registry hive", offset=0, expected="regf", found=head[:4].hex())
        if len(head) < BASE_BLOCK or source.size <= FIRST_BIN:
            raise TruncatedError("regf", "the hive ends within its base block", offset=source.size)
        base = BaseBlock.parse(head)
        if base.major != 1 or base.form != 1:
            raise FormatError(
                "regf", "unknown version", offset=0x14, expected="1, 1", found=f"{base.major}, {base.form}"
            )
        if base.kind != HIVE:
            raise FormatError("regf", "a transaction log, not a hive", offset=0x1C, expected=HIVE, found=base.kind)
        require_count(base.bins_size, MAX_HIVE_BYTES, format="regf", what="size of the hive bins", offset=0x28)
        self.minor_version: int = base.minor
        self.last_written: int = base.written
        self.primary_sequence: int = base.primary
        self.secondary_sequence: int = base.secondary
        self.header_valid = base.checksum_is_right
        self.root_cell: int = base.root
        self.misfiled: dict[int, frozenset[str]] = {}
        self.cells = Cells(source, base.bins_size)
        self.root = Key(self, base.root, None)

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
