"""What the screens show is right before any screen shows it."""

from __future__ import annotations

from tests.tui.reports import REPORT, hostile
from tui.model import evidence_lines, machine_card, rows, verdict_lines


def text_of(report: dict[str, object], key: str) -> str:
    row = next(row for row in rows(report) if row.key == key)
    return "\n".join(line.text for line in evidence_lines(report, row))


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
    assert "0xffffffffc0000005  exception code" in text
    assert "Culprit: vmstorfl.sys (confidence high)" in text
    assert "vmstorfl.sys+0x1234  [context, exact]" in text


def test_the_card_says_what_could_not_be_read() -> None:
    card = dict(machine_card({"system": {}, "gaps": [{"path": "/system/hostname", "reason": "SYSTEM is zero"}]}))
    assert card["Machine"] == "not read: SYSTEM is zero"
    assert card["Windows"] == "–"


def test_no_control_character_of_the_evidence_comes_through() -> None:
    report = hostile()
    texts = [*(line.text for line in verdict_lines(report)), *(value for _, value in machine_card(report["facts"]))]
    for row in rows(report):
        texts += [row.mark, row.text, *(line.text for line in evidence_lines(report, row))]
    for text in texts:
        assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char == "\u202e" for char in text), repr(text)
