"""Conditions on one value: equal, one of, none of, a half-open range, a glob, a regular expression.

A condition knows the value's kind; `test` is given a converted fact. What else an operator needs (the machine's
branch, another item) is asked of the `Scope`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from signatures.kinds import BUILD, BYTES, Kind
from signatures.three import Value
from signatures.verdict import MissingDict

__all__ = [
    "AllOf",
    "Answer",
    "Condition",
    "Like",
    "Matches",
    "NoneOf",
    "OneOf",
    "PerBranch",
    "Range",
    "SameAs",
    "Scope",
    "Within",
    "compile_glob",
    "equal",
]

#: Characters of a value that a glob sees.
_MAX_GLOBBED = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """What a condition says of one value: `expected` in words, and what is missing when it cannot tell."""

    value: Value
    expected: str
    missing: tuple[MissingDict, ...] = ()
    note: str = ""


class Scope(Protocol):
    """What conditions may ask beside the value."""

    def branch_group(self) -> tuple[int, ...] | MissingDict:
        """Return the builds with this machine's files, or what is missing to tell."""

    def partner(self, fields: tuple[Any, ...]) -> tuple[Value, Any, MissingDict | None]:
        """Return the same field of another item: whether it could be read, its value, what is missing."""

    def moment_of(self, name: str) -> tuple[Value, Any, tuple[MissingDict, ...]]:
        """Return the time of the first item that satisfied a defined predicate."""


class Condition(Protocol):
    """One condition on one value."""

    def test(self, value: Any, scope: Scope) -> Answer:
        """Judge a converted fact."""

    def words(self) -> str:
        """Return what is expected, in words that fit behind "is"."""


def equal(kind: Kind, wanted: Any, value: Any) -> bool:
    """Tell whether a fact is what a rule names."""
    if kind is BYTES:
        return str(value).startswith(wanted)
    return bool(wanted == value)


@dataclass(frozen=True, slots=True)
class OneOf:
    """Equal to one of the values; `texts` are the rule's own words."""

    kind: Kind
    values: tuple[Any, ...]
    texts: tuple[str, ...]

    def test(self, value: Any, scope: Scope) -> Answer:
        """Judge a converted fact."""
        found = any(equal(self.kind, wanted, value) for wanted in self.values)
        return Answer(Value.of(found), self.words())

    def words(self) -> str:
        """Return what is expected."""
        return self.texts[0] if len(self.texts) == 1 else "one of " + ", ".join(self.texts)


@dataclass(frozen=True, slots=True)
class NoneOf:
    """Equal to none of the values."""

    kind: Kind
    values: tuple[Any, ...]
    texts: tuple[str, ...]

    def test(self, value: Any, scope: Scope) -> Answer:
        """Judge a converted fact."""
        found = any(equal(self.kind, wanted, value) for wanted in self.values)
        return Answer(Value.of(not found), self.words())

    def words(self) -> str:
        """Return what is expected."""
        return f"not {self.texts[0]}" if len(self.texts) == 1 else "none of " + ", ".join(self.texts)


@dataclass(frozen=True, slots=True)
class AllOf:
    """A list that holds every one of the values; with `in_order` it begins with them."""

    kind: Kind
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    in_order: bool = False

    def test(self, value: Any, scope: Scope) -> Answer:
        """Judge a list of converted facts."""
        if self.in_order:
            return Answer(Value.of(tuple(value[: len(self.values)]) == self.values), self.words())
        return Answer(Value.of(set(self.values) <= set(value)), self.words())

    def words(self) -> str:
        """Return what is expected."""
        return ("beginning with " if self.in_order else "holding ") + ", ".join(self.texts)


@dataclass(frozen=True, slots=True)
class PerBranch:
    """A bound that depends on the servicing branch of the machine."""

    bounds: Mapping[int, Any]
    texts: Mapping[int, str]

    def words(self) -> str:
        """Return the bounds."""
        return ", ".join(f"{self.texts[build]} on {build}" for build in sorted(self.texts))


