"""The block cache gives what lies below it, asks for little of it, and never twice."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.disk.cache import BLOCK, BLOCKS_KEPT, PASS_BY, CachedSource
from parsers.errors import ReadError

DATA = random.Random(1).randbytes(10 * BLOCK + 777)


class Watched:
    """A source that remembers what it was asked for, and cannot be read at some places."""

    def __init__(self, data: bytes, *, bad: range = range(0)) -> None:
        self._data = data
        self._bad = bad
        self.asked: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        self.asked.append((offset, length))
        if self._bad and offset < self._bad.stop and offset + length > self._bad.start:
            raise ReadError("bad sector", address=offset)
        return self._data[offset : offset + length]


@given(st.lists(st.tuples(st.integers(-5, len(DATA) + 9), st.integers(-5, 4 * BLOCK)), max_size=30))
def test_every_read_gives_what_lies_below(reads: list[tuple[int, int]]) -> None:
    cached = CachedSource(Watched(DATA))
    assert cached.size == len(DATA)
    for offset, length in reads:
        expected = DATA[offset : offset + length] if offset >= 0 and length > 0 else b""
        assert cached.read_at(offset, length) == expected


def test_a_block_is_read_once_and_neighbours_at_once() -> None:
    below = Watched(DATA)
    cached = CachedSource(below)
    cached.read_at(10, 20)
    cached.read_at(600, 4000)
    assert below.asked == [(0, BLOCK)]
    cached.read_at(5, 4 * BLOCK)
    assert below.asked[1:] == [(BLOCK, 4 * BLOCK)]
    cached.read_at(len(DATA) - 1, 50)
    assert below.asked[2:] == [(10 * BLOCK, 777)]


def test_large_reads_pass_by() -> None:
    below = Watched(bytes(2 * PASS_BY))
    cached = CachedSource(below)
    cached.read_at(3, PASS_BY)
    assert below.asked == [(3, PASS_BY)]
    assert not cached._blocks


def test_what_was_not_used_for_long_is_forgotten() -> None:
    below = Watched(bytes((BLOCKS_KEPT + 3) * BLOCK))
    cached = CachedSource(below)
    for block in range(BLOCKS_KEPT):
        cached.read_at(block * BLOCK, 1)
    cached.read_at(0, 1)
    cached.read_at(BLOCKS_KEPT * BLOCK, 1)
    assert len(cached._blocks) == BLOCKS_KEPT
    before = len(below.asked)
    cached.read_at(0, 1)
    assert len(below.asked) == before
    cached.read_at(BLOCK, 1)
    assert len(below.asked) == before + 1


def test_a_bad_place_spoils_only_reads_that_touch_it() -> None:
    cached = CachedSource(Watched(DATA, bad=range(BLOCK + 512, BLOCK + 1024)))
    assert cached.read_at(BLOCK, 512) == DATA[BLOCK : BLOCK + 512]
    assert cached.read_at(BLOCK + 1024, 99) == DATA[BLOCK + 1024 : BLOCK + 1123]
    assert cached.read_at(0, BLOCK + 500) == DATA[: BLOCK + 500]
    with pytest.raises(ReadError):
        cached.read_at(BLOCK + 1000, 100)


def test_a_source_that_gives_less_than_it_has_gives_no_moved_bytes() -> None:
    class Short(Watched):
        def read_at(self, offset: int, length: int) -> bytes:
            return super().read_at(offset, length)[:100]

    cached = CachedSource(Short(DATA))
    assert cached.read_at(50, 2 * BLOCK) == DATA[50:150]
    assert cached.read_at(BLOCK, 10) == DATA[BLOCK : BLOCK + 10]
