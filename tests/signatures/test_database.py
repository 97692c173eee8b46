"""The built-in rules: every inline test holds, lint finds nothing, and the page that lists them is in step."""

from __future__ import annotations

from collections import Counter

import pytest

from signatures import load_database
from signatures.lint import lint_paths
from signatures.load import BUILT_IN
from signatures.lock import check_lock, read_lock
from signatures.model import InlineTest, Rule
from signatures.problems import render
from signatures.testing import run_test, run_tests
from tests.conftest import ROOT
from tests.signatures.rules_page import page

RULES = load_database().rules
WRITTEN = [(rule, test) for rule in RULES for test in rule.tests if not test.sample]


@pytest.mark.parametrize(
    ("rule", "test"), WRITTEN, ids=[f"{rule.id}: {test.name}".replace("\\", "/") for rule, test in WRITTEN]
)
def test_the_rule_says_what_its_own_test_expects(rule: Rule, test: InlineTest) -> None:
    result = run_test(rule, test)
    assert result.passed, result.problem


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_the_rule_holds_at_its_edges_and_bounds_and_with_every_fact_unreadable(rule: Rule) -> None:
    made = [result for result in run_tests(rule) if result.generated]
    assert len(made) >= 2
    assert [(result.name, result.problem) for result in made if not result.passed] == []


def test_lint_finds_nothing_in_the_strictest_profile() -> None:
    rules, problems = lint_paths([BUILT_IN], "strict")
    assert [render(problem) for problem in problems] == []
    assert len(rules) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_the_rule_is_tested_where_it_speaks_where_it_does_not_and_where_nothing_can_be_read(rule: Rule) -> None:
    expected = Counter(test.expect for test in rule.tests)
    assert expected["exposed"] + expected["crashed"] >= 2
    assert expected["clear"] >= 2
    assert expected["suspected"] + expected["unjudged"] >= 1
    if rule.exposed is not None:
        assert expected["exposed"]
    if rule.crashed is not None:
        assert expected["crashed"]


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_the_rule_names_its_limits_and_its_false_positives(rule: Rule) -> None:
    assert "Limits:" in rule.explain
    assert "False positives:" in rule.explain


def test_rules_are_of_many_kinds() -> None:
    assert len(RULES) >= 8
    assert len({rule.family for rule in RULES}) >= 8
    assert {rule.kind for rule in RULES} >= {"regression", "third-party", "misconfiguration", "corruption", "advisory"}


def test_the_lock_knows_every_rule_as_it_is() -> None:
    assert {rule.id: check_lock(rule) for rule in RULES if check_lock(rule)} == {}
    assert {rule.id for rule in RULES} == set(read_lock())


def test_the_page_of_rules_is_in_step() -> None:
    written = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert written == page(RULES), "write it again: python -m tests.signatures.rules_page"
