"""What a scan tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Progress", "Watcher", "doing"]

_DOING = {"open": "opening the image", "judge": "judging the rules", "disk_as_of": "reading the newest times"}


class Progress(NamedTuple):
    """One remark.

    Attributes:
        step: what begins now ("open", a collector's name, "judge").
        n: its number, from 0.
        of: how many steps there are; 0 while that is not known.
        section: a section of the facts that is whole now, or None.
        data: that section.

    """

    step: str
    n: int
    of: int
    section: str | None = None
    data: Any = None


Watcher = Callable[[Progress], None]


def doing(step: str) -> str:
    """Return what a step does, in words for a person."""
    return _DOING.get(step) or f"reading {step.replace('_', ' ')}"
