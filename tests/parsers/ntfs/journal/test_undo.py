"""Transactions that were under way at the end: the volume before them and ntfsrecover -u are the judges."""

from __future__ import annotations

import itertools
import struct
import tempfile
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource
from parsers.errors import ReadError
from parsers.ntfs import NtfsVolume
from parsers.ntfs.journal import Journal, records, undo
from tests.parsers.ntfs.changes import CASES, bytes_of, copied, in_deep_folder, journal_of, made, noise, written_whole
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


def half_done(before: bytes, after: bytes, extra: tuple[Step, ...] = ()) -> bytes:
    """A volume whose pages were all written after a change, by ntfsrecover, while its log lacks the end of it."""
    lcn, count = Raw(before).run(2, 0x80)
    log = made_dirty(before, after, extra=extra, ended=False)[lcn * 4096 : (lcn + count) * 4096]
    return with_log(written(made_dirty(before, after, extra=extra)), log)


def written(dirty: bytes) -> bytes:
    """The volume after ntfsrecover."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "volume.img"
        place.write_bytes(dirty)
        return recovered(place)


def differences(ours: bytes, theirs: bytes, raw: Raw) -> list[str]:
    """What differs of two volumes' metadata but LSNs, numbers for new attributes, and those of free records."""
    mine, other = metadata(ours, raw), metadata(theirs, raw)
    found = sorted(mine.keys() ^ other.keys())
    for name in mine.keys() & other.keys():
        one, two = mine[name], other[name]
        if not name.startswith("bitmap"):
            record = name.startswith("record")
            number = 0x12 if record and not one[0x16] & 1 else 16
            one, two = (data[:8] + data[number:0x28] + data[0x30 if record else 0x28 :] for data in (one, two))
        if one != two:
            found.append(name)
    return found


def undone_by_ntfsrecover(data: bytes, tmp_path: Path) -> bytes:
    place = tmp_path / "half.img"
    place.write_bytes(data)
    return recovered(place, "-u", "1")


@made
@pytest.mark.parametrize("case", CASES)
def test_what_was_written_of_a_transaction_without_end_is_undone_as_ntfsrecover_does(
    volumes: dict[str, bytes], tmp_path: Path, case: str
) -> None:
    before, after = (volumes[name] for name in CASES[case])
    half = half_done(before, after)
    raw = Raw(before)
    assert differences(half, before, raw)
    journal = journal_of(half)
    assert (journal.state, journal.problem, journal.undone) == ("replayed", "", 1)
    assert differences(bytes_of(journal), before, raw) == []
    if case != "they shrink again":
        # There ntfsrecover has the sizes go back before the clusters, and calls the attribute corrupt.
        assert differences(bytes_of(journal), undone_by_ntfsrecover(half, tmp_path), raw) == []


@made
@pytest.mark.parametrize(
    ("before", "after", "codes"),
    [("old", "replaced", {0x13}), ("old", "added", {0x0C}), ("added", "old", {0x0D})],
    ids=["a file grows", "a file comes", "a file goes"],
)
def test_changes_to_an_index_within_a_record_are_undone_as_ntfsrecover_does(
    small_folders: dict[str, bytes], tmp_path: Path, before: str, after: str, codes: set[int]
) -> None:
    old, new = small_folders[before], small_folders[after]
    assert codes <= {step.redo for step in steps(Raw(old), Raw(new))}
    half = half_done(old, new)
    journal = journal_of(half)
    assert (journal.state, journal.problem, journal.undone) == ("replayed", "", 1)
    assert differences(bytes_of(journal), old, Raw(old)) == []
    assert differences(bytes_of(journal), undone_by_ntfsrecover(half, tmp_path), Raw(old)) == []


@made
@pytest.mark.parametrize("what", ["bytes of a stream", "the end of an index block", "the end of a record"])
def test_what_was_written_as_a_whole_is_undone_as_ntfsrecover_does(
    volumes: dict[str, bytes], tmp_path: Path, what: str
) -> None:
    old = volumes["old"]
    half = half_done(old, old, written_whole(old, volumes["replaced"])[what])
    assert differences(half, old, Raw(old))
    journal = journal_of(half)
    assert (journal.state, journal.problem, journal.undone) == ("replayed", "", 1)
    assert differences(bytes_of(journal), old, Raw(old)) == []
    if what != "the end of an index block":
        # That one ntfsrecover calls failed, whatever it is given.
        assert differences(bytes_of(journal), undone_by_ntfsrecover(half, tmp_path), Raw(old)) == []


