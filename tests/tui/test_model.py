"""What the screens show is right before any screen shows it."""

from __future__ import annotations

import io

from rich.console import Console

from stopcode.report.lines import Line
from tests.tui.reports import REPORT, hostile
from tui.model import evidence_lines, machine_card, rows, verdict_lines
from tui.widgets.lines import as_block


def text_of(report: dict[str, object], key: str) -> str:
    row = next(row for row in rows(report) if row.key == key)
    return "\n".join(line.lead + line.text for line in evidence_lines(report, row))


def test_rows_are_findings_then_crashes_then_diagnostics_then_unjudged() -> None:
    assert [row.kind for row in rows(REPORT)] == ["finding", "crash", "diagnostic", "unjudged"]
    assert rows(REPORT)[0].mark == "CRASHED ✖"
    assert rows(REPORT, ascii_only=True)[0].mark.isascii()


def test_a_finding_shows_its_source_down_to_the_offset_and_the_commands() -> None:
    text = text_of(REPORT, "finding:0")
    assert "\\Windows\\System32\\drivers\\vmstorfl.sys @ 0x1234" in text
    assert "dism /Image:E:\\ /Add-Package" in text
    assert "/system/role: not read" in text


def test_a_crash_shows_parameters_culprit_reasons_and_labelled_frames() -> None:
    text = text_of(REPORT, "crash:0")
    assert "P1  0xffffffffc0000005  exception code" in text
    assert "Culprit: vmstorfl.sys (high confidence)" in text
    assert "because: P2 lies in vmstorfl.sys+0x1234" in text
    assert "vmstorfl.sys+0x1234  context, exact" in text


def test_a_live_report_is_marked_and_not_counted_as_a_crash() -> None:
    crashes = [{"live": True, "latest": False, "culprit": {"kind": "manual", "module": None}}, {}]
    report = {"facts": {"crashes": crashes}}
    assert [row.mark for row in rows(report)] == ["live report", "crash"]
    assert "nobody" in rows(report)[0].text
    assert dict(machine_card(report["facts"]))["Crashes"] == "1, and 1 live report"


def test_the_card_says_what_could_not_be_read() -> None:
    card = dict(machine_card({"system": {}, "gaps": [{"path": "/system/hostname", "reason": "SYSTEM is zero"}]}))
    assert card["Machine"] == "not read: SYSTEM is zero"
    assert card["Windows"] == "–"


def test_no_control_character_of_the_evidence_comes_through() -> None:
    report = hostile()
    texts = [value for _, value in machine_card(report["facts"])]
    drawn = io.StringIO()
    console = Console(file=drawn, width=100, color_system=None)
    console.print(as_block(verdict_lines(report)))
    for row in rows(report):
        texts += [row.mark, row.text]
        console.print(as_block(evidence_lines(report, row)))
    for text in [*texts, *drawn.getvalue().split("\n")]:
        assert text.isprintable(), repr(text)


def test_a_long_line_wraps_below_its_own_beginning() -> None:
    drawn = io.StringIO()
    lines = [Line("word " * 12, indent=2, lead="lead: "), Line("word " * 12, indent=4)]
    Console(file=drawn, width=40, color_system=None).print(as_block(lines))
    for line in drawn.getvalue().splitlines():
        assert line.startswith(("  lead: word", "        word", "    word")), line


def test_signs_beyond_ascii_are_replaced_where_they_cannot_be_drawn() -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, width=60, color_system=None)
    for row in rows(REPORT, ascii_only=True):
        assert (row.mark + row.text).isascii()
        console.print(as_block([Line("an arrow → there", lead="– ")], ascii_only=True))
    assert drawn.getvalue().isascii()
