from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import BytesSource
from stopcode.rescue.reading import CHUNK, Unreadable, chunks
from tests.stopcode.rescue.sources import BadSectors

DATA = random.Random(1).randbytes(3 * CHUNK + 777)


def read(source: BytesSource) -> tuple[bytes, Unreadable]:
    unreadable = Unreadable()
    return b"".join(chunks(source, unreadable)), unreadable


def test_a_sound_source_is_read_to_its_last_byte() -> None:
    data, unreadable = read(BytesSource(DATA))
    assert data == DATA
    assert not unreadable


@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(1, 20_000)), max_size=4))
def test_only_blocks_with_a_bad_place_are_lost(bad: list[tuple[int, int]]) -> None:
    data, unreadable = read(BadSectors(DATA, bad))
    assert len(data) == len(DATA)
    lost = {block for at, size in unreadable.ranges for block in range(at // 4096, -(-(at + size) // 4096))}
    touched = {b for at, size in bad for b in range(at // 4096, -(-(at + size) // 4096)) if b * 4096 < len(DATA)}
    assert lost == touched
    for block in range(-(-len(DATA) // 4096)):
        part = data[block * 4096 : block * 4096 + 4096]
        assert part == (bytes(len(part)) if block in lost else DATA[block * 4096 : block * 4096 + 4096])


def test_a_medium_that_is_dead_for_long_is_not_tried_block_by_block() -> None:
    size = 8 * CHUNK
    source = BadSectors(bytes(size), [(0, size)])
    data, unreadable = read(source)
    assert unreadable.ranges == [(0, size)]
    assert unreadable.reason == "bad sector"
    assert len(data) == size
    assert source.reads < 300


class Shorter(BytesSource):
    @property
    def size(self) -> int:
        return super().size + 5000


def test_a_source_that_ends_before_its_size_is_filled_and_told() -> None:
    data, unreadable = read(Shorter(DATA))
    assert data == DATA + bytes(5000)
    assert unreadable.ranges == [(len(DATA), 5000)]
