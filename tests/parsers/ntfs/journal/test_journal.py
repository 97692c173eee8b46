"""Journals that were not replayed, with ntfsrecover on a copy and the volume after the change as judges."""

from __future__ import annotations

import lzma
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.bytesource import BytesSource
from parsers.errors import ReadError, StopcodeError
from parsers.ntfs import NtfsVolume
from parsers.ntfs.journal import Journal, analysis, read_journal, records, replay
from parsers.ntfs.volume import ROOT
from tests.forensics.disk.ntfs_disks import run
from tests.parsers.ntfs.journals import LogWriter, Raw, Step, made_dirty, metadata, recovered, with_log
from tests.parsers.ntfs.volumes import at, content, survey

made = pytest.mark.peer("mkntfs", "ntfscp", "ntfsrecover")


def noise(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


class Counted(BytesSource):
    """Plain bytes; every byte read is counted."""

    bytes_read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        data = super().read_at(offset, length)
        self.bytes_read += len(data)
        return data


def copied(place: Path, name: str, data: bytes, stream: str = "") -> None:
    file = place.with_suffix(".file")
    file.write_bytes(data)
    run("ntfscp", "-f", "-q", *(("-N", stream) if stream else ()), place, file, name)


def replaced(place: Path) -> None:
    copied(place, "/driver.sys", noise(36_002, 3))
    copied(place, "/HIVE", noise(20_480, 4))


def added(place: Path) -> None:
    copied(place, "/new.sys", noise(9_000, 5))


def streamed(place: Path) -> None:
    copied(place, "/driver.sys", noise(5_000, 6), "Extra")


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A volume with an old driver and a hive, and what three changes make of it."""
    folder = tmp_path_factory.mktemp("journal")
    old = folder / "old.img"
    with old.open("wb") as file:
        file.truncate(16 << 20)
    run("mkntfs", "-F", "-Q", "-s", 512, "-c", 4096, "-p", 2048, "-H", 255, "-S", 63, old)
    copied(old, "/driver.sys", noise(12_002, 1))
    copied(old, "/HIVE", noise(8_192, 2))
    copied(old, "/other.txt", noise(5_000, 9))
    found = {"old": old.read_bytes()}
    changes: tuple[Callable[[Path], None], ...] = (replaced, added, streamed)
    for change in changes:
        place = folder / f"{change.__name__}.img"
        shutil.copy(old, place)
        change(place)
        found[change.__name__] = place.read_bytes()
    return found


def journal_of(data: bytes) -> Journal:
    source = BytesSource(data)
    return read_journal(NtfsVolume(source), source)


def bytes_of(journal: Journal) -> bytes:
    return journal.source.read_at(0, journal.source.size)


CASES = {
    "a driver and a hive grow": ("old", "replaced"),
    "they shrink again": ("replaced", "old"),
    "a file comes": ("old", "added"),
    "a file goes": ("added", "old"),
    "a stream comes": ("old", "streamed"),
    "a stream goes": ("streamed", "old"),
}


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
def test_a_transaction_that_was_not_complete_leaves_its_files_doubtful(volumes: dict[str, bytes]) -> None:
    dirty = made_dirty(volumes["old"], volumes["replaced"], ended=False)
    journal = journal_of(dirty)
    assert (journal.state, journal.undone) == ("not replayed", 1)
    assert "not complete" in journal.problem
    ntfs = NtfsVolume(journal.source)
    with pytest.raises(ReadError, match="its journal changes this place"):
        at(ntfs, "/driver.sys")
    assert content(ntfs, at(ntfs, "/other.txt")) == noise(5_000, 9)


@made
def test_an_operation_that_nobody_proved_leaves_its_file_doubtful_and_the_others_replayed(
    volumes: dict[str, bytes],
) -> None:
    raw = Raw(volumes["old"])
    # Record 66 is other.txt; 0x23 is an operation whose meaning is not known.
    unknown = Step(0x23, 0, b"12345678", lcns=(raw.mft // 4096 + 16,), block=4, vcn=16)
    for step in (unknown, Step(0x04, 0, b"\xff\xff\xff\xff\0\0\0\0", lcns=unknown.lcns, at=0x38, block=4, vcn=16)):
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


@made
def test_damage_anywhere_in_the_log_never_makes_a_file_silently_another(volumes: dict[str, bytes]) -> None:
    dirty = made_dirty(volumes["old"], volumes["replaced"])
    log = Raw(dirty).run(2, 0x80)[0] * 4096
    good = {noise(36_002, 3), noise(20_480, 4), noise(5_000, 9)}
    as_it_is = {content(v := NtfsVolume(BytesSource(dirty)), at(v, name)) for name in ("/driver.sys", "/HIVE")}

    @settings(max_examples=120, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 0x6FFF), st.integers(0, 255)), min_size=1, max_size=6))
    def damaged(places: list[tuple[int, int]]) -> None:
        changed = bytearray(dirty)
        for place, byte in places:
            changed[log + place] = byte
        journal = journal_of(bytes(changed))
        ntfs = NtfsVolume(journal.source)
        for name in ("/driver.sys", "/HIVE", "/other.txt"):
            try:
                data = content(ntfs, at(ntfs, name))
            except StopcodeError:
                continue
            # One byte of a log is not guarded: it may turn up where it is written.
            assert len(data) in {len(item) for item in good | as_it_is}
        survey(ntfs)

    damaged()


@pytest.mark.realdata
def test_a_real_volume_that_was_never_closed_has_nothing_to_replay(shared: Path) -> None:
    data = lzma.decompress((shared / "data/disks/tiny-ntfs.dd.xz").read_bytes())
    source = Counted(data)
    ntfs = NtfsVolume(source)
    before = source.bytes_read
    journal = read_journal(ntfs, source)
    assert (journal.state, journal.open, journal.version, journal.records) == ("clean", True, "1.1", 3)
    assert source.bytes_read - before < 0x40000
