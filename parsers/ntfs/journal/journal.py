"""The journal of an NTFS volume: whether it was replayed, what it would change, and the volume with it replayed.

A volume that was copied while its Windows ran, or whose machine stopped, holds changes in `$LogFile` that were not made
in their places yet; Windows makes them when it mounts the volume. Nothing is written here: they are laid over the
volume in memory, each one only where it is certain, and places that they leave doubtful cannot be read.

A clean journal costs its two restart pages; of one that is not clean only what lies behind the checkpoint is read.

References: torvalds/linux fs/ntfs3/fslog.c, tuxera/ntfs-3g (ntfsrecover.c, playlog.c), msuhanov/dfir_ntfs (LogFile.py),
jschicht/LogFileParser. Tried on logs that Windows 7, 8.1 and 10 wrote and on volumes made dirty, with `ntfsrecover` on
a copy as the judge: of what is done again as it is, of what is undone with its `-u`, for of itself it leaves
transactions alone that were under way; both ways also on the records of a real volume.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal

from parsers.bytesource import ByteSource
from parsers.errors import FormatError, StopcodeError
from parsers.limits import MAX_JOURNAL_PAGES
from parsers.ntfs.journal.analysis import analyse
from parsers.ntfs.journal.pages import LogPages
from parsers.ntfs.journal.places import GRANULE, Page, protect
from parsers.ntfs.journal.records import LogReader
from parsers.ntfs.journal.replay import Replay
from parsers.ntfs.journal.restart import FORMAT, read_restart
from parsers.ntfs.journal.segment import resident_content
from parsers.ntfs.journal.source import ReplayedSource
from parsers.ntfs.journal.tables import read_checkpoint
from parsers.ntfs.journal.undo import undo
from parsers.ntfs.volume import NtfsVolume
from parsers.overlay import OverlaySource

__all__ = ["Journal", "State", "Touched", "read_journal"]

_LOG: Final = 2
State = Literal["clean", "replayed", "not replayed", "unreadable"]


@dataclass(frozen=True, slots=True)
class Touched:
    """A file record, a block of a folder's index, or another stretch that the journal changes.

    Attributes:
        kind: "record", "index" or "other".
        number: number of the file record; of an index or a stretch, of the file that it belongs to.
        operations: how many changes.
        first, last: LSNs of the first and the last of them; 0 of other stretches.
        problem: why it cannot be told what stands there; "" when it can.

    """

    kind: Literal["record", "index", "other"]
    number: int
    operations: int
    first: int
    last: int
    problem: str


@dataclass(slots=True)
class Journal:
    """What the journal of a volume says.

    Attributes:
        state: "clean" (also: not closed, with nothing to replay), "replayed" (in memory, all of it), "not replayed"
            (some changes are not certain; the others were made) or "unreadable".
        problem: why it is not replayed, or cannot be read; "" for the others.
        open: whether the volume was not dismounted.
        version: of the log, "1.1"; "" where it was emptied or cannot be read.
        records: records behind the checkpoint.
        undone: transactions under way that were undone, as far as that is certain.
        touched: what its changes touch, places that hold them already left out.
        source: the volume to read from: as it is, or replayed.
        content: data within file records that changed and that no journal holds: number of the record, name.

    """

    state: State
    source: ByteSource
    problem: str = ""
    open: bool = False
    version: str = ""
    records: int = 0
    undone: int = 0
    touched: list[Touched] = field(default_factory=list)
    content: frozenset[tuple[int, str]] = frozenset()

    @property
    def records_touched(self) -> frozenset[int]:
        """Numbers of the file records that the volume holds otherwise than the journal has them."""
        return frozenset(item.number for item in self.touched if item.kind == "record")

    @property
    def folders_touched(self) -> frozenset[int]:
        """Numbers of the folders whose indexes the volume holds otherwise than the journal has them."""
        return frozenset(item.number for item in self.touched if item.kind == "index")


def read_journal(volume: NtfsVolume, source: ByteSource) -> Journal:
    """Read the journal of a volume.

    Args:
        volume: the volume as it is.
        source: its bytes.

    """
    journal = Journal("unreadable", source)
    try:
        log = volume.stream(volume.own_record(_LOG))
        restart = None if log is None else read_restart(log)
        if log is None:
            raise FormatError(FORMAT, "it has no data")
        if restart is None:
            journal.state = "clean"
            return journal
        journal.version = "{}.{}".format(*restart.version)
        if restart.clean or not restart.checkpoint:
            journal.state = "clean"
            return journal
        journal.open = True
        reader = LogReader(LogPages(log, restart), restart)
        _replay(journal, volume, reader, restart.checkpoint)
    except StopcodeError as error:
        journal.problem = error.message
    return journal


def _replay(journal: Journal, volume: NtfsVolume, reader: LogReader, checkpoint: int) -> None:
    source = journal.source
    analysis = analyse(reader, read_checkpoint(reader, checkpoint))
    journal.records = analysis.records
    replay = Replay(source, volume.boot, analysis)
    if analysis.problem:
        replay.refuse_all(analysis.problem)
    else:
        start = analysis.redo_from
        if start is not None:
            replay.redo(reader, start)
        if reader.end_problem:
            replay.problems.append(reader.end_problem)
        journal.undone = undo(replay, reader, analysis.checkpoint.transactions)
    replay.doubtful()
    overlay = OverlaySource(source, GRANULE)
    for page in replay.pages.values():
        if page.problem or page.changed:
            journal.touched.append(_touched(page))
        if page.data is not None and page.changed and not page.problem:
            _lay(overlay, page)
    changed = 0
    for granule, data in replay.plain.sectors.items():
        if data != source.read_at(granule, GRANULE):
            overlay.put(granule, bytes(data))
            changed += 1
    if changed:
        for (number, _), count in replay.plain_records.items():
            journal.touched.append(Touched("other", number, count, 0, 0, ""))
    _check_places(volume, overlay, replay)
    journal.content = frozenset(_content(replay))
    if journal.touched or replay.refused:
        journal.source = ReplayedSource(overlay, replay.refused)
    journal.problem = _told(replay.problems)
    if analysis.problem:
        journal.state = "unreadable"
    elif replay.problems:
        journal.state = "not replayed"
    else:
        journal.state = "replayed" if journal.touched else "clean"


def _touched(page: Page) -> Touched:
    return Touched(page.kind, page.number, sum(page.operations.values()), page.first, page.last, page.problem)


def _lay(overlay: OverlaySource, page: Page) -> None:
    data = protect(page.data or bytearray())
    at = 0
    for offset, length in page.pieces:
        for step in range(0, length, GRANULE):
            overlay.put(offset + step, data[at + step : at + step + GRANULE])
        at += length


def _check_places(volume: NtfsVolume, overlay: OverlaySource, replay: Replay) -> None:
    """Hold the places of file records in the journal against the table's own clusters, as they are after the replay.

    Where they differ nobody can tell which is right: neither is given.
    """
    try:
        after = NtfsVolume(overlay, volume.boot)
    except StopcodeError as error:
        replay.refuse_all(f"with it the volume cannot be read ({error.message})")
        return
    for page in list(replay.pages.values())[:MAX_JOURNAL_PAGES]:
        if page.kind != "record" or page.problem:
            continue
        place = after.place_of_record(page.number)
        if place is not None and place != page.pieces[0][0]:
            why = "the file record lies elsewhere than in the journal"
            replay.problems.append(why)
            replay.refused[(place, volume.boot.record)] = why
            for piece in page.pieces:
                replay.refused[piece] = why


def _content(replay: Replay) -> list[tuple[int, str]]:
    """Return what of the data without content in the journal is still there at its end."""
    found = []
    for page in replay.pages.values():
        if page.kind == "record" and page.data is not None and not page.problem:
            names = resident_content(page.data, 0, only=False)
            found += [(page.number, name) for name in names if (page.number, name) in replay.content]
    return found


def _told(problems: list[str]) -> str:
    counted = Counter(problems).most_common(3)
    more = len(set(problems)) - len(counted)
    return "; ".join(text for text, _ in counted) + (f"; and {more} more" if more > 0 else "")
