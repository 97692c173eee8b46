"""Four-part version numbers, ordered part by part.

Lenient in reading ("6.3.9600.17031 (winblue_gdr.140221-1952)" is what VS_VERSIONINFO strings look like), strict
in comparing: two versions compare only as four integers each of 0..65535.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Version"]

_FOUR_PARTS = re.compile(r"\s*(\d{1,5})[.,]\s*(\d{1,5})[.,]\s*(\d{1,5})[.,]\s*(\d{1,5})(?!\d)")


class Version(NamedTuple):
    """A file or OS version: major, minor, build, revision."""

    major: int
    minor: int
    build: int
    revision: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read four numbers from the start of a text.

        Raises:
            ValueError: the text does not begin with four numbers of 0..65535.

        """
        match = _FOUR_PARTS.match(text)
        if match is None:
            raise ValueError(f"not a four-part version: {text!r}")
        parts = [int(part) for part in match.groups()]
        if any(part > 0xFFFF for part in parts):
            raise ValueError(f"version part above 65535: {text!r}")
        return cls(*parts)

    @classmethod
    def unpack(cls, packed: int) -> Version:
        """Split a packed u64 (major in the top 16 bits), the form VS_FIXEDFILEINFO has."""
        return cls(packed >> 48 & 0xFFFF, packed >> 32 & 0xFFFF, packed >> 16 & 0xFFFF, packed & 0xFFFF)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.build}.{self.revision}"
