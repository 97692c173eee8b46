"""The second pass over the journal: every change that is missing on the volume made again, in memory.

A page is changed only when it is in the table of dirty pages, the record is not older than the page's entry there, its
clusters were not freed, and its own LSN is older than the record's. Changes that do not fit make the page doubtful for
good, unless a later record brings it as a whole. So does a page that is newer than the log's end: the log and the page
are not of one moment.
"""

from __future__ import annotations

from typing import Final

from parsers.bytesource import ByteSource
from parsers.errors import FormatError
from parsers.limits import MAX_JOURNAL_CHANGED, MAX_JOURNAL_DIRTY_CLUSTERS, MAX_JOURNAL_PAGES
from parsers.ntfs.journal.action import Action, Op, Way
from parsers.ntfs.journal.analysis import Analysis
from parsers.ntfs.journal.block import BLOCK_OPS, change_block, new_block
from parsers.ntfs.journal.places import GRANULE, Page, PageKind, Pieces, load, pieces_of
from parsers.ntfs.journal.plain import BITS, PlainSectors, stretch
from parsers.ntfs.journal.records import CLIENT_RECORD, LogReader
from parsers.ntfs.journal.restart import FORMAT
from parsers.ntfs.journal.segment import (
    SEGMENT_HEADER,
    SEGMENT_OPS,
    bring_back,
    change_segment,
    in_use,
    initialized,
    resident_content,
)
from parsers.ntfs.journal.tables import OpenAttribute
from parsers.ntfs.record import DATA, INDEX_ALLOCATION, record_number
from parsers.ntfs.volume import ROOT, BootSector

__all__ = ["NO_PAGE", "PROVEN", "Replay"]

#: Operations of records that name clusters and change no page.
NO_PAGE: Final = (
    Op.NOOP, Op.COMPENSATION, Op.DELETE_DIRTY_CLUSTERS, Op.HOT_FIX, Op.END_TOP_LEVEL, Op.PREPARE, Op.COMMIT,
    Op.FORGET, Op.OPEN_ATTRIBUTE, Op.ATTRIBUTES_DUMP, Op.NAMES_DUMP, Op.DIRTY_DUMP, Op.TRANSACTIONS_DUMP,
)  # fmt: skip
#: Operations that may bring content of files, which the journal holds as zeros.
_CONTENT: Final = (Op.INITIALIZE_RECORD, Op.WRITE_END_OF_RECORD, Op.CREATE_ATTRIBUTE, Op.UPDATE_RESIDENT)
#: Operations that lay bytes over as many others: what stands there tells alone whether they were done. Windows leaves a
#: block's LSN as it is when it sets times and sizes in it (seen on a real volume).
_OVERWRITES: Final = (Op.UPDATE_ROOT_NAME, Op.UPDATE_BLOCK_NAME, Op.SET_ROOT_VCN, Op.SET_BLOCK_VCN, Op.SET_SIZES)
#: Operations on one attribute alone.
_ONE: Final = (Op.CREATE_ATTRIBUTE, Op.UPDATE_RESIDENT)
#: Records of the volume's own files. They are read as they stand when it is doubtful what they should hold, as is the
#: root folder: without them there is no volume.
_OWN_FILES: Final = 12
#: Operations whose result, done again and undone, was held against that of ntfsrecover, byte by byte, or against the
#: volume they came from where ntfsrecover is wrong.
PROVEN: Final = frozenset(
    (
        Op.INITIALIZE_RECORD, Op.DEALLOCATE_RECORD, Op.CREATE_ATTRIBUTE, Op.DELETE_ATTRIBUTE, Op.UPDATE_RESIDENT,
        Op.UPDATE_MAPPING_PAIRS, Op.SET_SIZES, Op.ADD_ROOT_ENTRY, Op.DELETE_ROOT_ENTRY, Op.UPDATE_ROOT_NAME,
        Op.ADD_BLOCK_ENTRY, Op.DELETE_BLOCK_ENTRY, Op.UPDATE_BLOCK_NAME, Op.WRITE_END_OF_RECORD,
        Op.WRITE_END_OF_BLOCK, Op.UPDATE_NONRESIDENT, Op.SET_BITS, Op.CLEAR_BITS, Op.SET_ROOT_VCN, Op.SET_BLOCK_VCN,
        Op.ZERO_END_OF_RECORD,
    )
)  # fmt: skip


