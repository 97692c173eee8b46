"""What a condition answers, with all that a person needs to check the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NotRequired, TypedDict, TypeVar

from forensics.facts import Source
from signatures.three import Value

__all__ = ["CrashRef", "EvidenceDict", "MissingDict", "Verdict", "merge", "unique"]


class EvidenceDict(TypedDict):
    """One statement about the machine and where it can be checked."""

    statement: str
    value: NotRequired[Any]
    expected: NotRequired[str]
    path: NotRequired[str]
    source: NotRequired[Source]


class MissingDict(TypedDict):
    """A place in the facts that a condition needs and that could not be read."""

    path: str
    reason: str


class CrashRef(TypedDict, total=False):
    """Which crash made a rule say `crashed`; `latest` is false when the machine has booted since."""

    item: str
    time: str
    latest: bool
    confidence: str


_Line = TypeVar("_Line", EvidenceDict, MissingDict, CrashRef)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of one node of a rule.

    Attributes:
        value: YES, NO or UNKNOWN.
        label: what the node is, for the tree that `why` shows ("all", "driver", the name of a defined part).
        evidence: what speaks for it.
        against: what speaks against it.
        missing: what could not be read.
        children: the verdicts below, in the order of the rule's file.
        leaf: whether the node reads facts itself.
        crashes: the crashes that satisfied a crash condition below.
        crash_informed: whether at least one field of a crash condition was true of some crash.
        moment: when the first item that satisfied it happened, where its kind has a time.
        moment_missing: why that is not known although it was asked for.

    """

    value: Value
    label: str = ""
    evidence: tuple[EvidenceDict, ...] = ()
    against: tuple[EvidenceDict, ...] = ()
    missing: tuple[MissingDict, ...] = ()
    children: tuple[Verdict, ...] = field(default=(), repr=False)
    leaf: bool = False
    crashes: tuple[CrashRef, ...] = ()
    crash_informed: bool = False
    moment: datetime | None = None
    moment_missing: MissingDict | None = None

    @property
    def informed(self) -> bool:
        """Whether at least one leaf below is YES."""
        if self.leaf:
            return self.value is Value.YES
        return any(child.informed for child in self.children)


def unique(items: Iterable[_Line]) -> tuple[_Line, ...]:
    """Return the items in order, each once."""
    kept: list[_Line] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return tuple(kept)


def merge(value: Value, label: str, children: Sequence[Verdict], *, every_against: bool) -> Verdict:
    """Join the verdicts of children under a node whose value is known.

    Evidence comes from the children that are YES (and, where the node is UNKNOWN, what is known of the unknown ones),
    `missing` from those that are UNKNOWN; `against` from those that are NO, or from all of them where none suffices
    alone (`any`, `count`).
    """
    shown = (Value.YES,) if value is Value.YES else (Value.YES, Value.UNKNOWN)
    return Verdict(
        value,
        label,
        evidence=unique(line for child in children if child.value in shown for line in child.evidence)
        if value is not Value.NO
        else (),
        against=unique(line for child in children if every_against or child.value is Value.NO for line in child.against)
        if value is Value.NO
        else (),
        missing=unique(line for child in children if child.value is Value.UNKNOWN for line in child.missing)
        if value is Value.UNKNOWN
        else (),
        children=tuple(children),
        crashes=unique(ref for child in children if child.value is Value.YES for ref in child.crashes),
        crash_informed=any(child.crash_informed for child in children),
        moment=next((child.moment for child in children if child.moment is not None), None)
        if value is Value.YES
        else None,
        moment_missing=next((child.moment_missing for child in children if child.moment_missing is not None), None),
    )
