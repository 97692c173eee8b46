"""The page of the language names what the code knows."""

from __future__ import annotations

import re
from pathlib import Path

from signatures.load import load_rule
from signatures.predicates import FAMILIES
from signatures.schema import RULE
from signatures.testing import run_tests

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "signatures.md").read_text(encoding="utf-8")


def test_every_family_and_field_stands_in_the_table_and_nothing_else_does() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `/\w+` \| (.*) \|$", PAGE, re.MULTILINE))
    assert set(rows) == set(FAMILIES)
    for name, family in FAMILIES.items():
        told = {part.split("`")[1] for part in rows[name].split(" · ")} - {"absent"}
        assert told == set(family.fields), name


def test_every_key_of_a_rule_is_described() -> None:
    keys = PAGE.partition("## Keys")[2].partition("\n## ")[0]
    assert {key for key in RULE.keys if f"`{key}`" not in keys} == set()


def test_every_code_that_the_code_gives_is_described_and_no_other() -> None:
    used = {
        code
        for path in (ROOT / "signatures").rglob("*.py")
        for code in re.findall(r'"(SC\d{3})"', path.read_text(encoding="utf-8"))
    }
    assert set(re.findall(r"SC\d{3}", PAGE)) == used


def test_the_rule_on_the_page_loads_and_its_test_holds() -> None:
    text = PAGE.partition("```yaml\n")[2].partition("```")[0]
    loaded = load_rule(text.encode(), "vmstorfl.yaml", stem="vmstorfl")
    assert not loaded.problems
    assert [result.problem for result in run_tests(loaded.rules[0]) if not result.passed] == []
