"""What the dumps on one disk say together: only those of one machine, as its firmware's numbers tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from forensics.crash.together import together
from forensics.facts import CrashDict

__all__ = ["several_lines"]


def several_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing that several dumps of one machine have in common; copies of one dump count once."""
    crashes = [
        crash
        for crash in facts.get("crashes") or []
        if crash.get("bugcheck") and crash.get("culprit") and not (crash.get("dump") or {}).get("copy_of")
    ]
    if len(crashes) < 2:
        return []
    groups = together(cast("list[CrashDict]", crashes))
    return [f"{len(group['dumps'])} dumps together: {words}" for group in groups for words in group["says"]]
