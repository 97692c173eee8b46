"""Logs that wrap around, records over several pages, left-over laps, large tables, and files in several records."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from parsers.errors import ReadError
from parsers.ntfs import NtfsVolume
from tests.parsers.ntfs.changes import bytes_of, copied, journal_of, made, noise
from tests.parsers.ntfs.journals import (
    LogWriter,
    Raw,
    Step,
    made_dirty,
    metadata,
    opened,
    recovered,
    steps,
    with_data,
    with_log,
)
from tests.parsers.ntfs.volumes import at, content


def written(before: bytes, after: bytes, log: LogWriter, *, flags: int = 0) -> bytes:
    """A volume with a log that has all changes and their end behind what was written into it already."""
    raw = Raw(before)
    for step in [*opened(raw), *steps(raw, Raw(after)), Step(0x1B, 1)]:
        log.step(step)
    return with_log(with_data(before, after), log.written(flags=flags))


def reads(data: bytes) -> tuple[bytes, bytes]:
    """The driver and the hive as they are read with the journal replayed."""
    journal = journal_of(data)
    assert (journal.state, journal.problem) == ("replayed", "")
    ntfs = NtfsVolume(journal.source)
    return content(ntfs, at(ntfs, "/driver.sys")), content(ntfs, at(ntfs, "/HIVE"))


AFTER = noise(36_002, 3), noise(20_480, 4)


@made
@pytest.mark.parametrize("back", [0x1000, 0x2000])
@pytest.mark.parametrize("version", [(1, 1), (2, 0)], ids=["1.1", "2.0"])
def test_a_log_that_goes_on_at_its_beginning_is_followed(
    volumes: dict[str, bytes], tmp_path: Path, back: int, version: tuple[int, int]
) -> None:
    dirty = made_dirty(volumes["old"], volumes["replaced"], version, back=back)
    assert reads(dirty) == AFTER
    place = tmp_path / "dirty.img"
    place.write_bytes(dirty)
    raw = Raw(volumes["old"])
    theirs = recovered(place, *(["-k"] if version[0] == 2 else []))
    assert metadata(bytes_of(journal_of(dirty)), raw) == metadata(theirs, raw)


@made
@pytest.mark.parametrize("back", [0, 0x2000])
def test_records_over_many_pages_are_read_to_their_ends(volumes: dict[str, bytes], tmp_path: Path, back: int) -> None:
    log = LogWriter(back=back)
    log.begin()
    log.step(Step(0, 0, bytes(0x3456)))
    dirty = written(volumes["old"], volumes["replaced"], log)
    assert reads(dirty) == AFTER
    # One of the pages in its middle is lost: nothing behind it can be found.
    torn = bytearray(dirty)
    lcn, _ = Raw(dirty).run(2, 0x80)
    page = lcn * 4096 + log.order[3]
    torn[page : page + 512] = bytes(512)
    assert journal_of(bytes(torn)).state == "unreadable"


@made
def test_a_table_of_dirty_pages_that_is_longer_than_its_length_can_tell_is_read_whole(
    volumes: dict[str, bytes],
) -> None:
    old, new = volumes["old"], volumes["replaced"]
    raw = Raw(old)
    log = LogWriter()
    log.begin()
    dirty: dict[tuple[int, int, int], int] = {}
    for step in steps(raw, Raw(new)):
        lsn = log.step(step)
        dirty.setdefault((step.target, step.vcn, step.lcns[0]), lsn)
    log.step(Step(0x1B, 1))
    # 1,700 entries of 0x28 bytes; those that count come last.
    others = {(0x18, 0x1000 + number, 4000): log.last for number in range(1_700)}
    mft, index = (0x80, 1 << 48, 0), (0xA0, 5 << 48 | 5, 4096)
    log.check({**others, **dirty}, {}, {0x18: mft, 0x40: index, 0x68: (0x80, 6 << 48 | 6, 0), 0x90: (0xB0, 1 << 48, 0)})
    assert reads(with_log(with_data(old, new), log.written())) == AFTER


@made
def test_what_a_clean_log_still_holds_is_not_done_again(volumes: dict[str, bytes]) -> None:
    log = LogWriter()
    log.begin()
    dirty = written(volumes["old"], volumes["replaced"], log, flags=2)
    journal = journal_of(dirty)
    assert (journal.state, journal.open, journal.touched) == ("clean", False, [])
    assert bytes_of(journal) == dirty


@made
def test_records_of_the_lap_before_are_not_taken_for_the_log_going_on(volumes: dict[str, bytes]) -> None:
    # The lap before tells of the stream that comes; of it only the pages are left that the new lap did not reach.
    old, streamed = (Raw(volumes[name]) for name in ("old", "streamed"))
    before = LogWriter()
    before.lap = 1
    before.begin()
    for step in [*opened(old), *[Step(0, 0, bytes(0x700))] * 8, *steps(old, streamed), Step(0x1B, 1)]:
        before.step(step)
    log = LogWriter()
    log.begin()
    for page, data in before.pages.items():
        if page >= 0x6000:
            log.pages[page] = data
            log.order.append(page)
    raw = Raw(volumes["old"])
    for step in [*opened(raw), *steps(raw, Raw(volumes["replaced"])), Step(0x1B, 1)]:
        log.step(step)
    # The newest pages stand last.
    log.order.sort(key=lambda page: page < 0x6000)
    journal = journal_of(with_log(with_data(volumes["old"], volumes["replaced"]), log.written()))
    assert (journal.state, journal.problem) == ("replayed", "")
    ntfs = NtfsVolume(journal.source)
    assert content(ntfs, at(ntfs, "/driver.sys")) == AFTER[0]
    assert {item.number for item in journal.touched if item.kind == "record"} == {64, 65}


@pytest.fixture(scope="module")
def with_list(volumes: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A driver with so many streams that its attributes stand in several records, and what it is after it grew."""
    folder = tmp_path_factory.mktemp("list")
    place = folder / "before.img"
    place.write_bytes(volumes["old"])
    for number in range(24):
        copied(place, "/driver.sys", noise(5_000, 40 + number), f"stream{number}")
    after = folder / "after.img"
    shutil.copy(place, after)
    copied(after, "/driver.sys", AFTER[0])
    copied(after, "/driver.sys", noise(9_000, 70), "stream11")
    return {"before": place.read_bytes(), "after": after.read_bytes()}


