"""The block cache: right bytes for few requests, whoever asks and whatever fails."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.remote import blocks
from forensics.remote.blocks import BLOCK, NEAR, RemoteFile
from forensics.remote.connection import LANES
from forensics.remote.http import HttpSource
from forensics.remote.ranges import RemoteError
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, ReadError
from tests.forensics.remote.server import Files

#: Bytes that come together when nobody foresaw that they are read.
PIECE = NEAR * BLOCK
DATA = random.Random(8).randbytes(40 * PIECE + 100)


class Source:
    """Ranges of DATA; notes what was asked for.

    Attributes:
        head: what came with the size.
        asked: (first block, blocks), in blocks of `unit` bytes.
        unit: PIECE, or BLOCK.
        zeros: pieces that are known to be zeros.
        error: raised instead of an answer.
        wait: seconds before an answer.

    """

    size = len(DATA)
    bytes_read = requests = 0

    def __init__(self) -> None:
        self.head = b""
        self.unit = PIECE
        self.asked: list[tuple[int, int]] = []
        self.zeros: set[int] = set()
        self.error: ReadError | None = None
        self.wait = 0.0
        self.busy = self.most = 0
        self._lock = threading.Lock()

    def read_range(self, offset: int, length: int) -> bytes:
        assert offset % BLOCK == 0
        assert offset + length <= self.size
        with self._lock:
            self.asked.append((offset // self.unit, -(-length // self.unit)))
            self.busy += 1
            self.most = max(self.most, self.busy)
        time.sleep(self.wait)
        with self._lock:
            self.busy -= 1
        if self.error is not None:
            raise self.error
        return DATA[offset : offset + length]

    def is_zero(self, offset: int, length: int) -> bool:
        return offset // PIECE in self.zeros

    def close(self) -> None:
        pass


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def said() -> Diagnostics:
    return Diagnostics()


@pytest.fixture
def file(source: Source, said: Diagnostics) -> Iterator[RemoteFile]:
    with RemoteFile(source, "https://h.example/disk", said) as opened:
        yield opened


@given(st.lists(st.tuples(st.integers(-5, len(DATA) + 5), st.integers(-5, 3 * PIECE)), max_size=12))
def test_reads_give_the_bytes_that_are_there_in_any_order(reads: list[tuple[int, int]]) -> None:
    with RemoteFile(Source(), "shown", Diagnostics()) as file:
        for offset, length in reads:
            expected = DATA[offset : offset + length] if offset >= 0 and length > 0 else b""
            assert file.read_at(offset, length) == expected


def test_a_block_is_fetched_once_and_neighbours_with_one_request(file: RemoteFile, source: Source) -> None:
    file.read_at(3 * PIECE + 10, 2 * PIECE)
    file.read_at(4 * PIECE, 10)
    assert source.asked == [(3, 3)]
    # The last block is short.
    assert file.read_at(len(DATA) - 50, 1000) == DATA[-50:]
    assert source.asked[1:] == [(40, 1)]


def test_the_first_bytes_that_came_with_the_size_are_not_fetched_again(source: Source, said: Diagnostics) -> None:
    source.head = DATA[:PIECE]
    with RemoteFile(source, "shown", said) as file:
        assert file.read_at(5, 100) == DATA[5:105]
    assert not source.asked


def test_the_blocks_used_least_lately_go_first(
    file: RemoteFile, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_KEPT", 2 * NEAR)
    for number in (0, 10, 0, 20, 0, 10):
        file.read_at(number * PIECE, 1)
    assert [first for first, _ in source.asked] == [0, 10, 20, 10]


def test_a_long_read_passes_the_cache_by(file: RemoteFile, source: Source) -> None:
    assert file.read_at(0, 1 << 20) == DATA[: 1 << 20]
    assert file.read_at(0, 10) == DATA[:10]
    assert source.asked == [(0, 16), (0, 1)]


def test_two_readers_of_one_block_make_one_request(file: RemoteFile, source: Source) -> None:
    source.wait = 0.1
    with ThreadPoolExecutor(6) as pool:
        got = set(pool.map(lambda _: file.read_at(7 * PIECE, 100), range(6)))
    assert got == {DATA[7 * PIECE : 7 * PIECE + 100]}
    assert source.asked == [(7, 1)]


def test_zeros_that_are_known_cost_nothing(file: RemoteFile, source: Source) -> None:
    source.zeros = {5, 40}
    assert file.read_at(5 * PIECE, PIECE) == bytes(PIECE)
    assert file.read_at(40 * PIECE, PIECE) == bytes(100)
    assert not source.asked
    # A gap that is smaller than a request is worth is fetched with its neighbours.
    assert (
        file.read_at(4 * PIECE, 3 * PIECE) == DATA[4 * PIECE : 5 * PIECE] + bytes(PIECE) + DATA[6 * PIECE : 7 * PIECE]
    )


def test_readings_that_are_known_cost_as_many_journeys_as_the_longest_is_deep(file: RemoteFile, source: Source) -> None:
    source.wait, source.unit = 0.02, BLOCK
    ended = []

    def reading(first: int, second: int) -> None:
        file.read_at(first * BLOCK, 10)
        if first == 120:
            raise FormatError("something", "is damaged")
        file.read_at(second * BLOCK, 10)
        ended.append(second)

    file.ahead([partial(reading, *pair) for pair in ((0, 300), (60, 360), (120, 180), (240, 0))])
    assert sorted(ended) == [0, 300, 360]
    assert sorted(source.asked[:4]) == [(0, 1), (60, 1), (120, 1), (240, 1)]
    assert sorted(source.asked[4:]) == [(300, 1), (360, 1)]
    assert 1 < source.most <= LANES
    count = len(source.asked)
    assert file.read_at(360 * BLOCK, 5) == DATA[360 * BLOCK : 360 * BLOCK + 5]
    assert len(source.asked) == count


def test_what_is_foreseen_comes_alone_and_what_is_not_brings_its_neighbours(file: RemoteFile, source: Source) -> None:
    source.unit = BLOCK
    file.ahead([partial(file.read_at, place * BLOCK + 20, 10) for place in (64, 66, 90)])
    # A request saved is worth the block between two.
    assert sorted(source.asked) == [(64, 3), (90, 1)]
    assert file.read_at(70 * BLOCK, 10) == DATA[70 * BLOCK : 70 * BLOCK + 10]
    assert file.read_at(90 * BLOCK, BLOCK) == DATA[90 * BLOCK : 91 * BLOCK]
    assert source.asked[2:] == [(67, 13)]
    file.read_at(79 * BLOCK, 2)
    file.read_at(len(DATA) - 2, 2)
    assert source.asked[3:] == [(40 * NEAR, 1)]


def test_a_range_that_fails_is_an_error_for_its_readers_and_may_come_later(file: RemoteFile, source: Source) -> None:
    source.error = ReadError("busy")
    with pytest.raises(ReadError, match="busy"):
        file.read_at(0, 10)
    file.ahead([lambda: file.read_at(0, 10)])
    source.error = None
    assert file.read_at(0, 10) == DATA[:10]


def test_three_ranges_in_a_row_that_fail_are_the_end_and_three_with_one_between_are_not(
    file: RemoteFile, source: Source, said: Diagnostics
) -> None:
    def fails() -> ReadError:
        source.error = ReadError("busy")
        with pytest.raises(ReadError, match="busy") as caught:
            file.read_at(0, 10)
        source.error = None
        assert file.failure is caught.value
        return caught.value

    assert file.failure is None
    assert [isinstance(fails(), RemoteError) for _ in range(2)] == [False, False]
    file.read_at(5 * PIECE, 10)
    assert [isinstance(fails(), RemoteError) for _ in range(3)] == [False, False, True]
    assert [item.code for item in said.items] == ["remote.lost"]
    asked = len(source.asked)
    with pytest.raises(RemoteError, match="busy"):
        file.read_at(0, 10)
    assert len(source.asked) == asked


@pytest.mark.parametrize("code", ["remote.changed", "remote.denied", "remote.lost"])
def test_an_end_is_told_once_and_nothing_is_asked_for_behind_it(
    code: str, file: RemoteFile, source: Source, said: Diagnostics
) -> None:
    file.read_at(0, 10)
    source.error = RemoteError(code, "it is over", hint="begin again")
    for _ in range(3):
        with pytest.raises(RemoteError, match="it is over") as caught:
            file.read_at(9 * PIECE, 10)
        assert caught.value.code == code
    assert source.asked == [(0, 1), (9, 1)]
    assert [(item.code, item.severity, item.hint, item.source) for item in said.items] == [
        (code, "error", "begin again", "https://h.example/disk")
    ]
    # What is here is of the disk as it was.
    assert file.read_at(0, 10) == DATA[:10]


def test_over_http_no_more_requests_are_under_way_than_there_are_lanes(server: Files, said: Diagnostics) -> None:
    server.files["/disk"] = DATA
    server.latency = 0.02
    with RemoteFile(HttpSource(server.address("/disk")), "shown", said) as file:
        file.ahead([partial(file.read_at, place, 10) for place in range(0, len(DATA), PIECE)])
        assert 1 < server.busy <= LANES
        assert file.requests == len(server.asked)
        assert file.bytes_read == server.sent
        server.moods.append(lambda handler: handler.answer(403))
        with pytest.raises(RemoteError):
            file.read_at(2 * PIECE + BLOCK, 10)
    assert [item.code for item in said.items] == ["remote.denied"]
