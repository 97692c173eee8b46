"""A case gives back what it was given, whole or not at all."""

from __future__ import annotations

import os
import platform
import signal
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.errors import FormatError, StopcodeError
from stopcode.case import Case, Collected, open_case
from tests.stopcode.case.reports import AS_OF, finding_of, report_of

URI = "file:///images/a.vhdx"


@pytest.fixture
def case() -> Case:
    opened = open_case(None)
    opened.begin_run("0.1.0")
    return opened


def test_a_report_comes_back_and_its_columns_can_be_asked(case: Case) -> None:
    report = report_of("SRV1", finding_of("one", "exposed"), finding_of("two", "suspected"))
    case.keep_report(URI, report, AS_OF, 1)
    kept = case.kept(URI)
    assert kept is not None
    assert (kept.done, kept.exit, kept.parents, kept.collected) == (True, 1, ("base.vhdx",), AS_OF)
    assert case.report(kept.scan_pk) == report
    row = case.rows()[URI]
    assert (row.state, row.hostname, row.windows_version, row.exit) == ("exposed", "SRV1", "10.0.17763.1757", 1)
    assert (row.bugcheck, row.culprit) == ("0x7e", "x.sys"), "of the latest crash"
    assert [(finding.rule, finding.state) for finding in case.findings()] == [("one", "exposed"), ("two", "suspected")]


def test_a_failure_is_kept_with_its_reason(case: Case) -> None:
    said = {"severity": "error", "code": "worker.crashed", "message": "killed", "hint": "try", "source": ""}
    case.keep_failure(URI, [said], AS_OF, 4)
    row = case.rows()[URI]
    assert (row.done, row.code, row.reason, row.hint, row.exit) == (False, "worker.crashed", "killed", "try", 4)


def test_only_the_latest_look_counts_and_the_earlier_stays(case: Case) -> None:
    case.keep_report(URI, report_of("OLD", finding_of("one", "exposed")), AS_OF, 1)
    first = case.kept(URI)
    case.keep_report(URI, report_of("NEW"), AS_OF, 0)
    assert case.rows()[URI].hostname == "NEW"
    assert case.findings() == []
    assert first is not None
    assert case.report(first.scan_pk)["facts"]["system"]["hostname"] == "OLD"


def test_a_new_judgement_takes_the_place_of_the_old(case: Case) -> None:
    case.keep_report(URI, report_of("SRV1", finding_of("one", "exposed")), AS_OF, 1)
    kept = case.kept(URI)
    assert kept is not None
    now = Collected("stamp", "0.1.0", "other digest", "{}")
    case.keep_judgement(kept.scan_pk, report_of("SRV1", finding_of("two", "crashed")), now, 1)
    assert [(finding.rule, finding.state) for finding in case.findings()] == [("two", "crashed")]
    again = case.kept(URI)
    assert again is not None
    assert (again.scan_pk, again.collected.rules_digest) == (kept.scan_pk, "other digest")
    assert case.report(kept.scan_pk)["findings"][0]["rule"] == "two"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("body", b"junk"),
        ("body", zlib.compress(bytes(100 << 20), 9)),
        ("body", zlib.compress(b"[1]")),
        ("body", None),
        ("raw_length", 1 << 40),
        ("raw_length", -1),
        ("raw_length", "many"),
        ("sha256", b""),
    ],
)
def test_a_damaged_document_is_an_error_and_no_flood(case: Case, column: str, value: object) -> None:
    case.keep_report(URI, report_of("SRV1"), AS_OF, 0)
    if value is not None:
        case._db.execute(f"UPDATE document SET {column} = ?", (value,))
    else:
        case._db.execute("DELETE FROM document")
    kept = case.kept(URI)
    assert kept is not None
    with pytest.raises(FormatError):
        case.report(kept.scan_pk)


