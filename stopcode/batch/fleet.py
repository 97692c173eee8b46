"""What a batch says of a fleet, as one plain document (`stopcode/fleet/1`): answers, machines, failures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stopcode.batch.supervisor import Outcome
from stopcode.case import Case, CaseRow, FindingRow
from stopcode.report.fleet import FAILURE_SCHEMA, FLEET_SCHEMA, Answer, Failure, Fleet, FleetMachine

__all__ = ["failure_of", "fleet_of"]

_SEVERITIES = ("critical", "high", "medium", "low", "info")
_STATES = ("crashed", "exposed", "suspected", "partial", "clear")


def fleet_of(case: Case, outcomes: Sequence[Outcome]) -> Fleet:
    """Return the fleet document of these images.

    `of` in an answer is the number of machines that could be read: of the others nothing is known, and they are never
    counted as sound.
    """
    rows = case.rows()
    known = [(outcome, rows[outcome.uri]) for outcome in outcomes if outcome.how != "parent" and outcome.uri in rows]
    read = [(outcome, row) for outcome, row in known if row.done]
    mine = {row.scan_pk for _, row in read}
    findings: dict[int, list[FindingRow]] = {}
    for finding in case.findings():
        if finding.scan_pk in mine:
            findings.setdefault(finding.scan_pk, []).append(finding)
    states = Counter(str(row.state) for _, row in read)
    return {
        "schema": FLEET_SCHEMA,
        "images": len(known),
        "read": len(read),
        "states": {state: states[state] for state in sorted(states, key=_order(_STATES))},
        "answers": _answers(findings, len(read)),
        "machines": [_machine(outcome, row, findings.get(row.scan_pk, [])) for outcome, row in read],
        "failed": [
            {"path": _path(outcome), "code": row.code, "reason": row.reason, "hint": row.hint, "exit": row.exit}
            for outcome, row in known
            if not row.done
        ],
        "left_out": [
            {"path": _path(outcome), "reason": outcome.note} for outcome in outcomes if outcome.how == "parent"
        ],
    }


def failure_of(outcome: Outcome, row: CaseRow) -> Failure:
    """Return what stands in place of the report of an image that gave none."""
    return {
        "schema": FAILURE_SCHEMA,
        "source": {"path": _path(outcome)},
        "code": row.code,
        "message": row.reason,
        "hint": row.hint,
    }


def _path(outcome: Outcome) -> str:
    return os.fspath(outcome.item.path)


def _order(words: Sequence[str]) -> Any:
    places = {word: place for place, word in enumerate(words)}
    return lambda word: (places.get(word, len(places)), word)


def _answers(findings: Mapping[int, Sequence[FindingRow]], read: int) -> list[Answer]:
    by_rule: dict[str, list[FindingRow]] = {}
    for rows in findings.values():
        for row in rows:
            by_rule.setdefault(row.rule, []).append(row)
    answers: list[Answer] = []
    for rule, rows in by_rule.items():
        counts = Counter(row.state for row in rows)
        answers.append(
            {
                "rule": rule,
                "title": rows[0].title,
                "severity": rows[0].severity,
                "status": rows[0].status,
                "crashed": counts["crashed"],
                "exposed": counts["exposed"],
                "suspected": counts["suspected"],
                "of": read,
                "sentence": _sentence(counts, read, rows[0]),
            }
        )
    severity = _order(_SEVERITIES)
    return sorted(
        answers,
        key=lambda answer: (
            answer["status"] == "experimental",
            not (answer["crashed"] or answer["exposed"]),
            severity(answer["severity"]),
            -answer["crashed"] - answer["exposed"],
            answer["rule"],
        ),
    )


def _sentence(counts: Mapping[str, int], read: int, row: FindingRow) -> str:
    """Return "1 of 212 crashed, 37 exposed: title [rule]"."""
    parts = [f"{counts[state]:,} {state}" for state in ("crashed", "exposed", "suspected") if counts[state]]
    first, _, word = parts[0].partition(" ")
    told = ", ".join([f"{first} of {read:,} {word}", *parts[1:]])
    mark = ", experimental" if row.status == "experimental" else ""
    return f"{told}: {row.title} [{row.rule}{mark}]"


def _machine(outcome: Outcome, row: CaseRow, findings: Sequence[FindingRow]) -> FleetMachine:
    return {
        "path": _path(outcome),
        "state": row.state,
        "hostname": row.hostname,
        "product": row.product,
        "version": row.windows_version,
        "update_kb": row.update_kb,
        "bugcheck": row.bugcheck,
        "culprit": row.culprit,
        "sentence": row.sentence,
        "problems": [{"rule": finding.rule, "state": finding.state} for finding in findings],
        "exit": row.exit,
        "scanned_at": row.at,
    }
