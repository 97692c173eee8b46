"""Checks of rules beyond their form: what a range means, whether tests hold, whether a text helps.

Three profiles, each with all of the one before: `load` (SC0, SC1: what a scan asks of a user's rules), `rules` (SC2,
SC3: what the built-in ones must pass) and `strict` (SC4: craft).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from signatures.lint.craft import check_craft
from signatures.lint.logic import check_logic, check_twins
from signatures.lint.ranges import check_ranges
from signatures.lint.tests import check_tests
from signatures.load import load_files, rule_files
from signatures.model import Rule
from signatures.problems import Problem, Problems

__all__ = ["PROFILES", "Profile", "lint_paths", "lint_rules"]

Profile = Literal["load", "rules", "strict"]
PROFILES: tuple[Profile, ...] = ("load", "rules", "strict")
_MEANING: tuple[Callable[[Rule, Problems], None], ...] = (check_ranges, check_logic, check_tests)


def lint_rules(rules: Iterable[Rule], profile: Profile = "rules") -> list[Problem]:
    """Check loaded rules; what does not load was told by the loader."""
    problems: list[Problem] = []
    listed = list(rules)
    for rule in listed:
        if profile == "load" or rule.status == "withdrawn":
            continue
        found = Problems(rule.file, rule.lines)
        for check in _MEANING:
            check(rule, found)
        if profile == "strict":
            check_craft(rule, found)
        problems += found.items
    if profile != "load":
        problems += check_twins(listed)
    return sorted(problems, key=lambda problem: (problem.file, problem.mark, problem.code))


def lint_paths(paths: Sequence[Path], profile: Profile = "rules") -> tuple[tuple[Rule, ...], list[Problem]]:
    """Load and check files and folders; return the rules that loaded and every problem."""
    loaded = load_files([file for path in paths for file in rule_files(path)])
    problems = [*loaded.problems, *lint_rules(loaded.rules, profile)]
    return loaded.rules, sorted(problems, key=lambda problem: (problem.file, problem.mark, problem.code))
