"""Inline tests of a rule: each states a machine in short form and what the rule must say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from signatures.engine import judge
from signatures.finding import FindingDict
from signatures.generated import generated_tests
from signatures.model import InlineTest, Rule
from signatures.results import TestResult
from signatures.short_facts import facts_of
from signatures.wants import wants_of

__all__ = ["TestResult", "run_test", "run_tests"]

#: Gives the facts of a built sample by its name.
Samples = Callable[[str], Mapping[str, Any]]


def run_tests(rule: Rule, *, samples: Samples | None = None, generated: bool = True) -> list[TestResult]:
    """Run the tests in a rule, and those that are made from it.

    Args:
        rule: the rule.
        samples: gives the facts of built samples; without it, tests that name one are skipped.
        generated: whether to make tests of edges, version bounds and gaps too.

    """
    results = [run_test(rule, test, samples=samples) for test in rule.tests]
    if generated:
        results += generated_tests(rule)
    return results


def run_test(rule: Rule, test: InlineTest, *, samples: Samples | None = None) -> TestResult:
    """Run one test."""
    if test.sample:
        if samples is None:
            return TestResult(rule.id, test.name, passed=True, skipped=f"needs the sample {test.sample}")
        facts = samples(test.sample)
    else:
        try:
            facts = facts_of(test.facts, test.gaps, wants_of([rule]))
        except ValueError as error:
            return TestResult(rule.id, test.name, passed=False, problem=f"the facts of the test: {error}")
    finding = judge(rule, facts)
    problems = _compare(test, finding)
    return TestResult(rule.id, test.name, not problems, "; ".join(problems), finding=finding)


def _compare(test: InlineTest, finding: FindingDict) -> list[str]:
    problems: list[str] = []
    if finding["state"] != test.expect:
        problems.append(f"expected {test.expect}, the rule says {finding['state']}")
    for name, lines in (("evidence", finding["evidence"]), ("against", finding["against"])):
        texts: tuple[str, ...] = getattr(test, name)
        statements = [line["statement"] for line in lines]
        for text in texts:
            if not any(text.casefold() in statement.casefold() for statement in statements):
                problems.append(f"no {name} holds {text!r}; there is: {'; '.join(statements) or 'nothing'}")
    if test.missing is not None:
        found = {line["path"] for line in finding["missing"]}
        if found != set(test.missing):
            wanted = ", ".join(sorted(test.missing)) or "empty"
            problems.append(f"missing is {', '.join(sorted(found)) or 'empty'}, expected {wanted}")
    return problems
