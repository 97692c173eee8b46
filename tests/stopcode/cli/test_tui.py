"""`stopcode tui` starts where there is a terminal and a report or an image, and says so where there is none."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stopcode.cli.run import Stopcode
from tests.tui.reports import REPORT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """A terminal, and an application that only notes what it was asked to show."""
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("stopcode.cli.tui.is_terminal", lambda _stream: True)
    monkeypatch.setenv("TERM", "xterm")
    shown: list[tuple[str, object]] = []

    def run_tui(path: str, *, report: object, ascii_only: bool | None) -> int:
        shown.append((path, report))
        return 0

    monkeypatch.setattr("tui.app.run_tui", run_tui)
    return shown


def test_without_a_terminal_it_says_what_prints_the_same(call: Stopcode, tmp_path: Path) -> None:
    done = call("tui", tmp_path)
    assert done.code == 2
    assert "tui needs a terminal" in done.err
    assert f"stopcode scan {tmp_path}" in done.err


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_can_do_nothing_is_none(
    call: Stopcode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: list[object], term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    assert call("tui", tmp_path).code == 2
    assert terminal == []


def test_an_image_is_scanned_and_a_report_is_shown(
    call: Stopcode, tmp_path: Path, terminal: list[tuple[str, object]]
) -> None:
    image, stored = tmp_path / "disk.vhdx", tmp_path / "report.json"
    image.write_bytes(b"vhdxfile" + bytes(4096))
    report = REPORT
    stored.write_text("\n " + json.dumps(report))
    assert call("tui", image).code == 0
    assert call("tui", stored).code == 0
    assert terminal == [(str(image), None), (str(stored), report)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"schema": "stopcode/report/10"}', "use a newer stopcode"),
        ('{"schema": "stopcode/facts/1"}', "not a report"),
        ("{}", "not a report"),
        ('\ufeff{"schema": "stopcode/report/1", "findings": [1]}', "not of a report's shape"),
        ("{" * 100_000, "not JSON"),
        ('{"half', "not JSON"),
        (json.dumps(REPORT) + "\n" + json.dumps(REPORT), "holds 2 reports"),
    ],
)
def test_json_that_is_no_report_is_told(
    call: Stopcode, tmp_path: Path, terminal: list[object], text: str, said: str
) -> None:
    (tmp_path / "x.json").write_text(text)
    done = call("tui", tmp_path / "x.json")
    assert done.code == 3
    assert said in done.err
    assert terminal == []


def test_a_report_beyond_the_limit_is_told(
    call: Stopcode, tmp_path: Path, terminal: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(REPORT))
    monkeypatch.setattr("stopcode.report.stored.MAX_STORED_REPORT", 10)
    done = call("tui", path)
    assert done.code == 3
    assert "too large" in done.err


def test_an_image_that_is_not_there_is_told(call: Stopcode, tmp_path: Path, terminal: list[object]) -> None:
    assert call("tui", tmp_path / "none").code == 3
    assert terminal == []


def test_textual_is_imported_for_nothing_but_the_application() -> None:
    code = (
        "import sys\n"
        "from stopcode.cli.main import parser_of\n"
        "for verb in ('scan', 'dump', 'batch', 'tui', 'report'):\n"
        "    parser_of(verb)\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('textual', 'tui', 'rich')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
