"""A file with changes laid over it in memory: how a log is replayed without writing."""

from __future__ import annotations

from bisect import bisect_right, insort

from parsers.bytesource import ByteSource

__all__ = ["GRANULE", "OverlaySource"]

#: Changes are whole granules at multiples of their size, which is this one where a format does not change less.
GRANULE = 4096


class OverlaySource:
    """A byte source with granules replaced, ranges zeroed, and its end moved.

    Args:
        base: what lies below; never changed.
        granule: bytes of one.

    """

    def __init__(self, base: ByteSource, granule: int = GRANULE) -> None:
        self._base = base
        self._granule = granule
        self._size = base.size
        self._data: dict[int, bytes] = {}
        self._granules: list[int] = []
        self._zeros: list[tuple[int, int]] = []
        self._lost_to = 0

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def grow(self, size: int) -> None:
        """Move the end to `size` when that is further; what is new reads as zero."""
        self._size = max(self._size, size)

    def lose(self, end: int) -> None:
        """Say that the file should reach to `end` and does not: what no change covers there gives no bytes."""
        self._lost_to = end
        self.grow(end)

    def put(self, offset: int, data: bytes) -> None:
        """Replace the granule at `offset`, a multiple of its size, by `data`, which is as long."""
        if offset not in self._data:
            insort(self._granules, offset)
        self._data[offset] = data
        self.grow(offset + self._granule)

    def zero(self, offset: int, length: int) -> None:
        """Zero `length` bytes from `offset`, both multiples of a granule; granules put there before are gone."""
        end = offset + length
        low, high = bisect_right(self._granules, offset - 1), bisect_right(self._granules, end - 1)
        for place in self._granules[low:high]:
            del self._data[place]
        del self._granules[low:high]
        self._zeros.append((offset, end))
        self.grow(end)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        if offset < 0 or length <= 0 or offset >= self._size:
            return b""
        end = min(offset + length, self._size)
        low = bisect_right(self._granules, offset - self._granule)
        high = bisect_right(self._granules, end - 1)
        zeroed = [(max(a, offset), min(b, end)) for a, b in self._zeros if a < end and b > offset]
        data = self._base.read_at(offset, end - offset)
        if low == high and not zeroed and len(data) == end - offset:
            return data
        if len(data) < min(end, self._base.size) - offset:
            return data  # the base cannot give what it has; whoever asked sees that it is short
        whole = bytearray(data.ljust(end - offset, b"\0"))
        changed = list(zeroed)
        for start, stop in zeroed:
            whole[start - offset : stop - offset] = bytes(stop - start)
        for place in self._granules[low:high]:
            start, stop = max(place, offset), min(place + self._granule, end)
            changed.append((start, stop))
            whole[start - offset : stop - offset] = self._data[place][start - place : stop - place]
        return bytes(whole[: self._first_lost(offset, end, changed) - offset])

    def _first_lost(self, offset: int, end: int, changed: list[tuple[int, int]]) -> int:
        """Return the first place of a range that the cut file lacks and no change covers; its end if there is none."""
        at = max(offset, self._base.size)
        stop = min(end, self._lost_to)
        for low, high in sorted(changed):
            if at >= stop or low > at:
                break
            at = max(at, high)
        return at if at < stop else end