@made
@pytest.mark.parametrize("what", ["a block before an entry of a block", "a block before an entry of a record"])
def test_what_changed_in_a_deep_folder_is_undone_as_ntfsrecover_does(
    deep_folder: bytes, tmp_path: Path, what: str
) -> None:
    half = half_done(deep_folder, deep_folder, (in_deep_folder(deep_folder)[what],))
    journal = journal_of(half)
    assert (journal.state, journal.problem, journal.undone) == ("replayed", "", 1)
    assert differences(bytes_of(journal), deep_folder, Raw(deep_folder)) == []
    if "of a block" in what:
        # With the other in its root folder ntfsrecover finds no $Secure, and does not start.
        assert differences(bytes_of(journal), undone_by_ntfsrecover(half, tmp_path), Raw(deep_folder)) == []


@made
def test_whichever_pages_were_written_the_volume_is_the_one_before_the_transaction(volumes: dict[str, bytes]) -> None:
    old, new = volumes["old"], volumes["replaced"]
    raw = Raw(old)
    full = half_done(old, new)
    nothing = made_dirty(old, new, ended=False)
    pages = [raw.mft + 1024 * number for number in (64, 65)], [raw.run(5, 0xA0)[0] * 4096], [raw.run(6, 0x80)[0] * 4096]
    sizes = (1024, 4096, 4096)
    for taken in itertools.product((False, True), repeat=3):
        mixed = bytearray(nothing)
        for places, size, take in zip(pages, sizes, taken, strict=True):
            for place in places if take else ():
                mixed[place : place + size] = full[place : place + size]
        journal = journal_of(bytes(mixed))
        assert (journal.problem, journal.undone) == ("", 1), taken
        assert differences(bytes_of(journal), old, raw) == [], taken
        ntfs = NtfsVolume(journal.source)
        assert ntfs.stream(at(ntfs, "/driver.sys")).size == 12_002  # type: ignore[union-attr]


@made
def test_a_transaction_that_ended_stays_and_the_one_behind_it_is_undone(volumes: dict[str, bytes]) -> None:
    old, new = volumes["old"], volumes["replaced"]
    raw = Raw(old)
    changes = steps(raw, Raw(new))
    log = LogWriter()
    log.begin()
    for step in opened(raw):
        log.step(step)
    # Record 64 is the driver's, 65 the hive's. The two transactions take turns.
    hive = [step for step in changes if step.block == 2]
    for step in changes:
        step.transaction = 0x40 if step in hive else 0x18
        log.step(step)
    log.step(Step(0x1B, 1))
    journal = journal_of(with_log(with_data(old, new), log.written()))
    assert (journal.state, journal.problem, journal.undone) == ("replayed", "", 1)
    ours, before, after = (metadata(data, raw) for data in (bytes_of(journal), old, new))
    assert ours["record 64"][16:0x28] + ours["record 64"][0x30:] == (
        after["record 64"][16:0x28] + after["record 64"][0x30:]
    )
    assert ours["record 65"][16:] == before["record 65"][16:]


@made
def test_what_windows_took_back_itself_is_not_undone_twice(volumes: dict[str, bytes], tmp_path: Path) -> None:
    old, new = volumes["old"], volumes["streamed"]
    raw = Raw(old)
    changes = steps(raw, Raw(new))
    for taken_back in range(len(changes) + 1):
        log = LogWriter()
        log.begin()
        places = []
        for step in [*opened(raw), *changes]:
            places.append(log.step(step))
        before = [0, *places]
        for number in range(len(changes), len(changes) - taken_back, -1):
            back = changes[number - 1]
            undoing = Step(back.undo, 1, back.old, b"", back.target, back.lcns, back.at, back.within, back.block,
                           back.size, back.vcn)  # fmt: skip
            log.step(undoing, undo_next=before[len(opened(raw)) + number - 1])
        dirty = with_log(with_data(old, new), log.written())
        journal = journal_of(dirty)
        assert journal.problem == "", taken_back
        assert differences(bytes_of(journal), old, raw) == []
        half = with_log(written(made_dirty(old, new)), log.written())
        assert differences(bytes_of(journal_of(half)), old, raw) == []


