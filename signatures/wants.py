"""What rules look at, as data for the collectors: file globs, registry values, events, filter classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from forensics.facts import Wants
from signatures.conditions import OneOf, SameAs
from signatures.load import walk
from signatures.model import FieldTest, Leaf, Rule
from signatures.predicates.places import registry_names

__all__ = ["wants_of"]


def wants_of(rules: Iterable[Rule]) -> Wants:
    """Return what the rules look at; withdrawn ones look at nothing."""
    wants = Wants()
    for rule in rules:
        if rule.status == "withdrawn":
            continue
        for node in rule.nodes():
            for below in walk(node):
                if isinstance(below, Leaf):
                    _take(below, wants)
    return wants


def _take(leaf: Leaf, wants: Wants) -> None:
    if leaf.family == "file":
        for fields in _with_partners(leaf):
            wants.files.update(_texts(fields, "path"))
    elif leaf.family == "registry":
        for fields in _with_partners(leaf):
            wants.registry.update(registry_names(Leaf("registry", fields)))
    elif leaf.family == "event":
        providers = _texts(leaf.fields, "provider") or ("",)
        for log in _texts(leaf.fields, "log"):
            for provider in providers:
                wants.events.update((log, provider, int(number)) for number in _texts(leaf.fields, "id"))
    elif leaf.family == "filter":
        wants.filter_classes.update(_texts(leaf.fields, "class"))


def _with_partners(leaf: Leaf) -> Iterator[tuple[FieldTest, ...]]:
    """Yield the fields of a leaf, and those by which it names other items."""
    yield leaf.fields
    for test in leaf.fields:
        if isinstance(test.condition, SameAs):
            yield test.condition.fields


def _texts(fields: Iterable[FieldTest], name: str) -> tuple[str, ...]:
    for test in fields:
        if test.name == name and isinstance(test.condition, OneOf):
            return test.condition.texts
    return ()
