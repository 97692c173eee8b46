"""Many images, one fresh child process each; one bad or killed image never stops the rest."""

from __future__ import annotations

from stopcode.batch.inputs import Item, find_items
from stopcode.batch.supervisor import Settings, run_batch

__all__ = ["Item", "Settings", "find_items", "run_batch"]
