"""The exit code of one report, for the command line and for whoever scans many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FOUND", "OK", "ONLY_A_DUMP", "PARTIAL", "exit_of", "is_unread"]

OK, FOUND, PARTIAL = 0, 1, 4
#: Why a lone dump tells nothing of the rest of the machine.
ONLY_A_DUMP = "only a dump was given, not the disk it came from"
#: Reasons that say that stopcode did not look, not that something could not be read.
_NOT_LOOKED = ("not collected", ONLY_A_DUMP)


def _counts(finding: Mapping[str, Any]) -> bool:
    return finding.get("state") in ("crashed", "exposed") and finding.get("status") != "experimental"


def is_unread(item: Mapping[str, Any]) -> bool:
    """Tell whether a gap, or a rule that was not judged, is so for want of reading: not because nobody looked."""
    return not any(reason in str(item.get("reason", "")) for reason in _NOT_LOOKED)


def exit_of(report: Mapping[str, Any]) -> int:
    """Return 1 for a known problem that crashed the machine or will, 4 when something needed could not be read, or 0.

    What is needed: everything that a rule could not be judged without, and everything that a diagnostic calls an
    error. A whole lone dump is 0, though it knows nothing of a disk.
    """
    findings = report.get("findings") or []
    if any(_counts(finding) for finding in findings):
        return FOUND
    if any(remark.get("severity") == "error" for remark in report.get("diagnostics") or []):
        return PARTIAL
    if (report.get("source") or {}).get("kind") == "dump":
        crashes = (report.get("facts") or {}).get("crashes") or []
        whole = all((crash.get("dump") or {}).get("complete", True) for crash in crashes)
        return OK if whole else PARTIAL
    if any(finding.get("state") == "suspected" for finding in findings):
        return PARTIAL
    return PARTIAL if any(is_unread(item) for item in report.get("unjudged") or []) else OK
