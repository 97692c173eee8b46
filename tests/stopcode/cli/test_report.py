from __future__ import annotations

import copy
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopcode.cli.exits import Exit
from stopcode.cli.main import main
from stopcode.report.full import report_lines
from stopcode.report.markdown import write_markdown
from stopcode.report.plain import write_plain
from stopcode.report.shape import problems
from stopcode.report.stored import document_schema
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.report import by_hand

CRASH = by_hand.crash(
    context={
        "ip": "0x1", "sp": "0x2", "place": "vmstorfl.sys+0x30", "fault": True, "origin": "context", "where": "P4",
        "registers": {"rax": "0x0", "rbx": "0x1"}, "checks": ["its flags are right"], "code": "0f 0b",
        "exception": {"at": "0x1", "code": "0xc0000005", "address": "0x1", "information": ["0x0"]},
    },
    bugcheck_stack=[{"ip": "0x1", "sp": "0x2", "module": None, "method": "trap", "confidence": "exact"}],
    unloaded=[{"name": "x.sys", "start": "0x1", "end": "0x2", "time": "2021-03-02T09:59:30Z"}],
    os={"build": 17763}, process="System", processors=2, machine="x64",
)  # fmt: skip
BOOT = {"last_boot": "2021-03-02T09:59:09Z", "boots": [], "last_bugcheck": {"code": "0x7e", "parameters": []}}
WHOLE = by_hand.report(
    facts=by_hand.facts(
        system={**by_hand.SYSTEM, "role": "member", "domain": "corp.example", "last_shutdown": "2021-03-01T00:00:00Z"},
        boot=BOOT,
        crash_settings={"enabled": "automatic", "dump_file": "C:\\Windows\\MEMORY.DMP"},
        crashes=[CRASH, by_hand.crash(latest=False, item="old", latest_because="the machine has booted since")],
        gaps=[{"path": "/storage", "reason": "not collected"}],
    ),
    diagnostics=[{"severity": "warning", "code": "hive.dirty", "message": "m", "hint": "h", "source": "SYSTEM"}],
    unjudged=[{"rule": "other", "reason": "unreadable"}],
)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(WHOLE))
    return path


def test_a_stored_report_is_shown_as_scan_showed_it(call: Stopcode, stored: Path) -> None:
    done = call("report", stored)
    assert done.code == Exit.FOUND
    assert done.out.startswith("SRV1 crashed.\n  First: Install KB5003171\n")
    assert "warning hive.dirty: m (SYSTEM)" in done.out
    assert "1 rule not judged: unreadable" in done.out


def test_a_newer_live_report_is_a_line_and_the_crash_is_still_shown_whole(call: Stopcode, tmp_path: Path) -> None:
    live = by_hand.crash(
        item="live", live=True, latest=False, time="2021-03-02T10:30:00Z", dump={"path": "live.dmp"},
        bugcheck={**CRASH["bugcheck"], "code": "0x117", "name": "VIDEO_TDR_TIMEOUT_DETECTED"},
    )  # fmt: skip
    path = tmp_path / "report.json"
    nobody = {**live, "culprit": {**CRASH["culprit"], "kind": "manual", "module": None}}
    path.write_text(json.dumps({**WHOLE, "facts": {**WHOLE["facts"], "crashes": [live, CRASH, nobody]}}))
    out = call("report", path).out
    assert "\nCrashes: 1, and 2 live reports\n" in out
    assert "live report, 0x117 VIDEO_TDR_TIMEOUT_DETECTED, nobody (" in out
    assert "  2021-03-02 10:30:00 UTC  live report, 0x117 VIDEO_TDR_TIMEOUT_DETECTED, vmstorfl.sys" in out
    assert "  0x7E SYSTEM_THREAD_EXCEPTION_NOT_HANDLED\n" in out


def test_json_gives_the_document_back_and_stdin_is_read(
    call: Stopcode, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("report", "-o", "json", stored).document == WHOLE

    class Stdin:
        buffer = io.BytesIO(stored.read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert call("report", "-o", "json", "-").document == WHOLE


def test_a_file_with_a_report_a_line_is_shown_whole(call: Stopcode, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text(f"{json.dumps(WHOLE)}\n{json.dumps(WHOLE)}\n")
    assert call("report", path).out.count("SRV1 crashed.\n") == 2
    assert call("report", "-o", "json", path).code == Exit.USAGE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b'{"schema": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b'{"schema": NaN}', "not JSON"),
        (b'{"schema": 1e999}', "not JSON"),
        (b"[]", "not a report"),
        (b"{}", "not a report"),
        (b'{"schema": "stopcode/report/2"}', "use a newer stopcode"),
        (b'{"schema": "stopcode/report/1"}', "has no 'facts'"),
        (b'{"schema": {"a": []}}', "not a report"),
    ],
)  # fmt: skip
def test_what_is_no_report_ends_with_3_and_says_what_is_wrong(
    call: Stopcode, tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    done = call("report", path)
    assert (done.code, done.out) == (Exit.UNREADABLE, "")
    assert words in done.err
    assert done.err.count("\n") <= 2


def test_a_file_above_the_limit_is_refused(call: Stopcode, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import parsers.limits
    import stopcode.report.stored

    for module in (parsers.limits, stopcode.report.stored):
        monkeypatch.setattr(module, "MAX_STORED_REPORT", 100)
    done = call("report", stored)
    assert done.code == Exit.UNREADABLE
    assert "too large" in done.err


def test_a_missing_file_ends_with_3(call: Stopcode, tmp_path: Path) -> None:
    assert call("report", tmp_path / "none.json").code == Exit.UNREADABLE


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += _places(item, (*path, key))
    return found


RUBBISH: list[Any] = [
    None,
    True,
    0,
    -1,
    1 << 80,
    1.5e300,
    10**4299,
    "",
    "\x1b[2J\u202e",
    "x" * 5000,
    [],
    [[]],
    {},
    {"a": {}},
    [None],
]


@given(st.data())
def test_no_report_that_passes_the_check_can_upset_what_shows_it(data: st.DataObject) -> None:
    report = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        *way, last = data.draw(st.sampled_from(_places(report)))
        parent: Any = report
        for step in way:
            parent = parent[step]
        parent[last] = copy.deepcopy(data.draw(st.sampled_from(RUBBISH)))
    if problems(report, document_schema("report")):
        return
    lines = list(report_lines(report, verbose=data.draw(st.booleans())))
    for write in (write_plain, write_markdown):
        out = io.StringIO()
        write(lines, out)
        assert "\x1b" not in out.getvalue()
        assert "\u202e" not in out.getvalue()


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(_ANY_JSON)
def test_any_json_is_a_report_or_an_error_of_one_line(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    assert main(["report", str(path), "-q"]) == Exit.UNREADABLE
