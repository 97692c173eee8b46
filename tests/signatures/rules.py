"""Rules for tests: a whole sound rule around the part that a test is about, and facts in short form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from signatures.engine import judge
from signatures.finding import FindingDict
from signatures.load import Loaded, load_rule
from signatures.model import Rule
from signatures.short_facts import facts_of
from signatures.wants import wants_of

HEAD = """\
schema: "1"
id: some-rule
title: "Something is wrong"
summary: "A sentence about it."
family: storage
kind: regression
status: experimental
severity: high
version: "1"
created: "2026-01-15"
modified: "2026-01-15"
references: [{id: here, kind: own-measurement, title: "A test", says: "nothing"}]
explain: "Because."
remediation: [{do: "Mend it", kind: check}]
"""

OLD = 'driver: {file: a.sys, version: {below: "1.0.0.5"}}'


def load(parts: str, *, head: str = HEAD) -> Loaded:
    """Load a rule whose head is sound and whose conditions are given as YAML."""
    return load_rule((head + parts).encode(), "some-rule.yaml", stem="some-rule")


def rule_of(parts: str, **changes: Any) -> Rule:
    """Return a rule with these conditions; `changes` replace keys of the head."""
    document = yaml.load(HEAD, Loader=yaml.BaseLoader)
    document.update(changes)
    head = yaml.safe_dump(document, default_style='"', allow_unicode=True)
    loaded = load(parts, head=head)
    assert not loaded.problems, [problem.message for problem in loaded.problems]
    return loaded.rules[0]


def codes(loaded: Loaded) -> list[str]:
    """Return the codes of all problems."""
    return [problem.code for problem in loaded.problems]


def facts(rule: Rule | None = None, gaps: Iterable[str] = (), **sections: Any) -> dict[str, Any]:
    """Return facts in which everything else was read; what the rule looks for among it."""
    return facts_of(sections, gaps, wants_of([rule]) if rule is not None else None)


def say(parts: str, gaps: Iterable[str] = (), **sections: Any) -> FindingDict:
    """Judge a rule with these conditions on a machine in short form."""
    rule = rule_of(parts)
    return judge(rule, facts(rule, gaps, **sections))


def state(parts: str, gaps: Iterable[str] = (), **sections: Any) -> str:
    """Return the state of such a rule."""
    return say(parts, gaps, **sections)["state"]


def answer(predicate: str, gaps: Iterable[str] = (), document: Mapping[str, Any] | None = None, **sections: Any) -> str:
    """Return what one predicate answers: yes, no or unknown."""
    from signatures.evaluate import Evaluator
    from signatures.world import World

    rule = rule_of(f"exposed:\n  {predicate}\n")
    assert rule.exposed is not None
    world = World(document if document is not None else facts(rule, gaps, **sections))
    return Evaluator(rule, world).evaluate(rule.exposed).value.value
