"""`$LogFile`: the journal of an NTFS volume, read, and replayed in memory."""

from __future__ import annotations

from parsers.ntfs.journal.journal import Journal, State, Touched, read_journal

__all__ = ["Journal", "State", "Touched", "read_journal"]
