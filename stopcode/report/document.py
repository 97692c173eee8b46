"""The report document: everything one scan says, as plain data (`stopcode/report/1`)."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from forensics.facts import Facts, Source
from parsers.diagnostics import DiagnosticDict

__all__ = ["SCHEMA", "Evidence", "Finding", "Missing", "Reference", "Report", "Step", "Tool", "Unjudged", "VerdictDict"]

SCHEMA = "stopcode/report/1"

State = Literal["crashed", "exposed", "suspected", "clear"]


class Tool(TypedDict):
    """What made the report. `rules` is 0 where no rule was asked (`stopcode dump`)."""

    name: str
    version: str
    rules: int
    rules_digest: NotRequired[str]


class VerdictDict(TypedDict):
    """The answer in one sentence, about the latest boot, and what a person reads next.

    `state` is "crashed" (the latest boot did, known problem or not), "exposed", "suspected", "clear" (nothing found),
    or "partial" (nothing found in what could be read). `rule` is the known problem the sentence speaks of.
    """

    state: Literal["crashed", "exposed", "suspected", "clear", "partial"]
    sentence: str
    lines: list[str]
    rule: NotRequired[str]


class Evidence(TypedDict):
    """One statement, the value behind it, and where another tool finds it."""

    statement: str
    value: NotRequired[Any]
    expected: NotRequired[str]
    path: NotRequired[str]
    source: NotRequired[Source]


class Missing(TypedDict):
    """A place in the facts that a rule needed and that could not be read."""

    path: str
    reason: str


class Step(TypedDict, total=False):
    """One thing to do. `applies` is "if" where it could not be told whether `condition` holds."""

    do: str
    kind: str
    applies: Literal["yes", "if"]
    condition: str
    commands: list[str]
    kb: str
    risk: str


class Reference(TypedDict, total=False):
    """Who says so."""

    id: str
    kind: str
    title: str
    url: str
    repo: str
    date: str
    says: str


class Finding(TypedDict):
    """What one known problem is to this machine."""

    rule: str
    state: State
    title: str
    severity: str
    summary: NotRequired[str]
    family: NotRequired[str]
    kind: NotRequired[str]
    status: NotRequired[str]
    confidence: NotRequired[str]
    exposed_now: NotRequired[bool]
    evidence: NotRequired[list[Evidence]]
    against: NotRequired[list[Evidence]]
    missing: NotRequired[list[Missing]]
    remediation: NotRequired[list[Step]]
    references: NotRequired[list[Reference]]
    explain: NotRequired[str]
    targets: NotRequired[list[str]]
    triggers: NotRequired[list[str]]


class Unjudged(TypedDict):
    """A rule of which nothing can be said, and why."""

    rule: str
    reason: str


class Report(TypedDict):
    """The whole document. `source` and `stats` are of this run; the rest is of the machine."""

    schema: str
    tool: Tool
    source: dict[str, Any]
    verdict: VerdictDict
    facts: Facts
    findings: list[Finding]
    unjudged: list[Unjudged]
    diagnostics: list[DiagnosticDict]
    stats: dict[str, Any]
