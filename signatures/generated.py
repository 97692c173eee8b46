"""Tests made from a rule: its edges, its version bounds, a gap at every field, nothing there, nothing readable.

They take the rule's first matching test as their machine and change one thing. Whoever writes a rule by its machine
alone forgets one of these; nobody has to write them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from forensics.facts import ITEM_NAME, path_of
from parsers.version import Version
from signatures.branch import judge_affected
from signatures.conditions import Range
from signatures.engine import judge, judge_in
from signatures.kinds import VERSION
from signatures.load import walk
from signatures.model import Affected, AnyNode, CountNode, InlineTest, Leaf, NotNode, Rule
from signatures.results import TestResult
from signatures.short_facts import facts_of
from signatures.three import Value
from signatures.wants import wants_of
from signatures.world import World

__all__ = ["generated_tests"]

_FOUND = ("exposed", "crashed")
#: Facts of an item that only say which one it is.
_IDENTITY = {"item", "dump", "latest", "source", "sources", "class_name", "side", "name", "file", "path", "glob"} | {
    "log", "provider", "id", "package", "kb", "hive", "key", "value", "time", "absent", "unloaded", "missing",
}  # fmt: skip
_SECTIONS = (
    "system", "drivers", "services", "filters", "updates", "registry", "files", "events", "boot", "crash_settings",
    "crashes", "storage", "security",
)  # fmt: skip


def generated_tests(rule: Rule) -> list[TestResult]:
    """Make and run the tests; a withdrawn rule has none."""
    if rule.status == "withdrawn":
        return []
    results = [*_nothing(rule)]
    results += _edges(rule)
    for test in rule.tests:
        if test.expect in _FOUND and not test.sample:
            try:
                facts = facts_of(test.facts, test.gaps, wants_of([rule]))
            except ValueError:
                # The written test fails by itself and says why.
                return results
            results += _bounds(rule, facts)
            results += _gaps(rule, test, facts)
            break
    return results


def _result(rule: Rule, name: str, problem: str) -> TestResult:
    return TestResult(rule.id, name, passed=not problem, problem=problem, generated=True)


def _nothing(rule: Rule) -> Iterator[TestResult]:
    state = judge(rule, facts_of({}, (), wants_of([rule])))["state"]
    problem = "" if state == "clear" else f"expected clear, the rule says {state}"
    yield _result(rule, "everything was read and nothing is there", problem)
    state = judge(rule, facts_of({}, [f"/{section}" for section in _SECTIONS]))["state"]
    problem = "" if state == "unjudged" else f"expected unjudged, the rule says {state}"
    yield _result(rule, "nothing can be read", problem)


def _edges(rule: Rule) -> Iterator[TestResult]:
    """Hold the ranges against machines on both sides of every edge."""
    for entry in rule.affected:
        for edge in entry.edges:
            for build in (edge.build,) if edge.build is not None else entry.branches:
                first = edge.ubr + (edge.kind == "last_affected")
                sides = [(first, edge.kind == "introduced")]
                if first > 0:
                    sides.append((first - 1, edge.kind != "introduced"))
                for ubr, inside in sides:
                    world = World(facts_of({"system": _machine(entry, build, ubr)}))
                    value = judge_affected(rule.affected, world).value
                    problem = (
                        "" if value is Value.of(inside) else f"expected {Value.of(inside).value}, is {value.value}"
                    )
                    where = "inside" if inside else "outside"
                    yield _result(rule, f"{build}.{ubr} is {where}: {edge.kind} {edge.text}", problem)


def _machine(entry: Affected, build: int, ubr: int) -> dict[str, str]:
    system = {"build": str(build), "ubr": str(ubr)}
    for field, words in (
        ("installation", entry.installation), ("arch", entry.arch), ("edition", entry.editions),
    ):  # fmt: skip
        if words:
            system[field] = words[0]
    return system


def _bounds(rule: Rule, facts: Mapping[str, Any]) -> Iterator[TestResult]:
    """Put drivers at and below the version bounds that a rule names for them."""
    sure = _always_counts(rule)
    for leaf in sure:
        file, version = leaf.field("file"), leaf.field("version")
        condition = version.condition if version is not None else None
        if leaf.absent or file is None or not isinstance(condition, Range) or condition.kind is not VERSION:
            continue
        names: tuple[str, ...] = getattr(file.condition, "values", ())
        for bound, at_bound in ((condition.high, False), (condition.low, True)):
            if not isinstance(bound, Version):
                continue
            values = [(bound, at_bound)]
            if bound.revision:
                values.append((bound._replace(revision=bound.revision - 1), not at_bound))
            for value, holds in values:
                changed = copy.deepcopy(dict(facts))
                hit = False
                for driver in changed["drivers"]:
                    if driver["file"] in names:
                        driver["version"], hit = str(value), True
                if not hit:
                    continue
                exposed = judge_in(rule, World(changed)).exposed
                found = exposed is not None and exposed.value is Value.YES
                problem = "" if found is holds else f"exposed is {'yes' if found else 'no'}"
                word = "exposed" if holds else "not exposed"
                yield _result(rule, f"{names[0]} at {value} is {word}", problem)


def _always_counts(rule: Rule) -> list[Leaf]:
    """Return the driver leaves that `exposed` cannot do without: below `all` and `use` only."""
    found: list[Leaf] = []
    todo = [rule.exposed] if rule.exposed is not None else []
    while todo:
        node = todo.pop()
        if isinstance(node, Leaf):
            found += [node] if node.family == "driver" else []
        elif isinstance(node, (AnyNode, CountNode, NotNode)):
            continue
        elif hasattr(node, "children"):
            todo += node.children
        else:
            todo.append(rule.define[node.name])
    return found


def _gaps(rule: Rule, test: InlineTest, facts: Mapping[str, Any]) -> Iterator[TestResult]:
    """Make every fact of the matching test unreadable, one after another.

    What was needed must not count any more, and what is unknown must not be called clear, unless the rule's other
    half says no (a repaired machine whose old dump cannot be read is clear).
    """
    base = judge_in(rule, World(facts))
    if base.state != test.expect:
        return
    may_clear = base.exposed is not None and base.exposed.value is Value.NO
    negated = any(isinstance(below, NotNode) for node in rule.nodes() for below in walk(node))
    for path, parts in _places(facts):
        without = _without(facts, parts)
        removed = judge_in(rule, World(without)).state
        without["gaps"] = [*without["gaps"], {"path": path, "reason": "could not be read (test)"}]
        state = judge_in(rule, World(without)).state
        problem = ""
        if state == "clear" and not may_clear:
            problem = "the rule says clear although a fact that it may need cannot be read"
        elif parts[0] == "system" and state == base.state == "crashed":
            # The gate lies open to a crash that is certain (row 2 of the table).
            problem = ""
        elif state == base.state and removed != base.state and not negated:
            problem = f"the rule says {state} although a fact that it needs cannot be read"
        yield _result(rule, f"{path} cannot be read", problem)


def _places(facts: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the path of every fact, and the keys that lead to it in the document."""
    for section in _SECTIONS:
        value = facts[section]
        if isinstance(value, Mapping):
            for name in value:
                if name != "sources":
                    yield path_of(section, name), (section, name)
            continue
        for at, item in enumerate(value):
            if item.get("absent"):
                continue
            own = str(item[ITEM_NAME[section]])
            for name in item:
                if name in _IDENTITY:
                    continue
                if name != "modules":
                    yield path_of(section, own, name), (section, at, name)
                    continue
                for number, module in enumerate(item[name]):
                    if "version" in module:
                        path = path_of(section, own, name, str(module["name"]), "version")
                        yield path, (section, at, name, number, "version")


def _without(facts: Mapping[str, Any], parts: tuple[Any, ...]) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(dict(facts))
    below: Any = changed
    for part in parts[:-1]:
        below = below[part]
    del below[parts[-1]]
    return changed
