"""A condition in words, for a step of the remedy whose condition could not be decided, and for `why`."""

from __future__ import annotations

from signatures.model import AllNode, AnyNode, CountNode, Leaf, Node, NotNode, Rule, UseNode
from signatures.predicates import FAMILIES

__all__ = ["words_of"]


def words_of(node: Node, rule: Rule) -> str:
    """Describe a condition; what `define` names is written out."""
    if isinstance(node, Leaf):
        return FAMILIES[node.family].words(node)
    if isinstance(node, UseNode):
        return words_of(rule.define[node.name], rule)
    if isinstance(node, NotNode):
        return f"not ({words_of(node.child, rule)})"
    parts = [words_of(child, rule) for child in node.children]
    if isinstance(node, AllNode):
        return " and ".join(parts)
    if isinstance(node, AnyNode):
        return " or ".join(parts)
    assert isinstance(node, CountNode)
    bounds = f"at least {node.at_least}" if node.at_most is None else f"{node.at_least} to {node.at_most}"
    return f"{bounds} of: {'; '.join(parts)}"
