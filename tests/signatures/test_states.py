"""The state table, row by row, as the language's description has it; then the same through whole rules."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from signatures.engine import judge, judge_all, state_of
from signatures.three import Value
from tests.signatures.rules import HEAD, OLD, facts, load, rule_of, say, state

Y, N, U = Value.YES, Value.NO, Value.UNKNOWN
ANY = (Y, N, U, None)


def outcome(gate: Value, crashed: Value | None, exposed: Value | None, informed: bool) -> str:
    return state_of(gate, crashed, exposed, informed=informed, crash_informed=informed)


@pytest.mark.parametrize("informed", [True, False])
def test_row_1_outside_the_gate_all_is_clear(informed: bool) -> None:
    assert {outcome(N, crashed, exposed, informed) for crashed in ANY for exposed in ANY} == {"clear"}


@pytest.mark.parametrize("gate", [Y, U])
@pytest.mark.parametrize("exposed", ANY)
def test_row_2_a_crash_counts_whatever_else_is_known(gate: Value, exposed: Value | None) -> None:
    assert outcome(gate, Y, exposed, informed=True) == "crashed"


@pytest.mark.parametrize("crashed", [N, U, None])
def test_rows_3_and_4_the_condition_holds_and_the_gate_decides(crashed: Value | None) -> None:
    assert outcome(Y, crashed, Y, informed=True) == "exposed"
    assert outcome(U, crashed, Y, informed=True) == "suspected"


@pytest.mark.parametrize("gate", [Y, U])
@pytest.mark.parametrize("crashed", [N, U, None])
def test_row_5_an_unknown_condition_is_suspected_only_when_something_is_known(
    gate: Value, crashed: Value | None
) -> None:
    assert outcome(gate, crashed, U, informed=True) == "suspected"
    assert outcome(gate, crashed, U, informed=False) == "unjudged"


@pytest.mark.parametrize("gate", [Y, U])
@pytest.mark.parametrize("informed", [True, False])
def test_row_6_an_unreadable_dump_does_not_outweigh_that_exposure_is_excluded(gate: Value, informed: bool) -> None:
    assert outcome(gate, U, N, informed) == "clear"


@pytest.mark.parametrize("gate", [Y, U])
def test_row_7_a_rule_of_crashes_alone_asks_whether_the_crash_fits(gate: Value) -> None:
    assert outcome(gate, U, None, informed=True) == "suspected"
    assert outcome(gate, U, None, informed=False) == "unjudged"


@pytest.mark.parametrize("gate", [Y, U])
@pytest.mark.parametrize(("crashed", "exposed"), [(N, N), (N, None), (None, N)])
def test_row_8_no_is_clear(gate: Value, crashed: Value | None, exposed: Value | None) -> None:
    assert outcome(gate, crashed, exposed, informed=True) == "clear"


GATED = f"""
affected:
  - {{branch: "17763", events: [{{introduced: "17763.1757"}}, {{fixed: "17763.1935"}}]}}
exposed:
  {OLD}
crashed:
  crash: {{culprit: a.sys}}
