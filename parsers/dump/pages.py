"""The second headers of dumps that hold physical pages: which pages, from where on.

Types 1 (runs in the header), 2 (old summary), 5 and 6 (bitmap), 8, 9 and 0xA (ranges, written by WinDbg).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.dump.bitmap import MAX_PAGE_NUMBER, PageBitmap, PageMap, PageRanges
from parsers.dump.header import DumpHeader
from parsers.dump.kinds import DumpType
from parsers.dump.layouts import BITMAP_HEADER, RDMP_HEADER, SUMMARY_HEADER32, SUMMARY_HEADER64
from parsers.errors import FormatError, TruncatedError
from parsers.limits import MAX_BITMAP_BITS, MAX_DUMP_RANGES, require, require_count

__all__ = ["StoredPages", "believed_type", "read_pages", "read_ranges"]

_RANGE = struct.Struct("<QQ")
_BITMAP_TYPES = (DumpType.SUMMARY, DumpType.BITMAP_FULL, DumpType.BITMAP_KERNEL)
_RDMP_TYPES = (DumpType.RDMP_KERNEL, DumpType.RDMP_KERNEL_USER, DumpType.RDMP_COMPLETE)


class StoredPages(NamedTuple):
    """What the second header says.

    Attributes:
        dump_type: the type believed.
        pages: which pages are stored.
        first_page: file offset of the first one.
        knows_limit: the map covers all installed memory, so that its limit is the machine's.

    """

    dump_type: DumpType
    pages: PageMap
    first_page: int
    knows_limit: bool


def believed_type(source: ByteSource, header: DumpHeader, diagnostics: Diagnostics) -> DumpType:
    """Hold DumpType against the second signature; where they disagree the signature is believed, and told.

    Raises:
        FormatError: neither names a body that can be read.

    """
    head = source.read_at(header.size, 12)
    claimed = header.dump_type
    bitmap = head[:8] in (b"SDMPDUMP", b"FDMPDUMP")
    ranges = head[4:12] == b"RDMPDUMP"
    if (
        (bitmap and claimed in _BITMAP_TYPES)
        or (ranges and claimed in _RDMP_TYPES)
        or (claimed == DumpType.FULL and not bitmap and not ranges)
    ):
        return DumpType(claimed)
    if bitmap:
        believed = DumpType.BITMAP_FULL if head[:4] == b"FDMP" else DumpType.BITMAP_KERNEL
    elif ranges:
        believed = DumpType.RDMP_COMPLETE
    else:
        raise FormatError(
            "DUMP_HEADER",
            f"the body of dump type {claimed} is missing",
            offset=header.size,
            expected="SDMP, FDMP or RDMP",
            found=head[:8],
        )
    diagnostics.warning(
        "dump.type-mismatch",
        f"the header says dump type {claimed}, the body is of type {int(believed)}; it is believed",
    )
    return believed


def read_pages(source: ByteSource, header: DumpHeader, diagnostics: Diagnostics) -> StoredPages:
    """Read the second header and the page map of any dump with physical pages.

    Raises:
        FormatError: the map is damaged beyond use.
        TruncatedError: the file ends inside it.

    """
    kind = believed_type(source, header, diagnostics)
    if kind == DumpType.FULL:
        return _read_runs(header, diagnostics)
    if kind in _RDMP_TYPES:
        return _read_rdmp(source, kind, diagnostics)
    if kind == DumpType.SUMMARY:
        return _read_summary(source, header, diagnostics)
    return _read_bitmap(source, header, kind, diagnostics)


def read_ranges(runs: list[tuple[int, int]], diagnostics: Diagnostics) -> PageRanges:
    """Make a page map of (first page, page count) rows; rows that no machine can have end it, and are told."""
    good: list[tuple[int, int]] = []
    for first, count in runs:
        if first + count > MAX_PAGE_NUMBER:
            diagnostics.warning(
                "dump.ranges-damaged", f"a range of {count:#x} pages at page {first:#x} is beyond any machine"
            )
            break
        good.append((first, count))
    ranges = PageRanges(good)
    if ranges.overlapping:
        diagnostics.warning(
            "dump.ranges-overlap", f"{ranges.overlapping} ranges of pages overlap; the first one is believed"
        )
    return ranges


def _read_runs(header: DumpHeader, diagnostics: Diagnostics) -> StoredPages:
    memory = header.physical_memory
    if memory is None:
        raise FormatError(
            "PHYSICAL_MEMORY_DESCRIPTOR",
            "the table of runs was never written",
            offset=0x88 if header.is_64bit else 0x64,
        )
    runs = list(memory.runs)
    stored = sum(count for _, count in runs)
    if stored != memory.number_of_pages and memory.number_of_runs == len(runs):
        diagnostics.warning(
            "dump.runs-differ", f"the runs hold {stored} pages, the header says {memory.number_of_pages}"
        )
    whole = memory.number_of_runs == len(runs)
    return StoredPages(DumpType.FULL, read_ranges(runs, diagnostics), header.size, whole)


def _bitmap(source: ByteSource, offset: int, bits: int, first_page: int, diagnostics: Diagnostics) -> PageBitmap:
    """Read a bitmap between its header and the first page."""
    require_count(bits, MAX_BITMAP_BITS, format="dump bitmap", what="number of bits", offset=offset)
    length = (bits + 7) // 8
    if first_page < offset + length:
        raise FormatError(
            "dump bitmap", "it runs into the first page", offset=offset, expected=hex(offset + length), found=first_page
        )
    there = max(0, min(length, source.size - offset))
    bitmap = source.read_at(offset, there)
    if len(bitmap) < length:
        raise TruncatedError(
            "dump bitmap", "the file ends inside it", offset=offset, expected=f"{length} bytes", found=len(bitmap)
        )
    if first_page % 0x1000:
        diagnostics.warning("dump.first-page-odd", f"the first page lies at {first_page:#x}, not on a page boundary")
    return PageBitmap(bitmap, bits)


def _told_count(pages: PageBitmap, claimed: int, diagnostics: Diagnostics) -> None:
    if pages.count != claimed:
        diagnostics.warning(
            "dump.pages-differ", f"the bitmap names {pages.count} pages, its header {claimed}; the bitmap is believed"
        )


def _read_bitmap(source: ByteSource, header: DumpHeader, kind: DumpType, diagnostics: Diagnostics) -> StoredPages:
    size = BITMAP_HEADER.sizeof()
    raw = BITMAP_HEADER.parse(
        require(source.read_at(header.size, size), size, format="bitmap header", offset=header.size)
    )
    pages = _bitmap(source, header.size + size, raw.pages, raw.first_page, diagnostics)
    _told_count(pages, raw.total_present_pages, diagnostics)
    return StoredPages(kind, pages, raw.first_page, True)


def _read_summary(source: ByteSource, header: DumpHeader, diagnostics: Diagnostics) -> StoredPages:
    """Read the old layout; where its count is wrong and the newer layout's is right, that one is believed."""
    layout = SUMMARY_HEADER64 if header.is_64bit else SUMMARY_HEADER32
    size = layout.sizeof()
    raw = layout.parse(require(source.read_at(header.size, size), size, format="SUMMARY_DUMP", offset=header.size))
    try:
        pages = _bitmap(source, header.size + size, raw.bitmap_size, raw.header_size, diagnostics)
    except FormatError:
        return _read_bitmap(source, header, DumpType.SUMMARY, diagnostics)
    if pages.count != raw.pages:
        scratch = Diagnostics()
        try:
            other = _read_bitmap(source, header, DumpType.SUMMARY, scratch)
        except FormatError:
            other = None
        if other is not None and not scratch.items:
            diagnostics.info("dump.summary-layout", "a dump of type 2 with the layout of types 5 and 6")
            return other
    _told_count(pages, raw.pages, diagnostics)
    return StoredPages(DumpType.SUMMARY, pages, raw.header_size, True)


