"""What the screens show, computed from a report by plain functions; no Textual here.

What stands behind a row is told in the words of the terminal report (`stopcode.report`), so that a person who changes
between the two reads the same. Its lines carry no escapes: whoever draws them passes every text through `shown`, and a
`Row` and the machine card escape their own, so that no escape sequence of the evidence reaches the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from stopcode.report.crash_lines import crash_lines
from stopcode.report.full import STATE_WORD, counted, diagnostic_lines, finding_lines, last_boot
from stopcode.report.lines import Line, Tone
from stopcode.report.plain import ascii_text
from stopcode.report.safe import shown
from stopcode.report.words import count_of, culprit_name, moment, stop_code

__all__ = ["Row", "evidence_lines", "machine_card", "rows", "verdict_lines"]

Kind = Literal["finding", "crash", "diagnostic", "unjudged"]

STATE_TONE: dict[str, Tone] = {
    "crashed": "bad",
    "exposed": "bad",
    "suspected": "doubt",
    "partial": "doubt",
    "clear": "good",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list: a finding, a crash, a diagnostic, or the rules that could not be judged."""

    kind: Kind
    index: int
    mark: str
    text: str
    tone: Tone = "plain"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mark", shown(self.mark))
        object.__setattr__(self, "text", shown(self.text))

    @property
    def key(self) -> str:
        """Name of the row that stays when the list is filled again."""
        return f"{self.kind}:{self.index}"


def verdict_lines(report: dict[str, Any]) -> list[Line]:
    """Return the verdict: one sentence, then what a person reads next."""
    verdict = report.get("verdict") or {}
    tone = STATE_TONE.get(str(verdict.get("state") or ""), "strong")
    return [
        Line(str(verdict.get("sentence") or "No verdict."), tone),
        *(Line(str(line)) for line in verdict.get("lines") or []),
    ]


def _fact(system: dict[str, Any], *names: str) -> str:
    return " ".join(shown(str(system[name])) for name in names if system.get(name) not in (None, ""))


def _time(value: object) -> str:
    return shown(moment(str(value))) if value else ""


def machine_card(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return label and value pairs of the machine, safe to show; what could not be read says so."""
    system = facts.get("system") or {}
    unread = {gap["path"]: gap["reason"] for gap in facts.get("gaps") or []}

    def value(text: str, *paths: str) -> str:
        if text:
            return text
        for path in paths:
            if path in unread:
                return f"not read: {shown(str(unread[path]))}"
        return "–"

    card = [
        ("Machine", value(_fact(system, "hostname"), "/system/hostname", "/system")),
        ("Windows", value(_fact(system, "product"), "/system/product", "/system")),
        ("Version", value(_fact(system, "version"), "/system/version", "/system/build", "/system/ubr", "/system")),
        ("Update", value(_fact(system, "update_kb", "update_date"), "/system/ubr", "/system")),
        ("Last boot", value(shown(last_boot(facts)), "/boot/last_boot", "/boot")),
        ("Disk as of", value(_time(system.get("disk_as_of")), "/system/disk_as_of", "/system")),
        ("Drivers", value(str(len(facts["drivers"])) if facts.get("drivers") else "", "/drivers")),
        ("Crashes", value(shown(counted(facts["crashes"])) if facts.get("crashes") is not None else "", "/crashes")),
    ]
    model = _fact(system, "manufacturer", "model")
    if model:
        card.insert(4, ("Hardware", model))
    return card


def rows(report: dict[str, Any], *, ascii_only: bool = False) -> list[Row]:
    """Return the list: findings first, then crashes, then diagnostics."""
    found = list(_rows(report))
    if ascii_only:
        return [Row(row.kind, row.index, ascii_text(row.mark), ascii_text(row.text), row.tone) for row in found]
    return found


def _rows(report: dict[str, Any]) -> Iterator[Row]:
    for index, finding in enumerate(report.get("findings") or []):
        state = str(finding.get("state"))
        mark = STATE_WORD.get(state, state.upper())
        yield Row("finding", index, mark, str(finding.get("title")), STATE_TONE.get(state, "plain"))
    for index, crash in enumerate((report.get("facts") or {}).get("crashes") or []):
        latest = bool(crash.get("latest", True))
        text = f"{stop_code(crash.get('bugcheck') or {})} · {culprit_name(crash)} · {moment(crash.get('time'))}"
        mark = "crash" if latest else "other Windows" if crash.get("foreign") else "old crash"
        mark = "live report" if crash.get("live") else mark
        yield Row("crash", index, mark, text, "plain" if latest else "quiet")
    for index, remark in enumerate(report.get("diagnostics") or []):
        severity = str(remark.get("severity"))
        tone: Tone = "bad" if severity == "error" else "doubt" if severity == "warning" else "quiet"
        yield Row("diagnostic", index, severity, f"{remark.get('code')}: {remark.get('message')}", tone)
    unjudged = report.get("unjudged") or []
    if unjudged:
        yield Row("unjudged", 0, "unjudged", f"{count_of(len(unjudged), 'rule')} could not be judged", "quiet")


def evidence_lines(report: dict[str, Any], row: Row) -> list[Line]:
    """Return everything behind one row, down to file, key, record or offset."""
    if row.kind == "finding":
        lines = finding_lines(report["findings"][row.index], number=row.index + 1, verbose=True)
    elif row.kind == "crash":
        lines = _crash(report["facts"]["crashes"][row.index])
    elif row.kind == "diagnostic":
        lines = diagnostic_lines(report["diagnostics"][row.index])
    else:
        lines = _unjudged(report["unjudged"])
    made = list(lines)
    left = min((line.indent for line in made if line.text or line.lead), default=0)
    return [line._replace(indent=max(line.indent - left, 0)) for line in made]


def _crash(crash: dict[str, Any]) -> Iterator[Line]:
    if not crash.get("latest", True) and not crash.get("live"):
        yield Line("An earlier crash: the machine has booted since.", "doubt")
    yield from crash_lines(crash, verbose=True)


def _unjudged(items: list[dict[str, Any]]) -> Iterator[Line]:
    yield Line("These rules could not be judged", "heading")
    for item in items:
        yield Line(f"{item.get('rule')}: {item.get('reason')}", indent=2)
