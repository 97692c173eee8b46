"""The first pass over the journal: what was not written to its place yet, and which transactions are not ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from parsers.errors import FormatError
from parsers.limits import MAX_JOURNAL_COMPARISONS, MAX_JOURNAL_DIRTY_CLUSTERS
from parsers.ntfs.journal.action import Action, Op
from parsers.ntfs.journal.records import CLIENT_RECORD, LogReader, LogRecord
from parsers.ntfs.journal.restart import FORMAT
from parsers.ntfs.journal.tables import Checkpoint, OpenAttribute, Transaction

__all__ = ["Analysis", "analyse"]

_DUMPS = (Op.ATTRIBUTES_DUMP, Op.NAMES_DUMP, Op.DIRTY_DUMP, Op.TRANSACTIONS_DUMP)


@dataclass(slots=True)
class Analysis:
    """What the journal says of the volume.

    Attributes:
        checkpoint: its tables, brought up to the end of the log.
        records: records behind the checkpoint.
        last: LSN of the last record of the log.
        opened: by key, attributes with the LSNs from which on the keys stand for them, in order.
        problem: why the log could not be read to its end; "" when it could.
        comparisons: how often a dirty page was held against freed clusters so far.

    """

    checkpoint: Checkpoint
    records: int = 0
    last: int = 0
    opened: dict[int, list[tuple[int, OpenAttribute]]] = field(default_factory=dict)
    problem: str = ""
    comparisons: int = 0

    def attribute(self, key: int, lsn: int) -> OpenAttribute | None:
        """Return the attribute that a key stood for when a record was written."""
        for since, attribute in reversed(self.opened.get(key, ())):
            if since <= lsn:
                return attribute
        return None

    @property
    def redo_from(self) -> int | None:
        """LSN from which on changes are missing on the volume; None when none are."""
        return min((oldest for oldest, lcn in self.checkpoint.dirty.values() if oldest and lcn), default=None)


def analyse(reader: LogReader, checkpoint: Checkpoint) -> Analysis:
    """Read the log from a checkpoint to its end.

    What is damaged ends the reading and is told in `problem`; what was found before it stays.

    Raises:
        ReadError: a place cannot be read.

    """
    found = Analysis(checkpoint)
    for key, attribute in checkpoint.attributes.items():
        found.opened[key] = [(attribute.opened, attribute)]
    try:
        for record in reader.forward(checkpoint.start):
            found.last = record.lsn
            if record.lsn == checkpoint.start:
                continue
            found.records += 1
            if record.kind == CLIENT_RECORD:
                _take(found, record)
    except FormatError as error:
        found.problem = error.message
    return found


def _take(found: Analysis, record: LogRecord) -> None:
    action = Action.parse(record)
    op = action.redo
    if op in _DUMPS:
        # They carry the key of a transaction and begin none.
        return
    transactions = found.checkpoint.transactions
    if op == Op.FORGET:
        transactions.pop(record.transaction, None)
        return
    transaction = transactions.get(record.transaction)
    if transaction is None:
        transaction = transactions[record.transaction] = Transaction(record.lsn, record.lsn)
        if len(transactions) > MAX_JOURNAL_DIRTY_CLUSTERS:
            raise FormatError(FORMAT, "too many transactions")
    compensates = action.undo == Op.COMPENSATION or op == Op.END_TOP_LEVEL
    transaction.undo_next = record.undo_next if compensates else record.lsn
    if op in (Op.PREPARE, Op.COMMIT):
        transaction.committed = True
    elif op == Op.OPEN_ATTRIBUTE:
        attribute = found.checkpoint.open_attribute(action.redo_data or b"")
        found.checkpoint.attributes[action.target] = attribute
        found.opened.setdefault(action.target, []).append((record.lsn, attribute))
    elif op == Op.DELETE_DIRTY_CLUSTERS:
        _forget_clusters(found, action)
    elif op == Op.HOT_FIX:
        key = (action.target, action.vcn)
        if key in found.checkpoint.dirty and action.lcns:
            oldest, lcn = found.checkpoint.dirty[key]
            found.checkpoint.dirty[key] = (oldest, action.lcns[0] if lcn else 0)
    else:
        _add(found, action)


def _add(found: Analysis, action: Action) -> None:
    dirty = found.checkpoint.dirty
    for number, lcn in enumerate(action.lcns):
        key = (action.target, action.vcn + number)
        kept = dirty.get(key)
        dirty[key] = (kept[0] if kept else action.lsn, lcn)
    if len(dirty) > MAX_JOURNAL_DIRTY_CLUSTERS:
        raise FormatError(FORMAT, "too many dirty pages", expected=f"<= {MAX_JOURNAL_DIRTY_CLUSTERS}")


def _forget_clusters(found: Analysis, action: Action) -> None:
    data = action.redo_data
    if data is None or len(data) % 16:
        raise FormatError(FORMAT, f"the list of clusters of the record {action.lsn:#x} is cut")
    ranges = [
        (first, first + int.from_bytes(data[at + 8 : at + 16], "little"))
        for at in range(0, len(data), 16)
        for first in (int.from_bytes(data[at : at + 8], "little"),)
    ]
    dirty = found.checkpoint.dirty
    found.comparisons += len(dirty) * len(ranges)
    if found.comparisons > MAX_JOURNAL_COMPARISONS:
        raise FormatError(FORMAT, "too many clusters were freed", expected=f"<= {MAX_JOURNAL_COMPARISONS} comparisons")
    for key, (oldest, lcn) in dirty.items():
        if lcn and any(first <= lcn < end for first, end in ranges):
            dirty[key] = (oldest, 0)