text = st.text(st.characters(codec=None, categories=None), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@given(
    report=st.fixed_dictionaries(
        {},
        optional={
            "source": values | st.dictionaries(st.sampled_from(["kind", "size", "parents"]), values),
            "verdict": values | st.dictionaries(st.sampled_from(["state", "sentence"]), values),
            "facts": values
            | st.fixed_dictionaries(
                {},
                optional={
                    "system": st.dictionaries(st.sampled_from(["hostname", "build", "ubr", "version"]), values),
                    "crashes": st.lists(
                        st.dictionaries(st.sampled_from(["time", "bugcheck", "culprit", "dump", "latest"]), values)
                    ),
                },
            ),
            "findings": values
            | st.lists(st.dictionaries(st.sampled_from(["rule", "title", "state", "severity", "confidence"]), values)),
            "diagnostics": values | st.lists(st.dictionaries(st.sampled_from(["code", "message", "hint"]), values)),
            "stats": values | st.dictionaries(st.sampled_from(["bytes_read", "wall_s", "cpu_s"]), values),
        },
    )
)
def test_whatever_a_hostile_disk_puts_into_a_report_is_kept_and_comes_back(report: dict[str, object]) -> None:
    with open_case(None) as case:
        case.begin_run("0.1.0")
        case.keep_report(URI, report, AS_OF, 0)
        kept = case.kept(URI)
        assert kept is not None
        assert case.report(kept.scan_pk) == report
        case.rows()
        case.findings()


def test_a_second_run_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with open_case(tmp_path / "x.case") as first, open_case(tmp_path / "x.case") as second:
        first.begin_run("0.1.0")
        with pytest.raises(StopcodeError, match=f"process {os.getpid()} on") as caught:
            second.begin_run("0.1.0")
        assert caught.value.hint
        first.end_run("finished")
        second.begin_run("0.1.0")


def test_a_run_whose_process_is_gone_does_not_stop_the_next(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with open_case(tmp_path / "x.case") as case:
        case.begin_run("0.1.0")
        case._db.execute("UPDATE run SET pid = ?", (child.pid,))
        with open_case(tmp_path / "x.case") as next_one:
            next_one.begin_run("0.1.0")


@pytest.mark.parametrize("host", [platform.node(), "elsewhere"])
@pytest.mark.parametrize("beat", ["2020-01-01T00:00:00.000000Z", "no time", ""])
def test_a_run_that_is_silent_for_long_does_not_stop_the_next(tmp_path: Path, host: str, beat: str) -> None:
    with open_case(tmp_path / "x.case") as case:
        case.begin_run("0.1.0")
        case._db.execute("UPDATE run SET beat = ?, host = ?", (beat, host))
        with open_case(tmp_path / "x.case") as next_one:
            next_one.begin_run("0.1.0")


def test_a_run_of_another_host_that_beats_stops_the_next(tmp_path: Path) -> None:
    with open_case(tmp_path / "x.case") as case:
        case.begin_run("0.1.0")
        case._db.execute("UPDATE run SET host = 'elsewhere', pid = 1")
        case.beat()
        with open_case(tmp_path / "x.case") as next_one, pytest.raises(StopcodeError, match="elsewhere"):
            next_one.begin_run("0.1.0")


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_killed_writer_leaves_whole_machines_only(tmp_path: Path) -> None:
    path = tmp_path / "x.case"
    writer = (
        "import sys\n"
        "from pathlib import Path\n"
        "from stopcode.case import Collected, open_case\n"
        "findings = [{'rule': f'r{n}', 'state': 'exposed'} for n in range(40)]\n"
        "case = open_case(Path(sys.argv[1]))\n"
        "case.begin_run('0.1.0')\n"
        "for n in range(100_000):\n"
        "    report = {'findings': findings, 'facts': {'system': {'hostname': f'H{n}'}}}\n"
        "    case.keep_report(f'file:///{n}', report, Collected('s', 'v', 'd', '{}'), 1)\n"
        "    if n == 20:\n"
        "        print('ready', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", writer, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    with open_case(path) as case:
        case.begin_run("0.1.0")
        rows = case.rows()
        assert len(rows) >= 21
        counts: dict[int, int] = {}
        for finding in case.findings():
            counts[finding.scan_pk] = counts.get(finding.scan_pk, 0) + 1
        for row in rows.values():
            assert counts[row.scan_pk] == 40
            assert case.report(row.scan_pk)["facts"]["system"]["hostname"] == row.hostname
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT outcome FROM run ORDER BY run_pk").fetchall() == [("failed",), ("failed",)]
    db.close()
