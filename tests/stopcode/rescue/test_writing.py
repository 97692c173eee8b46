from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from parsers.bytesource import BytesSource
from stopcode.rescue import writing
from stopcode.rescue.writing import NotWrittenError, copy_out, new_file
from tests.stopcode.rescue.sources import BadSectors

DATA = random.Random(2).randbytes(1_500_000) + bytes(4 << 20) + b"end"


def test_a_copy_equals_its_source_and_says_its_digest(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    done = copy_out(BytesSource(DATA), tmp_path / "a.dmp", lambda at, of: steps.append((at, of)))
    assert (tmp_path / "a.dmp").read_bytes() == DATA
    assert done.sha256 == hashlib.sha256(DATA).hexdigest()
    assert steps[-1] == (len(DATA), len(DATA))
    assert [path.name for path in tmp_path.iterdir()] == ["a.dmp"]


def test_a_dump_is_for_its_owner_alone_and_zeros_are_holes(tmp_path: Path) -> None:
    copy_out(BytesSource(bytes(64 << 20) + b"x"), tmp_path / "a.dmp")
    stat = (tmp_path / "a.dmp").stat()
    assert stat.st_mode & 0o077 == 0
    assert stat.st_size == (64 << 20) + 1
    assert stat.st_blocks * 512 < 8 << 20


def test_what_exists_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.dmp").write_bytes(b"mine")
    with pytest.raises(NotWrittenError, match="exists"):
        copy_out(BytesSource(DATA), tmp_path / "a.dmp")
    (tmp_path / "link.dmp").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotWrittenError, match="exists"):
        copy_out(BytesSource(DATA), tmp_path / "link.dmp")
    assert (tmp_path / "a.dmp").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dmp", "link.dmp"]


def test_a_name_that_is_taken_while_copying_stays_its_owners(tmp_path: Path) -> None:
    def write() -> None:
        with new_file(tmp_path / "a") as (out, _partial):
            out.write(b"ours")
            (tmp_path / "a").write_bytes(b"theirs")

    with pytest.raises(NotWrittenError, match="exists"):
        write()
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def stop(_at: int, _of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_out(BytesSource(DATA), tmp_path / "a.dmp", stop)
    assert list(tmp_path.iterdir()) == []


def test_a_medium_that_gives_other_bytes_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = writing._forget

    def corrupt(file: object) -> None:
        flush(file)  # type: ignore[arg-type]
        partial = next(tmp_path.glob(".rescue-*"))
        partial.write_bytes(b"other")

    monkeypatch.setattr(writing, "_forget", corrupt)
    with pytest.raises(NotWrittenError, match="other bytes"):
        copy_out(BytesSource(DATA), tmp_path / "a.dmp")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_room_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    class Huge(BytesSource):
        size = 1 << 60

    with pytest.raises(NotWrittenError, match="bytes free"):
        copy_out(Huge(b""), tmp_path / "a.dmp")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_read_are_zeros_and_listed(tmp_path: Path) -> None:
    done = copy_out(BadSectors(DATA, [(8192, 10)]), tmp_path / "a.dmp")
    assert (tmp_path / "a.dmp").read_bytes() == DATA[:8192] + bytes(4096) + DATA[12288:]
    assert done.unreadable.ranges == [(8192, 4096)]
