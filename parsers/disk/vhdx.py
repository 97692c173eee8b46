"""VHDX and AVHDX: fixed, dynamic and differencing disks.

Reference: Microsoft [MS-VHDX]. Compared with `qemu/qemu: block/vhdx.c`, `fox-it/dissect.hypervisor:
dissect/hypervisor/disk/vhdx.py`, `libyal/libvhdi` and `DiscUtils/DiscUtils: Library/DiscUtils.Vhdx`. Tried on disks
of Hyper-V, Disk2vhd, DiscUtils and qemu.

Every read is cut at block ends (two neighbours on the disk are strangers in the file), and everything is read
through the log. Sector bitmaps of differencing disks count from the least significant bit, unlike VHD's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from uuid import UUID

from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.disk.bitmap import SectorBitmaps, runs
from parsers.disk.extents import Extent, split_at
from parsers.disk.reading import read_padded, read_present
from parsers.disk.table import EntryTable
from parsers.disk.vhdx_header import Region, choose_header, read_regions
from parsers.disk.vhdx_layouts import BAT_REGION, METADATA_REGION
from parsers.disk.vhdx_log import active_sequence, apply_log, newest_number
from parsers.disk.vhdx_metadata import read_metadata
from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_CHECKED_BLOCKS, MAX_VHDX_LOG

__all__ = ["IDENTIFIER", "Vhdx", "read_data_write_guid"]

IDENTIFIER = b"vhdxfile"
_MIB = 1 << 20
_PLACE = ~0xFFFFF & 0xFFFFFFFFFFFFFFFF
_STATE = 7
_NOT_PRESENT, _UNDEFINED, _ZERO, _UNMAPPED, _FULL, _PARTIAL = 0, 1, 2, 3, 6, 7
_BITMAP_BLOCK = _MIB
_STALE = "what was written last is missing, or older data stands in its place"


def read_data_write_guid(source: ByteSource) -> str:
    """Return the GUID by which a child names this file as its parent, in lower case without braces.

    Raises:
        FormatError: not a sound VHDX.

    """
    return str(UUID(bytes_le=choose_header(source, Diagnostics()).data_write_guid))


class Vhdx:
    """The virtual disk of a VHDX.

    Args:
        source: the file.
        diagnostics: takes what was doubtful, replayed or worked around.

    Attributes:
        kind: "fixed", "dynamic" or "differencing".
        parent: of a differencing disk: its parent's virtual disk, which the caller finds, checks by `parent_linkage`
            and sets; a read that needs it raises ReadError until then.
        metadata: sizes, ids and the parent locator.
        data_write_guid: GUID by which a child names this file, in lower case without braces.
        parent_linkage: GUIDs of which the parent's data-write GUID is one.
        parent_names: what the file calls its parent, the most useful first.
        creator: the program that wrote it.
        log: "clean", "replayed" or "dirty" (it could not be replayed).
        log_entries: how many entries were applied, and the sequence numbers of the first and last of them; None when
            none was.
        truncated: the file lacks data that it should hold.

    Raises:
        FormatError: bytes that contradict the format.
        TruncatedError: the file ends before its structures do.
        UnsupportedError: a version, region or item that stopcode does not know and the format says must be known.

    """

    def __init__(self, source: ByteSource, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        self.parent: ByteSource | None = None
        self.truncated = False
        start = source.read_at(0, 520)
        if not start.startswith(IDENTIFIER):
            diagnostics.warning("vhdx.identifier", "the file does not begin with a VHDX's identifier")
        self.creator = start[8:520].decode("utf-16-le", "replace").split("\0", 1)[0]
        self._header = choose_header(source, diagnostics)
        self.data_write_guid = str(UUID(bytes_le=self._header.data_write_guid))
        self.log = "clean"
        self.log_entries: tuple[int, int, int] | None = None
        self._source = self._replay(source) if any(self._header.log_guid) else source
        regions = read_regions(self._source, diagnostics)
        self.metadata = read_metadata(self._source, regions[METADATA_REGION])
        self.kind = "differencing" if self.metadata.has_parent else "fixed" if self.metadata.fixed else "dynamic"
        self.block_size = self.metadata.block_size
        self.sector_size = self.metadata.logical_sector_size
        self._ratio = (1 << 23) * self.sector_size // self.block_size
        self._open_table(regions[BAT_REGION])
        self._bitmaps = SectorBitmaps(self._read_bitmap, lsb_first=True)
        self._check_blocks(regions)

    @property
    def size(self) -> int:
        """Length of the virtual disk in bytes."""
        return self.metadata.size

    @property
    def parent_linkage(self) -> tuple[str, ...]:
        """GUIDs of which the parent's data-write GUID is one, in lower case without braces."""
        pairs = self.metadata.parent
        values = (pairs.get("parent_linkage", ""), pairs.get("parent_linkage2", ""))
        return tuple(value.strip("{} ").lower() for value in values if value.strip("{} "))

    @property
    def parent_names(self) -> tuple[str, ...]:
        """What the file calls its parent: relative, then absolute, then by volume."""
        pairs = self.metadata.parent
        values = (pairs.get(key, "") for key in ("relative_path", "absolute_win32_path", "volume_path"))
        return tuple(dict.fromkeys(value for value in values if value))

    # -- opening -------------------------------------------------------------------------------------------------

    def _replay(self, source: ByteSource) -> ByteSource:
        """Return the file as it is after its log; say so, or say why it could not be."""
        header = self._header
        reason = ""
        if header.log_version != 0:
            reason = f"its version is {header.log_version}"
        elif not 0 < header.log_length <= MAX_VHDX_LOG or header.log_length % _MIB:
            reason = f"its length is {header.log_length}"
        else:
            log = source.read_at(header.log_offset, header.log_length)
            if len(log) != header.log_length:
                reason = "the file ends before the log does"
            else:
                entries = active_sequence(log, header.log_guid)
                if not entries:
                    reason = "no valid sequence of entries is in it"
        if reason:
            self.log = "dirty"
            self._diagnostics.error(
                "vhdx.log-dirty",
                f"the VHDX was not closed and its log cannot be replayed ({reason}): {_STALE}",
                hint="take the disk from the host again while the machine is off, or mount it there once",
            )
            return source
        replay = apply_log(source, entries)
        self.log = "replayed"
        self.log_entries = (replay.entries, replay.first, replay.last)
        text = (
            f"the VHDX was not closed; its log was replayed in memory ({replay.entries} entries, {replay.first} to "
            f"{replay.last})"
        )
        newest = newest_number(log, header.log_guid)
        if newest <= replay.last:
            self._diagnostics.info(
                "vhdx.log-replayed",
                text,
                hint="the file itself was not changed; other programs that ignore the log see older data",
            )
        else:
            self._diagnostics.warning(
                "vhdx.log-replayed",
                f"{text}; it was written on to entry {newest}, and what follows entry {replay.last} is damaged: "
                f"{_STALE}",
                hint="a crash of the host while it wrote the last entry leaves this too, and then nothing is missing",
            )
        if replay.missing:
            self.truncated = True
            self._diagnostics.error(
                "container.truncated",
                f"the VHDX is {replay.missing} bytes shorter than its log says it was",
                hint="what is missing cannot be read: copy or download the file again",
            )
        return replay.source

    def _open_table(self, region: Region) -> None:
        payload = -(-self.size // self.block_size)
        chunks = -(-payload // self._ratio)
        needed = chunks * (self._ratio + 1) if self.kind == "differencing" else payload + (payload - 1) // self._ratio
        there = max(0, min(region.length, self._source.size - region.offset)) // 8
        self._blocks = payload
        self._table = EntryTable(
            self._source, region.offset, min(needed, there), width=8, byteorder="little", format="VHDX"
        )
        if region.length // 8 < needed:
            raise FormatError(
                "VHDX",
                "the block table is too small for the disk",
                expected=f"{needed} entries",
                found=region.length // 8,
            )
        if there < needed:
            self.truncated = True
            self._diagnostics.error(
                "container.truncated",
                f"the VHDX's block table at {region.offset:#x} is cut: {there} of {needed} entries are there",
                hint="copy or download the file again",
            )

    def _check_blocks(self, regions: dict[bytes, Region]) -> None:
        """Say what is wrong with the table before anything is read through it."""
        if self._table.count > MAX_CHECKED_BLOCKS:
            return
        end, chunk = self._source.size, self._ratio + 1
        taken = [(region.offset, region.offset + region.length) for region in regions.values()]
        taken.append((self._header.log_offset, self._header.log_offset + self._header.log_length))
        places: list[int] = []
        lost, first_lost, misplaced = 0, -1, 0
        for first, page in self._table.pages():
            for index, entry in enumerate(page, first):
                state = entry & _STATE
                if state < _FULL:
                    continue
                at = entry & _PLACE
                if index % chunk == self._ratio:
                    if self.kind == "differencing" and at + _BITMAP_BLOCK > end:
                        lost += 1
                    continue
                block = index - index // chunk
                places.append(at)
                if at + min(self.block_size, self.size - block * self.block_size) > end:
                    lost += 1
                    first_lost = block if first_lost < 0 else first_lost
                elif at < _MIB or any(at < high and at + self.block_size > low for low, high in taken):
                    misplaced += 1
        if lost:
            self.truncated = True
            where = f", the first at disk offset {first_lost * self.block_size:#x}" if first_lost >= 0 else ""
            self._diagnostics.error(
                "container.truncated",
                f"{lost} of {len(places)} blocks of the VHDX lie beyond the end of the file{where}",
                hint="they cannot be read: copy or download the file again",
            )
        places.sort()
        doubled = sum(1 for a, b in pairwise(places) if b - a < self.block_size)
        if misplaced or doubled:
            self._diagnostics.error(
                "container.damaged",
                f"{misplaced + doubled} blocks of the VHDX lie in the place of another block or of its structures",
            )

    # -- extents -------------------------------------------------------------------------------------------------

    def extents(self) -> Iterator[Extent]:
        """Yield where the disk's bytes come from, in order: of each block one extent, or two where it is cut."""
        differencing = self.kind == "differencing"
        chunk, end, block = self._ratio + 1, self._source.size, 0
        for first, page in self._table.pages():
            for index, entry in enumerate(page, first):
                if index % chunk == self._ratio or block >= self._blocks:
                    continue  # the place of a bitmap, or behind the last block
                offset = block * self.block_size
                length = min(self.block_size, self.size - offset)
                state, at = entry & _STATE, entry & _PLACE
                block += 1
                if state in (_UNDEFINED, _ZERO, _UNMAPPED) or (state == _NOT_PRESENT and not differencing):
                    yield Extent(offset, length, "zero")
                elif state == _NOT_PRESENT:
                    yield Extent(offset, length, "parent")
                elif at < _MIB or not (state == _FULL or (state == _PARTIAL and differencing)):
                    yield Extent(offset, length, "lost")
                else:
                    yield from split_at(offset, length, end - at, "stored" if state == _FULL else "mixed")
        if block < self._blocks:
            yield Extent(block * self.block_size, self.size - block * self.block_size, "lost")

    # -- reading -------------------------------------------------------------------------------------------------

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset` of the virtual disk; fewer only at its end.

        Raises:
            ReadError: the file does not hold a part of it, or the parent is needed and not there.

        """
        if offset < 0 or length <= 0 or offset >= self.size:
            return b""
        length = min(length, self.size - offset)
        pieces: list[bytes] = []
        while length > 0:
            block, within = divmod(offset, self.block_size)
            take = min(length, self.block_size - within)
            self._read_block(block, within, take, pieces)
            offset += take
            length -= take
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _entry(self, index: int, block: int) -> int:
        if index >= self._table.count:
            raise ReadError(
                f"VHDX: the entry of block {block} in the block table lies beyond the end of the file",
                address=block * self.block_size,
            )
        return self._table.entry(index)

    def _read_block(self, block: int, within: int, length: int, pieces: list[bytes]) -> None:
        entry = self._entry(block + block // self._ratio, block)
        state, at = entry & _STATE, entry & _PLACE
        offset = block * self.block_size + within
        if state == _FULL:
            pieces.append(self._from_file(at, within, length, block))
        elif state in (_UNDEFINED, _ZERO, _UNMAPPED) or (state == _NOT_PRESENT and self.kind != "differencing"):
            pieces.append(bytes(length))
        elif state == _NOT_PRESENT:
            pieces.append(self._from_parent(offset, length))
        elif state == _PARTIAL and self.kind == "differencing":
            bits = self._bitmaps.of(block)
            first, end = within // self.sector_size, within + length
            for mine, count in runs(bits, first, -(-end // self.sector_size) - first):
                # Runs are whole sectors; the first and the last may be wanted in part.
                first += count
                stop = min(end, first * self.sector_size)
                if mine:
                    pieces.append(self._from_file(at, within, stop - within, block))
                else:
                    pieces.append(self._from_parent(block * self.block_size + within, stop - within))
                within = stop
        else:
            raise ReadError(f"VHDX: block {block} has the impossible state {state}", address=offset)

    def _from_file(self, at: int, within: int, length: int, block: int) -> bytes:
        if at < _MIB:
            raise ReadError(
                f"VHDX: block {block} is said to lie at file offset {at:#x}, among the headers",
                address=block * self.block_size + within,
            )
        return read_present(
            self._source, at + within, length, end=self._source.size, format="VHDX", what=f"block {block}"
        )

    def _from_parent(self, offset: int, length: int) -> bytes:
        if self.parent is None:
            raise ReadError("VHDX: this place is stored in the parent disk, which is not open", address=offset)
        return read_padded(self.parent, offset, length)

    def _read_bitmap(self, block: int) -> bytes:
        """Return the bits of one block out of its chunk's bitmap, a block of 1 MiB."""
        chunk, within = divmod(block, self._ratio)
        entry = self._entry(chunk * (self._ratio + 1) + self._ratio, block)
        if entry & _STATE != _FULL or entry & _PLACE < _MIB:
            raise ReadError(
                f"VHDX: block {block} is partly the parent's, and the bitmap that says which part is not there",
                address=block * self.block_size,
            )
        length = self.block_size // self.sector_size // 8
        return read_present(
            self._source,
            (entry & _PLACE) + within * length,
            length,
            end=self._source.size,
            format="VHDX",
            what=f"the sector bitmap of block {block}",
        )
