"""`stopcode batch` as people call it, over real images with the real worker."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exposed machine, a fixed one, one whose SOFTWARE hive is gone, and a file that is no disk."""
    folder = tmp_path_factory.mktemp("fleet")
    windows_folder(folder / "exposed", hostname="EXPOSED1")
    windows_folder(folder / "fixed", hostname="FIXED1", ubr=1935, driver=(10, 0, 17763, 1911))
    (folder / "broken.vhd").write_text("no disk")
    return folder


def test_a_fleet_is_answered_kept_and_shown_again(call: Stopcode, fleet: Path, tmp_path: Path) -> None:
    case = tmp_path / "fleet.case"
    done = call("batch", fleet, "--case", case, "-j", 2)
    assert done.code == 1, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("1 of 2 exposed: ")
    assert lines[0].endswith("[vmstorfl]")
    assert "2 machines read: 1 exposed, 1 " in done.out
    assert "; 1 not read" in done.out
    assert f"Images in {fleet}" in lines
    assert any("EXPOSED1" in line and line.endswith("  exposed") for line in lines)
    assert "image.not-a-disk" in done.out
    assert "broken.vhd: failed" in done.err
    assert "kept in" in done.err
    with sqlite3.connect(case) as db:
        states = dict(db.execute("SELECT hostname, state FROM scan WHERE outcome = 'done'"))
    db.close()
    assert states["EXPOSED1"] == "exposed"
    again = call("batch", fleet, "--case", case, "-o", "json", "-q")
    assert again.err == ""
    assert again.document["schema"] == "stopcode/fleet/1"
    assert [machine["hostname"] for machine in again.document["machines"]] == ["EXPOSED1", "FIXED1"]


def test_jsonl_gives_a_document_an_image_in_the_order_of_their_paths(call: Stopcode, fleet: Path) -> None:
    done = call("batch", fleet, "-o", "jsonl")
    documents = [json.loads(line) for line in done.out.splitlines()]
    assert [document["schema"] for document in documents] == [
        "stopcode/failure/1", "stopcode/report/1", "stopcode/report/1"
    ]  # fmt: skip
    assert [Path(document["source"]["path"]).name for document in documents] == ["broken.vhd", "exposed", "fixed"]


def test_the_result_goes_to_a_file_and_exit_zero_turns_one_into_zero(
    call: Stopcode, fleet: Path, tmp_path: Path
) -> None:
    target = tmp_path / "fleet.csv"
    done = call("batch", fleet / "exposed", "-o", "csv", "--output", target, "--exit-zero", "-v")
    assert (done.code, done.out) == (0, "")
    assert target.read_text().splitlines()[1].startswith(f"{fleet / 'exposed'},exposed,EXPOSED1,")
    assert f"1 of 1: {fleet / 'exposed'}: scanned" in done.err


def test_only_unreadable_images_are_exit_three(call: Stopcode, fleet: Path) -> None:
    assert call("batch", fleet / "broken.vhd", "-q").code == 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing-there"], 3, "no such file or folder"),
        (["."], 3, "no disk image and no dump"),
        ([".", "-j", "0"], 2, "from 1 to 1024"),
        ([".", "-j", "many"], 2, "invalid"),
        ([".", "--timeout", "-1"], 2, "more than 0"),
        ([".", "--timeout", "nan"], 2, "more than 0"),
        ([".", "--memory", "1"], 2, "at least 256"),
        ([], 2, "required"),
    ],
)
def test_what_cannot_be_meant_is_told(
    call: Stopcode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("batch", *words)
    assert done.code == code
    assert said in done.err
    assert done.out == ""


def test_a_file_that_is_no_case_is_left_alone(call: Stopcode, fleet: Path, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("mine")
    done = call("batch", fleet, "--case", note)
    assert done.code == 2
    assert "not a case file" in done.err
    assert "hint: " in done.err
    assert note.read_text() == "mine"


@pytest.mark.parametrize("option", ["--case", "--output"])
def test_an_image_is_never_written_to(call: Stopcode, fleet: Path, tmp_path: Path, option: str) -> None:
    image = fleet / "broken.vhd"
    linked = tmp_path / "linked"
    linked.hardlink_to(image)
    before = image.read_bytes()
    for place in (image, linked, fleet / "exposed" / "new"):
        done = call("batch", fleet, option, place)
        assert done.code == 2
        assert "never written to" in done.err
    assert image.read_bytes() == before
    assert not (fleet / "exposed" / "new").exists()
