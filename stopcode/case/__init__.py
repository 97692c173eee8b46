"""The case file: what scans of many images found, kept in one SQLite file."""

from __future__ import annotations

from stopcode.case.opening import open_case
from stopcode.case.store import Case, CaseRow, Collected, FindingRow, Kept

__all__ = ["Case", "CaseRow", "Collected", "FindingRow", "Kept", "open_case"]
