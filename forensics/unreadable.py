"""What the gaps of a facts document mean for the start of its Windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forensics.facts import path_of

__all__ = ["unreadable_boot_drivers"]

#: What the reason says of a file that nobody took along.
_NOT_LOOKED = "not collected"


def unreadable_boot_drivers(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the boot-start drivers whose files are there and of which not even the header can be read.

    Each with the reason, in the order of the facts. A file that nobody collected is none of them, nor is one whose
    header is sound and whose version resource is not.
    """
    reasons = {gap["path"]: str(gap["reason"]) for gap in facts.get("gaps") or []}
    found = []
    for driver in facts.get("drivers") or []:
        reason = reasons.get(f"{path_of('drivers', driver['file'])}/size_of_image", "")
        if driver.get("start") == "boot" and driver.get("missing") is False and reason and _NOT_LOOKED not in reason:
            found.append((driver["file"], reason))
    return found
