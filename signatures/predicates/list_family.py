"""A family over a list of items, one of which must satisfy all fields.

YES if some item is YES; else UNKNOWN if some item is UNKNOWN or the list is incomplete (a gap at the list or at an item
that could be the one meant); else NO. `absent` is the mirror. A gap at an item that cannot match does not matter: a
damaged `foo.sys` must not make `vmstorfl.sys` unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from forensics.facts import path_of
from signatures.conditions import Condition, OneOf, Range
from signatures.kinds import DATE_TIME
from signatures.model import Leaf
from signatures.predicates.base import ItemResult, with_source, without_identity
from signatures.predicates.family import Context, Family
from signatures.three import Value, negate
from signatures.verdict import EvidenceDict, MissingDict, Verdict, unique
from signatures.world import World

__all__ = ["ListFamily"]

#: Items whose lines a finding shows; more say the same.
_MAX_SHOWN = 5
#: Gaps that one leaf names.
_MAX_MISSING = 8


class _Moment(TypedDict, total=False):
    """When something happened, or why that is not known."""

    moment: datetime
    moment_missing: MissingDict


@dataclass(frozen=True)
class ListFamily(Family):
    """A section that is a list.

    Attributes:
        name_field: the rule's field that names the item in paths, if one does.
        place: where it was looked, for "not there".
        time_key: the fact that says when an item happened.

    """

    name_field: str = ""
    place: str = ""
    time_key: str = ""

    can_be_absent = True

    def parts_of(self, item: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the facts path of an item."""
        return (self.section, World.name_of(self.section, item))

    def subject(self, item: Mapping[str, Any]) -> str:
        """Return how a statement names an item."""
        return World.name_of(self.section, item)

    def unread(self, world: World, parts: tuple[str, ...]) -> MissingDict | None:
        """Return the gap at the item or below it; one at the list says nothing of the items that are there."""
        return world.gap(*parts, above=2)

    def candidates(self, leaf: Leaf, world: World) -> Iterable[Mapping[str, Any]]:
        """Return the items that may satisfy the leaf."""
        test = leaf.field(self.name_field) if self.name_field else None
        if test is not None and isinstance(test.condition, OneOf):
            key = self.fields[self.name_field].key or self.name_field
            return world.by_name(self.section, key, test.condition.values)
        return world.items(self.section)

    def is_there(self, item: Mapping[str, Any]) -> bool:
        """Tell whether an item stands for something that exists; `absent` items say that it does not."""
        return not item.get("absent")

    def could_be(self, leaf: Leaf, name: str, context: Context) -> bool:
        """Tell whether an unreadable item of this name may be the one that the leaf means."""
        test = leaf.field(self.name_field) if self.name_field else None
        if test is None or test.condition is None:
            return True
        kind = self.fields[self.name_field].kind
        return test.condition.test(kind.read(name), context).value is not Value.NO

    def incomplete(self, leaf: Leaf, context: Context) -> list[MissingDict]:
        """Return why items may be missing that the leaf asks for."""
        world = context.world
        found = [] if (gap := world.section_gap(self.section)) is None else [gap]
        known: set[str] | None = None
        for item_gap in world.item_gaps(self.section):
            if known is None:
                known = {World.name_of(self.section, item).casefold() for item in world.items(self.section)}
            if item_gap.name.casefold() not in known and self.could_be(leaf, item_gap.name, context):
                found.append(item_gap.missing)
        return found

    def test_item(self, leaf: Leaf, item: Mapping[str, Any], context: Context) -> ItemResult:
        """Judge all fields of one item."""
        tests = [*leaf.fields]
        tests += [test for test in self.implied if leaf.field(test.name) is None]
        return ItemResult(item, tuple((test, self.test_field(test, item, context)) for test in tests))

    def evaluate(self, leaf: Leaf, context: Context) -> Verdict:
        """Judge the list."""
        count = leaf.field("count")
        bare = leaf if count is None else Leaf(leaf.family, tuple(t for t in leaf.fields if t is not count))
        results = [
            self.test_item(bare, item, context) for item in self.candidates(bare, context.world) if self.is_there(item)
        ]
        missing = self.incomplete(bare, context)
        if count is not None and count.condition is not None:
            return self._counted(leaf, count.condition, results, missing, context)
        hits = [result for result in results if result.value is Value.YES]
        unknown = [result for result in results if result.value is Value.UNKNOWN]
        value = Value.YES if hits else Value.UNKNOWN if unknown or missing else Value.NO
        verdict = self._verdict(leaf, value, results, hits, unknown, missing, context)
        return self._mirrored(verdict, leaf, context) if leaf.absent else verdict

    def _verdict(
        self,
        leaf: Leaf,
        value: Value,
        results: Sequence[ItemResult],
        hits: Sequence[ItemResult],
        unknown: Sequence[ItemResult],
        missing: Sequence[MissingDict],
        context: Context,
    ) -> Verdict:
        evidence: list[EvidenceDict] = []
        against: list[EvidenceDict] = []
        lacks: list[MissingDict] = []
        if value is Value.YES:
            for result in hits[:_MAX_SHOWN]:
                evidence += self.item_lines(leaf, result)
        elif value is Value.UNKNOWN:
            for result in unknown[:_MAX_SHOWN]:
                evidence += self.item_lines(leaf, result) if result.matched else []
                lacks += result.missing
            lacks += missing
        else:
            against = self.nearest(leaf, results)
        return Verdict(
            value,
            self.name,
            evidence=unique(evidence),
            against=unique(against),
            missing=unique(lacks)[:_MAX_MISSING],
            leaf=True,
            **self._moment(hits, context),
        )

    def _moment(self, hits: Sequence[ItemResult], context: Context) -> _Moment:
        """Return when the first hit happened, or what is missing to tell."""
        if not hits or not self.time_key:
            return {}
        item = hits[0].item
        parts = (*self.parts_of(item), self.time_key)
        missing = self.unread(context.world, parts)
        fact = item.get(self.time_key)
        if missing is not None and (fact is None or context.world.gap_at(*parts) is not None):
            return {"moment_missing": missing}
        try:
            return {"moment": DATE_TIME.read(fact)}
        except ValueError:
            return {}

    def item_lines(self, leaf: Leaf, result: ItemResult) -> list[EvidenceDict]:
        """Return what an item says for the leaf; what only names it is one line."""
        named = {test.name for test in leaf.fields}
        lines = [
            part.line
            for test, part in result.results
            if part.value is Value.YES
            and part.line is not None
            and test.name in named
            and not self.fields[test.name].identity
        ]
        if lines or not (without_identity(leaf, self.fields) or result.value is Value.UNKNOWN):
            return lines
        item = result.item
        line: EvidenceDict = {
            "statement": f"{self.subject(item)} is there",
            "path": path_of(*self.parts_of(item)),
        }
        return [with_source(line, item.get("source"))]

    def nearest(self, leaf: Leaf, results: Sequence[ItemResult]) -> list[EvidenceDict]:
        """Return why no item satisfies the leaf: the first field of the nearest one that fails."""
        named = [
            result
            for result in results
            if all(part.value is not Value.NO for test, part in result.results if self.fields[test.name].identity)
        ]
        if named:
            best = max(named, key=lambda result: result.matched)
            failed = best.lines(Value.NO)
            if failed:
                return failed[:1]
        where = f" in {self.place}" if self.place else ""
        return [{"statement": f"no {self.leaf_subject(leaf)}{where}", "path": path_of(self.section)}]

    def _mirrored(self, verdict: Verdict, leaf: Leaf, context: Context) -> Verdict:
        where = f" in {self.place}" if self.place else ""
        words = self.words(Leaf(leaf.family, leaf.fields))
        gone: EvidenceDict = {"statement": f"no {words}{where}", "path": path_of(self.section)}
        source = self.source_of_absence(leaf, context)
        if source is not None:
            gone["source"] = source
        return Verdict(
            negate(verdict.value),
            verdict.label,
            evidence=(gone,) if verdict.value is Value.NO else (),
            against=verdict.evidence if verdict.value is Value.YES else (),
            missing=verdict.missing,
            leaf=True,
        )

    def partner(self, leaf: Leaf, name: str, context: Context) -> tuple[Value, Any, MissingDict | None]:
        """Return a field of the first item that a leaf names: whether it could be read, its value, what is missing."""
        for item in self.candidates(leaf, context.world):
            if not self.is_there(item):
                continue
            result = ItemResult(item, tuple((test, self.test_field(test, item, context)) for test in leaf.fields))
            if result.value is Value.NO:
                continue
            if result.value is Value.UNKNOWN:
                return Value.UNKNOWN, None, next(iter(result.missing), None)
            field = self.fields[name]
            parts = (*self.parts_of(item), *field.place(name))
            fact = field.fact(name, item)
            missing = self.unread(context.world, parts)
            if missing is not None and (fact is None or context.world.gap_at(*parts) is not None):
                return Value.UNKNOWN, None, missing
            if fact is None:
                return Value.NO, None, None
            try:
                return Value.YES, field.kind.read(fact), None
            except ValueError:
                return Value.UNKNOWN, None, {"path": path_of(*parts), "reason": f"the fact is no {field.kind.name}"}
        missing_items = self.incomplete(leaf, context)
        return (Value.UNKNOWN, None, missing_items[0]) if missing_items else (Value.NO, None, None)

    def source_of_absence(self, leaf: Leaf, context: Context) -> Any:
        """Return the source of an item that says that something is not there, or None."""
        return None

    def _counted(
        self,
        leaf: Leaf,
        condition: Condition,
        results: Sequence[ItemResult],
        missing: Sequence[MissingDict],
        context: Context,
    ) -> Verdict:
        """Judge how many items satisfy the other fields, whatever the unknown ones turn out to be."""
        hits = [result for result in results if result.value is Value.YES]
        unknown = [result for result in results if result.value is Value.UNKNOWN]
        value = _count_value(condition, len(hits), len(unknown), bool(missing), context)
        counted: EvidenceDict = {
            "statement": f"{len(hits)} times {self.leaf_subject(leaf)}",
            "value": len(hits),
            "expected": condition.words(),
            "path": path_of(self.section),
        }
        lacks = unique([*(line for result in unknown[:_MAX_SHOWN] for line in result.missing), *missing])[:_MAX_MISSING]
        return Verdict(
            value,
            self.name,
            evidence=(counted, *(line for result in hits[:_MAX_SHOWN] for line in self.item_lines(leaf, result)))
            if value is Value.YES
            else (),
            against=(counted,) if value is Value.NO else (),
            missing=lacks if value is Value.UNKNOWN else (),
            leaf=True,
            **self._moment(hits, context),
        )


def _count_value(condition: Condition, least: int, unknown: int, endless: bool, context: Context) -> Value:
    if not endless:
        answers = {condition.test(number, context).value for number in range(least, least + unknown + 1)}
        return answers.pop() if len(answers) == 1 else Value.UNKNOWN
    # More items may be there than anyone knows: only an open range can be sure.
    if isinstance(condition, Range):
        if condition.high is None and least >= (condition.low or 0):
            return Value.YES
        return Value.NO if condition.high is not None and least >= condition.high else Value.UNKNOWN
    if isinstance(condition, OneOf):
        return Value.NO if all(least > wanted for wanted in condition.values) else Value.UNKNOWN
    return Value.UNKNOWN
