"""Opening evidence: containers, partitions, volumes, the Windows volume and its files."""

from __future__ import annotations

from forensics.disk.image import Image, open_image

__all__ = ["Image", "open_image"]
