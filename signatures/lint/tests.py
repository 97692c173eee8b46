"""SC301 to SC305: a rule's own tests, which must be there and hold."""

from __future__ import annotations

from signatures.model import Mark, Rule
from signatures.problems import Problems
from signatures.testing import run_tests

__all__ = ["check_tests"]

_NEEDED = (
    ("SC301", ("exposed", "crashed"), "a machine that matches"),
    ("SC302", ("clear",), "a machine that does not match"),
    ("SC303", ("suspected", "unjudged"), "a machine of which something cannot be read"),
)


def check_tests(rule: Rule, problems: Problems) -> None:
    """Run the tests, written and generated."""
    place = rule.marks.get("tests", Mark(1, 1, 2))
    if rule.status in ("test", "stable"):
        states = {test.expect for test in rule.tests}
        for code, wanted, what in _NEEDED:
            if not states & set(wanted):
                problems.add(place, "tests", f"no test of {what}", code, f"expect: {' or '.join(wanted)}")
    marks = {test.name: test.mark for test in rule.tests}
    for result in run_tests(rule):
        if result.passed:
            continue
        if result.generated:
            problems.add(place, "tests", f"generated test {result.name!r}: {result.problem}", "SC305")
        else:
            mark = marks.get(result.name, place)
            problems.add(mark, "tests", f"test {result.name!r}: {result.problem}", "SC304")
