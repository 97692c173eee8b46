"""Journals that were not replayed, with ntfsrecover on a copy and the volume after the change as judges."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource
from parsers.errors import ReadError
from parsers.ntfs import NtfsVolume
from parsers.ntfs.journal import analysis, read_journal, records, replay
from parsers.ntfs.volume import ROOT
from tests.parsers.ntfs.changes import (
    CASES,
    REST,
    bytes_of,
    copied,
    in_deep_folder,
    journal_of,
    made,
    noise,
    written_whole,
)
from tests.parsers.ntfs.journals import (
    LogWriter,
    Raw,
    Step,
    made_dirty,
    metadata,
    recovered,
    steps,
    with_log,
)
from tests.parsers.ntfs.volumes import at, content


class Counted(BytesSource):
    """Plain bytes; every byte read is counted."""

    bytes_read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        data = super().read_at(offset, length)
        self.bytes_read += len(data)
        return data


@made
@pytest.mark.parametrize(
    ("before", "after", "codes"),
    [("old", "replaced", {0x13}), ("old", "added", {0x0C}), ("added", "old", {0x0D})],
    ids=["a file grows", "a file comes", "a file goes"],
)
def test_an_index_within_a_record_is_changed_as_ntfsrecover_does(
    small_folders: dict[str, bytes], tmp_path: Path, before: str, after: str, codes: set[int]
) -> None:
    old, new = small_folders[before], small_folders[after]
    assert codes <= {step.redo for step in steps(Raw(old), Raw(new))}
    dirty = made_dirty(old, new)
    journal = journal_of(dirty)
    assert (journal.state, journal.problem) == ("replayed", "")
    place = tmp_path / "dirty.img"
    place.write_bytes(dirty)
    theirs = metadata(recovered(place), Raw(old))
    for name, data in metadata(bytes_of(journal), Raw(old)).items():
        freed = name.startswith("record") and not data[0x16] & 1
        skip = slice(0x10, 0x12 if freed else 0x10)
        assert data[: skip.start] + data[skip.stop :] == theirs[name][: skip.start] + theirs[name][skip.stop :], name


@made
@pytest.mark.parametrize("what", ["bytes of a stream", "an index block", "the end of an index block",
                                  "the end of a record"])  # fmt: skip
def test_what_is_written_as_a_whole_is_what_ntfsrecover_writes(
    volumes: dict[str, bytes], tmp_path: Path, what: str
) -> None:
    old = volumes["old"]
    dirty = made_dirty(old, old, extra=written_whole(old, volumes["replaced"])[what])
    journal = journal_of(dirty)
    assert (journal.state, journal.problem) == ("replayed", "")
    place = tmp_path / "dirty.img"
    place.write_bytes(dirty)
    ours = metadata(bytes_of(journal), Raw(old))
    assert ours == metadata(recovered(place), Raw(old))
    assert ours != metadata(old, Raw(old))


@made
@pytest.mark.parametrize("what", ["a block before an entry of a block", "a block before an entry of a record",
                                  REST])  # fmt: skip
def test_what_changes_in_a_deep_folder_is_what_ntfsrecover_changes(
    deep_folder: bytes, tmp_path: Path, what: str
) -> None:
    old = bytearray(deep_folder)
    raw = Raw(deep_folder)
    step = in_deep_folder(deep_folder)[what]
    if what == REST:
        rest = step.lcns[0] * 4096 + step.block * 512 + step.at + 16
        old[rest : rest + 8] = b"leftover"
    dirty = made_dirty(bytes(old), bytes(old), extra=(step,))
    journal = journal_of(dirty)
    assert (journal.state, journal.problem) == ("replayed", "")
    place = tmp_path / "dirty.img"
    place.write_bytes(dirty)
    theirs, ours = recovered(place), bytes_of(journal)
    assert metadata(ours, raw) == metadata(theirs, raw)
    if what == REST:
        assert ours[rest : rest + 8] == theirs[rest : rest + 8] == bytes(8)
    else:
        assert metadata(ours, raw) != metadata(bytes(old), raw)


@made
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", [(1, 1), (2, 0)], ids=["1.1", "2.0"])
def test_the_replay_equals_that_of_ntfsrecover_and_the_volume_after_the_change(
    volumes: dict[str, bytes], tmp_path: Path, case: str, version: tuple[int, int]
) -> None:
    before, after = (volumes[name] for name in CASES[case])
    dirty = made_dirty(before, after, version)
    journal = journal_of(dirty)
    assert (journal.state, journal.problem, journal.open) == ("replayed", "", True)
    assert journal.version == f"{version[0]}.{version[1]}"
    place = tmp_path / "dirty.img"
    place.write_bytes(dirty)
    theirs = metadata(recovered(place, *(["-k"] if version[0] == 2 else [])), Raw(before))
    ours = metadata(bytes_of(journal), Raw(before))
    target = metadata(after, Raw(before))
    assert ours.keys() == theirs.keys()
    for name, data in ours.items():
        # Windows counts the sequence number of a freed record up; ntfsrecover does not.
        freed = name.startswith("record") and not data[0x16] & 1
        assert data[:0x10] + data[0x12 if freed else 0x10 :] == (
            theirs[name][:0x10] + theirs[name][0x12 if freed else 0x10 :]
        ), name
        if not freed and not name.startswith("bitmap") and name in target:
            # All but the LSN and numbers that ntfs-3g gives to attributes of its own accord.
            assert data[16:0x28] + data[0x30:] == target[name][16:0x28] + target[name][0x30:], name


@made
def test_files_are_read_as_they_are_after_the_replay(volumes: dict[str, bytes]) -> None:
    dirty = made_dirty(volumes["old"], volumes["replaced"])
    as_it_is = NtfsVolume(BytesSource(dirty))
    assert len(content(as_it_is, at(as_it_is, "/driver.sys"))) == 12_002
    journal = journal_of(dirty)
    ntfs = NtfsVolume(journal.source)
    assert content(ntfs, at(ntfs, "/driver.sys")) == noise(36_002, 3)
    assert content(ntfs, at(ntfs, "/HIVE")) == noise(20_480, 4)
    assert content(ntfs, at(ntfs, "/other.txt")) == noise(5_000, 9)
    assert journal.records_touched == {at(ntfs, "/driver.sys").number, at(ntfs, "/HIVE").number}
    assert journal.folders_touched == {ROOT}


@made
def test_a_change_that_is_on_the_volume_already_is_not_made_again(volumes: dict[str, bytes], tmp_path: Path) -> None:
    dirty = made_dirty(volumes["old"], volumes["replaced"])
    once = bytes_of(journal_of(dirty))
    again = journal_of(once)
    assert (again.state, again.open, again.touched) == ("clean", True, [])
    assert bytes_of(again) == once


@made
def test_clean_journals_cost_their_restart_pages_alone(volumes: dict[str, bytes]) -> None:
    writer = LogWriter()
    writer.begin()
    for log in (b"\xff" * writer.size, writer.written(flags=2), writer.written(in_use=0xFFFF)):
        source = Counted(with_log(volumes["old"], log))
        ntfs = NtfsVolume(source)
        before = source.bytes_read
        journal = read_journal(ntfs, source)
        assert (journal.state, journal.open, journal.source) == ("clean", False, source)
        assert source.bytes_read - before <= 0x2000 + 1024


@made
def test_an_operation_that_nobody_proved_leaves_its_file_doubtful_and_the_others_replayed(
    volumes: dict[str, bytes],
) -> None:
    raw = Raw(volumes["old"])
    # Record 66 is other.txt; 0x23 is an operation whose meaning is not known.
    unknown = Step(0x23, 0, b"12345678", lcns=(raw.mft // 4096 + 16,), block=4, vcn=16)
    for step in (unknown, Step(0x25, 0, bytes(16), lcns=unknown.lcns, at=0x3E0, block=4, vcn=16)):
        journal = journal_of(made_dirty(volumes["old"], volumes["old"], extra=(step,)))
        assert journal.state == "not replayed"
        ntfs = NtfsVolume(journal.source)
        with pytest.raises(ReadError, match="its journal changes this place"):
            at(ntfs, "/other.txt")


@made
def test_data_within_a_record_are_not_taken_from_the_journal(volumes: dict[str, bytes], tmp_path: Path) -> None:
    place = tmp_path / "small.img"
    place.write_bytes(volumes["old"])
    copied(place, "/small.txt", b"")
    before = place.read_bytes()
    copied(place, "/small.txt", b"text that Windows logs as zeros")
    journal = journal_of(made_dirty(before, place.read_bytes()))
    assert journal.state == "replayed"
    ntfs = NtfsVolume(journal.source, lost=journal.content)
    record = at(ntfs, "/small.txt")
    assert journal.content == {(record.number, "")}
    with pytest.raises(ReadError, match="journal"):
        ntfs.stream(record)


@made
def test_a_torn_page_in_the_middle_makes_the_journal_unreadable_and_its_files_doubtful(
    volumes: dict[str, bytes],
) -> None:
    more = tuple(Step(0, 0, bytes(0x700)) for _ in range(8))
    dirty = bytearray(made_dirty(volumes["old"], volumes["replaced"], extra=more))
    log = Raw(bytes(dirty)).run(2, 0x80)[0] * 4096
    assert journal_of(bytes(dirty)).state == "replayed"
    dirty[log + 0x6000 + 1022] ^= 0xFF
    journal = journal_of(bytes(dirty))
    assert journal.state == "unreadable"
    assert journal.problem
    # What the readable part changes is doubtful; the rest is read as it is.
    ntfs = NtfsVolume(journal.source)
    with pytest.raises(ReadError, match="its journal changes this place"):
        ntfs.record(64)
    assert ntfs.record(ROOT).is_dir


@made
def test_a_restart_page_that_is_torn_is_replaced_by_the_other(volumes: dict[str, bytes]) -> None:
    dirty = bytearray(made_dirty(volumes["old"], volumes["replaced"]))
    log = Raw(bytes(dirty)).run(2, 0x80)[0] * 4096
    dirty[log + 510] ^= 0xFF
    assert journal_of(bytes(dirty)).state == "replayed"
    dirty[log + 0x1000 + 510] ^= 0xFF
    assert journal_of(bytes(dirty)).state == "unreadable"


@made
def test_versions_that_are_not_known_are_said(volumes: dict[str, bytes]) -> None:
    writer = LogWriter(version=(3, 0))
    writer.begin()
    journal = journal_of(with_log(volumes["old"], writer.written()))
    assert journal.state == "unreadable"
    assert "3.0" in journal.problem


@made
@pytest.mark.parametrize(
    ("module", "limit", "state"),
    [
        (records, "MAX_JOURNAL_RECORDS", "unreadable"),
        (records, "MAX_JOURNAL_RECORD_BYTES", "unreadable"),
        (analysis, "MAX_JOURNAL_DIRTY_CLUSTERS", "unreadable"),
        (analysis, "MAX_JOURNAL_COMPARISONS", "unreadable"),
        (replay, "MAX_JOURNAL_PAGES", "not replayed"),
        (replay, "MAX_JOURNAL_CHANGED", "not replayed"),
    ],
)
def test_a_journal_beyond_a_limit_is_not_replayed(
    volumes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, module: object, limit: str, state: str
) -> None:
    freed = Step(0x0A, 0, (1).to_bytes(8, "little") * 2)
    dirty = made_dirty(volumes["old"], volumes["replaced"], extra=(freed,))
    assert journal_of(dirty).state == "replayed"
    monkeypatch.setattr(module, limit, 1)
    assert journal_of(dirty).state == state


@pytest.mark.realdata
def test_a_real_volume_that_was_never_closed_has_nothing_to_replay(shared: Path) -> None:
    data = lzma.decompress((shared / "data/disks/tiny-ntfs.dd.xz").read_bytes())
    source = Counted(data)
    ntfs = NtfsVolume(source)
    before = source.bytes_read
    journal = read_journal(ntfs, source)
    assert (journal.state, journal.open, journal.version, journal.records) == ("clean", True, "1.1", 3)
    assert source.bytes_read - before < 0x40000
