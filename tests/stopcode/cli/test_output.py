from __future__ import annotations

import json
from pathlib import Path

import pytest

from stopcode.cli.context import colour_wanted
from stopcode.cli.exits import Exit
from stopcode.cli.output import json_text
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder


def test_the_result_appears_in_the_file_whole_and_nothing_else_is_left(call: Stopcode, tmp_path: Path) -> None:
    target = tmp_path / "schema.json"
    target.write_text("old")
    done = call("schema", "--output", target, "facts")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert json.loads(target.read_text())["title"] == "stopcode/facts/1"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_run_leaves_the_old_file(call: Stopcode, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")
    assert call("scan", "--output", target, tmp_path / "missing").code == Exit.UNREADABLE
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_input_is_never_written_over(call: Stopcode, tmp_path: Path) -> None:
    folder = windows_folder(tmp_path / "machine")
    stored = tmp_path / "report.json"
    call("scan", "-o", "json", "--output", stored, folder)
    before = stored.read_bytes()
    link = tmp_path / "link.json"
    link.symlink_to(stored)
    for words in (("report", "--output", stored, stored), ("report", "--output", link, stored),
                  ("scan", "--output", folder / "Windows" / "report.txt", folder)):  # fmt: skip
        done = call(*words)
        assert done.code == Exit.USAGE
        assert "is the input and is never written to" in done.err
    assert stored.read_bytes() == before
    assert not (folder / "Windows" / "report.txt").exists()


@pytest.mark.parametrize("target", ["", "missing/report.json"])
def test_a_place_that_cannot_be_written_is_one_line(call: Stopcode, tmp_path: Path, target: str) -> None:
    done = call("schema", "--output", tmp_path / target, "facts")
    assert done.code in (Exit.USAGE, Exit.UNREADABLE)
    assert done.err.startswith("stopcode: error: ")


def test_a_device_is_written_to_and_stays_a_device(call: Stopcode) -> None:
    assert call("schema", "--output", "/dev/null", "facts").code == 0
    assert Path("/dev/null").is_char_device()


def test_json_is_ascii_and_holds_no_control_character() -> None:
    text = json_text({"name": "\x1b\x7f\x9b\u202e\udc80é"})
    assert text.isascii()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert json.loads(text)["name"] == "\x1b\x7f\x9b\u202e\udc80é"


@pytest.mark.parametrize(
    ("choice", "environment", "terminal", "wanted"),
    [
        ("auto", {"TERM": "xterm"}, True, True),
        ("auto", {"TERM": "xterm"}, False, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("auto", {}, True, False),
        ("auto", {"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ("auto", {"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"CLICOLOR_FORCE": "1"}, False, True),
        ("auto", {"TERM": "xterm", "CLICOLOR": "0"}, True, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"TERM": "xterm", "FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour_is_decided_in_the_order_of_its_conventions(
    choice: str, environment: dict[str, str], terminal: bool, wanted: bool
) -> None:
    assert colour_wanted(choice, environment, terminal) is wanted
