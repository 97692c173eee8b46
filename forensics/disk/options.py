"""What the user allows and gives beside the name of an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ImageOptions"]


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What the user allows and gives beside the name of an image.

    Attributes:
        parents: folders in which parents of differencing disks are looked for, after the child's own.

    """

    parents: tuple[Path, ...] = ()
