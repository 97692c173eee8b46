"""Inline tests, the tests made from a rule, lint, lock, and the why tree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from signatures import load_database
from signatures.lint import Profile, lint_paths, lint_rules
from signatures.load import load_rule
from signatures.lock import check_lock, read_lock, update_lock
from signatures.model import Rule
from signatures.short_facts import facts_of
from signatures.testing import run_test, run_tests
from signatures.why import render_why, why
from tests.signatures.rules import HEAD, OLD, rule_of

GATE = 'affected:\n  - {branch: "17763", events: [{introduced: "17763.1757"}, {fixed: "17763.1935"}]}\n'
MATCH = 'system: {build: "17763", ubr: "1800"}, drivers: [{file: a.sys, version: "1.0.0.4"}]'
VERSION = "/drivers/a.sys/version"
PARTS = f"{GATE}exposed:\n  {OLD}\ntests:\n"


def with_test(test: str) -> Rule:
    return rule_of(f"{PARTS}  - {{name: x, {test}}}\n")


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        (f"expect: exposed, facts: {{{MATCH}}}", ""),
        (f"expect: clear, facts: {{{MATCH}}}", "expected clear, the rule says exposed"),
        (f"expect: exposed, facts: {{{MATCH}}}, evidence: ['a.sys 1.0.0.4']", ""),
        (f"expect: exposed, facts: {{{MATCH}}}, evidence: ['b.sys']", "no evidence holds 'b.sys'"),
        ("expect: clear, facts: {system: {build: '19041'}}, against: ['not 17763']", ""),
        ("expect: clear, facts: {system: {build: '19041'}}, against: ['not 19041']", "no against holds"),
        (f"expect: suspected, facts: {{{MATCH}}}, gaps: [{VERSION}], missing: [{VERSION}]", ""),
        (f"expect: suspected, facts: {{{MATCH}}}, gaps: [/drivers/a.sys], missing: []", "missing is /drivers/a.sys"),
        ("expect: clear, facts: {drivrs: []}", "no section of the facts"),
        ("expect: clear, facts: {drivers: [{version: x}]}", "an item of drivers needs `file`"),
        ("expect: clear, facts: {system: {build: x}}", "the facts of the test"),
        ("expect: clear, facts: {}, gaps: [/nowhere]", "a gap at no section"),
    ],
)  # fmt: skip
def test_an_inline_test_holds_or_says_what_is_wrong(test: str, problem: str) -> None:
    rule = with_test(test)
    result = run_test(rule, rule.tests[0])
    assert result.passed is (not problem), result.problem
    assert problem in result.problem


def test_what_a_test_says_is_unreadable_it_does_not_know() -> None:
    facts = facts_of(
        {"drivers": [{"file": "a.sys", "version": "1.0.0.1", "start": "boot"}]}, ["/drivers/a.sys/version"]
    )
    assert facts["drivers"] == [{"file": "a.sys", "start": "boot"}]
    assert facts_of({"system": {"build": "1"}}, ["/system"])["system"] == {}
    assert facts_of({"drivers": [{"file": "a.sys", "start": "boot"}]}, ["/drivers/a.sys"])["drivers"] == [
        {"file": "a.sys"}
    ]


def test_a_test_that_names_a_sample_is_skipped_without_and_run_with_it() -> None:
    rule = with_test("expect: exposed, sample: ws2019-failed")
    assert run_test(rule, rule.tests[0]).skipped
    facts = facts_of(
        {"system": {"build": "17763", "ubr": "1800"}, "drivers": [{"file": "a.sys", "version": "1.0.0.4"}]}
    )
    asked: list[str] = []

    def samples(name: str) -> dict[str, object]:
        asked.append(name)
        return facts

    result = run_test(rule, rule.tests[0], samples=samples)
    assert (result.passed, result.skipped, asked) == (True, "", ["ws2019-failed"])


def made(rule: Rule) -> dict[str, bool]:
    return {result.name: result.passed for result in run_tests(rule) if result.generated}


def test_tests_are_made_of_every_edge_bound_and_gap() -> None:
    results = made(with_test(f"expect: exposed, facts: {{{MATCH}}}"))
    assert all(results.values()), results
    assert {
        "17763.1757 is inside: introduced 17763.1757", "17763.1756 is outside: introduced 17763.1757",
        "17763.1935 is outside: fixed 17763.1935", "17763.1934 is inside: fixed 17763.1935",
        "a.sys at 1.0.0.5 is not exposed", "a.sys at 1.0.0.4 is exposed",
        "/system/build cannot be read", "/system/ubr cannot be read", "/drivers/a.sys/version cannot be read",
        "everything was read and nothing is there", "nothing can be read",
    } <= set(results)  # fmt: skip


def test_a_rule_that_fires_on_an_empty_machine_or_forgets_an_edge_fails_the_made_tests() -> None:
    anywhere = rule_of('exposed:\n  driver: {file: a.sys, absent: "yes"}\n')
    assert made(anywhere)["everything was read and nothing is there"] is False
    # Two ranges that overlap contradict one edge.
    overlap = GATE.replace('{fixed: "17763.1935"}', '{introduced: "17763.1800"}, {fixed: "17763.1935"}')
    assert not all(made(rule_of(f"{overlap}exposed:\n  {OLD}\n")).values())


def lint(parts: str, profile: Profile = "rules", **changes: str) -> list[str]:
    return [problem.code for problem in lint_rules([rule_of(parts, **changes)], profile)]


def entry(events: str, more: str = "") -> str:
    return f'affected:\n  - {{branch: "17763", events: [{events}]{more}}}\nexposed:\n  {OLD}\n'


CLOSED = '{introduced: "17763.1757"}, {fixed: "17763.1935"}'


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (entry(CLOSED), None),
        (entry('{introduced: "19041.1"}, {fixed: "17763.1935"}'), "SC201"),
        (entry(CLOSED).replace("1.0.0.5", "10.0.19041.5"), "SC202"),
        (entry('{fixed: "17763.1935"}, {introduced: "17763.1757"}'), "SC203"),
        (entry('{introduced: "17763.1757"}'), "SC204"),
        (entry('{introduced: "17763.1757", kb: KB4601345}, {fixed: "17763.1935", kb: KB5003171}'), None),
        (entry('{introduced: "17763.1757", kb: KB5003171}, {fixed: "17763.1935"}'), "SC206"),
        (entry('{introduced: "17763.1756", kb: KB4601345}, {fixed: "17763.1935"}'), "SC206"),
        ('exposed:\n  os: {build: {at_least: "5", below: "5"}}\n', "SC207"),
        ('exposed:\n  all:\n    - os: {build: "1"}\n    - os: {build: "2"}\n', "SC207"),
        ("exposed:\n  all:\n    - service: {name: a}\n    - not: {service: {name: a}}\n", "SC207"),
        ("exposed:\n  count: {of: [{service: {name: a}}, {service: {name: b}}], at_least: '3'}\n", "SC207"),
        ("exposed:\n  any:\n    - service: {name: a}\n    - not: {service: {name: a}}\n", "SC208"),
        ("exposed:\n  count: {of: [{service: {name: a}}, {service: {name: b}}], at_least: '0'}\n", "SC208"),
        ("exposed:\n  service: {name: {like: '*'}}\n", "SC208"),
        ('exposed:\n  os: {at: {at_least: "17763.1", below: "19041.1"}}\n', "SC212"),
        (entry(CLOSED) + 'excludes:\n  - os: {at: {below: "19041.5"}}\n', "SC212"),
        ('crashed:\n  crash: {code: "0x7b"}\n', "SC213"),
        ('crashed:\n  crash: {code: "0x7b"}\ncrashed_needs: exposed\nexposed:\n  service: {name: a}\n', None),
        ('crashed:\n  crash: {code: "0x7b", culprit: a.sys}\n', None),
    ],
)  # fmt: skip
def test_lint_finds_what_cannot_be_meant(parts: str, code: str | None) -> None:
    found = [found for found in lint(parts) if found < "SC3"]
    assert (code in found) if code else not found, found


def test_lint_asks_for_tests_of_each_kind_and_runs_them() -> None:
    one = f"{PARTS}  - {{name: x, expect: clear, facts: {{{MATCH}}}}}\ntriggers: [reboot]\n"
    sourced = one.replace('.1757"', '.1757", source: here').replace('.1935"', '.1935", source: here')
    found = lint(sourced, status="test")
    assert set(found) == {"SC301", "SC303", "SC304"}
    assert "SC205" in lint(one, status="test")


def test_lint_finds_rules_that_say_the_same() -> None:
    first, second = (replace(rule_of(f"exposed:\n  {OLD}\n"), id=name) for name in ("one", "two"))
    assert [problem.code for problem in lint_rules([first, second])] == ["SC209"]


def test_the_strict_profile_looks_at_texts() -> None:
    parts = "exposed:\n  driver: {file: A.sys}\n"
    found = lint(parts, "strict", title="It is wrong.", summary="One. Two.")
    assert {"SC401", "SC402", "SC408"} <= set(found)
    assert not lint(parts, title="It is wrong.", summary="One. Two.")
    assert "SC403" in lint(
        f"{parts}triggers: [reboot]\ntests: [{{name: x, expect: clear, facts: {{}}}}]\n", "strict", status="stable"
    )


def test_lint_of_files_tells_what_does_not_load_too(tmp_path: Path) -> None:
    (tmp_path / "some-rule.yaml").write_text(f'{HEAD}crashed:\n  crash: {{code: "0x7b"}}\n')
    (tmp_path / "broken.yaml").write_text("a: b\n")
    rules, problems = lint_paths([tmp_path])
    assert [rule.id for rule in rules] == ["some-rule"]
    assert {"SC213", "SC101"} <= {problem.code for problem in problems}


def test_changed_conditions_need_a_raised_version(tmp_path: Path) -> None:
    rule = rule_of(f"exposed:\n  {OLD}\n")
    assert check_lock(rule, tmp_path) == ""
    assert [path.name for path in update_lock([rule], tmp_path)] == ["storage.json"]
    assert update_lock([rule], tmp_path) == []
    changed = replace(rule, digest="0" * 64)
    assert "changed since version 1" in check_lock(changed, tmp_path)
    assert check_lock(replace(changed, version=2), tmp_path) == ""
    update_lock([replace(rule, id="other")], tmp_path)
    assert sorted(read_lock(tmp_path)) == ["other", "some-rule"]


def test_every_test_of_the_flagship_holds() -> None:
    rule = load_database().get("vmstorfl")
    assert rule is not None
    results = run_tests(rule)
    assert len(results) > 30
    assert [f"{result.name}: {result.problem}" for result in results if not result.passed] == []


def test_why_says_what_would_change_the_flagships_answer() -> None:
    rule = load_database().get("vmstorfl")
    assert rule is not None
    machine = {
        "system": {"build": "17763", "ubr": "1757", "installation": "server"},
        "drivers": [{"file": "vmstorfl.sys"}],
    }
    tree = why(rule, facts_of(machine, ["/drivers/vmstorfl.sys/version"]))
    assert tree["state"] == "suspected"
    assert tree["would_change"] == [
        {
            "path": "/drivers/vmstorfl.sys/version",
            "what": "version of vmstorfl.sys",
            "cases": [
                {"value": "below 10.0.17763.1911", "state": "exposed"},
                {"value": "at or above 10.0.17763.1911", "state": "clear"},
            ],
        }
    ]
    lines = render_why(tree)
    assert lines[-1] == (
        "└─ would change it: version of vmstorfl.sys: below 10.0.17763.1911 → exposed; "
        "at or above 10.0.17763.1911 → clear"
    )
    assert any(line.startswith("│  └─ old-file: driver") and "UNKNOWN" in line for line in lines)


def test_why_tries_the_update_level_when_the_hive_is_gone() -> None:
    rule = load_database().get("vmstorfl")
    assert rule is not None
    tree = why(rule, facts_of({"drivers": [{"file": "vmstorfl.sys", "version": "10.0.17763.771"}]}, ["/system"]))
    [change] = tree["would_change"]
    assert change["what"] == "the update level"
    assert [(case["value"], case["state"]) for case in change["cases"]] == [
        ("below 17763.1757", "clear"), ("at or above 17763.1757 (server)", "exposed"),
    ]  # fmt: skip


def test_why_keeps_every_condition_in_the_order_of_the_file() -> None:
    rule = rule_of(f"exposed:\n  all:\n    - service: {{name: a}}\n    - not: {{service: {{name: b}}}}\n    - {OLD}\n")
    tree = why(rule, facts_of({"services": [{"name": "a"}]}))
    exposed = next(node for node in tree["nodes"] if node["label"] == "exposed: all")
    assert [(child["label"], child["value"]) for child in exposed["children"]] == [
        ("service", "yes"), ("not", "yes"), ("driver", "no"),
    ]  # fmt: skip


def test_a_rules_text_without_tests_lints_as_before() -> None:
    assert not load_rule((HEAD + f"exposed:\n  {OLD}\n").encode(), "some-rule.yaml", tests=False).problems
