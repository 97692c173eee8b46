from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from parsers.bytesource import ByteSource, BytesSource
from parsers.errors import ReadError
from stopcode.rescue import archive
from stopcode.rescue.archive import write_archive
from stopcode.rescue.artefacts import Artefact, NotFound
from stopcode.rescue.writing import NotWrittenError
from tests.forensics.world import FakeFiles, FakeStat
from tests.stopcode.rescue.sources import BadSectors


class Files(FakeFiles):
    def open(self, path: str) -> Any:
        source = self._files[path.lower()][1]
        return source if isinstance(source, BytesSource) else super().open(path)


def artefacts(**sources: ByteSource | Exception) -> list[Artefact]:
    paths = {f"\\{name}.bin": source for name, source in sources.items()}
    files = Files(paths, {})  # type: ignore[arg-type]  # sources in place of bytes
    return [
        Artefact("", files, FakeStat(path, getattr(source, "size", 0)))  # type: ignore[arg-type]
        for path, source in paths.items()
    ]


def test_a_file_with_bad_places_is_packed_with_zeros_and_listed_and_one_that_cannot_be_opened_is_left_out(
    tmp_path: Path,
) -> None:
    made = artefacts(half=BadSectors(b"x" * 9000, [(4096, 1)]), none=ReadError("no such place"), good=BytesSource(b"g"))
    manifest = write_archive(tmp_path / "a.zip", made, [NotFound("p", "why")])
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.namelist() == ["C/half.bin", "C/good.bin", "manifest.json"]
        assert packed.read("C/half.bin") == b"x" * 4096 + bytes(4096) + b"x" * 808
        assert json.loads(packed.read("manifest.json")) == manifest
    assert manifest["files"][0]["unreadable"] == {"bytes": 4096, "reason": "bad sector", "ranges": [[4096, 4096]]}
    assert manifest["left_out"] == [{"path": r"\none.bin", "reason": "no such place"}]
    assert manifest["not_found"] == [{"pattern": "p", "reason": "why"}]


def test_a_file_of_the_evidence_cannot_take_the_manifests_place(tmp_path: Path) -> None:
    made = Artefact("", Files({r"\manifest.json": b"evil"}, {}), FakeStat(r"\manifest.json", 4))  # type: ignore[arg-type]
    write_archive(tmp_path / "a.zip", [made], [])
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.namelist() == ["C/manifest.json", "manifest.json"]


def test_a_zip_that_reads_back_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = archive._read_again

    def damaged(path: Path, manifest: dict[str, Any]) -> None:
        data = bytearray(path.read_bytes())
        data[60] ^= 0xFF
        path.write_bytes(data)
        whole(path, manifest)

    monkeypatch.setattr(archive, "_read_again", damaged)
    with pytest.raises(NotWrittenError, match="other bytes"):
        write_archive(tmp_path / "a.zip", artefacts(a=BytesSource(bytes(range(256)) * 9)), [])
    assert list(tmp_path.iterdir()) == []
