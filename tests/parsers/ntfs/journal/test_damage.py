"""Logs that were damaged in every place: no file is silently another one, and every walk ends."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.errors import StopcodeError
from parsers.ntfs import NtfsVolume
from tests.parsers.ntfs.changes import bytes_of, journal_of, made, noise
from tests.parsers.ntfs.journals import LogWriter, Raw, Step, guarded, opened, steps, unguarded, with_data, with_log
from tests.parsers.ntfs.volumes import at, content, survey

SIZES = {True: {"/driver.sys": 36_002, "/HIVE": 20_480}, False: {"/driver.sys": 12_002, "/HIVE": 8_192}}


def long_log(before: bytes, after: bytes, *, ended: bool, told: bool) -> LogWriter:
    """A log over several pages; where it is not told the restart pages do not know its newest records yet."""
    log = LogWriter()
    log.begin()
    known = log.last
    raw, idle = Raw(before), [Step(0, 0, bytes(0x700))]
    for step in [*opened(raw), *idle * 6, *steps(raw, Raw(after)), *idle * 3, *[Step(0x1B, 1)] * ended]:
        log.step(step)
    log.last = log.last if told else known
    return log


@made
@pytest.mark.parametrize("ended", [True, False], ids=["complete", "under way"])
@pytest.mark.parametrize("on_disk", [True, False], ids=["written", "not written"])
def test_a_sector_of_the_log_that_was_lost_never_makes_a_file_silently_another(
    volumes: dict[str, bytes], *, ended: bool, on_disk: bool
) -> None:
    old, new = volumes["old"], volumes["replaced"]
    log = long_log(old, new, ended=ended, told=on_disk is not ended)
    pages = with_data(old, new)
    if on_disk:
        pages = bytes_of(journal_of(with_log(pages, long_log(old, new, ended=True, told=True).written())))
    dirty = with_log(pages, log.written())
    place = Raw(dirty).run(2, 0x80)[0] * 4096
    refused = 0
    for sector in range((max(log.pages) + 4096) // 512):
        changed = bytearray(dirty)
        lost = slice(place + sector * 512, place + sector * 512 + 512)
        if changed[lost].count(0xFF) == 512:
            continue
        changed[lost] = bytes(512) if sector % 2 else random.Random(sector).randbytes(512)
        journal = journal_of(bytes(changed))
        ntfs = NtfsVolume(journal.source)
        for name, size in SIZES[ended].items():
            try:
                found = content(ntfs, at(ntfs, name))
            except StopcodeError:
                refused += 1
                continue
            # Where the journal says of itself that it cannot be read the volume is read as it stands.
            assert len(found) == size or journal.state == "unreadable", sector
            assert not ended or journal.state == "unreadable" or found == noise(size, 3 if "driver" in name else 4)
    assert refused


@made
@settings(max_examples=80, deadline=None)
@given(
    page=st.sampled_from((0x0, 0x1000, 0x2000, 0x3000, 0x4000)),
    places=st.lists(
        st.tuples(st.integers(0, 0xFEF), st.sampled_from((0, 1, 2, 8, 0x18, 0x7F, 0xFF))), min_size=1, max_size=4
    ),
)
def test_a_page_of_the_log_that_is_whole_and_tells_nonsense_gives_a_state_and_a_volume_that_can_be_walked(
    volumes: dict[str, bytes], page: int, places: list[tuple[int, int]]
) -> None:
    dirty = volumes["dirty"]
    start = Raw(dirty).run(2, 0x80)[0] * 4096 + page
    changed = unguarded(dirty[start : start + 4096])
    for place, byte in places:
        # The update sequence itself stays what it is.
        if place not in range(4, 8):
            changed[place] = byte
    journal = journal_of(dirty[:start] + guarded(bytes(changed)) + dirty[start + 4096 :])
    assert journal.state in ("clean", "replayed", "not replayed", "unreadable")
    survey(NtfsVolume(journal.source, lost=journal.content))


@made
@settings(max_examples=60, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 0x5FFF), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_log_gives_a_state_and_a_volume_that_can_be_walked(
    volumes: dict[str, bytes], places: list[tuple[int, int]]
) -> None:
    log = Raw(volumes["dirty"]).run(2, 0x80)[0] * 4096
    changed = bytearray(volumes["dirty"])
    for place, byte in places:
        changed[log + place] = byte
    journal = journal_of(bytes(changed))
    assert journal.state in ("clean", "replayed", "not replayed", "unreadable")
    survey(NtfsVolume(journal.source))


@made
@settings(max_examples=60, deadline=None)
@given(
    codes=st.tuples(st.integers(0, 0x28), st.integers(0, 0x28)),
    data=st.tuples(st.binary(max_size=90), st.binary(max_size=90)),
    key=st.sampled_from((0x18, 0x40, 0x68, 0x90, 0, 0xFFFF)),
    lcns=st.lists(st.sampled_from((0, 4, 20, 517, 519, 4095, 1 << 40)), max_size=3),
    numbers=st.tuples(*[st.sampled_from((0, 1, 8, 0x18, 0x38, 0x98, 0x158, 0xFFFF))] * 4),
    vcn=st.sampled_from((0, 1, 16, 1 << 40, (1 << 64) - 1)),
)
def test_any_record_gives_a_state_and_a_volume_that_can_be_walked(
    volumes: dict[str, bytes],
    codes: tuple[int, int],
    data: tuple[bytes, bytes],
    key: int,
    lcns: list[int],
    numbers: tuple[int, ...],
    vcn: int,
) -> None:
    step = Step(*codes, *data, key, tuple(lcns), *numbers, vcn)
    log = LogWriter()
    log.begin()
    for each in (*opened(Raw(volumes["old"])), step):
        log.step(each)
    journal = journal_of(with_log(volumes["old"], log.written()))
    assert journal.state in ("clean", "replayed", "not replayed", "unreadable")
    survey(NtfsVolume(journal.source))
