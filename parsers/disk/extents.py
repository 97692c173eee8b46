"""Where the bytes of a virtual disk come from: its own file, nowhere (zeros), its parent, or a place that is lost.

What `stopcode disk` counts, and how a disk of mostly nothing is read through quickly: what is not stored needs no read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

__all__ = ["Extent", "State", "joined", "merged", "split_at", "through"]

#: "mixed": sectors of the file and of the parent, as a bitmap says; "lost": the file should hold it and does not.
State = Literal["stored", "mixed", "zero", "parent", "lost"]


class Extent(NamedTuple):
    """A stretch of a virtual disk.

    Attributes:
        offset, length: bytes on the virtual disk.
        state: where they come from.

    """

    offset: int
    length: int
    state: State


def joined(parts: Sequence[tuple[int, Callable[[], Iterator[Extent]]]]) -> Iterator[Extent]:
    """Yield the extents of a disk of several parts.

    Args:
        parts: of each its bytes, and what yields its extents, which may go on behind them.

    """
    start = 0
    for size, extents in parts:
        for extent in extents():
            if extent.offset >= size:
                break
            length = min(extent.length, size - extent.offset)
            yield Extent(start + extent.offset, length, extent.state)
        start += size


def merged(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Yield extents with neighbours of one state as one."""
    last: Extent | None = None
    for extent in extents:
        if last is not None and last.state == extent.state and last.offset + last.length == extent.offset:
            last = last._replace(length=last.length + extent.length)
            continue
        if last is not None:
            yield last
        last = extent
    if last is not None:
        yield last


def split_at(offset: int, length: int, there: int, state: State) -> Iterator[Extent]:
    """Yield a stretch of which the file holds only the first `there` bytes: what it holds, then what is lost."""
    there = max(0, min(length, there))
    if there:
        yield Extent(offset, there, state)
    if there < length:
        yield Extent(offset + there, length - there, "lost")


def through(child: Iterable[Extent], below: Iterable[Extent]) -> Iterator[Extent]:
    """Yield the extents of a child with those of its parent in the place of what the parent holds.

    What lies behind the end of a shorter parent is zero.

    Args:
        child: where the child's bytes come from, in order and without gaps.
        below: the same of its parent.

    """
    rest = iter(below)
    piece = next(rest, None)
    for extent in child:
        if extent.state != "parent":
            yield extent
            continue
        at, end = extent.offset, extent.offset + extent.length
        while at < end:
            while piece is not None and piece.offset + piece.length <= at:
                piece = next(rest, None)
            if piece is None:
                yield Extent(at, end - at, "zero")
                break
            take = min(end, piece.offset + piece.length) - at
            yield Extent(at, take, piece.state)
            at += take
