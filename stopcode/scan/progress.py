"""What a scan tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Progress", "Watcher"]


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