@dataclass(frozen=True, slots=True)
class Range:
    """`at_least` (inclusive) and `below` (exclusive); either may be missing."""

    kind: Kind
    low: Any = None
    high: Any = None
    low_text: str = ""
    high_text: str = ""

    def test(self, value: Any, scope: Scope) -> Answer:
        """Judge a converted fact."""
        bounds: list[tuple[Any, str]] = []
        for bound, text in ((self.low, self.low_text), (self.high, self.high_text)):
            if isinstance(bound, PerBranch):
                group = scope.branch_group()
                if not isinstance(group, tuple):
                    return Answer(Value.UNKNOWN, self.words(), (group,))
                build = next((build for build in group if build in bound.bounds), None)
                if build is None:
                    return Answer(
                        Value.NO, self.words(), note=f"no bound for branch {group[0] if group else 'unknown'}"
                    )
                bounds.append((bound.bounds[build], bound.texts[build]))
            else:
                bounds.append((bound, text))
        (low, low_text), (high, high_text) = bounds
        words = _range_words(low_text, high_text)
        if self.kind is BUILD:
            value, low, high, apart = _inside_branch(value, low, high, scope)
            if apart:
                return Answer(Value.NO, words, note="another servicing branch")
        for bound in (low, high):
            if bound is not None and type(bound) is not type(value):
                return Answer(Value.NO, words, note="not comparable")
        inside = (low is None or value >= low) and (high is None or value < high)
        return Answer(Value.of(inside), words)

    @staticmethod
    def _branch(group: tuple[int, ...]) -> str:
        return str(group[0]) if group else "(none)"

    def words(self) -> str:
        """Return what is expected."""
        low = self.low.words() if isinstance(self.low, PerBranch) else self.low_text
        high = self.high.words() if isinstance(self.high, PerBranch) else self.high_text
        return _range_words(low, high)


def _range_words(low: str, high: str) -> str:
    parts = [f"at or above {low}"] if low else []
    if high:
        parts.append(f"below {high}")
    return " and ".join(parts)


def _inside_branch(value: Any, low: Any, high: Any, scope: Scope) -> tuple[Any, Any, Any, bool]:
    """Leave the revisions of build.ubr values of one branch; builds that share their files share their revisions."""
    group = scope.branch_group()
    builds = group if isinstance(group, tuple) else (value[0],)
    apart = any(bound is not None and bound[0] not in builds for bound in (low, high))
    return value[1], low[1] if low else None, high[1] if high else None, apart


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Compile `*` and `?` over the whole value, case-folded; `[` is a plain character."""
    return re.compile(fnmatch.translate(pattern.casefold().replace("[", "[[]")))


@dataclass(frozen=True, slots=True)
class Like:
    """A glob over the whole value."""

    texts: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...] = field(compare=False)

    def test(self, value: Any, scope: Scope) -> Answer:
        """Judge a converted fact."""
        text = str(value)[:_MAX_GLOBBED]
        return Answer(Value.of(any(pattern.match(text) for pattern in self.patterns)), self.words())

    def words(self) -> str:
        """Return what is expected."""
        return "like " + " or ".join(self.texts)


@dataclass(frozen=True, slots=True)
class Matches:
    """A regular expression somewhere in the value, of the subset that cannot blow up."""

    text: str
    pattern: re.Pattern[str] = field(compare=False)
    limit: int = field(compare=False)

    def test(self, value: Any, scope: Scope) -> Answer:
        """Judge a converted fact."""
        return Answer(Value.of(self.pattern.search(str(value)[: self.limit]) is not None), self.words())

    def words(self) -> str:
        """Return what is expected."""
        return f"matching {self.text}"


@dataclass(frozen=True, slots=True)
class SameAs:
    """The same as (or another than) this field of another item of the kind, named by its own fields."""

    fields: tuple[Any, ...]
    shown: str
    differs: bool

    def test(self, value: Any, scope: Scope) -> Answer:
        """Judge a converted fact."""
        state, other, missing = scope.partner(self.fields)
        if state is Value.UNKNOWN:
            return Answer(Value.UNKNOWN, self.words(), (missing,) if missing is not None else ())
        if state is Value.NO:
            return Answer(Value.NO, self.words(), note=f"there is no {self.shown}")
        return Answer(Value.of((value == other) is not self.differs), f"{self.words()}: {other}")

    def words(self) -> str:
        """Return what is expected."""
        return f"other than that of {self.shown}" if self.differs else f"the same as that of {self.shown}"


@dataclass(frozen=True, slots=True)
class Within:
    """A time no further than a duration from the first item that satisfied a defined predicate."""

    seconds: int
    text: str
    of: str

    def test(self, value: Any, scope: Scope) -> Answer:
        """Judge a converted fact."""
        state, moment, missing = scope.moment_of(self.of)
        if state is Value.UNKNOWN:
            return Answer(Value.UNKNOWN, self.words(), missing)
        if state is Value.NO:
            return Answer(Value.NO, self.words(), note=f"nothing is {self.of}")
        return Answer(Value.of(abs((value - moment).total_seconds()) <= self.seconds), self.words())

    def words(self) -> str:
        """Return what is expected."""
        return f"within {self.text} of {self.of}"