def _read_rdmp(source: ByteSource, kind: DumpType, diagnostics: Diagnostics) -> StoredPages:
    size = RDMP_HEADER.sizeof()
    raw = RDMP_HEADER.parse(require(source.read_at(0x2000, size), size, format="RDMP header", offset=0x2000))
    first_page, table = raw.first_page_offset, 0x2000 + size
    if first_page < table:
        raise FormatError("RDMP header", "pages before the table", offset=0x2018, expected=hex(table), found=first_page)
    if first_page != raw.metadata_size + 0x2020:
        diagnostics.warning("dump.rdmp-size", "the size of the page table does not fit the place of the first page")
    room = (min(first_page, source.size) - table) // _RANGE.size
    if room > MAX_DUMP_RANGES:
        diagnostics.warning("dump.ranges-cut", f"of {room} ranges of pages the first {MAX_DUMP_RANGES} are read")
        room = MAX_DUMP_RANGES
    complete = kind == DumpType.RDMP_COMPLETE
    left = raw.total_number_of_pages
    runs: list[tuple[int, int]] = []
    for first, count in _RANGE.iter_unpack(source.read_at(table, room * _RANGE.size)):
        # Unused slots of types 8 and 9 are zero; behind the last range of type 0xA stale bytes may follow.
        if (complete and left <= 0) or (not complete and first == count == 0):
            break
        taken = min(count, left) if complete else count
        left -= taken
        runs.append((first, taken))
    if complete and raw.number_of_ranges != len(runs):
        # Readers that stop there lose pages; the count of pages is what ends the table.
        diagnostics.info(
            "dump.ranges-differ", f"the header claims {raw.number_of_ranges} ranges of pages, the table has {len(runs)}"
        )
    if complete and left > 0:
        diagnostics.warning("dump.ranges-damaged", f"the table of ranges ends with {left} pages still to come")
    return StoredPages(kind, read_ranges(runs, diagnostics), first_page, complete)
