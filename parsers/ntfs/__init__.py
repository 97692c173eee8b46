"""NTFS: the master file table, attributes and folders."""

from __future__ import annotations

from parsers.ntfs.index import DirEntry
from parsers.ntfs.record import Record
from parsers.ntfs.volume import BootSector, NtfsVolume

__all__ = ["BootSector", "DirEntry", "NtfsVolume", "Record"]
