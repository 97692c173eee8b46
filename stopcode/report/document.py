"""The report document: everything one scan says, as plain data (`stopcode/report/1`)."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from forensics.facts import Facts
from parsers.diagnostics import DiagnosticDict
from signatures.finding import FindingDict, UnjudgedDict

__all__ = ["SCHEMA", "Report", "Tool", "VerdictDict"]

SCHEMA = "stopcode/report/1"


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


class Report(TypedDict):
    """The whole document. `source` and `stats` are of this run; the rest is of the machine."""

    schema: str
    tool: Tool
    source: dict[str, Any]
    verdict: VerdictDict
    facts: Facts
    findings: list[FindingDict]
    unjudged: list[UnjudgedDict]
    diagnostics: list[DiagnosticDict]
    stats: dict[str, Any]
