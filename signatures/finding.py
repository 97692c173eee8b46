"""The finding: what a rule says of one machine, as plain data for reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

from signatures.evaluate import Evaluator
from signatures.model import Rule, Step
from signatures.three import Value
from signatures.verdict import CrashRef, EvidenceDict, MissingDict
from signatures.words import words_of

__all__ = [
    "SEVERITY_ORDER",
    "STATE_ORDER",
    "FindingDict",
    "State",
    "StepDict",
    "UnjudgedDict",
    "make_finding",
    "sort_key",
]

State = Literal["crashed", "exposed", "suspected", "clear", "unjudged"]
STATE_ORDER = ("crashed", "exposed", "suspected", "clear", "unjudged")
SEVERITY_ORDER = ("critical", "high", "medium", "low", "info")


class StepDict(TypedDict):
    """One step of the remedy; `applies` "if" comes with the condition that could not be decided."""

    do: str
    kind: str
    applies: Literal["yes", "if"]
    condition: NotRequired[str]
    commands: NotRequired[list[str]]
    kb: NotRequired[str]
    source: NotRequired[str]
    risk: NotRequired[str]


class UnjudgedDict(TypedDict):
    """A rule of which nothing can be said, and why."""

    rule: str
    reason: str


class FindingDict(TypedDict):
    """What one rule says.

    `exposed_now` stands with `crashed`: whether the machine would still crash; left out where that is not known or
    not asked. `crash` names the crash that made it `crashed`, the latest where several did.
    """

    rule: str
    title: str
    summary: str
    family: str
    kind: str
    status: str
    severity: str
    state: State
    confidence: NotRequired[str]
    exposed_now: NotRequired[bool]
    crash: NotRequired[CrashRef]
    evidence: list[EvidenceDict]
    against: list[EvidenceDict]
    missing: list[MissingDict]
    remediation: list[StepDict]
    references: list[Mapping[str, str]]
    explain: str
    targets: list[str]
    triggers: list[str]


def sort_key(finding: FindingDict) -> tuple[int, int, str]:
    """Order findings by state, then severity, then id."""
    return (
        STATE_ORDER.index(finding["state"]), SEVERITY_ORDER.index(finding["severity"]), finding["rule"]
    )  # fmt: skip


def make_finding(rule: Rule, state: State, evaluator: Evaluator, **more: Any) -> FindingDict:
    """Put the finding of a rule together; a rule that found nothing needs no remedy."""
    found = state not in ("clear", "unjudged")
    finding: FindingDict = {
        "rule": rule.id,
        "title": rule.title,
        "summary": rule.summary,
        "family": rule.family,
        "kind": rule.kind,
        "status": rule.status,
        "severity": rule.severity,
        "state": state,
        "evidence": [],
        "against": [],
        "missing": [],
        "remediation": _remedy(rule, evaluator) if found else [],
        "references": [dict(reference) for reference in rule.references] if found else [],
        "explain": rule.explain if found else "",
        "targets": list(rule.targets),
        "triggers": list(rule.triggers),
    }
    finding.update(more)  # type: ignore[typeddict-item]  # only keys of the shape are given; a test holds it
    return finding


def _remedy(rule: Rule, evaluator: Evaluator) -> list[StepDict]:
    steps: list[StepDict] = []
    for step in rule.remediation:
        value = Value.YES if step.when is None else evaluator.evaluate(step.when).value
        if value is Value.NO:
            continue
        steps.append(_step(step, value, rule))
    return steps


def _step(step: Step, value: Value, rule: Rule) -> StepDict:
    made: StepDict = {"do": step.do, "kind": step.kind, "applies": "yes"}
    if value is Value.UNKNOWN and step.when is not None:
        made["applies"] = "if"
        made["condition"] = words_of(step.when, rule)
    if step.commands:
        made["commands"] = list(step.commands)
    if step.kb:
        made["kb"] = step.kb
    if step.source:
        made["source"] = step.source
    if step.risk:
        made["risk"] = step.risk
    return made
