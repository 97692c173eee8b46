"""The pages that the journal changes: file records, blocks of indexes, and plain stretches, held in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, StopcodeError
from parsers.ntfs.journal.restart import FORMAT
from parsers.ntfs.record import fix_up

__all__ = ["GRANULE", "Page", "PageKind", "Pieces", "load", "pieces_of", "protect"]

#: What a page is made of on the volume: stretches of whole sectors.
GRANULE: Final = 512
PageKind = Literal["record", "index"]
#: Byte offsets on the volume, and lengths.
Pieces = tuple[tuple[int, int], ...]

_MAGIC: Final[dict[PageKind, bytes]] = {"record": b"FILE", "index": b"INDX"}
_VCN: Final = 16
_NUMBER: Final = 0x2C


@dataclass(slots=True)
class Page:
    """A file record or an index block.

    Attributes:
        kind: which of them.
        number: number of the file record; of an index that of its folder's.
        vcn: where in the index the block stands, as the block itself says it; of a record 0.
        pieces: where it lies.
        data: its bytes with the sectors' ends put back; None where they are torn, or hold no such page.
        before: these bytes, as they are on the volume.
        operations: how often which operation changed it.
        first, last: LSNs of the first and the last record that changed it; 0: none did.
        problem: why it cannot be told what it should hold; "" when it can.

    """

    kind: PageKind
    number: int
    vcn: int
    pieces: Pieces
    data: bytearray | None
    before: bytes | None
    operations: dict[int, int] = field(default_factory=dict)
    first: int = 0
    last: int = 0
    problem: str = ""

    @property
    def lsn(self) -> int:
        """LSN of the last record whose change it holds; 0 where it holds no page."""
        return int.from_bytes(self.data[8:16], "little") if self.data is not None else 0

    @property
    def changed(self) -> bool:
        """Whether it differs from what the volume holds, its LSN aside."""
        if self.data is None or self.before is None:
            return self.data is not None
        return self.data[:8] != self.before[:8] or self.data[16:] != self.before[16:]

    def applied(self, op: int, lsn: int) -> None:
        """Note a change."""
        self.operations[op] = self.operations.get(op, 0) + 1
        self.first = self.first or lsn
        self.last = lsn

    def check_identity(self) -> None:
        """Hold what the page says of itself against what the journal takes it for.

        Raises:
            FormatError: it is another one.

        """
        data = self.data
        if data is None:
            return
        if self.kind == "index":
            if int.from_bytes(data[_VCN : _VCN + 8], "little") != self.vcn:
                raise FormatError(FORMAT, "the index block names another place")
            return
        # Since Windows XP a file record holds its number.
        held = int.from_bytes(data[_NUMBER : _NUMBER + 4], "little")
        if int.from_bytes(data[4:6], "little") >= 0x30 and held != self.number & 0xFFFFFFFF:
            raise FormatError(FORMAT, "the file record has another number")


def pieces_of(lcns: list[int], cluster: int, start: int, size: int) -> Pieces:
    """Return where bytes lie that begin `start` bytes behind the first of some clusters."""
    pieces: list[tuple[int, int]] = []
    at = start
    while at < start + size:
        within = at % cluster
        length = min(cluster - within, start + size - at)
        offset = lcns[at // cluster] * cluster + within
        if pieces and sum(pieces[-1]) == offset:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + length)
        else:
            pieces.append((offset, length))
        at += length
    return tuple(pieces)


def load(source: ByteSource, kind: PageKind, number: int, vcn: int, pieces: Pieces) -> Page:
    """Read a page; one that is torn or was never written has no bytes, which is no problem yet.

    Raises:
        ReadError: the place cannot be read.

    """
    raw = b"".join(source.read_at(offset, length) for offset, length in pieces)
    data = None
    if len(raw) == sum(length for _, length in pieces):
        try:
            data = fix_up(raw, _MAGIC[kind], pieces[0][0])
        except StopcodeError:
            data = None
    return Page(kind, number, vcn, pieces, bytearray(data) if data is not None else None, data)


def protect(data: bytearray) -> bytes:
    """Return a page as it stands on a volume: the ends of its sectors guarded by its update sequence."""
    out = bytearray(data)
    at = int.from_bytes(out[4:6], "little")
    number = bytes(out[at : at + 2])
    if number == b"\0\0":
        number = b"\x01\0"
    out[at : at + 2] = number
    for sector in range(len(out) // GRANULE):
        end = (sector + 1) * GRANULE
        out[at + 2 * sector + 2 : at + 2 * sector + 4] = out[end - 2 : end]
        out[end - 2 : end] = number
    return bytes(out)
