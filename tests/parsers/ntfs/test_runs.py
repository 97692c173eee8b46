"""Runs: what their bytes mean, and reading through them, against the plainest way to do it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import BytesSource
from parsers.errors import FormatError
from parsers.ntfs.runs import Run, RunSource, decode_runs

CLUSTER = 64
VOLUME = bytes(number * 7 % 251 for number in range(200 * CLUSTER))
RUNS = st.lists(st.tuples(st.none() | st.integers(0, 180), st.integers(1, 20)), max_size=8)


def packed(runs: list[tuple[int | None, int]]) -> bytes:
    """Pack runs with the shortest numbers, as Windows does."""
    data = b""
    before = 0
    for lcn, count in runs:
        length = _signed(count)
        distance = b"" if lcn is None else _signed(lcn - before)
        before = before if lcn is None else lcn
        data += bytes([len(distance) << 4 | len(length)]) + length + distance
    return data + b"\0"


def _signed(number: int) -> bytes:
    size = 1
    while not -(1 << 8 * size - 1) <= number < 1 << 8 * size - 1:
        size += 1
    return number.to_bytes(size, "little", signed=True)


def test_the_published_examples_are_decoded() -> None:
    # Linux-NTFS project, "NTFS Documentation", concept "Data Runs".
    assert decode_runs(bytes.fromhex("21 18 34 56 00"), 0x10000, 0x18, 0) == [Run(0x5634, 0x18)]
    fragments = bytes.fromhex("31 38 73 25 34 32 14 01 E5 11 02 31 42 AA 00 03 00")
    assert decode_runs(fragments, 0x400000, 0x38 + 0x114 + 0x42, 0) == [
        Run(0x342573, 0x38), Run(0x363758, 0x114), Run(0x393802, 0x42),
    ]  # fmt: skip
    # Martin von Löwis, "Windows NT file system" (documentation of the first Linux driver): a distance below zero.
    backwards = bytes.fromhex("21 20 ED 05 22 48 07 48 22 21 28 C8 DB 00")
    assert decode_runs(backwards, 0x10000, 0x20 + 0x748 + 0x28, 0) == [
        Run(0x5ED, 0x20), Run(0x2835, 0x748), Run(0x3FD, 0x28),
    ]  # fmt: skip


@given(RUNS)
def test_packed_runs_are_unpacked(runs: list[tuple[int | None, int]]) -> None:
    total = sum(count for _, count in runs)
    assert decode_runs(packed(runs), 200, total, 0) == [Run(lcn, count) for lcn, count in runs]


@given(st.binary(max_size=64), st.integers(0, 1000))
def test_any_bytes_are_runs_that_fit_or_an_error(data: bytes, wanted: int) -> None:
    try:
        runs = decode_runs(data, 200, wanted, 0)
    except FormatError:
        return
    assert sum(run.count for run in runs) == wanted
    assert all(run.lcn is None or 0 <= run.lcn <= 200 - run.count for run in runs)


@given(RUNS, st.integers(0, 20_000), st.integers(0, 20_000), st.integers(0, 12_000), st.integers(0, 12_000))
def test_reading_through_runs_gives_what_the_clusters_hold(
    runs: list[tuple[int | None, int]], size: int, initialized: int, offset: int, length: int
) -> None:
    plain = b""
    for lcn, count in runs:
        plain += bytes(count * CLUSTER) if lcn is None else VOLUME[lcn * CLUSTER :][: count * CLUSTER]
    size = min(size, len(plain))
    wanted = (plain[: min(initialized, size)]).ljust(size, b"\0")
    source = RunSource(BytesSource(VOLUME), CLUSTER, [Run(*run) for run in runs], size, initialized)
    assert source.size == size
    assert source.read_at(offset, length) == wanted[offset : offset + length]


def test_data_that_are_longer_than_their_clusters_are_an_error_there() -> None:
    source = RunSource(BytesSource(VOLUME), CLUSTER, [Run(3, 2)], 1000, 1000)
    assert len(source.read_at(0, 128)) == 128
    with pytest.raises(FormatError, match="longer"):
        source.read_at(0, 129)
