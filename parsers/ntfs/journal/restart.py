"""The restart pages of `$LogFile`: two copies at its beginning that say what it is and where its checkpoint stands.

Layout: torvalds/linux fs/ntfs3/fslog.c, tuxera/ntfs-3g (logfile.h, logfile.c), msuhanov/dfir_ntfs (LogFile.py); held
against logs of Windows 7, 8 and 10. Integers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, StopcodeError, UnsupportedError
from parsers.ntfs.record import fix_up

__all__ = ["FORMAT", "Restart", "read_restart"]

FORMAT: Final = "$LogFile"
_PAGE: Final = 0x1000
_NO_CLIENT: Final = 0xFFFF
_CLEAN: Final = 2
_RECORD_HEADER: Final = 0x30
_VERSIONS: Final = ((1, 0), (1, 1), (2, 0))

_HEADER = struct.Struct("<4sHHQIIHHH")
_AREA = struct.Struct("<QHHHHIHHQIHH")
_CLIENT = struct.Struct("<QQHHH6xI")


@dataclass(frozen=True, slots=True)
class Restart:
    """One valid restart page.

    Attributes:
        version: major and minor. Windows 8 and later write 2.0 while a volume is mounted.
        system_page, page: bytes of a restart page, and of a record page.
        current: LSN of the newest record when this page was written.
        clean: whether the volume was dismounted, so that nothing is to be replayed.
        sequence_bits: bits of an LSN that count the laps of the log.
        size: bytes of the log that are used.
        data: where records begin in a record page.
        checkpoint: LSN of the client's restart record.
        client_sequence: what records carry as the number of their client.

    """

    version: tuple[int, int]
    system_page: int
    page: int
    current: int
    clean: bool
    sequence_bits: int
    size: int
    data: int
    checkpoint: int
    client_sequence: int

    @property
    def offset_bits(self) -> int:
        """Bits of an LSN that give its place, in steps of eight bytes."""
        return 64 - self.sequence_bits

    @property
    def copies(self) -> int:
        """Pages behind the restart pages that hold copies of the newest record pages."""
        return 2 if self.version[0] == 1 else 32

    @property
    def first(self) -> int:
        """Byte offset of the first page that is written in turn."""
        return 2 * self.system_page + self.copies * self.page


def read_restart(log: ByteSource) -> Restart | None:
    """Return the restart page that counts: of two valid ones the newer; None for a log that was emptied.

    Reads the restart pages alone. A log filled with 0xFF was emptied by whoever made or mounted the volume; over one
    that begins with `CHKD` chkdsk has been, and nothing in it counts any more.

    Raises:
        FormatError: neither page is valid.
        UnsupportedError: a version that is not known.
        ReadError: a place cannot be read.

    """
    head = log.read_at(0, 2 * _PAGE)
    if len(head) == 2 * _PAGE and head == b"\xff" * len(head):
        return None
    second = _PAGE
    if head[:4] == b"RSTR" and len(head) >= _HEADER.size:
        size = _HEADER.unpack_from(head)[4]
        if size != _PAGE and 512 <= size <= 0x10000 and size & (size - 1) == 0:
            second = size
            head = log.read_at(0, 2 * second)
    pages: list[Restart] = []
    problems: list[StopcodeError] = []
    checked = 0
    for offset in (0, second):
        data = head[offset : offset + second]
        try:
            if data[:4] == b"CHKD":
                checked = max(checked, _HEADER.unpack_from(fix_up(data, b"CHKD", offset))[3], 1)
            else:
                pages.append(_restart(data, offset, log.size))
        except StopcodeError as error:
            problems.append(error)
    newest = max(pages, key=lambda page: page.current, default=None)
    if checked and (newest is None or newest.current <= checked):
        return None
    if newest is None:
        raise problems[0]
    if problems and newest.clean:
        # The page that cannot be read may be the newer one, of a volume that was mounted again.
        raise FormatError(FORMAT, f"one of the restart pages cannot be read ({problems[0].message})")
    return newest


def _restart(data: bytes, offset: int, log_size: int) -> Restart:
    fixed = fix_up(data, b"RSTR", offset)
    _, _, _, _, system_page, page, at, minor, major = _HEADER.unpack_from(fixed)
    for size in (system_page, page):
        if not 512 <= size <= 0x10000 or size & (size - 1):
            raise FormatError(FORMAT, "the size of a page is impossible", offset=offset, found=size)
    if (major, minor) not in _VERSIONS:
        raise UnsupportedError(f"{FORMAT} has version {major}.{minor}, which is not read")
    if system_page != len(fixed) or at & 7 or not _HEADER.size <= at <= len(fixed) - _AREA.size - _CLIENT.size:
        raise FormatError(FORMAT, "the restart area's place is impossible", offset=offset, found=at)
    (current, clients, _, in_use, flags, bits, _, client_at, size, _, header, first) = _AREA.unpack_from(fixed, at)
    restart_end = 2 * system_page + (2 if major == 1 else 32) * page
    if clients != 1 or header != _RECORD_HEADER or first & 7 or not 0x40 <= first <= page - 2 * _RECORD_HEADER:
        raise FormatError(FORMAT, "the restart area is damaged", offset=offset + at)
    if not restart_end + page <= size <= log_size or bits != 67 - size.bit_length():
        raise FormatError(FORMAT, "the log's size is impossible", offset=offset + at, found=size)
    if at + client_at + _CLIENT.size + 8 > len(fixed) or client_at < _AREA.size:
        raise FormatError(FORMAT, "the client's place is impossible", offset=offset + at, found=client_at)
    _, checkpoint, _, _, sequence, length = _CLIENT.unpack_from(fixed, at + client_at)
    name = fixed[at + client_at + _CLIENT.size :][:8]
    if length != 8 or name != "NTFS".encode("utf-16-le") or in_use not in (0, _NO_CLIENT):
        raise FormatError(FORMAT, "its client is not NTFS", offset=offset + at + client_at)
    clean = bool(flags & _CLEAN) or in_use == _NO_CLIENT
    return Restart((major, minor), system_page, page, current, clean, bits, size, first, checkpoint, sequence)
