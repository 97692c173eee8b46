"""What came of one test of a rule."""

from __future__ import annotations

from dataclasses import dataclass

from signatures.finding import FindingDict

__all__ = ["TestResult"]


@dataclass(frozen=True, slots=True)
class TestResult:
    """What came of one test.

    Attributes:
        rule: id of the rule.
        name: the test's sentence.
        passed: whether it holds; a test that was skipped has not failed.
        problem: what is wrong, or "".
        generated: whether the test was made from the rule, not written in it.
        skipped: why it did not run, or "".
        finding: what the rule said.

    """

    #: Not a test class, whatever its name says to pytest.
    __test__ = False

    rule: str
    name: str
    passed: bool
    problem: str = ""
    generated: bool = False
    skipped: str = ""
    finding: FindingDict | None = None
