"""The logs of a hive, replayed in memory: rules one by one, on hives and logs written here."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import BytesSource
from parsers.errors import ReadError, StopcodeError
from parsers.registry import Hive, log_new, log_old
from parsers.registry.log import Recovery, recover, why_dirty
from parsers.registry.marvin import marvin32
from samples.hive import Key, write_hive
from tests.parsers.registry.logs import base_block, differences, dirty, entry, new_log, old_log
from tests.parsers.registry.walk import survey

TIME = 132_000_000_000_000_000


def made(start: int, others: int = 60) -> bytes:
    """A hive of 61 services; that of `storflt` starts as told."""
    top = Key()
    for number in range(others):
        top.set(f"Services\\service{number:03}", {"Start": 3, "ImagePath": f"system32\\drivers\\s{number}.sys"})
    top.set("Services\\storflt", {"Start": start})
    return write_hive(top, "ROOT", time=TIME)


#: The same hive at three times.
HIVE, LATER, LAST = made(3), made(0), made(4)
BINS = len(HIVE) - 4096
FIRST = differences(HIVE, LATER)
SECOND = differences(LATER, LAST)


def replay(hive: bytes, *logs: bytes) -> Recovery:
    return recover(BytesSource(hive), [(f"LOG{number}", BytesSource(log)) for number, log in enumerate(logs, 1)])


def content(recovery: Recovery) -> bytes:
    return recovery.source.read_at(0, recovery.source.size)


def start(recovery: Recovery) -> object:
    key = Hive(recovery.source).open_key("Services\\storflt")
    assert key is not None
    value = key.value("Start")
    assert value is not None
    return value.decoded()


def reasons(recovery: Recovery) -> dict[str, str]:
    return {log.name: log.reason for log in recovery.unused}


def used(recovery: Recovery) -> list[tuple[str, int, int, int]]:
    return [(use.name, use.entries, use.first, use.last) for use in recovery.used]


def test_the_hash_gives_the_published_values() -> None:
    assert marvin32(b"abcd") == 0x20094FB11A6CD086
    assert marvin32(bytes(32)) == 0xDA91A06AC5359223


def test_a_hive_needs_its_logs_when_its_numbers_differ_or_its_header_is_damaged() -> None:
    assert why_dirty(BytesSource(HIVE)) == ""
    assert why_dirty(BytesSource(dirty(HIVE))) == "sequence numbers 9 and 8"
    assert "checksum" in why_dirty(BytesSource(dirty(HIVE, 8, 8, sound=False)))
    assert "zeros" in why_dirty(BytesSource(bytes(len(HIVE))))
    assert "zeros" in why_dirty(BytesSource(b""))
    assert "signature" in why_dirty(BytesSource(b"x" * 8192))
    odd = base_block(HIVE, bins_size=BINS + 1)
    assert "impossible" in why_dirty(BytesSource(odd + HIVE[512:]))


def test_pages_of_a_log_take_the_place_of_the_hives() -> None:
    recovery = replay(dirty(HIVE), new_log(HIVE, [entry(8, BINS, FIRST)], sequence=8))
    assert start(recovery) == 0
    assert content(recovery)[4096:] == LATER[4096:]
    assert used(recovery) == [("LOG1", 1, 8, 8)]
    assert not recovery.doubtful
    hive = Hive(recovery.source)
    assert (hive.dirty, hive.primary_sequence, hive.secondary_sequence) == (False, 8, 8)


def test_the_hive_itself_is_not_changed() -> None:
    source = BytesSource(dirty(HIVE))
    recover(source, [("LOG1", BytesSource(new_log(HIVE, [entry(8, BINS, FIRST)], sequence=8)))])
    assert source.read_at(0, source.size) == dirty(HIVE)


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_logs_the_older_one_comes_first_whatever_its_name(swapped: bool) -> None:
    logs = [
        new_log(HIVE, [entry(20, BINS, FIRST)], sequence=20),
        new_log(HIVE, [entry(21, BINS, SECOND), entry(22, BINS, {})], sequence=21),
    ]
    recovery = replay(dirty(HIVE), *reversed(logs) if swapped else logs)
    assert start(recovery) == 4
    names = ("LOG2", "LOG1") if swapped else ("LOG1", "LOG2")
    assert used(recovery) == [(names[0], 1, 20, 20), (names[1], 2, 21, 22)]


def test_the_first_number_may_be_far_above_the_hives_but_no_gap_is_crossed() -> None:
    recovery = replay(
        dirty(HIVE),
        new_log(HIVE, [entry(2107, BINS, FIRST)], sequence=2107),
        new_log(HIVE, [entry(2109, BINS, SECOND)], sequence=2109),
    )
    assert start(recovery) == 0
    assert "entry 2108 is missing" in reasons(recovery)["LOG2"]
    assert recovery.doubtful


def test_entries_that_the_hive_holds_already_are_left_alone() -> None:
    log = new_log(HIVE, [entry(6, BINS, SECOND), entry(7, BINS, SECOND), entry(8, BINS, FIRST)], sequence=6)
    assert used(replay(dirty(HIVE), log)) == [("LOG1", 1, 8, 8)]
    recovery = replay(dirty(HIVE), new_log(HIVE, [entry(6, BINS, SECOND)], sequence=6))
    assert recovery.used == ()
    assert not recovery.doubtful
    assert "already holds" in reasons(recovery)["LOG1"]


def test_what_an_older_run_left_behind_the_last_entry_is_not_replayed() -> None:
    log = new_log(HIVE, [entry(8, BINS, FIRST), entry(5, BINS, SECOND), entry(9, BINS, SECOND)], sequence=8)
    recovery = replay(dirty(HIVE), log)
    assert (start(recovery), recovery.doubtful) == (0, False)


def test_entries_from_before_the_log_was_begun_anew_do_not_count() -> None:
    log = new_log(HIVE, [entry(8, BINS, SECOND), entry(9, BINS, FIRST)], sequence=9)
    assert used(replay(dirty(HIVE), log)) == [("LOG1", 1, 9, 9)]


def test_an_entry_that_was_not_written_to_its_end_stops_the_replay_and_is_told() -> None:
    log = new_log(HIVE, [entry(8, BINS, FIRST), entry(9, BINS, SECOND)], sequence=8)
    recovery = replay(dirty(HIVE), log[:-512])
    assert start(recovery) == 0
    assert recovery.used[0].lost == "its entry 9 is cut off"
    assert recovery.doubtful


@pytest.mark.parametrize("at", [0x28, 0x100, 4000])
def test_an_entry_whose_content_has_another_hash_is_not_laid_not_even_in_part(at: int) -> None:
    second = bytearray(entry(9, BINS, SECOND))
    second[at] ^= 1
    log = new_log(HIVE, [entry(8, BINS, FIRST), bytes(second), entry(10, BINS, {})], sequence=8)
    other = new_log(HIVE, [entry(11, BINS, LATER_ALL)], sequence=11)
    recovery = replay(dirty(HIVE), log, other)
    assert content(recovery)[4096:] == LATER[4096:]
    assert "entry 9 is damaged" in recovery.used[0].lost
    assert "entry 9 is missing" in reasons(recovery)["LOG2"]


LATER_ALL = {at: page for at, page in differences(bytes(len(LAST)), LAST).items() if page.strip(b"\0")}


def test_an_entry_whose_header_is_damaged_ends_its_log() -> None:
    second = bytearray(entry(9, BINS, SECOND))
    second[0x10] ^= 1
    log = new_log(HIVE, [entry(8, BINS, FIRST), bytes(second)], sequence=8)
    recovery = replay(dirty(HIVE), log)
    assert used(recovery) == [("LOG1", 1, 8, 8)]
    assert recovery.used[0].lost == "what follows entry 8 is damaged"


@pytest.mark.parametrize("at", [0x10, 0x100])
def test_a_log_that_lost_its_first_entry_lets_no_later_log_be_laid(at: int) -> None:
    lost = bytearray(entry(8, BINS, FIRST))
    lost[at] ^= 1
    recovery = replay(
        dirty(HIVE),
        new_log(HIVE, [bytes(lost)], sequence=8),
        new_log(HIVE, [entry(9, BINS, SECOND)], sequence=9),
    )
    assert recovery.used == ()
    assert content(recovery) == dirty(HIVE)
    assert set(reasons(recovery)) == {"LOG1", "LOG2"}


@pytest.mark.parametrize("broken", ["empty", "zeros", "checksum", "hive", "text"])
def test_a_log_without_a_sound_header_leaves_the_other_one(broken: str) -> None:
    good = new_log(HIVE, [entry(8, BINS, FIRST)], sequence=8)
    bad = {
        "empty": b"",
        "zeros": bytes(8192),
        "checksum": new_log(HIVE, [entry(9, BINS, SECOND)], sequence=9, sound=False),
        "hive": HIVE,
        "text": b"no log at all",
    }[broken]
    for logs in ((good, bad), (bad, good)):
        recovery = replay(dirty(HIVE), *logs)
        assert start(recovery) == 0
        assert recovery.doubtful is (broken != "empty")


@pytest.mark.parametrize(
    "pages",
    [{BINS: bytes(4096)}, {100: bytes(512)}, {0: bytes(100)}, {BINS - 512: bytes(1024)}],
    ids=["behind the end", "odd place", "odd length", "across the end"],
)
def test_an_entry_with_an_impossible_page_is_not_laid(pages: dict[int, bytes]) -> None:
    recovery = replay(dirty(HIVE), new_log(HIVE, [entry(8, BINS, pages)], sequence=8))
    assert recovery.used == ()
    assert "cannot be there" in reasons(recovery)["LOG1"]


def test_an_entry_that_names_an_impossible_size_is_not_laid() -> None:
    for size in (BINS + 1, 512):
        recovery = replay(dirty(HIVE), new_log(HIVE, [entry(8, size, {})], sequence=8))
        assert recovery.used == ()
    forged = bytearray(entry(8, BINS, FIRST))
    struct.pack_into("<I", forged, 0x14, 1 << 29)
    struct.pack_into("<Q", forged, 0x20, marvin32(bytes(forged[:0x20])))
    assert replay(dirty(HIVE), new_log(HIVE, [bytes(forged)], sequence=8)).used == ()


def test_a_log_may_make_the_hive_longer() -> None:
    longer = made(0, others=400)
    assert len(longer) > len(HIVE)
    pages = differences(HIVE.ljust(len(longer), b"\0"), longer)
    recovery = replay(dirty(HIVE), new_log(HIVE, [entry(8, len(longer) - 4096, pages)], sequence=8))
    assert content(recovery)[4096:] == longer[4096:]
    assert survey(Hive(recovery.source)) == survey(Hive(BytesSource(longer)))


def test_what_a_cut_hive_lacks_and_no_page_brings_does_not_read_as_zeros() -> None:
    cut = dirty(HIVE)[: len(HIVE) - 4096]
    recovery = replay(cut, new_log(HIVE, [entry(8, BINS, {0: LATER[4096:8192]})], sequence=8))
    assert recovery.source.read_at(len(cut), 4096) == b""
    assert recovery.source.read_at(len(cut) - 4096, 8192) == cut[-4096:]


def test_a_hive_without_a_sound_header_takes_that_of_the_later_log_and_only_its_entries() -> None:
    older = new_log(HIVE, [entry(8, BINS, FIRST)], sequence=8)
    later = new_log(HIVE, [entry(9, BINS, LATER_ALL)], sequence=9)
    for broken in (dirty(HIVE, sound=False), bytes(512) + HIVE[512:]):
        recovery = replay(broken, older, later)
        assert (used(recovery), recovery.restored_from) == ([("LOG2", 1, 9, 9)], "LOG2")
        assert start(recovery) == 4
        assert not Hive(recovery.source).dirty
        assert "header" in reasons(recovery)["LOG1"]


def test_a_hive_without_a_sound_header_says_of_a_log_whose_first_entry_is_damaged_that_it_is_lost() -> None:
    lost = bytearray(entry(9, BINS, LATER_ALL))
    lost[0x10] ^= 1
    older = new_log(HIVE, [entry(8, BINS, FIRST)], sequence=8)
    recovery = replay(dirty(HIVE, sound=False), older, new_log(HIVE, [bytes(lost)], sequence=9))
    assert (used(recovery), recovery.restored_from) == ([("LOG1", 1, 8, 8)], "LOG1")
    assert reasons(recovery) == {"LOG2": "it holds no sound entry"}
    assert recovery.doubtful


def test_the_flag_of_the_last_entry_goes_to_the_header() -> None:
    recovery = replay(dirty(HIVE), new_log(HIVE, [entry(8, BINS, {}, flags=1)], sequence=8))
    assert content(recovery)[0x90] & 1


@pytest.mark.parametrize("cluster", [1, 8])
def test_sectors_of_an_old_log_take_the_place_of_the_hives(cluster: int) -> None:
    recovery = replay(dirty(HIVE), old_log(HIVE, differences(HIVE, LATER, 512), sequence=(9, 9), cluster=cluster))
    assert content(recovery)[4096:] == LATER[4096:]
    assert used(recovery) == [("LOG1", 1, 9, 9)]


def test_of_two_old_logs_the_later_one_is_used_alone() -> None:
    first = old_log(HIVE, differences(HIVE, LATER, 512), sequence=(9, 9))
    second = old_log(HIVE, differences(HIVE, LAST, 512), sequence=(10, 10))
    assert start(replay(dirty(HIVE), first, second)) == 4
    assert start(replay(dirty(HIVE), second, first)) == 4
    assert used(replay(dirty(HIVE), first, first)) == [("LOG1", 1, 9, 9)]


@pytest.mark.parametrize(
    "case", ["not ended", "another write", "cut map", "cut sectors", "no map", "no bit", "cluster"]
)
def test_an_old_log_that_does_not_fit_is_not_used(case: str) -> None:
    sectors = differences(HIVE, LATER, 512)
    log = bytearray(old_log(HIVE, sectors, sequence=(9, 8) if case == "not ended" else (9, 9)))
    if case == "another write":
        struct.pack_into("<Q", log, 0xC, TIME + 1)
    if case == "cluster":
        struct.pack_into("<I", log, 0x2C, 9)
    if case == "no map":
        log[512:516] = b"INVL"
    if case == "no bit":
        log = bytearray(old_log(HIVE, {}, sequence=(9, 9)))
    if case in ("another write", "cluster"):
        log[:512] = base_block(bytes(log), kind=1, sequence=(9, 9))
    data = bytes(log)[: {"cut map": 514, "cut sectors": len(log) - 1}.get(case, len(log))]
    recovery = replay(dirty(HIVE), data)
    assert recovery.used == ()
    assert content(recovery) == dirty(HIVE)
    assert recovery.doubtful


def test_after_an_upgrade_the_new_log_counts_and_not_the_old_one() -> None:
    old = old_log(HIVE, differences(HIVE, LAST, 512), sequence=(9, 9))
    new = new_log(HIVE, [entry(8, BINS, FIRST)], sequence=8)
    assert start(replay(dirty(HIVE), old, new)) == 0


class Broken:
    """A log of which a part cannot be read."""

    def __init__(self, data: bytes, bad: int) -> None:
        self._data = data
        self._bad = bad

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        if offset + length > self._bad:
            raise ReadError("bad sector", address=self._bad)
        return self._data[offset : offset + length]


def test_a_log_that_cannot_be_read_to_its_end_gives_what_comes_before() -> None:
    data = new_log(HIVE, [entry(8, BINS, FIRST), entry(9, BINS, SECOND)], sequence=8)
    second = data.index(b"HvLE", 600)
    for bad in (second, second + 0x40):
        recovery = recover(BytesSource(dirty(HIVE)), [("LOG1", Broken(data, bad))])
        assert start(recovery) == 0
    assert recovery.used[0].lost == "its entry 9 cannot be read: bad sector"
    recovery = recover(BytesSource(dirty(HIVE)), [("LOG1", Broken(data, 0))])
    assert reasons(recovery) == {"LOG1": "bad sector"}


def test_of_a_log_longer_than_the_limit_the_rest_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    log = new_log(HIVE, [entry(8, BINS, FIRST), entry(9, BINS, SECOND)], sequence=8)
    monkeypatch.setattr(log_new, "MAX_HIVE_LOG", len(log) - 512)
    recovery = replay(dirty(HIVE), log)
    assert used(recovery) == [("LOG1", 1, 8, 8)]
    assert recovery.doubtful


def test_an_old_log_longer_than_the_limit_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    log = old_log(HIVE, differences(HIVE, LATER, 512), sequence=(9, 9))
    monkeypatch.setattr(log_old, "MAX_HIVE_LOG", len(log))
    assert len(replay(dirty(HIVE), log).used) == 1
    monkeypatch.setattr(log_old, "MAX_HIVE_LOG", len(log) - 1)
    assert "ends before" in reasons(replay(dirty(HIVE), log))["LOG1"]


@pytest.mark.fuzz
@given(
    kind=st.sampled_from(["new", "old"]),
    changes=st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=8)), max_size=6),
    where=st.sampled_from(["hive", "log", "both"]),
    cut=st.integers(0, 30_000),
)
def test_any_hive_and_any_log_give_a_hive_or_an_error_of_ours(
    kind: str, changes: Sequence[tuple[int, bytes]], where: str, cut: int
) -> None:
    def spoilt(data: bytes) -> bytes:
        out = bytearray(data)
        for at, piece in changes:
            at %= len(out)
            out[at : at + len(piece)] = piece[: len(out) - at]
        return bytes(out[: len(out) - cut % len(out)] if cut % 3 == 0 else out)

    hive = dirty(HIVE)
    log = (
        new_log(HIVE, [entry(8, BINS, FIRST), entry(9, BINS, SECOND)], sequence=8)
        if kind == "new"
        else old_log(HIVE, differences(HIVE, LATER, 512), sequence=(9, 9))
    )
    recovery = replay(spoilt(hive) if where != "log" else hive, spoilt(log) if where != "hive" else log)
    with contextlib.suppress(StopcodeError):
        survey(Hive(recovery.source))
