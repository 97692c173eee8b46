"""Unpacking the committed samples."""

from __future__ import annotations

import lzma
import subprocess
import sys
from pathlib import Path

import pytest

from samples import unpack as module
from samples.family import FAMILY

CONTENT = b"head" + bytes(300_000) + b"tail" + bytes(70_000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "BUILT", tmp_path)
    (tmp_path / "a.vhdx.xz").write_bytes(lzma.compress(CONTENT))
    return tmp_path


def test_a_sample_comes_out_whole_with_holes_where_it_is_zero(folder: Path) -> None:
    path = module.unpack("a.vhdx")
    assert path.read_bytes() == CONTENT
    assert path.stat().st_blocks * 512 < len(CONTENT) // 2
    assert not list(folder.glob(".*partial"))


def test_a_file_that_is_there_is_left_as_it_is(folder: Path) -> None:
    before = module.unpack("a.vhdx").stat()
    after = module.unpack("a.vhdx").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_changed_file_and_a_new_pack_are_unpacked_anew(folder: Path) -> None:
    path = module.unpack("a.vhdx")
    path.write_bytes(b"spoilt")
    assert module.unpack("a.vhdx").read_bytes() == CONTENT
    (folder / "a.vhdx.xz").write_bytes(lzma.compress(b"new"))
    assert module.unpack("a.vhdx").read_bytes() == b"new"


def test_a_damaged_pack_leaves_nothing_behind(folder: Path) -> None:
    packed = folder / "a.vhdx.xz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises((lzma.LZMAError, EOFError)):
        module.unpack("a.vhdx")
    assert [path.name for path in folder.iterdir()] == ["a.vhdx.xz"]


def test_an_unknown_name_is_told_and_ends_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert module.main(["b.vhdx"]) == 1
    assert "b.vhdx" in capsys.readouterr().err


def test_every_member_of_the_family_is_committed_and_small() -> None:
    packed = {path.name: path.stat().st_size for path in Path(module.__file__).with_name("built").glob("*.xz")}
    assert set(packed) == {f"{variant.name}.vhdx.xz" for variant in FAMILY}
    assert sum(packed.values()) < 6_000_000


def test_unpacking_imports_nothing_but_the_standard_library() -> None:
    code = "import sys, samples.unpack; print(*(str(getattr(m, '__file__', '')) for m in sys.modules.values()))"
    root = Path(module.__file__).parents[1]
    done = subprocess.run([sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True, cwd=root)
    assert "site-packages" not in done.stdout
