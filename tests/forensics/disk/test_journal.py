"""What is told of a volume's journal, and what its replay changes of the files that are read."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from forensics.disk.files import NtfsFiles
from forensics.disk.volumes import Volume, find_volumes
from parsers.bytesource import ByteSource, BytesSource
from parsers.diagnostics import Diagnostics
from parsers.errors import StopcodeError
from parsers.ntfs import NtfsVolume
from parsers.ntfs.journal import Journal, read_journal
from tests.forensics.disk.ntfs_disks import ntfs_volume, run
from tests.parsers.ntfs.journals import LogWriter, Raw, Step, made_dirty, with_log

made = pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp", "ntfsrecover")
DRIVER = r"\Windows\System32\drivers\vmstorfl.sys"
HIVE = r"\Windows\System32\config\SYSTEM"


def noise(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A volume with a driver and a hive, and what it is after both were replaced by larger ones."""
    folder = tmp_path_factory.mktemp("journal")
    files: dict[str, bytes | Path] = {
        "Windows/System32/drivers/vmstorfl.sys": noise(12_002, 1),
        "Windows/System32/config/SYSTEM": noise(8_192, 2),
    }
    old = ntfs_volume(folder / "old.img", files, mib=16)
    # A record keeps its place for another file; ntfscp rewrites in place.
    new = folder / "new.img"
    shutil.copy(old, new)
    for path, data in ((DRIVER, noise(36_002, 3)), (HIVE, noise(20_480, 4))):
        (folder / "file").write_bytes(data)
        run("ntfscp", "-f", "-q", new, folder / "file", path.replace("\\", "/"))
    return old.read_bytes(), new.read_bytes()


def opened(data: bytes) -> tuple[Volume, Diagnostics]:
    diagnostics = Diagnostics()
    _, found = find_volumes(BytesSource(data), 512, diagnostics)
    return found[0], diagnostics


def told(diagnostics: Diagnostics) -> dict[str, str]:
    return {item.code: f"{item.severity}: {item.message}" for item in diagnostics.items}


@made
def test_a_driver_and_a_hive_are_read_as_the_journal_leaves_them_and_that_is_told(
    volumes: tuple[bytes, bytes],
) -> None:
    volume, diagnostics = opened(made_dirty(*volumes))
    assert volume.fact().get("journal") == "replayed"
    assert volume.ntfs is not None
    files = NtfsFiles(volume.ntfs)
    assert files.open(DRIVER).read_at(0, 40_000) == noise(36_002, 3)
    assert files.open(HIVE).read_at(0, 40_000) == noise(20_480, 4)
    messages = told(diagnostics)
    assert messages["ntfs.journal-replayed"].startswith("info: ")
    assert f"{DRIVER}: 12002 bytes -> 36002 bytes" in messages["ntfs.journal-changed"]
    assert f"{HIVE}: 8192 bytes -> 20480 bytes" in messages["ntfs.journal-changed"]


@made
def test_a_file_whose_change_is_doubtful_is_named_and_not_read(volumes: tuple[bytes, bytes]) -> None:
    dirty = bytearray(made_dirty(*volumes))
    raw = Raw(bytes(dirty))
    name = "vmstorfl.sys".encode("utf-16-le")
    number, place = next(
        (each, where)
        for each in range(24, raw.records)
        if name in (raw.record(each) or b"")
        for where, data in raw.attributes(each)
        if data[0] == 0x80
    )
    # Neither the size that the journal expects nor the one that it brings.
    dirty[raw.mft + number * 1024 + place + 0x30] ^= 1
    volume, diagnostics = opened(bytes(dirty))
    assert volume.fact().get("journal") == "not replayed"
    assert volume.ntfs is not None
    files = NtfsFiles(volume.ntfs)
    with pytest.raises(StopcodeError, match="its journal changes this place"):
        files.open(DRIVER)
    assert files.open(HIVE).read_at(0, 40_000) == noise(20_480, 4)
    message = told(diagnostics)["ntfs.journal-not-replayed"]
    assert message.startswith("warning: ")
    assert f"not read: {DRIVER}" in message
    assert "has not the sizes that the journal expects" in message
    (item,) = (item for item in diagnostics.items if item.code == "ntfs.journal-not-replayed")
    assert "mount a writable copy" in (item.hint or "")


@made
def test_a_transaction_that_was_under_way_is_undone_and_that_is_told(volumes: tuple[bytes, bytes]) -> None:
    volume, diagnostics = opened(made_dirty(*volumes, ended=False))
    assert volume.fact().get("journal") == "clean"
    assert volume.ntfs is not None
    assert NtfsFiles(volume.ntfs).open(DRIVER).size == 12_002
    message = told(diagnostics)["ntfs.journal-open"]
    assert message.startswith("info: ")
    assert "one transaction that was under way is undone" in message


@made
def test_a_journal_with_which_the_volume_cannot_be_opened_is_not_called_replayed(
    volumes: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ruinous(ntfs: NtfsVolume, source: ByteSource) -> Journal:
        journal = read_journal(ntfs, source)
        journal.source = BytesSource(bytes(source.size))
        return journal

    monkeypatch.setattr("forensics.disk.journal.read_journal", ruinous)
    volume, diagnostics = opened(made_dirty(*volumes))
    assert volume.fact().get("journal") == "unreadable"
    assert volume.ntfs is not None
    assert NtfsFiles(volume.ntfs).open(DRIVER).size == 12_002
    messages = told(diagnostics)
    assert "read as it stands: with it the volume cannot be read" in messages["ntfs.journal-unreadable"]
    assert not any("done in memory" in message for message in messages.values())


@made
def test_the_state_of_other_journals_is_told(volumes: tuple[bytes, bytes]) -> None:
    quiet = LogWriter()
    quiet.begin()
    quiet.step(Step(0, 0))
    volume, diagnostics = opened(with_log(volumes[0], quiet.written()))
    assert volume.fact().get("journal") == "clean"
    assert "nothing to replay" in told(diagnostics)["ntfs.journal-open"]
    lcn, _ = Raw(volumes[0]).run(2, 0x80)
    damaged = bytearray(volumes[0])
    damaged[lcn * 4096 : lcn * 4096 + 0x2000] = bytes(0x2000)
    volume, diagnostics = opened(bytes(damaged))
    assert volume.fact().get("journal") == "unreadable"
    assert told(diagnostics)["ntfs.journal-unreadable"].startswith("warning: ")
    volume, diagnostics = opened(volumes[0])
    assert volume.fact().get("journal") == "clean"
    assert not told(diagnostics)
