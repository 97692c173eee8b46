"""The rule: what a signature file says, after loading. Plain frozen data, no logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from signatures.conditions import Condition

__all__ = [
    "Affected",
    "AllNode",
    "AnyNode",
    "CountNode",
    "Edge",
    "FieldTest",
    "InlineTest",
    "Leaf",
    "Mark",
    "Node",
    "NotNode",
    "Rule",
    "Step",
    "UseNode",
]


class Mark(NamedTuple):
    """Where something stands in its file, counted from 1; `end` is the column behind it."""

    line: int
    column: int
    end: int


NOWHERE = Mark(1, 1, 2)


@dataclass(frozen=True, slots=True)
class FieldTest:
    """One field of a typed predicate and what is asked of it.

    Attributes:
        name: the field.
        condition: what its value must be.
        nested: tests on the parts of a field that is a map (`crash.module`, `event.data`), by their names.
        mark: where its value stands.

    """

    name: str
    condition: Condition | None = None
    nested: tuple[FieldTest, ...] = ()
    mark: Mark = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A typed predicate: one item of the family satisfies all fields; with `absent`, none does."""

    family: str
    fields: tuple[FieldTest, ...]
    absent: bool = False
    mark: Mark = field(default=NOWHERE, compare=False)

    def field(self, name: str) -> FieldTest | None:
        """Return a field's test, or None."""
        return next((test for test in self.fields if test.name == name), None)


@dataclass(frozen=True, slots=True)
class AllNode:
    """Every child."""

    children: tuple[Node, ...]
    mark: Mark = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class AnyNode:
    """Some child."""

    children: tuple[Node, ...]
    mark: Mark = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class NotNode:
    """The child is NO."""

    child: Node
    mark: Mark = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class CountNode:
    """So many of the children."""

    children: tuple[Node, ...]
    at_least: int
    at_most: int | None
    mark: Mark = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class UseNode:
    """A part that `define` names."""

    name: str
    mark: Mark = field(default=NOWHERE, compare=False)


Node = Leaf | AllNode | AnyNode | NotNode | CountNode | UseNode


@dataclass(frozen=True, slots=True)
class Edge:
    """One event of a range.

    Attributes:
        kind: "introduced" (inclusive), "fixed" (exclusive) or "last_affected" (inclusive).
        build: build of the edge, or None for `*.2364` and `0`.
        ubr: its revision.
        text: as the rule has it.
        kb: the update that stands for it, or "".
        source: id of the reference that says so, or "".
        inferred: nobody published it.

    """

    kind: str
    build: int | None
    ubr: int
    text: str
    kb: str = ""
    source: str = ""
    inferred: bool = False
    mark: Mark = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Affected:
    """One servicing branch (or several with the same revisions) with its ranges and restrictions."""

    branches: tuple[int, ...]
    edges: tuple[Edge, ...]
    installation: tuple[str, ...] = ()
    arch: tuple[str, ...] = ()
    editions: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    open_ended: str = ""
    note: str = ""
    mark: Mark = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the remedy; shown unless `when` is NO."""

    do: str
    kind: str
    when: Node | None = None
    commands: tuple[str, ...] = ()
    kb: str = ""
    source: str = ""
    risk: str = ""
    mark: Mark = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class InlineTest:
    """One test in the rule's file; `facts` are in short form, strings only."""

    name: str
    expect: str
    facts: Mapping[str, Any]
    gaps: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    missing: tuple[str, ...] | None = None
    against: tuple[str, ...] = ()
    sample: str = ""
    mark: Mark = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """One signature. Attributes are the keys of its file (docs/signatures.md)."""

    id: str
    title: str
    summary: str
    family: str
    kind: str
    status: str
    severity: str
    version: int
    created: str
    modified: str
    explain: str
    aliases: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    references: tuple[Mapping[str, str], ...] = ()
    affected: tuple[Affected, ...] = ()
    define: Mapping[str, Node] = field(default_factory=dict)
    excludes: tuple[Node, ...] = ()
    exposed: Node | None = None
    crashed: Node | None = None
    corroborates: tuple[Node, ...] = ()
    crashed_needs: str = "no"
    suspect: str = "informed"
    remediation: tuple[Step, ...] = ()
    related: tuple[Mapping[str, str], ...] = ()
    seeds: tuple[str, ...] = ()
    tests: tuple[InlineTest, ...] = ()
    withdrawn: Mapping[str, str] | None = None
    file: str = field(default="", compare=False)
    digest: str = field(default="", compare=False)
    marks: Mapping[str, Mark] = field(default_factory=dict, compare=False, repr=False)
    lines: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def nodes(self) -> tuple[Node, ...]:
        """Return every condition of the rule, the remedy's too."""
        found: list[Node] = [*self.define.values(), *self.excludes, *self.corroborates]
        found += [node for node in (self.exposed, self.crashed) if node is not None]
        found += [step.when for step in self.remediation if step.when is not None]
        return tuple(found)