@made
def test_a_file_in_several_records_is_read_as_ntfsrecover_leaves_it(
    with_list: dict[str, bytes], tmp_path: Path
) -> None:
    before, after = with_list["before"], with_list["after"]
    raw = Raw(before)
    assert 0x20 in {data[0] for _, data in raw.attributes(64)}
    dirty = made_dirty(before, after)
    journal = journal_of(dirty)
    assert (journal.state, journal.problem) == ("replayed", "")
    assert len(journal.records_touched) > 1
    ntfs = NtfsVolume(journal.source)
    driver = at(ntfs, "/driver.sys")
    assert content(ntfs, driver) == AFTER[0]
    stream = ntfs.stream(driver, name="stream11")
    assert stream is not None
    assert stream.read_at(0, 10_000) == noise(9_000, 70)
    place = tmp_path / "dirty.img"
    place.write_bytes(dirty)
    assert metadata(bytes_of(journal), raw) == metadata(recovered(place), raw)


@made
def test_a_file_of_whose_records_one_is_doubtful_is_not_read_without_it(with_list: dict[str, bytes]) -> None:
    before, after = with_list["before"], with_list["after"]
    raw = Raw(before)
    number, place = next(
        (each, where)
        for each in range(66, raw.records)
        for where, data in raw.attributes(each)
        if data[0] == 0x80 and "stream11".encode("utf-16-le") in data
    )
    dirty = bytearray(made_dirty(before, after))
    struct.pack_into("<Q", dirty, raw.mft + number * 1024 + place + 0x30, 77)
    journal = journal_of(bytes(dirty))
    assert journal.state == "not replayed"
    ntfs = NtfsVolume(journal.source)
    with pytest.raises(ReadError, match="its journal changes this place"):
        ntfs.stream(at(ntfs, "/driver.sys"), name="stream11")
