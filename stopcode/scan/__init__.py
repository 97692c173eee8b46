"""One image (a disk, a folder, a lone dump) to one report."""

from __future__ import annotations

from stopcode.scan.progress import Progress, Watcher
from stopcode.scan.run import scan

__all__ = ["Progress", "Watcher", "scan"]
