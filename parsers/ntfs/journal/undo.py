"""The third pass over the journal: what transactions changed that were not complete is undone, in memory.

Windows redoes everything first and then takes back, the last record first, what transactions did whose end is not in
the log: neither committed nor forgotten. A record that took something back itself (`COMPENSATION`) tells where to go
on.
"""

from __future__ import annotations

import heapq

from parsers.errors import FormatError
from parsers.limits import MAX_JOURNAL_RECORDS
from parsers.ntfs.journal.action import Action, Way
from parsers.ntfs.journal.records import CLIENT_RECORD, LogReader, LogRecord
from parsers.ntfs.journal.replay import NO_PAGE, Replay
from parsers.ntfs.journal.restart import FORMAT
from parsers.ntfs.journal.tables import Transaction

__all__ = ["undo"]


def undo(replay: Replay, reader: LogReader, transactions: dict[int, Transaction]) -> int:
    """Undo the transactions that were not complete; return how many of them had changed something.

    Args:
        replay: the volume with everything done again.
        reader: the log.
        transactions: those that are not ended, by their keys.

    Raises:
        ReadError: a place cannot be read.

    """
    # The newest first, whichever transaction it is of.
    waiting = [(-each.undo_next, key) for key, each in transactions.items() if each.undo_next and not each.committed]
    heapq.heapify(waiting)
    undone: set[int] = set()
    try:
        for _ in range(MAX_JOURNAL_RECORDS):
            if not waiting:
                return len(undone)
            lsn, key = heapq.heappop(waiting)
            record = _read(reader, -lsn, key)
            action = Action.parse(record)
            if action.lcns and action.undo not in NO_PAGE:
                undone.add(key)
                # The end of the transaction may be what was lost.
                replay.make(action, Way.back(action), doubt=reader.end_problem)
            if record.undo_next:
                heapq.heappush(waiting, (-record.undo_next, key))
        replay.refuse_all("too many records are to be undone")
    except FormatError as error:
        replay.refuse_all(error.message)
    return len(undone)


def _read(reader: LogReader, lsn: int, transaction: int) -> LogRecord:
    record = reader.read(lsn)
    if record is None or record.kind != CLIENT_RECORD or record.transaction != transaction or record.undo_next >= lsn:
        raise FormatError(FORMAT, f"the record {lsn:#x}, which is to be undone, is not there")
    return record
