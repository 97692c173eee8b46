"""What `stopcode signatures` says of rules as plain data, a document for each thing that can be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

from signatures.model import Rule
from signatures.problems import Problem, ProblemDict
from signatures.results import TestResult
from signatures.why import WhyDict
from signatures.words import words_of

__all__ = [
    "Linted", "RuleList", "RuleRow", "RuleStep", "RuleTest", "RuleText", "RuleTexts", "Tested", "Why", "conditions_of",
    "linted", "rule_list", "rule_texts", "tested", "why_document",
]  # fmt: skip


class RuleRow(TypedDict):
    """One rule in a list."""

    id: str
    title: str
    family: str
    kind: str
    status: str
    severity: str
    version: int
    file: str


class RuleList(TypedDict):
    """All rules there are (`stopcode/signatures-list/1`)."""

    schema: str
    rules: list[RuleRow]


class RuleStep(TypedDict):
    """One step of a rule's remedy."""

    do: str
    kind: str
    commands: list[str]
    kb: str
    risk: str


class RuleText(RuleRow):
    """What one rule says to people; `conditions` are in words, by the part of the rule that they stand in."""

    aliases: list[str]
    summary: str
    created: str
    modified: str
    triggers: list[str]
    targets: list[str]
    explain: str
    conditions: dict[str, str]
    remediation: list[RuleStep]
    references: list[dict[str, str]]


class RuleTexts(TypedDict):
    """The rules that were asked for (`stopcode/signatures-show/1`)."""

    schema: str
    rules: list[RuleText]


class Linted(TypedDict):
    """What is wrong with rule files (`stopcode/signatures-lint/1`); `rules` counts those that load."""

    schema: str
    rules: int
    problems: list[ProblemDict]


class RuleTest(TypedDict):
    """What came of one test: `problem` says what is wrong, `skipped` why it did not run, "" where nothing is.

    `generated` tests are made from the bounds in the rule, the others stand in it.
    """

    rule: str
    name: str
    passed: bool
    problem: str
    generated: bool
    skipped: str


class Tested(TypedDict):
    """What came of the tests in rules (`stopcode/signatures-test/1`); `problems` are of files that do not load."""

    schema: str
    rules: int
    problems: list[ProblemDict]
    tests: list[RuleTest]


class Why(WhyDict):
    """Why one rule says what it says of one machine (`stopcode/signatures-why/1`)."""

    schema: str


def rule_list(rules: Sequence[Rule]) -> RuleList:
    """Return the list of all rules."""
    return {"schema": "stopcode/signatures-list/1", "rules": [_row(rule) for rule in rules]}


def _row(rule: Rule) -> RuleRow:
    return {
        "id": rule.id,
        "title": rule.title,
        "family": rule.family,
        "kind": rule.kind,
        "status": rule.status,
        "severity": rule.severity,
        "version": rule.version,
        "file": rule.file,
    }


def rule_texts(rules: Sequence[Rule]) -> RuleTexts:
    """Return what rules say to people."""
    return {"schema": "stopcode/signatures-show/1", "rules": [_text(rule) for rule in rules]}


def _text(rule: Rule) -> RuleText:
    return {
        **_row(rule),
        "aliases": list(rule.aliases),
        "summary": rule.summary,
        "created": rule.created,
        "modified": rule.modified,
        "triggers": list(rule.triggers),
        "targets": list(rule.targets),
        "explain": rule.explain,
        "conditions": dict(conditions_of(rule)),
        "remediation": [
            {"do": step.do, "kind": step.kind, "commands": list(step.commands), "kb": step.kb, "risk": step.risk}
            for step in rule.remediation
        ],
        "references": [dict(item) for item in rule.references],
    }


def conditions_of(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield the parts of a rule that decide, with their conditions in words."""
    for entry in rule.affected:
        edges = ", ".join(f"{edge.kind} {edge.text}{f' ({edge.kb})' if edge.kb else ''}" for edge in entry.edges)
        branches = ", ".join(map(str, entry.branches))
        yield f"affected {branches}", edges + (f"; {entry.open_ended}" if entry.open_ended else "")
    for name, node in (("exposed", rule.exposed), ("crashed", rule.crashed)):
        if node is not None:
            yield name, words_of(node, rule)
    for number, node in enumerate(rule.excludes, 1):
        yield f"not when ({number})", words_of(node, rule)


def linted(rules: Sequence[Rule], problems: Sequence[Problem]) -> Linted:
    """Return what a lint found."""
    return {
        "schema": "stopcode/signatures-lint/1",
        "rules": len(rules),
        "problems": [problem.to_dict() for problem in problems],
    }


def tested(rules: Sequence[Rule], problems: Sequence[Problem], results: Sequence[TestResult]) -> Tested:
    """Return what came of the tests."""
    return {
        "schema": "stopcode/signatures-test/1",
        "rules": len(rules),
        "problems": [problem.to_dict() for problem in problems],
        "tests": [
            {
                "rule": item.rule,
                "name": item.name,
                "passed": item.passed,
                "problem": item.problem,
                "generated": item.generated,
                "skipped": item.skipped,
            }
            for item in results
        ],
    }


def why_document(tree: WhyDict) -> Why:
    """Return why a rule says what it says."""
    return {"schema": "stopcode/signatures-why/1", **tree}
