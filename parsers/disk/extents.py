"""Where the bytes of a virtual disk come from: its own file, nowhere (zeros), its parent, or a place that is lost.

What `stopcode disk` counts, and how a disk of mostly nothing is read through quickly: what is not stored needs no read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from parsers.bytesource import ByteSource

__all__ = ["Extent", "State", "merged", "split_at", "whole"]

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


def whole(source: ByteSource) -> Iterator[Extent]:
    """Yield the one extent of a source of which nothing is known but its length."""
    if source.size:
        yield Extent(0, source.size, "stored")


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
