"""The page that lists the built-in rules; run as a program it writes docs/rules.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from signatures import load_database
from signatures.model import Rule

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "rules.md"
_HEAD = """# The built-in rules

What stopcode knows today. `stopcode signatures show ID` prints one with its sources and its remedy,
`stopcode signatures why ID IMAGE` shows why it says what it says of a machine. The language is described in
[signatures.md](signatures.md); the rules are the files below
[signatures/database](../signatures/database). This page is made from them
(`python -m tests.signatures.rules_page`).

*crashed* and *exposed* say which states a rule can find: the stop that already happened, the machine that will stop.
A rule of status *experimental* is shown with a mark and never sets exit code 1.

| rule | what is wrong | kind | severity | status | finds |
| --- | --- | --- | --- | --- | --- |
"""


def page(rules: Iterable[Rule]) -> str:
    """Return the page, the rules by family and id."""
    rows = []
    for rule in sorted(rules, key=lambda rule: (rule.family, rule.id)):
        finds = ", ".join(
            word for word, node in (("exposed", rule.exposed), ("crashed", rule.crashed)) if node is not None
        )
        link = f"[{rule.id}](../signatures/database/{rule.family}/{rule.id}.yaml)"
        title = rule.title.replace("|", "\\|")
        rows.append(f"| {link} | {title} | {rule.kind} | {rule.severity} | {rule.status} | {finds} |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(load_database().rules), encoding="utf-8")
