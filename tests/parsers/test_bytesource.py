"""A file that the host cannot read is a place that cannot be read, and says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsers.bytesource import FileSource
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
