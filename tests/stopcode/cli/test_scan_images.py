"""`scan --images`: what the failed disk's own files do not unwind, a folder of the analyst's does, and only that."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.forensics.crash.chain import Chain, run
from tests.forensics.crash.machines import POOL, write_x64
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder

pytestmark = pytest.mark.peer("x86_64-w64-mingw32-gcc")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return run(tmp_path_factory.mktemp("build"), direct=True, in_memory=False)


def disk(folder: Path, chain: Chain) -> Path:
    """A Windows whose drivers are other builds than those that crashed."""
    root = windows_folder(folder)
    chain.machine.put(POOL + 0x8000, chain.context)
    data = write_x64(chain.machine, 5, code=0x3B, parameters=(0xC0000005, chain.rip, POOL + 0x8000, 0))
    (root / "Windows" / "MEMORY.DMP").write_bytes(data)
    return root


def images(folder: Path, chain: Chain) -> Path:
    folder.mkdir()
    for built in chain.modules:
        shutil.copyfile(chain.files[built.base], folder / built.name)
    return folder


def crash(call: Stopcode, *words: object) -> Any:
    return call("scan", "-o", "json", *words).document["facts"]["crashes"][0]


def places(found: Any) -> list[tuple[int, int]]:
    return [(int(frame["ip"], 16), int(frame["sp"], 16)) for frame in found["stack"]]


def test_a_folder_unwinds_what_the_disk_does_not(call: Stopcode, tmp_path: Path, chain: Chain) -> None:
    root, folder = disk(tmp_path / "disk", chain), images(tmp_path / "images", chain)
    alone, helped = crash(call, root), crash(call, "--images", folder, root)
    assert places(alone) != chain.frames
    assert places(helped) == chain.frames
    assert {frame.get("image") for frame in helped["stack"][1:]} == {"folder"}
    # What the disk holds stays what it is: rules ask for it.
    assert [row["on_disk"] for row in helped["modules"]] == [row["on_disk"] for row in alone["modules"]]
    assert not any("version" in row for row in helped["modules"])


def test_the_disks_own_file_comes_before_a_folders(call: Stopcode, tmp_path: Path, chain: Chain) -> None:
    root, folder = disk(tmp_path / "disk", chain), images(tmp_path / "images", chain)
    for built in chain.modules:
        place = "System32" if built.name == "ntoskrnl.exe" else "System32/drivers"
        shutil.copyfile(chain.files[built.base], root / "Windows" / place / built.name)
    helped = crash(call, "--images", folder, root)
    assert places(helped) == chain.frames
    assert {frame.get("image") for frame in helped["stack"][1:]} == {"disk"}


def test_a_folder_that_is_not_there_is_said_before_anything_is_read(call: Stopcode, tmp_path: Path) -> None:
    done = call("scan", "--images", tmp_path / "nowhere", tmp_path)
    assert done.code == 3
    assert "--images takes a folder with driver files" in done.err
