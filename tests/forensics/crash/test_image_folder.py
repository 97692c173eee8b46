"""Driver files in a folder of the analyst's: found by layout or name, believed by identity."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from forensics.crash import image_folder
from forensics.crash.image_folder import FolderImages
from forensics.facts import CrashDict
from parsers.errors import InputNotFoundError
from tests.forensics.crash.chain import BAD, Chain, run
from tests.forensics.crash.machines import POOL, crash_of
from tests.forensics.crash.test_images import module, pe


def crash(chain: Chain, folder: Path) -> CrashDict:
    chain.machine.put(POOL + 0x8000, chain.context)
    return crash_of(chain.machine, 0x3B, (0xC0000005, chain.rip, POOL + 0x8000, 0), images=FolderImages(folder))


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
@pytest.mark.parametrize("layout", ["flat", "tree", "server"])
def test_unwind_data_comes_from_a_folder_of_any_layout(tmp_path: Path, layout: str) -> None:
    (tmp_path / "build").mkdir()
    chain = run(tmp_path / "build", direct=True, in_memory=False)
    images = tmp_path / "images"
    for built in chain.modules:
        place = {
            "flat": images / built.name,
            "tree": images / "Windows" / "System32" / "drivers" / built.name.upper(),
            "server": images / built.name / f"{built.timestamp:08X}{built.size:x}" / built.name,
        }[layout]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(chain.files[built.base], place)
    found = crash(chain, images)
    assert [(int(frame["ip"], 16), int(frame["sp"], 16)) for frame in found["stack"]] == chain.frames
    assert {frame["image"] for frame in found["stack"][1:]} == {"folder"}
    assert {one["on_disk"] for one in found["modules"]} == {"same"}
    assert found["culprit"]["module"] == "vmstorfl.sys"
    # The bytes are the file's: they agree with the fault, and would only be doubted where they do not.
    assert BAD
    assert found["fit"]["instruction"].startswith("mov dword ptr [rdx], 1")


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_a_file_does_not_tell_which_bytes_the_processor_called_illegal(tmp_path: Path) -> None:
    chain = run(tmp_path, direct=True, in_memory=False)
    for built in chain.modules:
        (tmp_path / "images").mkdir(exist_ok=True)
        shutil.copyfile(chain.files[built.base], tmp_path / "images" / built.name)
    chain.machine.put(POOL + 0x8000, chain.context)
    images = FolderImages(tmp_path / "images")
    found = crash_of(chain.machine, 0x3B, (0xC000001D, chain.rip, POOL + 0x8000, 0), images=images)
    culprit = found["culprit"]
    assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("driver", "vmstorfl.sys", "medium")
    assert not any("memory holds" in line for line in culprit["because"])
    assert any("are not in the dump" in line for line in culprit["against"])


def test_another_build_of_the_name_is_not_the_modules(tmp_path: Path) -> None:
    (tmp_path / "x.sys").write_bytes(pe(0x2222, 0x3000, 0x77))
    (tmp_path / "y.sys").write_bytes(b"nothing")
    images = FolderImages(tmp_path)
    assert images.find(module("x.sys")).status == "different"
    assert images.find(module("x.sys", stamp=0)).status == "not-checked"
    assert images.find(module("y.sys")).status == "unreadable"
    assert images.find(module("z.sys")).status == "missing"


def test_the_right_one_of_several_builds_is_taken(tmp_path: Path) -> None:
    for number, stamp in enumerate((0x2222, 0x1111, 0x3333)):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "X.sys").write_bytes(pe(stamp, 0x3000, 0x77))
    found = FolderImages(tmp_path).find(module("dump_x.sys"))
    assert (found.status, found.path) == ("same", "1/X.sys")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        FolderImages(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["", "../x.sys", "..\\x.sys", "a\0b.sys", "x" * 1000])
def test_hostile_names_find_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "x.sys").write_bytes(pe(0x1111, 0x3000, 0x77))
    assert FolderImages(tmp_path / "below").find(module(name)).status == "missing"


def test_more_files_than_the_limit_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "MAX_IMAGE_FILES", 2)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            (tmp_path / folder / f"{folder}{number}.sys").write_bytes(pe(0x1111, 0x3000, 0x77))
    images = FolderImages(tmp_path)
    assert images.find(module("a0.sys")).status == "same"
    assert images.find(module("b0.sys")).status == "missing"
