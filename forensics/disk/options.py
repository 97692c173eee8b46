"""What the user allows and gives beside the name of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from forensics.disk.keys import VolumeKeys

__all__ = ["ImageOptions"]


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What the user allows and gives beside the name of an image.

    Attributes:
        parents: folders in which parents of differencing disks are looked for, after the child's own.
        keys: what opens encrypted volumes.
        allow_redirects: whether the server of a remote image may send on to another host.
        allow_private: whether a remote image may lie on a host of a private network that its address does not name
            literally.
        shadow_copy: identifier of a shadow copy, or of a set of them, or its beginning: it is read in place of its
            volume; "" for the volumes as they are.

    """

    parents: tuple[Path, ...] = ()
    keys: VolumeKeys = field(default_factory=VolumeKeys)
    allow_redirects: bool = False
    allow_private: bool = False
    shadow_copy: str = ""
