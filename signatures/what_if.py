"""What would change a rule's answer: the places that could not be read, with a value on each side of every bound."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from forensics.facts import ITEM_NAME, Facts, path_of
from parsers.version import Version
from signatures.conditions import OneOf, Range
from signatures.engine import Judged, judge_in
from signatures.kinds import DATE_TIME, INTEGER, VERSION
from signatures.load import walk
from signatures.model import FieldTest, Leaf, Rule
from signatures.predicates import FAMILIES, ListFamily
from signatures.predicates.base import Field
from signatures.verdict import unique
from signatures.world import World, split_path

__all__ = ["Case", "Change", "changes"]

#: Places that are tried.
_MAX_PLACES = 6
#: Stands for a value that is none of those that a rule names.
_OTHER = "(another)"


class Case(TypedDict):
    """A value that a place might have, and the state that would follow."""

    value: str
    state: str


class Change(TypedDict):
    """One place that could not be read: what it is, and what its values would lead to."""

    path: str
    what: str
    cases: list[Case]


def changes(rule: Rule, facts: Facts | Mapping[str, Any], judged: Judged) -> list[Change]:
    """Return what would change the state; only places that can are told."""
    parts = [verdict for verdict in (judged.affected, judged.excludes, judged.exposed, judged.crashed) if verdict]
    missing = [line["path"] for line in unique(line for verdict in parts for line in verdict.missing)]
    if "/system/build" in missing and "/system/ubr" in missing:
        # Neither says anything without the other.
        missing.remove("/system/ubr")
    found: list[Change] = []
    for path in missing[:_MAX_PLACES]:
        cases: list[Case] = []
        for words, values in _values(rule, path, World(facts)):
            state = judge_in(rule, World(_with(facts, missing, path, values))).state
            cases.append({"value": words, "state": state})
        if any(case["state"] != judged.state for case in cases):
            found.append({"path": path, "what": _what(path), "cases": cases})
    return found


def _what(path: str) -> str:
    if path in ("/system/build", "/system/ubr"):
        return "the update level"
    parts = split_path(path)
    return f"{parts[-1]} of {parts[-2]}" if len(parts) > 2 else path


def _values(rule: Rule, path: str, world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield values of a place in words, and as facts paths to set."""
    if path in ("/system/build", "/system/ubr"):
        yield from _levels(rule, world)
    for test, field in _tests(rule, path):
        condition = test.condition
        if isinstance(condition, Range):
            for bound, text in ((condition.low, condition.low_text), (condition.high, condition.high_text)):
                below = _just_below(field, bound)
                if below is not None:
                    yield f"below {text}", {path: below}
                    yield f"at or above {text}", {path: _as_fact(field, bound)}
            return
        if isinstance(condition, OneOf):
            for value in condition.values:
                yield str(_as_fact(field, value)), {path: _as_fact(field, value)}
            if isinstance(condition.values[0], bool):
                yield ("no" if condition.values[0] else "yes"), {path: not condition.values[0]}
            elif field.kind is INTEGER:
                yield "another", {path: max(condition.values) + 1}
            else:
                yield "another", {path: _OTHER}
            return


def _levels(rule: Rule, world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield levels on both sides of every edge, on a machine that the entry speaks of as far as that is not known."""
    for entry in rule.affected:
        also: dict[str, Any] = {}
        for field, words in (("installation", entry.installation), ("arch", entry.arch), ("edition", entry.editions)):
            if words and world.gap("system", field) is not None:
                also[f"/system/{field}"] = words[0]
        suffix = f" ({', '.join(also.values())})" if also else ""
        for edge in entry.edges:
            build = edge.build if edge.build is not None else entry.branches[0]
            first = edge.ubr + (edge.kind == "last_affected")
            if first > 0:
                yield f"below {build}.{first}", {"/system/build": build, "/system/ubr": first - 1, **also}
            yield f"at or above {build}.{first}{suffix}", {"/system/build": build, "/system/ubr": first, **also}


def _just_below(field: Field, bound: Any) -> Any:
    if field.kind is VERSION and isinstance(bound, Version) and bound.revision:
        return str(bound._replace(revision=bound.revision - 1))
    if field.kind is INTEGER and isinstance(bound, int) and bound:
        return bound - 1
    return None


def _as_fact(field: Field, value: Any) -> Any:
    if field.kind is DATE_TIME:
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value) if isinstance(value, Version) else value


def _tests(rule: Rule, path: str) -> Iterator[tuple[FieldTest, Field]]:
    """Yield the tests that a rule makes of a place."""
    parts = split_path(path)
    for node in rule.nodes():
        for below in walk(node):
            if not isinstance(below, Leaf):
                continue
            family = FAMILIES[below.family]
            if family.section != parts[0]:
                continue
            for test in below.fields:
                field = family.fields[test.name]
                if test.condition is None or field.get is not None:
                    continue
                place = field.place(test.name)
                names = isinstance(family, ListFamily)
                if place == parts[2 if names else 1 :] and (not names or _means(below, family, parts[1])):
                    yield test, field


def _means(leaf: Leaf, family: Any, name: str) -> bool:
    test = leaf.field(family.name_field) if family.name_field else None
    return test is None or not isinstance(test.condition, OneOf) or name.casefold() in test.condition.values


def _with(facts: Facts | Mapping[str, Any], missing: list[str], path: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts with some places read, and the other missing ones still unread."""
    changed: dict[str, Any] = copy.deepcopy(dict(facts))
    gaps: list[dict[str, str]] = []
    for gap in _maps(changed.get("gaps")):
        if not str(gap.get("path")).startswith("/"):
            continue
        if not any(_covers(gap["path"], place) for place in values):
            gaps.append(gap)
            continue
        # What else lies below this gap stays unread.
        below = [*missing, *_fields_below(gap["path"])]
        gaps += [
            {"path": place, "reason": str(gap.get("reason", ""))}
            for place in below
            if _covers(gap["path"], place) and place not in values and place != gap["path"]
        ]
    changed["gaps"] = gaps
    for place, value in values.items():
        _set(changed, split_path(place), value)
    return changed


def _fields_below(gap: str) -> list[str]:
    """Return the places that predicates read below a gap at a section that is a map."""
    section = split_path(gap)[0]
    return [
        path_of(section, *field.place(name))
        for family in FAMILIES.values()
        if family.section == section and not isinstance(family, ListFamily)
        for name, field in family.fields.items()
    ]


def _covers(gap: str, path: str) -> bool:
    return path.casefold() == gap.casefold() or path.casefold().startswith(gap.casefold() + "/")


def _set(facts: dict[str, Any], parts: tuple[str, ...], value: Any) -> None:
    section = facts.get(parts[0])
    if parts[0] not in ITEM_NAME:
        facts[parts[0]] = {**section, parts[1]: value} if isinstance(section, dict) else {parts[1]: value}
        return
    for item in _maps(section):
        if str(item.get(ITEM_NAME[parts[0]], "")).casefold() == parts[1].casefold() and len(parts) == 3:
            item[parts[2]] = value


def _maps(found: Any) -> list[dict[str, Any]]:
    """Return the maps of a list; a stored document may hold anything."""
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
