"""A file that the host cannot read is a place that cannot be read, and says where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from parsers.bytesource import FileSource, first_bytes
from parsers.errors import ReadError


class BadSector:
    """A file of the host whose medium fails."""

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset

    def read(self, length: int) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_file_that_the_host_cannot_read_raises_read_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").write_bytes(bytes(9000))
    with FileSource(tmp_path / "d") as file:
        monkeypatch.setattr(file, "_file", BadSector())
        with pytest.raises(ReadError, match=r"d cannot be read at 0x200: Input/output error") as caught:
            file.read_at(0x200, 512)
        monkeypatch.undo()
        assert caught.value.address == 0x200
        assert (file.bytes_read, file.requests) == (0, 0)
        assert file.read_at(0x200, 512) == bytes(512)


def test_the_first_bytes_are_of_files_alone_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "short").write_bytes(b"MZ")
    os.mkfifo(tmp_path / "pipe")
    found = {name: first_bytes(tmp_path / name) for name in ("long", "short", "pipe", "none", ".")}
    assert found == {"long": bytes(range(256)) * 2, "short": b"MZ", "pipe": b"", "none": b"", ".": b""}
    assert first_bytes("a\0b") == b""
