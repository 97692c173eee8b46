"""VHD: fixed, dynamic and differencing disks.

Reference: Microsoft "Virtual Hard Disk Image Format Specification" 1.0. Compared with `qemu/qemu: block/vpc.c`,
`fox-it/dissect.hypervisor: dissect/hypervisor/disk/vhd.py`, libvhdi and 7-Zip. Tried on disks of Virtual PC, Hyper-V
2012 R2, Windows 10, Disk2vhd and qemu.

The virtual size is the footer's current size, never its geometry: Azure's and Hyper-V's disks do not end on a
cylinder. A dynamic block's bitmap is not consulted (readers agree: an unwritten sector is zero in the data too); a
differencing block's bitmap says which sectors are the child's, most significant bit first.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from construct import Container

from parsers.bytesource import ByteSource, read_exact
from parsers.diagnostics import Diagnostics
from parsers.disk.bitmap import SectorBitmaps, runs
from parsers.disk.extents import Extent, State, split_at
from parsers.disk.reading import read_padded, read_present
from parsers.disk.table import EntryTable
from parsers.disk.vhd_layouts import DYNAMIC_HEADER, FOOTER, FOOTER_COOKIE, HEADER_COOKIE
from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_CHECKED_BLOCKS, MAX_DISK_BLOCK, MAX_PARENT_NAME

__all__ = ["SECTOR", "Vhd", "find_footer", "read_unique_id"]

SECTOR = 512
_FOOTER_SIZE = 512
_HEADER_SIZE = 1024
_ABSENT = 0xFFFFFFFF
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_KINDS = {_FIXED: "fixed", _DYNAMIC: "dynamic", _DIFFERENCING: "differencing"}


def _sum_is_right(data: bytes, at: int) -> bool:
    total = sum(data) - sum(data[at : at + 4])
    return int.from_bytes(data[at : at + 4], "big") == ~total & 0xFFFFFFFF


def find_footer(source: ByteSource) -> tuple[int, bytes] | None:
    """Return (offset, 512 bytes) of the footer at the end of a file; None when there is none.

    Images older than Virtual PC 2004 end with 511 bytes of it; the missing last byte is reserved and zero.
    """
    size = source.size
    tail = source.read_at(max(0, size - _FOOTER_SIZE), _FOOTER_SIZE)
    if len(tail) == _FOOTER_SIZE and tail.startswith(FOOTER_COOKIE):
        return size - _FOOTER_SIZE, tail
    if len(tail) >= _FOOTER_SIZE - 1 and tail[-(_FOOTER_SIZE - 1) :].startswith(FOOTER_COOKIE):
        return size - _FOOTER_SIZE + 1, tail[-(_FOOTER_SIZE - 1) :] + b"\0"
    return None


def _choose_footer(source: ByteSource, diagnostics: Diagnostics) -> tuple[Container[Any], int]:
    """Return the footer to believe, and where data may reach to.

    The trailing one if its checksum is right, else the copy at 0 if that one's is, else either.
    """
    found = find_footer(source)
    head = source.read_at(0, _FOOTER_SIZE)
    trailing = found[1] if found else None
    end = found[0] if found else source.size
    copy = head if len(head) == _FOOTER_SIZE and head.startswith(FOOTER_COOKIE) else None
    if trailing is not None and _sum_is_right(trailing, 0x40):
        return FOOTER.parse(trailing), end
    if copy is not None and _sum_is_right(copy, 0x40):
        diagnostics.warning(
            "vhd.footer-copy",
            "the footer at the end of the file is "
            + ("missing" if trailing is None else "damaged")
            + "; the copy at its beginning was used",
            hint="the end of the file may be missing: compare its size with the original's",
        )
        return FOOTER.parse(copy), end
    chosen = trailing if trailing is not None else copy
    if chosen is None:
        raise FormatError("VHD", "no footer at the end of the file and no copy of it at the beginning")
    diagnostics.warning("vhd.checksum", "the footer's checksum is wrong; it was believed all the same")
    return FOOTER.parse(chosen), end


def read_unique_id(source: ByteSource) -> bytes:
    """Return the 16 bytes by which a child names this file as its parent.

    Raises:
        FormatError: not a VHD.

    """
    footer, _ = _choose_footer(source, Diagnostics())
    return bytes(footer.unique_id)


class Vhd:
    """The virtual disk of a VHD.

    Args:
        source: the file.
        diagnostics: takes what was doubtful or worked around.

    Attributes:
        kind: "fixed", "dynamic" or "differencing".
        parent: of a differencing disk: its parent's virtual disk, which the caller finds, checks by `parent_id` and
            sets; a read that needs it raises ReadError until then.
        block_size: bytes of a block; 0 for a fixed disk.
        unique_id: 16 bytes; a child's `parent_id` is its parent's `unique_id`.
        parent_names: what the file calls its parent, the most useful first.
        creator: the program that wrote it ("win ", "vpc ", "qemu").
        created: when it was made, seconds since 2000-01-01 00:00 UTC.
        truncated: the file lacks data that it should hold.

    Raises:
        FormatError: no footer, or one that contradicts the format.

    """

    def __init__(self, source: ByteSource, diagnostics: Diagnostics) -> None:
        self._source = source
        self._diagnostics = diagnostics
        self.parent: ByteSource | None = None
        self.truncated = False
        self.block_size = 0
        self.parent_id = bytes(16)
        self.parent_names: tuple[str, ...] = ()
        footer, self._end = _choose_footer(source, diagnostics)
        self.kind = _KINDS.get(footer.disk_type, "")
        if not self.kind:
            raise FormatError("VHD", "unknown disk type", expected="2, 3 or 4", found=footer.disk_type)
        if footer.current_size <= 0 or footer.current_size >= 1 << 63:
            raise FormatError("VHD", "impossible virtual size", found=footer.current_size)
        self._size: int = footer.current_size
        self.unique_id: bytes = footer.unique_id
        self.creator: str = footer.creator_application.decode("latin-1").rstrip("\0")
        self.created: int = footer.time_stamp
        if footer.saved_state:
            diagnostics.info(
                "vhd.saved-state",
                "the machine was saved, not shut down: its memory may hold data that the disk lacks",
            )
        if self.kind == "fixed":
            self._check_fixed()
        else:
            self._open_blocks(footer.data_offset)

    @property
    def size(self) -> int:
        """Length of the virtual disk in bytes."""
        return self._size

    # -- fixed ---------------------------------------------------------------------------------------------------

    def _check_fixed(self) -> None:
        if self._size > self._end:
            self.truncated = True
            self._diagnostics.error(
                "container.truncated",
                f"the fixed VHD holds {self._end} of {self._size} bytes of its disk",
                hint="what lies behind cannot be read: copy or download the file again",
            )

    # -- dynamic and differencing --------------------------------------------------------------------------------

    def _open_blocks(self, header_offset: int) -> None:
        data = read_exact(self._source, header_offset, _HEADER_SIZE, format="VHD")
        if not data.startswith(HEADER_COOKIE):
            raise FormatError("VHD", "no dynamic header", offset=header_offset, expected=HEADER_COOKIE, found=data[:8])
        header = DYNAMIC_HEADER.parse(data)
        if not _sum_is_right(data, 0x24):
            self._diagnostics.warning(
                "vhd.checksum", "the dynamic header's checksum is wrong; it was believed all the same"
            )
        block = header.block_size
        if not SECTOR <= block <= MAX_DISK_BLOCK or block & (block - 1):
            raise FormatError(
                "VHD",
                "impossible block size",
                offset=header_offset + 0x20,
                expected="a power of two from 512 bytes to 256 MiB",
                found=block,
            )
        self.block_size = block
        bitmap_sectors = (block // SECTOR // 8 + SECTOR - 1) // SECTOR
        self._bitmap_size = max(1, bitmap_sectors) * SECTOR
        needed = -(-self._size // block)
        self._table_offset: int = header.table_offset
        there = max(0, self._source.size - self._table_offset) // 4
        count = min(needed, header.max_table_entries, there)
        self._header_end = header_offset + _HEADER_SIZE
        self._table = EntryTable(self._source, self._table_offset, count, width=4, byteorder="big", format="VHD")
        if header.max_table_entries < needed:
            self._diagnostics.error(
                "container.damaged",
                f"the VHD's block table has {header.max_table_entries} entries, its disk needs {needed}",
                hint="what lies behind them cannot be read",
            )
        elif count < needed:
            self.truncated = True
            self._diagnostics.error(
                "container.truncated",
                f"the VHD's block table at {self._table_offset:#x} is cut: {count} of {needed} entries are there",
                hint="copy or download the file again",
            )
        self._bitmaps = SectorBitmaps(self._read_bitmap, lsb_first=False)
        if self.kind == "differencing":
            self.parent_id = header.parent_unique_id
            self.parent_names = self._read_parent_names(header)
        self._check_blocks()

    def _check_blocks(self) -> None:
        """Say what is wrong with the table before anything is read through it."""
        if self._table.count > MAX_CHECKED_BLOCKS:
            return
        span = self._bitmap_size + self.block_size
        places: list[int] = []
        lost, first_lost, inside = 0, -1, 0
        metadata_end = max(self._header_end, self._table_offset + self._table.count * 4)
        for first, page in self._table.pages():
            for index, entry in enumerate(page, first):
                if entry == _ABSENT:
                    continue
                at = entry * SECTOR
                places.append(at)
                if at + self._bitmap_size + self._needed(index) > self._end:
                    lost += 1
                    first_lost = index if first_lost < 0 else first_lost
                elif at < metadata_end and not self._clear_of_metadata(at):
                    inside += 1
        if lost:
            self.truncated = True
            self._diagnostics.error(
                "container.truncated",
                f"{lost} of {len(places)} blocks of the VHD lie beyond the end of the file, the first at disk offset "
                f"{first_lost * self.block_size:#x}",
                hint="they cannot be read: copy or download the file again",
            )
        if inside:
            self._diagnostics.error(
                "container.damaged", f"{inside} blocks of the VHD are said to lie in its header or block table"
            )
        places.sort()
        doubled = sum(1 for a, b in pairwise(places) if b - a < span)
        if doubled:
            self._diagnostics.error(
                "container.damaged",
                f"{doubled} blocks of the VHD lie in the place of another block: one of the two is wrong",
            )

    def _clear_of_metadata(self, at: int) -> bool:
        """Return whether a block at `at` touches neither the footer copy, nor the header, nor the block table."""
        end = at + self._bitmap_size + self.block_size
        table = (self._table_offset, self._table_offset + self._table.count * 4)
        header = (self._header_end - _HEADER_SIZE, self._header_end)
        return all(end <= low or at >= high for low, high in ((0, _FOOTER_SIZE), header, table))

    def _needed(self, block: int) -> int:
        """Return how many bytes of a block belong to the disk; the last block may reach past its end."""
        return min(self.block_size, self._size - block * self.block_size)

    # -- parent --------------------------------------------------------------------------------------------------

    def _read_parent_names(self, header: Container[Any]) -> tuple[str, ...]:
        """Return the names the file gives its parent: relative, absolute, then the header's own."""
        names: dict[bytes, str] = {}
        for locator in header.parent_locators:
            encoding = {b"W2ru": "utf-16-le", b"W2ku": "utf-16-le", b"MacX": "utf-8"}.get(locator.platform_code)
            length = min(locator.platform_data_length, MAX_PARENT_NAME)
            if encoding is None or not length:
                continue
            data = self._source.read_at(locator.platform_data_offset, length)
            text = data.decode(encoding, "replace").split("\0", 1)[0]
            if text:
                names.setdefault(locator.platform_code, text)
        own = header.parent_unicode_name.decode("utf-16-be", "replace").split("\0", 1)[0]
        ordered = [names.get(b"W2ru", ""), names.get(b"W2ku", ""), own, names.get(b"MacX", "")]
        return tuple(dict.fromkeys(name for name in ordered if name))

    # -- extents -------------------------------------------------------------------------------------------------

    def extents(self) -> Iterator[Extent]:
        """Yield where the disk's bytes come from, in order: of each block one extent, or two where it is cut."""
        if self.kind == "fixed":
            yield from split_at(0, self._size, self._end, "stored")
            return
        absent: State = "zero" if self.kind == "dynamic" else "parent"
        present: State = "stored" if self.kind == "dynamic" else "mixed"
        for first, page in self._table.pages():
            for block, entry in enumerate(page, first):
                offset, length = block * self.block_size, self._needed(block)
                if entry == _ABSENT:
                    yield Extent(offset, length, absent)
                elif not self._clear_of_metadata(entry * SECTOR):
                    yield Extent(offset, length, "lost")
                else:
                    there = self._end - entry * SECTOR - self._bitmap_size
                    yield from split_at(offset, length, there, present)
        rest = self._table.count * self.block_size
        if rest < self._size:
            yield Extent(rest, self._size - rest, "lost")

    # -- reading -------------------------------------------------------------------------------------------------

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset` of the virtual disk; fewer only at its end.

        Raises:
            ReadError: the file does not hold a part of it, or the parent is needed and not there.

        """
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        length = min(length, self._size - offset)
        if self.kind == "fixed":
            return read_present(self._source, offset, length, end=self._end, format="VHD", what="data")
        pieces: list[bytes] = []
        while length > 0:
            block, within = divmod(offset, self.block_size)
            take = min(length, self.block_size - within)
            self._read_block(block, within, take, pieces)
            offset += take
            length -= take
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_block(self, block: int, within: int, length: int, pieces: list[bytes]) -> None:
        if block >= self._table.count:
            raise ReadError(
                f"VHD: block {block} has no entry in the block table", address=block * self.block_size + within
            )
        entry = self._table.entry(block)
        if entry == _ABSENT:
            pieces.append(self._absent(block * self.block_size + within, length))
            return
        at = entry * SECTOR
        if not self._clear_of_metadata(at):
            raise ReadError(
                f"VHD: block {block} is said to lie at file offset {at:#x}, in the header or block table",
                address=block * self.block_size + within,
            )
        data_at = at + self._bitmap_size
        if self.kind == "dynamic":
            pieces.append(self._from_file(data_at + within, length, block))
            return
        bits = self._bitmaps.of(block)
        end = within + length
        for mine, count in runs(bits, within // SECTOR, -(-end // SECTOR) - within // SECTOR):
            # Runs are whole sectors; the first and the last may be wanted in part.
            stop = min(end, (within // SECTOR + count) * SECTOR)
            if mine:
                pieces.append(self._from_file(data_at + within, stop - within, block))
            else:
                pieces.append(self._absent(block * self.block_size + within, stop - within))
            within = stop

    def _from_file(self, at: int, length: int, block: int) -> bytes:
        return read_present(self._source, at, length, end=self._end, format="VHD", what=f"block {block}")

    def _absent(self, offset: int, length: int) -> bytes:
        """Return what a place holds that the file does not store: zeros, or the parent's bytes."""
        if self.kind == "dynamic":
            return bytes(length)
        if self.parent is None:
            raise ReadError("VHD: this place is stored in the parent disk, which is not open", address=offset)
        return read_padded(self.parent, offset, length)

    def _read_bitmap(self, block: int) -> bytes:
        at = self._table.entry(block) * SECTOR
        length = max(1, self.block_size // SECTOR // 8)
        return read_present(
            self._source, at, length, end=self._end, format="VHD", what=f"the sector bitmap of block {block}"
        )