@made
def test_a_value_that_was_taken_back_without_the_length_that_it_had_is_a_doubt(volumes: dict[str, bytes]) -> None:
    old = volumes["old"]
    raw = Raw(old)
    at_, value = raw.attributes(66)[0]
    times = value[0x18:0x38]
    where = {"lcns": (raw.mft // 4096 + 16,), "at": at_, "within": 0x18, "block": 4, "size": 2, "vcn": 16}
    for lost, state in ((b"", "not replayed"), (times, "replayed")):
        back = Step(7, 1, bytes(32), lost, **where)  # type: ignore[arg-type]
        journal = journal_of(made_dirty(old, old, extra=(back,)))
        assert journal.state == state
        assert ("has not the length" in journal.problem) is (not lost)


@made
def test_a_transaction_that_began_before_the_checkpoint_is_undone_from_its_table(volumes: dict[str, bytes]) -> None:
    old, new = volumes["old"], volumes["replaced"]
    raw = Raw(old)
    changes = steps(raw, Raw(new))
    for version, cut in itertools.product((0, 1), (len(changes) // 2, len(changes))):
        log = LogWriter(tables=version)
        log.begin()
        keys = (0x18, 0x44, 0x70, 0x9C) if not version else (0x18, 0x40, 0x68, 0x90)
        renamed = dict(zip((0x18, 0x40, 0x68, 0x90), keys, strict=True))
        dirty: dict[tuple[int, int, int], int] = {}
        first = 0
        for step in changes[:cut]:
            step = Step(**{**vars(step), "target": renamed[step.target]})
            lsn = log.step(step)
            first = first or lsn
            dirty.setdefault((step.target, step.vcn, step.lcns[0]), lsn)
        kinds = {keys[0]: (0x80, 1 << 48, 0), keys[1]: (0xA0, 5 << 48 | 5, 4096), keys[2]: (0x80, 6 << 48 | 6, 0),
                 keys[3]: (0xB0, 1 << 48, 0)}  # fmt: skip
        log.check(dirty, {0x18: (first, log.last)}, kinds)
        for step in changes[cut:]:
            log.step(Step(**{**vars(step), "target": renamed[step.target]}))
        unwritten = with_log(with_data(old, new), log.written())
        journal = journal_of(unwritten)
        assert (journal.state, journal.problem, journal.undone) == ("clean", "", 1), (version, cut)
        log.step(Step(0x1B, 1))
        journal = journal_of(with_log(with_data(old, new), log.written()))
        assert (journal.state, journal.problem, journal.undone) == ("replayed", "", 0), (version, cut)
        ntfs = NtfsVolume(journal.source)
        assert content(ntfs, at(ntfs, "/driver.sys")) == noise(36_002, 3)
        assert content(ntfs, at(ntfs, "/HIVE")) == noise(20_480, 4)


def refused(journal: Journal, *names: str) -> None:
    ntfs = NtfsVolume(journal.source)
    for name in names:
        with pytest.raises(ReadError, match="its journal changes this place"):
            at(ntfs, name)


@made
def test_what_is_undone_has_to_stand_there(volumes: dict[str, bytes]) -> None:
    half = bytearray(half_done(volumes["old"], volumes["replaced"]))
    # The size of the driver's data.
    raw = Raw(bytes(half))
    place = next(where for where, data in raw.attributes(64) if data[0] == 0x80)
    half[raw.mft + 64 * 1024 + place + 0x30] ^= 1
    journal = journal_of(bytes(half))
    assert (journal.state, journal.undone) == ("not replayed", 1)
    assert "has not the sizes that the journal expects" in journal.problem
    assert "that undoes the record" in journal.problem
    refused(journal, "/driver.sys")


@made
def test_a_page_that_is_newer_than_the_log_is_doubtful(volumes: dict[str, bytes]) -> None:
    for data in (half_done(volumes["old"], volumes["replaced"]), made_dirty(volumes["old"], volumes["replaced"])):
        live = bytearray(data)
        place = Raw(bytes(live)).mft + 64 * 1024
        struct.pack_into("<Q", live, place + 8, 1 << 40)
        journal = journal_of(bytes(live))
        assert journal.state == "not replayed"
        assert "written after the journal's last record" in journal.problem
        refused(journal, "/driver.sys")


@made
def test_a_chain_of_records_that_is_broken_leaves_what_was_not_written_doubtful(volumes: dict[str, bytes]) -> None:
    old, new = volumes["old"], volumes["replaced"]
    log = LogWriter()
    log.begin()
    for step in opened(Raw(old)):
        log.step(step)
    first, *others = steps(Raw(old), Raw(new))
    log.step(first)
    log.previous[0x18] += 1
    for step in others:
        log.step(step)
    journal = journal_of(with_log(with_data(old, new), log.written()))
    assert journal.state == "not replayed"
    assert "which is to be undone, is not there" in journal.problem
    refused(journal, "/driver.sys", "/HIVE")


@made
def test_nothing_is_undone_when_the_end_of_the_log_is_damaged(volumes: dict[str, bytes]) -> None:
    # The end of the transaction alone stands in the last page, which is lost; no other place tells of it.
    old, new = volumes["old"], volumes["replaced"]
    raw = Raw(old)
    log = LogWriter()
    log.begin()
    for step in [*opened(raw), *steps(raw, Raw(new))]:
        log.step(step)
    known = log.last
    log.add(Step(0, 0).client().ljust(0x1000 - log.at % 0x1000 - 0x30, b"\0"))
    log.step(Step(0x1B, 1))
    log.last = known
    lcn, _ = raw.run(2, 0x80)
    dirty = bytearray(with_log(written(made_dirty(old, new)), log.written()))
    assert journal_of(bytes(dirty)).problem == ""
    # The newest page stands in the first of the two places for copies.
    dirty[lcn * 4096 + 0x2000 : lcn * 4096 + 0x2200] = bytes(512)
    journal = journal_of(bytes(dirty))
    assert journal.state == "not replayed"
    assert "the end of the log is damaged" in journal.problem
    refused(journal, "/driver.sys", "/HIVE")


@pytest.fixture
def small(volumes: dict[str, bytes], tmp_path: Path) -> tuple[bytes, int]:
    """A volume with a file whose data stand in its record, and the number of that."""
    place = tmp_path / "small.img"
    place.write_bytes(volumes["old"])
    copied(place, "/small.txt", b"text that Windows logs as zeros")
    data = place.read_bytes()
    return data, at(NtfsVolume(BytesSource(data)), "/small.txt").number


@made
def test_a_file_that_is_brought_back_has_the_content_that_still_stands_in_its_record(small: tuple[bytes, int]) -> None:
    with_it, number = small
    freed = bytearray(with_it)
    freed[Raw(with_it).mft + number * 1024 + 0x16] &= ~1
    journal = journal_of(half_done(with_it, bytes(freed)))
    assert (journal.state, journal.problem, journal.undone) == ("replayed", "", 1)
    ntfs = NtfsVolume(journal.source, lost=journal.content)
    assert content(ntfs, at(ntfs, "/small.txt")) == b"text that Windows logs as zeros"


@made
def test_a_record_that_is_put_back_as_a_whole_has_no_content_from_the_journal(small: tuple[bytes, int]) -> None:
    # Windows logs a record as it was before it moves attributes out of it: Noop, and on the way back the record.
    with_it, number = small
    raw = Raw(with_it)
    record = raw.record(number)
    assert record is not None
    where = {"lcns": (raw.mft // 4096 + number // 4,), "block": number % 4 * 2, "size": 2, "vcn": number // 4}
    used = int.from_bytes(record[0x18:0x1C], "little")
    kept = bytes(record[:used]).replace(b"text that Windows logs as zeros", bytes(31))
    snapshot = Step(0, 2, b"", kept, **where)  # type: ignore[arg-type]
    last, attribute = raw.attributes(number)[-1]
    gone = Step(6, 5, b"", attribute, at=last, **where)  # type: ignore[arg-type]
    journal = journal_of(half_done(with_it, with_it, (snapshot, gone)))
    assert (journal.state, journal.problem, journal.undone) == ("replayed", "", 1)
    ntfs = NtfsVolume(journal.source, lost=journal.content)
    with pytest.raises(ReadError, match="journal"):
        ntfs.stream(at(ntfs, "/small.txt"))


@made
def test_a_record_that_was_made_free_when_the_table_grew_stays_so(small: tuple[bytes, int]) -> None:
    old, number = small
    raw = Raw(old)
    record = raw.record(number)
    assert record is not None
    free = bytearray(record[:0x38]) + b"\xff\xff\xff\xff" + bytes(4)
    struct.pack_into("<HHI", free, 0x14, 0x38, 0, 0x40)
    place = number + 1
    struct.pack_into("<I", free, 0x2C, place)
    where = {"lcns": (raw.mft // 4096 + place // 4,), "block": place % 4 * 2, "size": 2, "vcn": place // 4}
    made_free = Step(2, 3, bytes(free), b"", **where)  # type: ignore[arg-type]
    journal = journal_of(half_done(old, old, (made_free,)))
    assert journal.problem == ""
    left = Raw(bytes_of(journal)).record(place)
    assert left is not None
    assert not left[0x16] & 1
    ntfs = NtfsVolume(journal.source)
    assert content(ntfs, at(ntfs, "/small.txt")) == b"text that Windows logs as zeros"


@made
def test_more_records_to_undo_than_is_sane_are_a_doubt(
    volumes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = half_done(volumes["old"], volumes["replaced"])
    monkeypatch.setattr(undo, "MAX_JOURNAL_RECORDS", 2)
    assert records.MAX_JOURNAL_RECORDS > 2
    journal = journal_of(half)
    assert (journal.state, journal.problem) == ("not replayed", "too many records are to be undone")
    refused(journal, "/driver.sys")
