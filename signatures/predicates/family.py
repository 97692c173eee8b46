"""What a family is: a name, a section of the facts, a table of fields; and the shape that is one map.

The other shape, a list of items, has a module of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forensics.facts import path_of
from signatures.conditions import AllOf, Answer, Condition, NoneOf, OneOf, Scope
from signatures.model import FieldTest, Leaf
from signatures.predicates.base import (
    NOT_COLLECTED,
    Field,
    FieldResult,
    ItemResult,
    judge_value,
    line_of,
    with_source,
)
from signatures.three import Value
from signatures.verdict import EvidenceDict, MissingDict, Verdict, unique
from signatures.world import World

__all__ = ["Context", "Family", "MapFamily"]


class Context(Scope):
    """What a leaf may ask of the rule it stands in."""

    world: World

    def for_field(self, family: Family, name: str) -> Context:
        """Return the same context for the tests of one field, so that `same_as` knows which."""
        raise NotImplementedError

    def affected(self) -> Verdict:
        """Return the verdict of the rule's own ranges."""
        raise NotImplementedError


@dataclass(frozen=True)
class Family:
    """One family of typed predicates.

    Attributes:
        name: its key in rules.
        section: the section of the facts that it reads.
        noun: how statements call one item.
        fields: its fields by name.
        required: fields without which a leaf says nothing that could be collected or read.
        implied: tests added to every leaf that does not name the field itself.

    """

    name: str
    section: str
    noun: str
    fields: Mapping[str, Field]
    required: tuple[str, ...] = ()
    implied: tuple[FieldTest, ...] = ()

    #: Whether `absent` can be asked.
    can_be_absent = False

    def evaluate(self, leaf: Leaf, context: Context) -> Verdict:
        """Judge a leaf."""
        raise NotImplementedError

    def parts_of(self, item: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the facts path of an item."""
        return (self.section,)

    def subject(self, item: Mapping[str, Any]) -> str:
        """Return how a statement names an item."""
        return self.noun

    def test_field(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        """Judge one field of one item."""
        field = self.fields[test.name]
        assert test.condition is not None
        return self.judge(test.name, field, test.condition, item, context)

    def judge(
        self, name: str, field: Field, condition: Condition, item: Mapping[str, Any], context: Context
    ) -> FieldResult:
        """Judge a field's fact of one item against a condition."""
        return self.judge_fact(name, field, condition, field.fact(name, item), item, context)

    def judge_fact(
        self, name: str, field: Field, condition: Condition, fact: Any, item: Mapping[str, Any], context: Context
    ) -> FieldResult:
        """Judge a fact, which may be None, against a condition; `field.place` is where it should be."""
        world = context.world
        parts = (*self.parts_of(item), *field.place(name))
        path = path_of(*parts)
        missing = self.unread(world, parts)
        if missing is not None and (fact is None or self.strict or world.gap_at(*parts) is not None):
            if field.listed == "any" and isinstance(fact, (list, tuple)) and not isinstance(condition, NoneOf):
                # A list that is known in part can still be known to hold something.
                known = judge_value(field, condition, fact, context.for_field(self, name), path)
                if known.value is Value.YES:
                    return FieldResult(Value.YES, self.line(name, field, condition, fact, known, item, context))
            return FieldResult(Value.UNKNOWN, missing=(missing,))
        if fact is None and field.collected:
            fact = field.default
        if fact is None:
            if not field.collected:
                return FieldResult(Value.UNKNOWN, missing=({"path": path, "reason": NOT_COLLECTED},))
            absent: EvidenceDict = {
                "statement": f"{self.subject(item)}: no {field.word or name}",
                "expected": condition.words(),
                "path": path,
            }
            return FieldResult(Value.NO, with_source(absent, world.source_of(item, field.key or name)))
        answer = judge_value(field, condition, fact, context.for_field(self, name), path)
        line = self.line(name, field, condition, fact, answer, item, context)
        return FieldResult(answer.value, line, answer.missing)

    def line(
        self,
        name: str,
        field: Field,
        condition: Condition,
        fact: Any,
        answer: Answer,
        item: Mapping[str, Any],
        context: Context,
    ) -> EvidenceDict:
        """Write what a field says for or against."""
        path = path_of(*self.parts_of(item), *field.place(name))
        source = context.world.source_of(item, field.key or name)
        return line_of(self.subject(item), field, condition, fact, answer, path=path, source=source)

    #: Whether a gap above a fact makes it unknown although the fact is there.
    strict = False

    def unread(self, world: World, parts: tuple[str, ...]) -> MissingDict | None:
        """Return the gap that hides a fact."""
        return world.gap(*parts)

    def words(self, leaf: Leaf) -> str:
        """Describe a leaf for a person."""
        subject = self.leaf_subject(leaf)
        rest = []
        for test in leaf.fields:
            field = self.fields[test.name]
            if field.identity or test.condition is None:
                continue
            link = "" if isinstance(test.condition, (OneOf, AllOf)) else "is "
            rest.append(f"{field.word or test.name} {link}{test.condition.words()}")
        if leaf.absent:
            subject = f"no {subject}"
        return f"{subject}: {', '.join(rest)}" if rest else subject

    def leaf_subject(self, leaf: Leaf) -> str:
        """Name the item that a leaf asks for."""
        names = [
            test.condition.words()
            for test in leaf.fields
            if self.fields[test.name].identity and test.condition is not None
        ]
        return " ".join([self.noun, *names])


@dataclass(frozen=True)
class MapFamily(Family):
    """A section that is one map: `/system`, `/boot`."""

    strict = True

    def evaluate(self, leaf: Leaf, context: Context) -> Verdict:
        """Judge all fields of the one map."""
        item = context.world.section(self.section)
        result = ItemResult(item, tuple((test, self.test_field(test, item, context)) for test in leaf.fields))
        value = result.value
        against = result.lines(Value.NO)
        return Verdict(
            value,
            self.name,
            evidence=tuple(result.lines(Value.YES)) if value is not Value.NO else (),
            against=tuple(against) if value is Value.NO else (),
            missing=unique(result.missing) if value is Value.UNKNOWN else (),
            leaf=True,
        )
