"""Opening evidence: containers, partitions, volumes, the Windows volume and its files."""

from __future__ import annotations

from forensics.disk.image import Image, open_image
from forensics.disk.options import ImageOptions

__all__ = ["Image", "ImageOptions", "open_image"]
