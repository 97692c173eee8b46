"""What the screens show, computed from a report by plain functions; no Textual here.

A `Line` and a `Row` escape their own text (`stopcode.report.safe.shown`), so that no escape sequence of the evidence
reaches the terminal, whoever makes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from stopcode.report.safe import shown
from stopcode.report.words import count_of, culprit_name, duration, moment, place, stop_code, where

__all__ = ["Line", "Row", "evidence_lines", "machine_card", "rows", "verdict_lines"]

Kind = Literal["finding", "crash", "diagnostic", "unjudged"]
Tone = Literal["plain", "title", "good", "bad", "doubt", "quiet", "command"]

#: State: word and shape, so that nothing depends on colour alone.
STATE_MARK = {"crashed": "CRASHED ✖", "exposed": "EXPOSED ▲", "suspected": "SUSPECTED ?", "clear": "CLEAR ·"}
STATE_MARK_ASCII = {"crashed": "CRASHED x", "exposed": "EXPOSED !", "suspected": "SUSPECTED ?", "clear": "CLEAR ."}
STATE_TONE: dict[str, Tone] = {"crashed": "bad", "exposed": "bad", "suspected": "doubt", "clear": "good"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a pane, safe to show."""

    text: str
    tone: Tone = "plain"
    indent: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", shown(self.text))


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
    tone = STATE_TONE.get(str(verdict.get("state") or ""), "title")
    return [
        Line(str(verdict.get("sentence") or "No verdict."), tone),
        *(Line(str(line)) for line in verdict.get("lines") or []),
    ]


def _fact(system: dict[str, Any], *names: str) -> str:
    return " ".join(shown(str(system[name])) for name in names if system.get(name) not in (None, ""))


def _time(value: object) -> str:
    return shown(moment(str(value))) if value else ""


