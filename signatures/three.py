"""Three values and how they combine: YES, NO, and UNKNOWN for what could not be read.

`all` is NO as soon as one child is NO, whatever else is unknown; `any` is YES as soon as one is YES. UNKNOWN never
turns into an answer by itself (Kleene's strong logic of three values).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

__all__ = ["Value", "all_of", "any_of", "count_of", "negate"]


class Value(Enum):
    """The answer to one condition."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, fact: bool) -> Value:
        """Return the value of something that was read."""
        return cls.YES if fact else cls.NO


def all_of(values: Iterable[Value]) -> Value:
    """Return YES when every value is YES (also of none), NO when one is NO, else UNKNOWN."""
    seen = set(values)
    if Value.NO in seen:
        return Value.NO
    return Value.UNKNOWN if Value.UNKNOWN in seen else Value.YES


def any_of(values: Iterable[Value]) -> Value:
    """Return YES when one value is YES, NO when every value is NO (also of none), else UNKNOWN."""
    seen = set(values)
    if Value.YES in seen:
        return Value.YES
    return Value.UNKNOWN if Value.UNKNOWN in seen else Value.NO


def negate(value: Value) -> Value:
    """Return the opposite; of UNKNOWN that is UNKNOWN."""
    if value is Value.UNKNOWN:
        return value
    return Value.NO if value is Value.YES else Value.YES


def count_of(values: Iterable[Value], at_least: int, at_most: int | None) -> Value:
    """Tell whether the number of YES lies within the bounds, whatever the unknown ones turn out to be."""
    seen = list(values)
    least = seen.count(Value.YES)
    most = least + seen.count(Value.UNKNOWN)
    if least >= at_least and (at_most is None or most <= at_most):
        return Value.YES
    if most < at_least or (at_most is not None and least > at_most):
        return Value.NO
    return Value.UNKNOWN
