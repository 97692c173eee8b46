"""Whether the last stop that the event log reports left a dump; needs the facts document alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["undumped"]


def undumped(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the last bug check that the event log reports, unless a dump on the disk is of it."""
    boot = facts.get("boot") or {}
    reported: Mapping[str, Any] | None = boot.get("last_bugcheck")
    if not reported:
        return None
    until = str(reported.get("time") or "")
    before = sorted(str(item.get("started")) for item in boot.get("boots") or [] if str(item.get("started")) < until)
    # The report is written by the boot behind the crash; the boot before that one is the crashed one.
    since = before[-2] if len(before) > 1 else ""
    for crash in facts.get("crashes") or []:
        same = (crash.get("bugcheck") or {}).get("code") == reported.get("code")
        other = crash.get("live") or crash.get("foreign")
        if same and not other and since <= str(crash.get("time") or "") <= until:
            return None
    return reported
