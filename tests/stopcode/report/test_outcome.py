from __future__ import annotations

from typing import Any

import pytest

from stopcode.report.outcome import ONLY_A_DUMP, exit_of
from tests.stopcode.report.by_hand import crash, facts, finding, report


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], 0),
        ([finding(state="crashed")], 1),
        ([finding(state="exposed")], 1),
        ([finding(state="exposed", status="experimental")], 0),
        ([finding(state="suspected")], 4),
        ([finding(state="suspected"), finding(state="exposed")], 1),
    ],
)
def test_findings_decide_first(findings: list[dict[str, Any]], code: int) -> None:
    assert exit_of(report(findings=findings)) == code


@pytest.mark.parametrize(
    ("reason", "code"), [("the SOFTWARE hive cannot be read", 4), ("not collected", 0), (ONLY_A_DUMP, 0)]
)
def test_a_rule_that_could_not_be_judged_counts_unless_nobody_looked(reason: str, code: int) -> None:
    assert exit_of(report(findings=[], unjudged=[{"rule": "a", "reason": reason}])) == code


@pytest.mark.parametrize(("severity", "code"), [("info", 0), ("warning", 0), ("error", 4)])
def test_a_diagnostic_counts_when_something_could_not_be_read(severity: str, code: int) -> None:
    remark = {"severity": severity, "code": "a.b", "message": "m", "hint": "", "source": ""}
    assert exit_of(report(findings=[], diagnostics=[remark])) == code


@pytest.mark.parametrize(("complete", "code"), [(True, 0), (False, 4)])
def test_a_lone_dump_is_0_when_it_is_whole(complete: bool, code: int) -> None:
    dump = {"path": "a.dmp", "kind": "triage", "complete": complete}
    made = report(
        source={"path": "a.dmp", "kind": "dump"},
        facts=facts(crashes=[crash(dump=dump)]),
        findings=[],
        unjudged=[{"rule": "a", "reason": "other"}],
    )
    assert exit_of(made) == code