"""
INSIDE = {"build": "17763", "ubr": "1800"}
CRASH = {"culprit": "a.sys", "confidence": "high", "time": "2021-03-01T00:00:00Z"}


def driver(version: str) -> list[dict[str, str]]:
    return [{"file": "a.sys", "version": version}]


def test_a_crash_that_is_repaired_says_that_the_machine_is_not_exposed_now() -> None:
    finding = say(GATED, system=INSIDE, drivers=driver("1.0.0.5"), crashes=[CRASH])
    assert (finding["state"], finding["exposed_now"]) == ("crashed", False)
    still = say(GATED, system=INSIDE, drivers=driver("1.0.0.4"), crashes=[CRASH])
    assert (still["state"], still["exposed_now"]) == ("crashed", True)


def test_whether_a_crashed_machine_is_still_exposed_is_left_out_where_it_is_not_known() -> None:
    finding = say(GATED, ["/drivers/a.sys/version"], system=INSIDE, drivers=driver("1.0.0.4"), crashes=[CRASH])
    assert finding["state"] == "crashed"
    assert "exposed_now" not in finding
    assert [line["path"] for line in finding["missing"]] == ["/drivers/a.sys/version"]


def test_a_crash_outside_the_gate_is_clear_and_says_why() -> None:
    finding = say(GATED, system={"build": "17763", "ubr": "1935"}, drivers=driver("1.0.0.4"), crashes=[CRASH])
    assert finding["state"] == "clear"
    assert "17763.1935" in finding["against"][0]["statement"]


def test_a_crash_with_an_unknown_gate_counts_with_one_step_less_confidence_and_names_what_is_missing() -> None:
    finding = say(GATED, ["/system"], drivers=driver("1.0.0.9"), crashes=[CRASH])
    assert (finding["state"], finding["confidence"]) == ("crashed", "medium")
    assert {line["path"] for line in finding["missing"]} == {"/system/build", "/system/ubr"}


def test_the_finding_names_the_crash_and_whether_the_machine_has_booted_since() -> None:
    older = {**CRASH, "time": "2021-02-01T00:00:00Z", "latest": "no"}
    finding = say(GATED, system=INSIDE, crashes=[{**CRASH, "culprit": "b.sys"}, older])
    assert finding["crash"]["time"] == "2021-02-01T00:00:00Z"
    assert finding["crash"]["latest"] is False


def test_an_excluded_machine_is_clear_and_one_that_may_be_excluded_is_suspected() -> None:
    parts = f"exposed:\n  {OLD}\nexcludes:\n  - service: {{name: guard}}\n"
    old = {"drivers": driver("1.0.0.4")}
    assert state(parts, **old) == "exposed"
    assert state(parts, services=[{"name": "guard"}], **old) == "clear"
    assert state(parts, ["/services"], **old) == "suspected"


def test_an_advisory_that_must_not_suspect_is_unjudged_instead() -> None:
    parts = GATED + "suspect: never\n"
    assert state(GATED, ["/drivers"], system=INSIDE) == "suspected"
    assert state(parts, ["/drivers"], system=INSIDE) == "unjudged"


def test_a_crash_condition_that_needs_exposure_says_crashed_only_with_it() -> None:
    parts = f'exposed:\n  {OLD}\ncrashed:\n  crash: {{code: "0x7B"}}\ncrashed_needs: exposed\n'
    crash = [{"code": "0x7b"}]
    assert state(parts, drivers=driver("1.0.0.4"), crashes=crash) == "crashed"
    assert state(parts, drivers=driver("1.0.0.5"), crashes=crash) == "clear"
    assert state(parts, ["/drivers/a.sys/version"], drivers=driver("1.0.0.4"), crashes=crash) == "suspected"
    assert state(parts, drivers=driver("1.0.0.4")) == "exposed"


def test_one_unreadable_hive_does_not_make_every_rule_suspected() -> None:
    parts = "exposed:\n  all:\n    - service: {name: a}\n    - service: {name: b}\n"
    assert state(parts, ["/services"]) == "unjudged"
    both = f"exposed:\n  all:\n    - service: {{name: a}}\n    - {OLD}\n"
    assert state(both, ["/services"], drivers=driver("1.0.0.4")) == "suspected"


def test_a_crash_that_cannot_be_read_to_the_end_is_suspected_only_where_a_part_of_it_fits() -> None:
    parts = 'crashed:\n  crash: {code: "0x50", culprit: a.sys}\n'
    cut = {"dump": {"complete": "no"}, "code": "0x50"}
    assert state(parts, crashes=[cut]) == "suspected"
    assert state(parts, crashes=[{**cut, "code": "0x7e"}]) == "clear"
    assert state("crashed:\n  crash: {culprit: a.sys}\n", crashes=[cut]) == "unjudged"


def test_corroboration_raises_confidence_and_never_changes_the_state() -> None:
    parts = GATED + "corroborates:\n  - service: {name: a}\n"
    plain = say(parts, system=INSIDE, drivers=driver("1.0.0.4"))
    assert (plain["state"], plain["confidence"]) == ("exposed", "medium")
    more = say(parts, system=INSIDE, drivers=driver("1.0.0.4"), services=[{"name": "a"}])
    assert (more["state"], more["confidence"]) == ("exposed", "high")
    assert "service a is there" in [line["statement"] for line in more["evidence"]]
    assert state(parts, system=INSIDE, services=[{"name": "a"}]) == "clear"


def test_a_remedy_step_is_left_out_shown_or_shown_with_its_condition() -> None:
    head = f"exposed:\n  {OLD}\n"
    steps = [
        {"do": "update", "kind": "vendor-fix", "when": {"os": {"at": {"below": "17763.1935"}}}},
        {"do": "look", "kind": "check"},
    ]
    rule = rule_of(head)
    text = HEAD.replace('[{do: "Mend it", kind: check}]', str(steps).replace("'", '"'))
    loaded = load(head, head=text)
    assert not loaded.problems
    rule = replace(rule, remediation=loaded.rules[0].remediation)

    def told(gaps: list[str], **system: str) -> list[tuple[str, str, str]]:
        finding = judge(rule, facts(rule, gaps, drivers=driver("1.0.0.4"), system=system))
        return [(step["do"], step["applies"], step.get("condition", "")) for step in finding["remediation"]]

    assert told([], build="17763", ubr="1757") == [("update", "yes", ""), ("look", "yes", "")]
    assert told([], build="17763", ubr="1935") == [("look", "yes", "")]
    [first, _second] = told(["/system/ubr"], build="17763")
    assert first == ("update", "if", "Windows: the update level is below 17763.1935")


def test_findings_are_sorted_by_state_then_severity_then_id() -> None:
    exposed = f"exposed:\n  {OLD}\n"
    gate = 'affected:\n  - {branch: "17763", events: [{introduced: "0"}], open_ended: "x"}\n'
    unread = f'exposed:\n  driver: {{file: b.sys, version: "1.0.0.1"}}\n{gate}'
    rules = [
        replace(rule_of(unread, severity="critical"), id="z-suspected"),
        replace(rule_of(exposed, severity="medium"), id="b-medium"),
        replace(rule_of(exposed, severity="critical"), id="c-critical"),
        replace(rule_of(exposed, severity="critical"), id="a-critical"),
        replace(rule_of("exposed:\n  service: {name: gone}\n"), id="clear"),
        replace(rule_of("exposed:\n  boot: {firmware: uefi}\n"), id="unknown"),
    ]
    document = facts(
        None, ["/drivers/b.sys/version", "/boot"], system=INSIDE, drivers=[*driver("1.0.0.4"), {"file": "b.sys"}]
    )
    judgement = judge_all(rules, document)
    assert [finding["rule"] for finding in judgement.findings] == [
        "a-critical",
        "c-critical",
        "b-medium",
        "z-suspected",
    ]
    assert [finding["rule"] for finding in judgement.clear] == ["clear"]
    assert judgement.unjudged == [{"rule": "unknown", "reason": "could not be read (test)"}]


def test_a_withdrawn_rule_is_not_judged() -> None:
    rule = replace(rule_of(f"exposed:\n  {OLD}\n"), status="withdrawn")
    judgement = judge_all([rule], facts(drivers=driver("1.0.0.4")))
    assert (judgement.findings, judgement.clear, judgement.unjudged) == ([], [], [])


def test_judging_changes_neither_facts_nor_rule_and_gives_the_same_twice() -> None:
    rule = rule_of(GATED)
    document = facts(rule, ["/system/ubr"], system=INSIDE, drivers=driver("1.0.0.4"), crashes=[CRASH])
    before = copy.deepcopy(document)
    assert judge(rule, document) == judge(rule, document)
    assert document == before
