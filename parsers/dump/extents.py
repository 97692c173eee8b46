"""Extents: stretches of one address space that lie in another, made disjoint and searchable.

Triage memory (virtual addresses, bytes) and page ranges (page numbers, pages) are both lists of these.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Extent", "ExtentMap"]


class Extent(NamedTuple):
    """A stretch.

    Attributes:
        start: its first unit (byte address, page number).
        size: units.
        place: where its first unit lies (file offset, index of the stored page), in the same unit.

    """

    start: int
    size: int
    place: int

    @property
    def end(self) -> int:
        """First unit behind."""
        return self.start + self.size


def _flatten(cluster: list[tuple[Extent, int]]) -> list[Extent]:
    """Make overlapping extents disjoint; of those over one unit, that with the lowest rank wins."""
    edges = sorted({edge for extent, _ in cluster for edge in (extent.start, extent.end)})
    result: list[Extent] = []
    active: list[tuple[int, Extent]] = []
    following = 0
    for low, high in pairwise(edges):
        while following < len(cluster) and cluster[following][0].start <= low:
            extent, rank = cluster[following]
            heapq.heappush(active, (rank, extent))
            following += 1
        while active and active[0][1].end <= low:
            heapq.heappop(active)
        if active:
            winner = active[0][1]
            result.append(Extent(low, high - low, winner.place + low - winner.start))
    return result


class ExtentMap:
    """Extents by start, disjoint: where they overlap, the one that was named first wins.

    Attributes:
        extents: sorted and disjoint.
        overlaps: pairs that overlap, as they were given; neighbours in the order of their starts only.

    """

    def __init__(self, extents: Iterable[Extent]) -> None:
        self.extents: list[Extent] = []
        self.overlaps: list[tuple[Extent, Extent]] = []
        cluster: list[tuple[Extent, int]] = []
        end = -1
        named = [(extent, rank) for rank, extent in enumerate(extents) if extent.size > 0]
        for extent, rank in sorted(named):
            if extent.start < end:
                self.overlaps.append((cluster[-1][0], extent))
            else:
                self._take(cluster)
                cluster = []
            cluster.append((extent, rank))
            end = max(end, extent.end)
        self._take(cluster)
        self._starts = [extent.start for extent in self.extents]

    def _take(self, cluster: list[tuple[Extent, int]]) -> None:
        self.extents += [cluster[0][0]] if len(cluster) == 1 else _flatten(cluster)

    def index(self, unit: int) -> int | None:
        """Return the index in `extents` of the one that holds a unit, None when none does."""
        index = bisect_right(self._starts, unit) - 1
        if index < 0 or unit >= self.extents[index].end:
            return None
        return index
