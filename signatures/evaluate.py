"""Evaluation of a rule's nodes over one world: no short cut, so that `why` can show the whole tree."""

from __future__ import annotations

from typing import Any

from signatures.branch import judge_affected
from signatures.model import AllNode, AnyNode, CountNode, Leaf, Node, NotNode, Rule, UseNode
from signatures.predicates import FAMILIES, Family, ListFamily
from signatures.predicates.family import Context
from signatures.three import Value, all_of, any_of, count_of, negate
from signatures.verdict import MissingDict, Verdict, merge
from signatures.world import World

__all__ = ["Evaluator"]


class Evaluator(Context):
    """Judges the nodes of one rule.

    Args:
        rule: its `define` and `affected` are asked for by nodes.
        world: the facts.

    """

    def __init__(self, rule: Rule, world: World) -> None:
        self.rule = rule
        self.world = world
        self._defined: dict[str, Verdict] = {}
        self._affected: Verdict | None = None

    def evaluate(self, node: Node) -> Verdict:
        """Return the verdict of a node with all that is below it."""
        if isinstance(node, Leaf):
            return FAMILIES[node.family].evaluate(node, self)
        if isinstance(node, UseNode):
            return self._use(node.name)
        if isinstance(node, NotNode):
            return _opposite(self.evaluate(node.child))
        children = [self.evaluate(child) for child in node.children]
        values = [child.value for child in children]
        if isinstance(node, AllNode):
            return merge(all_of(values), "all", children, every_against=False)
        if isinstance(node, AnyNode):
            return merge(any_of(values), "any", children, every_against=True)
        assert isinstance(node, CountNode)
        return merge(count_of(values, node.at_least, node.at_most), "count", children, every_against=True)

    def all_of(self, label: str, nodes: tuple[Node, ...]) -> Verdict:
        """Return the verdict of several nodes together."""
        children = [self.evaluate(node) for node in nodes]
        return merge(all_of(child.value for child in children), label, children, every_against=False)

    def any_of(self, label: str, nodes: tuple[Node, ...]) -> Verdict:
        """Return whether some of several nodes is YES."""
        children = [self.evaluate(node) for node in nodes]
        return merge(any_of(child.value for child in children), label, children, every_against=True)

    def _use(self, name: str) -> Verdict:
        verdict = self._defined.get(name)
        if verdict is None:
            below = self.evaluate(self.rule.define[name])
            verdict = Verdict(
                below.value,
                name,
                below.evidence,
                below.against,
                below.missing,
                children=(below,),
                crashes=below.crashes,
                crash_informed=below.crash_informed,
                moment=below.moment,
                moment_missing=below.moment_missing,
            )
            self._defined[name] = verdict
        return verdict

    def affected(self) -> Verdict:
        """Return the verdict of the rule's ranges."""
        if self._affected is None:
            self._affected = judge_affected(self.rule.affected, self.world)
        return self._affected

    def branch_group(self) -> tuple[int, ...] | MissingDict:
        """Return the builds with this machine's files, or what is missing to tell."""
        return self.world.branch_group()

    def partner(self, fields: tuple[Any, ...]) -> tuple[Value, Any, MissingDict | None]:
        """Refuse: only the tests of a field know which field is meant."""
        raise AssertionError("same_as outside a field")

    def moment_of(self, name: str) -> tuple[Value, Any, tuple[MissingDict, ...]]:
        """Return the time of the first item that satisfied a defined predicate."""
        verdict = self._use(name)
        if verdict.value is Value.YES and verdict.moment is None:
            if verdict.moment_missing is not None:
                return Value.UNKNOWN, None, (verdict.moment_missing,)
            return Value.NO, None, ()
        return verdict.value, verdict.moment, verdict.missing

    def for_field(self, family: Family, name: str) -> Context:
        """Return a context that finds the same field of another item."""
        return _FieldContext(self, family, name)


class _FieldContext(Context):
    """The evaluator, as the tests of one field see it."""

    def __init__(self, evaluator: Evaluator, family: Family, name: str) -> None:
        self.evaluator = evaluator
        self.world = evaluator.world
        self.family = family
        self.name = name

    def branch_group(self) -> tuple[int, ...] | MissingDict:
        return self.evaluator.branch_group()

    def moment_of(self, name: str) -> tuple[Value, Any, tuple[MissingDict, ...]]:
        return self.evaluator.moment_of(name)

    def affected(self) -> Verdict:
        return self.evaluator.affected()

    def for_field(self, family: Family, name: str) -> Context:
        return self.evaluator.for_field(family, name)

    def partner(self, fields: tuple[Any, ...]) -> tuple[Value, Any, MissingDict | None]:
        family = self.family
        assert isinstance(family, ListFamily)
        return family.partner(Leaf(family.name, fields), self.name, self.evaluator)


def _opposite(child: Verdict) -> Verdict:
    return Verdict(
        negate(child.value),
        "not",
        evidence=child.against,
        against=child.evidence,
        missing=child.missing,
        children=(child,),
    )