class Replay:
    """Changes to a volume, made in memory.

    Args:
        source: the volume.
        boot: its boot sector.
        analysis: what the first pass found.

    Attributes:
        pages: the file records and index blocks that were looked at, by their places.
        plain: other sectors that were changed.
        plain_records: how many records changed such sectors, by file and type of attribute.
        refused: places that are doubtful, each with the reason.
        problems: doubts that have no place.
        content: resident data that the journal does not hold: number of the file record, name of the attribute.

    """

    def __init__(self, source: ByteSource, boot: BootSector, analysis: Analysis) -> None:
        self._source = source
        self._boot = boot
        self._analysis = analysis
        self.pages: dict[Pieces, Page] = {}
        self.plain = PlainSectors(source)
        self.plain_records: dict[tuple[int, int], int] = {}
        self.refused: dict[tuple[int, int], str] = {}
        self.problems: list[str] = []
        self.content: set[tuple[int, str]] = set()
        self._owners: dict[int, Page] = {}
        self._bytes = 0

    def redo(self, reader: LogReader, start: int) -> None:
        """Do again what the log holds from a record on.

        Raises:
            ReadError: a place cannot be read.

        """
        try:
            for record in reader.forward(start):
                if record.kind == CLIENT_RECORD:
                    action = Action.parse(record)
                    if action.lcns and action.redo not in NO_PAGE:
                        self.make(action, Way.forward(action))
        except FormatError as error:
            self.refuse_all(error.message)

    def refuse_all(self, why: str) -> None:
        """Make every page doubtful that was not written yet: the journal cannot be followed."""
        why = why.removeprefix(FORMAT + ": ")
        self.problems.append(why)
        for (target, _), (_, lcn) in self._analysis.checkpoint.dirty.items():
            attribute = self._analysis.checkpoint.attributes.get(target)
            if lcn and not self._is_root(attribute):
                self._refuse_cluster(lcn, why)

    # One record ---------------------------------------------------------------------------------------------------

    def make(self, action: Action, way: Way, doubt: str = "") -> None:
        """Do one record again, or undo it, where the volume lacks that; what is doubtful is noted.

        Args:
            action: the record.
            way: which of the two.
            doubt: why what the record changes is doubtful in any case; "" when it is not.

        Raises:
            FormatError: there is too much to do.
            ReadError: a place cannot be read.

        """
        attribute = self._analysis.attribute(action.target, action.lsn)
        size, kind = 0, None
        if attribute is None:
            self._refuse(action, None, "an attribute that the journal does not name")
            return
        if way.op in SEGMENT_OPS or way.op == Op.INITIALIZE_RECORD:
            if record_number(attribute.file) == 0 and attribute.type == DATA:
                size, kind = self._boot.record, "record"
        elif way.op in BLOCK_OPS or (way.op == Op.UPDATE_NONRESIDENT and attribute.type == INDEX_ALLOCATION):
            if attribute.type == INDEX_ALLOCATION and 512 <= attribute.block <= 0x10000 and not attribute.block & 511:
                size, kind = attribute.block, "index"
        elif way.op == Op.UPDATE_NONRESIDENT or way.op in BITS:
            try:
                if doubt and way.op not in BITS:
                    raise FormatError(FORMAT, doubt)
                self._plain(action, way, record_number(attribute.file), attribute.type)
            except FormatError as error:
                self._refuse(action, attribute, error.message)
            return
        if kind is None:
            self._refuse(action, attribute, f"an operation ({way.op:#x}) that is not understood")
            return
        start = action.within
        if kind == "index":
            start += action.record_offset
        try:
            lcns = self._clusters(action, start, size, undo=way.undo)
        except FormatError as error:
            self._refuse(action, attribute, error.message)
            return
        if lcns is None:
            return
        place = action.vcn * self._boot.cluster + start
        if kind == "record":
            number, vcn, unit = place // size, 0, size
        else:
            unit = self._boot.cluster if self._boot.cluster <= size else 512
            number, vcn = record_number(attribute.file), place // unit
        if place % min(unit, size):
            self._refuse(action, attribute, "a place within a page")
            return
        page = self._page("record" if kind == "record" else "index", number, vcn,
                          pieces_of(lcns, self._boot.cluster, start, size))  # fmt: skip
        if page is None:
            return
        if page.lsn > self._analysis.last:
            page.problem = page.problem or "it was written after the journal's last record"
        elif way.undo or page.lsn < action.lsn:
            self._change(page, action, way, size, doubt)

    def _change(self, page: Page, action: Action, way: Way, size: int, doubt: str) -> None:
        self._bytes += size
        if self._bytes > MAX_JOURNAL_CHANGED:
            raise FormatError(FORMAT, "too many changes", expected=f"<= {MAX_JOURNAL_CHANGED} bytes")
        try:
            if way.undo:
                if page.problem or _free(page, way):
                    return
                if doubt:
                    raise FormatError(FORMAT, doubt)
                if way.old is None or (page.lsn < action.lsn and way.op not in _OVERWRITES):
                    raise FormatError(FORMAT, "it cannot be told whether what is to be undone was done")
            if way.op not in PROVEN:
                raise FormatError(FORMAT, "an operation that was not held against another program yet")
            if way.new is None and way.op != Op.ZERO_END_OF_RECORD:
                raise FormatError(FORMAT, "the journal does not hold what is to be written")
            new = way.new or b""
            header = way.op == Op.INITIALIZE_RECORD and len(new) <= SEGMENT_HEADER
            if way.op == Op.INITIALIZE_RECORD and action.record_offset == 0 and not header:
                page.data = initialized(new, size)
                page.problem = ""
            elif way.op == Op.UPDATE_NONRESIDENT:
                if action.attribute_offset:
                    raise FormatError(FORMAT, "the journal writes a part of an index block")
                page.data = new_block(new, size, page.vcn)
                page.problem = ""
            elif page.problem:
                return
            elif page.data is None:
                raise FormatError(FORMAT, f"the {'file record' if page.kind == 'record' else 'index block'} is torn")
            elif header and action.record_offset == 0:
                bring_back(page.data, new)
            elif way.op in SEGMENT_OPS:
                change_segment(page.data, way, action.record_offset, action.attribute_offset)
            elif way.op in BLOCK_OPS:
                change_block(page.data, way, action.attribute_offset)
            else:
                raise FormatError(FORMAT, "a part of a file record")
            page.check_identity()
            if way.op in _CONTENT and not header:
                for name in resident_content(page.data, action.record_offset, only=way.op in _ONE):
                    self.content.add((page.number, name))
            if not way.undo:
                page.data[8:16] = action.lsn.to_bytes(8, "little")
        except FormatError as error:
            what = f"operation {way.op:#x}{' that undoes' if way.undo else ' of'} the record {action.lsn:#x}"
            page.problem = page.problem or f"{error.message.removeprefix(FORMAT + ': ')} ({what})"
        page.applied(way.op, action.lsn)

    def _clusters(self, action: Action, start: int, size: int, *, undo: bool) -> list[int] | None:
        """Return the clusters of a page; None when the change is on the volume already, or the page is gone.

        Raises:
            FormatError: the journal contradicts itself.

        """
        cluster = self._boot.cluster
        first, last = start // cluster, (start + max(size, 1) - 1) // cluster
        if last >= len(action.lcns):
            raise FormatError(FORMAT, "a page of which not all clusters are named")
        for number in range(first, last + 1):
            kept = self._analysis.checkpoint.dirty.get((action.target, action.vcn + number))
            if kept is None:
                if undo:
                    continue
                return None
            if (not undo and action.lsn < kept[0]) or kept[1] == 0:
                return None
            if kept[1] != action.lcns[number]:
                raise FormatError(FORMAT, "a page that was moved while its changes were under way")
        if any(not 0 <= lcn < self._boot.clusters for lcn in action.lcns[first : last + 1]):
            raise FormatError(FORMAT, "clusters outside of the volume")
        return list(action.lcns)

    @staticmethod
    def _is_root(attribute: OpenAttribute | None) -> bool:
        return attribute is not None and record_number(attribute.file) == ROOT

    def _refuse(self, action: Action, attribute: OpenAttribute | None, why: str) -> None:
        """Make the clusters of a record doubtful."""
        why = f"{why.removeprefix(FORMAT + ': ')} (record {action.lsn:#x})"
        self.problems.append(why)
        for number, lcn in enumerate(() if self._is_root(attribute) else action.lcns):
            kept = self._analysis.checkpoint.dirty.get((action.target, action.vcn + number))
            for place in {lcn, kept[1] if kept else lcn}:
                self._refuse_cluster(place, why)

    def _refuse_cluster(self, lcn: int, why: str) -> None:
        cluster = self._boot.cluster
        start, end = lcn * cluster, (lcn + 1) * cluster
        own = self._boot.mft * cluster
        if own <= start < own + _OWN_FILES * self._boot.record:
            start = own + _OWN_FILES * self._boot.record
        if 0 < lcn < self._boot.clusters and start < end and len(self.refused) < MAX_JOURNAL_DIRTY_CLUSTERS:
            self.refused.setdefault((start, end - start), why)

    def doubtful(self) -> None:
        """Refuse the places of the pages that are doubtful; to be called at the end."""
        for page in self.pages.values():
            if not page.problem:
                continue
            self.problems.append(page.problem)
            if page.number != ROOT and not (page.kind == "record" and page.number < _OWN_FILES):
                for piece in page.pieces:
                    self.refused[piece] = page.problem

    # Pages and plain sectors --------------------------------------------------------------------------------------

    def _page(self, kind: PageKind, number: int, vcn: int, pieces: Pieces) -> Page | None:
        page = self.pages.get(pieces)
        if page is None:
            if len(self.pages) >= MAX_JOURNAL_PAGES:
                why = "the journal changes too many places"
                self.problems.append(why)
                for piece in pieces if number != ROOT and (kind == "index" or number >= _OWN_FILES) else ():
                    self.refused[piece] = why
                return None
            page = self.pages[pieces] = load(self._source, kind, number, vcn, pieces)
            self._own(page)
        if (page.kind, page.number, page.vcn) != (kind, number, vcn):
            page.problem = page.problem or "two things stand in one place"
        return page

    def _own(self, page: Page) -> None:
        for offset, length in page.pieces:
            for granule in range(offset, offset + length, GRANULE):
                other = self._owners.setdefault(granule, page)
                if other is not page or granule in self.plain.sectors:
                    other.problem = page.problem = "two things stand in one place"

    def _plain(self, action: Action, way: Way, number: int, kind: int) -> None:
        """Change bytes or bits that stand in no page.

        Raises:
            FormatError: the change does not fit.
            ReadError: a place cannot be read.

        """
        start, length = stretch(way)
        start += action.within + action.record_offset + (0 if way.op in BITS else action.attribute_offset)
        if not length:
            return
        lcns = self._clusters(action, start, length, undo=way.undo)
        if lcns is None:
            return
        key = (number, kind)
        self.plain_records[key] = self.plain_records.get(key, 0) + 1
        pieces = pieces_of(lcns, self._boot.cluster, start, length)
        for offset, size in pieces:
            for granule in range(offset - offset % GRANULE, offset + size, GRANULE):
                if granule in self._owners:
                    self._owners[granule].problem = "two things stand in one place"
        self.plain.change(way, pieces)


def _free(page: Page, way: Way) -> bool:
    """Tell whether a file record that is to be freed again is free.

    It was never made (only that it would be was logged), or it is one of those that Windows makes when it enlarges the
    table, which are free from the beginning.
    """
    return way.op == Op.DEALLOCATE_RECORD and (page.data is None or not in_use(page.data))
