"""A volume as it would be after its journal was replayed: changes laid over it, doubtful places refused."""

from __future__ import annotations

from bisect import bisect_right

from parsers.bytesource import ByteSource
from parsers.errors import ReadError
from parsers.overlay import OverlaySource

__all__ = ["ReplayedSource"]


class ReplayedSource:
    """A volume with replayed places, and with places whose content nobody can tell.

    Args:
        overlay: the volume with the replayed places.
        refused: stretches (offset, length) that are not given, each with the reason.

    """

    def __init__(self, overlay: OverlaySource, refused: dict[tuple[int, int], str]) -> None:
        self._source: ByteSource = overlay
        self._refused = sorted((offset, offset + length, why) for (offset, length), why in refused.items())
        self._starts = [start for start, _, _ in self._refused]
        self._longest = max((end - start for start, end, _ in self._refused), default=0)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`.

        Raises:
            ReadError: a place is touched by changes in the journal that could not be applied.

        """
        low = bisect_right(self._starts, offset - self._longest)
        high = bisect_right(self._starts, offset + length - 1)
        for start, end, why in self._refused[low:high]:
            if start < offset + length and end > offset:
                raise ReadError(f"its journal changes this place, and it is not certain to what: {why}", address=start)
        return self._source.read_at(offset, length)
