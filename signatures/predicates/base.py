"""What every family of typed predicates shares: fields, and one item held against them.

A family reads one section of the facts. A field names a value of an item; its test is YES, NO, or UNKNOWN where the
value lies under a gap. What was read and is not there is NO, whatever is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from signatures.conditions import AllOf, Answer, Condition, NoneOf, OneOf, Scope
from signatures.kinds import FLAG, Kind
from signatures.model import FieldTest, Leaf
from signatures.three import Value, all_of, any_of
from signatures.verdict import EvidenceDict, MissingDict

__all__ = [
    "NOT_COLLECTED",
    "Field",
    "FieldResult",
    "ItemResult",
    "flag",
    "judge_value",
    "line_of",
    "with_source",
    "without_identity",
]

NOT_COLLECTED = "not collected"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a family.

    Attributes:
        kind: of its values.
        word: how statements call it; "" where the value speaks for itself (a version behind a file name).
        key: name of the fact, where it is another one.
        get: takes the fact out of an item, where one name is not enough.
        path: the place below the item that must have been read, where it is not the fact's name.
        identity: whether it says which item is meant; statements begin with it.
        listed: the fact is a list and the rule names members that must all be in it ("all"), or in this order
            ("order"); "any": one member is enough.
        plain: only words and lists of words are allowed, because collectors must know before the scan what is looked
            for.
        minimum: the words from low to high of an enum where more is enough too.
        default: stands for a fact that was read and is not there.
        collected: whether a collector gives it yet; otherwise it is unknown unless the facts have it.

    """

    kind: Kind
    word: str = ""
    key: str = ""
    get: Callable[[Mapping[str, Any]], Any] | None = None
    path: tuple[str, ...] = ()
    identity: bool = False
    listed: str = ""
    plain: bool = False
    minimum: tuple[str, ...] = ()
    default: Any = None
    collected: bool = True

    def fact(self, name: str, item: Mapping[str, Any]) -> Any:
        """Return the fact of an item, or None."""
        return self.get(item) if self.get is not None else item.get(self.key or name)

    def place(self, name: str) -> tuple[str, ...]:
        """Return the path below the item."""
        return self.path or (self.key or name,)


@dataclass(frozen=True, slots=True)
class FieldResult:
    """What one field of one item answers."""

    value: Value
    line: EvidenceDict | None = None
    missing: tuple[MissingDict, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What one item answers to a whole leaf."""

    item: Mapping[str, Any]
    results: tuple[tuple[FieldTest, FieldResult], ...]

    @property
    def value(self) -> Value:
        """All fields together."""
        return all_of(result.value for _test, result in self.results)

    @property
    def matched(self) -> int:
        """How many fields are YES."""
        return sum(result.value is Value.YES for _test, result in self.results)

    def lines(self, value: Value) -> list[EvidenceDict]:
        """Return the lines of the fields with this answer."""
        return [result.line for _test, result in self.results if result.value is value and result.line is not None]

    @property
    def missing(self) -> list[MissingDict]:
        """What the unknown fields lack."""
        return [line for _test, result in self.results if result.value is Value.UNKNOWN for line in result.missing]


def flag(word: str, **more: Any) -> Field:
    """Return a yes/no field that is "no" where it was read and is not there."""
    return Field(FLAG, word, default=False, **more)


def judge_value(field: Field, condition: Condition, fact: Any, scope: Scope, place: str) -> Answer:
    """Hold a fact against a condition; a fact that does not fit its kind is unknown."""
    try:
        if isinstance(fact, (list, tuple)):
            members = [field.kind.read(member) for member in fact]
            if field.listed in ("all", "order"):
                return condition.test(members, scope)
            answers = [condition.test(member, scope) for member in members]
            join = all_of if isinstance(condition, NoneOf) else any_of
            return Answer(join(answer.value for answer in answers), condition.words())
        return condition.test(field.kind.read(fact), scope)
    except ValueError:
        missing: MissingDict = {"path": place, "reason": f"the fact is no {field.kind.name}: {fact!r}"[:200]}
        return Answer(Value.UNKNOWN, condition.words(), (missing,))


def shown(fact: Any) -> str:
    """Return a fact as a statement shows it."""
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if isinstance(fact, (list, tuple)):
        text = ", ".join(str(member) for member in fact[:8])
        return f"{text}, …" if len(fact) > 8 else text
    return str(fact)[:200]


def line_of(
    subject: str,
    field: Field,
    condition: Condition,
    fact: Any,
    answer: Answer,
    *,
    path: str,
    source: Any,
) -> EvidenceDict:
    """Write what a field says for or against."""
    word, value = field.word, shown(fact)
    plain = isinstance(condition, OneOf)
    head = f"{subject}: {word} {value}" if word and not plain else f"{subject} {value}" if not word else ""
    if answer.value is Value.YES:
        if isinstance(condition, AllOf):
            statement = f"{subject}: {word} {value}, {answer.expected}"
        elif plain:
            statement = f"{subject}: {word} is {value}" if word else f"{subject} {value}"
        else:
            statement = f"{head} is {answer.expected}"
    else:
        name = f"{subject}: {word} is {value}" if word else f"{subject} {value}"
        if answer.note:
            statement = f"{name} ({answer.note})"
        elif isinstance(condition, NoneOf):
            statement = name
        else:
            statement = f"{name}, not {answer.expected}"
    line: EvidenceDict = {"statement": statement, "value": fact, "expected": answer.expected, "path": path}
    if source is not None:
        line["source"] = source
    return line


def without_identity(leaf: Leaf, fields: Mapping[str, Field]) -> bool:
    """Tell whether a leaf names nothing but which item it means."""
    return all(fields[test.name].identity for test in leaf.fields)


def with_source(line: EvidenceDict, source: Any) -> EvidenceDict:
    """Add where a line can be checked, if that is known."""
    if source is not None:
        line["source"] = source
    return line
