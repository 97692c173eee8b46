"""The page on containers names a test for each case in which other readers are silently wrong: it is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\|.*\]\(\.\./(tests/\S+?\.py)\): `(test_\w+)` \|$", re.MULTILINE)


def test_every_case_in_which_others_are_silently_wrong_has_its_test() -> None:
    page = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    section = page.partition("## Where other readers are silently wrong")[2]
    rows = _ROW.findall(section)
    # A heading, a rule, and the cases.
    assert len(rows) == section.count("\n| ") - 2 >= 18
    for file, name in rows:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (file, name)