def machine_card(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return label and value pairs of the machine; what could not be read says so."""
    system = facts.get("system") or {}
    boot = facts.get("boot") or {}
    unread = {gap["path"]: gap["reason"] for gap in facts.get("gaps") or []}

    def value(text: str, *fields: str) -> str:
        if text:
            return text
        for field in fields:
            for path in (f"/system/{field}", "/system"):
                if path in unread:
                    return f"not read: {shown(str(unread[path]))}"
        return "–"

    card = [
        ("Machine", value(_fact(system, "hostname"), "hostname")),
        ("Windows", value(_fact(system, "product"), "product")),
        ("Version", value(_fact(system, "version"), "build", "ubr")),
        ("Update", value(_fact(system, "update_kb", "update_date"), "ubr")),
        ("Last boot", value(_time(boot.get("last_boot")))),
        ("Disk as of", value(_time(system.get("disk_as_of")), "disk_as_of")),
        ("Drivers", str(len(facts.get("drivers") or [])) if facts.get("drivers") else "–"),
        ("Crashes", str(len(facts.get("crashes") or []))),
    ]
    model = _fact(system, "manufacturer", "model")
    if model:
        card.insert(4, ("Hardware", model))
    return card


def rows(report: dict[str, Any], *, ascii_only: bool = False) -> list[Row]:
    """Return the list: findings first, then crashes, then diagnostics."""
    marks = STATE_MARK_ASCII if ascii_only else STATE_MARK
    found: list[Row] = []
    for index, finding in enumerate(report.get("findings") or []):
        state = str(finding.get("state"))
        title = str(finding.get("title"))
        found.append(Row("finding", index, marks.get(state, state.upper()), title, STATE_TONE.get(state, "plain")))
    for index, crash in enumerate((report.get("facts") or {}).get("crashes") or []):
        latest = bool(crash.get("latest", True))
        text = f"{stop_code(crash.get('bugcheck') or {})} · {culprit_name(crash)} · {moment(crash.get('time'))}"
        mark = "crash" if latest else "old crash"
        found.append(Row("crash", index, mark, text, "plain" if latest else "quiet"))
    for index, remark in enumerate(report.get("diagnostics") or []):
        tone: Tone = {"error": "bad", "warning": "doubt"}.get(str(remark.get("severity")), "quiet")  # type: ignore[assignment]  # the table holds only tones
        text = f"{remark.get('code')}: {remark.get('message')}"
        found.append(Row("diagnostic", index, str(remark.get("severity")), text, tone))
    unjudged = report.get("unjudged") or []
    if unjudged:
        found.append(Row("unjudged", 0, "unjudged", f"{count_of(len(unjudged), 'rule')} could not be judged", "quiet"))
    return found


def evidence_lines(report: dict[str, Any], row: Row) -> list[Line]:
    """Return everything behind one row, down to file, key, record or offset."""
    if row.kind == "finding":
        return list(_finding_lines(report["findings"][row.index]))
    if row.kind == "crash":
        return list(_crash_lines(report["facts"]["crashes"][row.index]))
    if row.kind == "diagnostic":
        return list(_diagnostic_lines(report["diagnostics"][row.index]))
    return [
        Line("These rules could not be judged", "title"),
        *(Line(f"{item.get('rule')}: {item.get('reason')}", indent=1) for item in report["unjudged"]),
    ]


def _statement(item: dict[str, Any]) -> Iterator[Line]:
    yield Line(str(item.get("statement")), indent=1)
    found_at = where(item.get("source"))
    if found_at:
        yield Line(found_at, "quiet", indent=2)


def _finding_lines(finding: dict[str, Any]) -> Iterator[Line]:
    state = str(finding.get("state"))
    yield Line(str(finding.get("title")), "title")
    yield Line(f"{state.upper()} · rule {finding.get('rule')} · {finding.get('severity')}", "quiet")
    yield Line(str(finding.get("summary") or ""))
    if finding.get("evidence"):
        yield Line("Evidence", "title")
        for item in finding["evidence"]:
            yield from _statement(item)
    if finding.get("against"):
        yield Line("Against", "title")
        for item in finding["against"]:
            yield from _statement(item)
    if finding.get("missing"):
        yield Line("Could not be read", "title")
        for item in finding["missing"]:
            yield Line(f"{item.get('path')}: {item.get('reason')}", "doubt", indent=1)
    if finding.get("remediation"):
        yield Line("What to do", "title")
        for number, step in enumerate(finding["remediation"], 1):
            condition = f" ({step['condition']})" if step.get("applies") == "if" and step.get("condition") else ""
            yield Line(f"{number}. {step.get('do')}{condition}", indent=1)
            for command in step.get("commands") or []:
                yield Line(str(command), "command", indent=2)
            if step.get("risk"):
                yield Line(f"Risk: {step['risk']}", "doubt", indent=2)
    if finding.get("explain"):
        yield Line("Why", "title")
        for paragraph in str(finding["explain"]).splitlines():
            yield Line(paragraph, indent=1)
    if finding.get("references"):
        yield Line("Sources", "title")
        for reference in finding["references"]:
            link = reference.get("url") or reference.get("repo") or ""
            yield Line(f"{reference.get('title')} {link}", "quiet", indent=1)


def _crash_lines(crash: dict[str, Any]) -> Iterator[Line]:
    bugcheck = crash.get("bugcheck") or {}
    dump = crash.get("dump") or {}
    culprit = crash.get("culprit") or {}
    yield Line(stop_code(bugcheck), "title")
    if not crash.get("latest", True):
        yield Line("An earlier crash: the machine has booted since.", "doubt")
    when = [moment(crash.get("time"))]
    if isinstance(crash.get("uptime_s"), int | float):
        when.append(f"{duration(crash['uptime_s'])} after it began to boot")
    if crash.get("process"):
        when.append(f"in {crash['process']}")
    yield Line(", ".join(when))
    whole = "" if dump.get("complete", True) else ", cut or damaged"
    yield Line(f"{dump.get('path')} ({dump.get('kind')}{whole})", "quiet")
    for number, parameter in enumerate(bugcheck.get("parameters") or [], 1):
        yield Line(f"{number}: {parameter.get('value')}  {parameter.get('meaning') or ''}", indent=1)
    yield Line(f"Culprit: {culprit_name(crash)} (confidence {culprit.get('confidence')})", "title")
    for word, tone in (("because", "plain"), ("against", "doubt"), ("others", "quiet")):
        for reason in culprit.get(word) or []:
            yield Line(f"{word}: {reason}", tone, indent=1)  # type: ignore[arg-type]  # the tuple holds only tones
    if crash.get("stack"):
        yield Line("Stack", "title")
        for number, frame in enumerate(crash["stack"]):
            label = f"{frame.get('method')}, {frame.get('confidence')}"
            yield Line(f"{number:2} {frame.get('sp')} {place(frame)}  [{label}]", indent=1)
    for gap in crash.get("gaps") or []:
        yield Line(str(gap), "doubt")


def _diagnostic_lines(remark: dict[str, Any]) -> Iterator[Line]:
    yield Line(f"{remark.get('severity')}: {remark.get('code')}", "title")
    yield Line(str(remark.get("message")))
    if remark.get("hint"):
        yield Line(f"What to do: {remark['hint']}")
    if remark.get("source"):
        yield Line(str(remark["source"]), "quiet")
