"""What a batch says of a fleet is counted right and can be shown anywhere."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopcode.batch.fleet import fleet_of
from stopcode.batch.inputs import Item
from stopcode.batch.supervisor import Outcome
from stopcode.batch.tables import COLUMNS, fleet_lines, write_csv
from stopcode.case import open_case
from stopcode.case.location import uri_of
from stopcode.report.plain import write_plain
from tests.stopcode.case.reports import AS_OF, finding_of, report_of


def fleet(*machines: tuple[str, dict[str, Any] | None], left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """A fleet of (path, report); None is an image that could not be read."""
    outcomes = []
    with open_case(None) as case:
        case.begin_run("0.1.0")
        # Of another day: in the case, and not part of this run.
        case.keep_report("file:///elsewhere", report_of("ELSE", finding_of("one", "exposed")), AS_OF, 1)
        for name, report in machines:
            path = Path(name)
            if report is None:
                said = {"severity": "error", "code": "image.not-a-disk", "message": "empty", "hint": "copy it again",
                        "source": ""}  # fmt: skip
                case.keep_failure(uri_of(path), [said], AS_OF, 3)
            else:
                case.keep_report(uri_of(path), report, AS_OF, 0)
            outcomes.append(Outcome(Item(path), uri_of(path), "scanned" if report else "failed", 0))
        outcomes += [
            Outcome(Item(Path(name)), uri_of(Path(name)), "parent", 0, "an earlier state of x") for name in left_out
        ]
        return fleet_of(case, outcomes)


def text_of(document: dict[str, Any]) -> str:
    out = io.StringIO()
    write_plain(fleet_lines(document), out)
    return out.getvalue()


def test_each_rule_is_answered_over_the_machines_that_could_be_read() -> None:
    document = fleet(
        ("/i/a", report_of("A", finding_of("one", "crashed"), finding_of("two", "suspected"))),
        ("/i/b", report_of("B", finding_of("one", "exposed"))),
        ("/i/c", report_of("C", finding_of("one", "exposed"))),
        ("/i/d", report_of("D")),
        ("/i/e", None),
        left_out=("/i/f",),
    )
    assert [answer["sentence"] for answer in document["answers"]] == [
        "1 of 4 crashed, 2 exposed: About one [one]",
        "1 of 4 suspected: About two [two]",
    ]
    assert (document["images"], document["read"]) == (5, 4)
    assert document["states"] == {"crashed": 1, "exposed": 2, "clear": 1}
    assert [item["path"] for item in document["failed"]] == ["/i/e"]
    assert [item["path"] for item in document["left_out"]] == ["/i/f"]


def test_the_weightiest_answer_comes_first_and_experimental_rules_last() -> None:
    findings = (
        finding_of("e", "crashed", status="experimental", severity="critical"),
        finding_of("s", "suspected", severity="critical"),
        finding_of("low", "exposed", severity="low"),
        finding_of("high", "exposed"),
    )
    document = fleet(("/i/a", report_of("A", *findings)))
    assert [answer["rule"] for answer in document["answers"]] == ["high", "low", "s", "e"]
    assert document["answers"][-1]["sentence"] == "1 of 1 crashed: About e [e, experimental]"


def test_the_table_begins_with_the_answer_and_names_every_image() -> None:
    document = fleet(
        ("/i/a.vhdx", report_of("SRV1", finding_of("one", "exposed"), finding_of("two", "suspected"))),
        ("/i/b.vhdx", report_of("SRV2")),
        ("/i/c.vhdx", None),
    )
    lines = text_of(document).splitlines()
    assert lines[0] == "1 of 2 exposed: About one [one]"
    assert lines[2] == "2 machines read: 1 exposed, 1 clear; 1 not read"
    assert lines[3] == "Images in /i"
    header = lines.index("STATE      HOST  WINDOWS          UPDATE  LATEST CRASH  KNOWN PROBLEM     IMAGE")
    assert lines[header + 1] == "EXPOSED ▲  SRV1  10.0.17763.1757  -       0x7E x.sys    one (exposed) +1  a.vhdx"
    assert "  /i/c.vhdx" in lines
    assert "    image.not-a-disk: empty" in lines
    assert "    hint: copy it again" in lines


def test_a_fleet_without_a_finding_says_so() -> None:
    assert text_of(fleet(("/i/a", report_of("A")))).startswith(
        "0 of 1 exposed to a known problem\n1 machine read: 1 clear\n"
    )
    assert text_of(fleet(("/i/a", None))).startswith("0 of 0 exposed to a known problem\n0 machines read; 1 not read\n")


HOSTILE = "\x1b]0;x\x07\u202e\x9b1m\n\ud800"


def test_no_control_character_of_the_evidence_reaches_the_table() -> None:
    finding = finding_of(HOSTILE, "exposed", title=HOSTILE)
    document = fleet((f"/i/{HOSTILE[:-1]}", report_of(HOSTILE, finding)))
    text = text_of(document)
    assert all(character.isprintable() or character == "\n" for character in text)
    # Neither a name nor a title can begin a line of its own.
    assert len(text.splitlines()) == 6


@pytest.mark.parametrize("value", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_the_csv_is_a_formula(value: str) -> None:
    out = io.StringIO()
    write_csv(fleet(("/i/a", report_of(value))), out)
    row = next(iter(csv.DictReader(io.StringIO(out.getvalue()))))
    assert row["hostname"].startswith(("'", "\\x"))


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_any_csv_has_a_line_a_machine_and_all_its_columns(hostname: str, rule: str) -> None:
    document = fleet(("/i/a", report_of(hostname, finding_of(rule, "exposed"))), ("/i/b", None))
    out = io.StringIO()
    write_csv(document, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert [row["path"] for row in rows] == ["/i/a", "/i/b"]
    assert all(set(row) == set(COLUMNS) for row in rows)
    assert rows[1]["failure"] == "image.not-a-disk: empty"
