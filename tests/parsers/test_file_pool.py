from __future__ import annotations

from pathlib import Path

import pytest

from parsers import file_pool
from parsers.bytesource import ByteSource
from parsers.errors import ReadError
from parsers.file_pool import FilePool


def test_more_files_than_handles_are_all_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_pool, "_MAX_OPEN", 3)
    pool = FilePool()
    files: list[ByteSource] = []
    for number in range(10):
        (tmp_path / str(number)).write_bytes(bytes([number]) * 100)
        files.append(pool.file(tmp_path / str(number)))
        assert len(pool._open) <= 3
    for _round in range(2):
        for number, file in enumerate(files):
            assert file.size == 100
            assert file.read_at(90, 20) == bytes([number]) * 10
            assert len(pool._open) <= 3
    pool.close()
    assert files[4].read_at(0, 1) == b"\4"
    pool.close()


def test_a_file_that_went_away_cannot_be_read_and_stops_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    pool = FilePool()
    file = pool.file(tmp_path / "x")
    pool.close()
    (tmp_path / "x").unlink()
    with pytest.raises(ReadError):
        file.read_at(0, 1)
    with pytest.raises(OSError, match="No such file"):
        pool.file(tmp_path / "x")
