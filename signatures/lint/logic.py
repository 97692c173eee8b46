"""SC207 to SC209, SC213: conditions that can never be true, are always true, stand twice, or prove too little."""

from __future__ import annotations

from collections.abc import Iterable

from signatures.conditions import Condition, Like, OneOf, PerBranch, Range
from signatures.load import walk
from signatures.model import AllNode, AnyNode, CountNode, Leaf, Mark, Node, NotNode, Rule
from signatures.predicates import FAMILIES, MapFamily
from signatures.problems import Problem, Problems

__all__ = ["check_logic", "check_twins"]

#: Fields of a crash that many causes share.
_BARE = {"code", "name", "build"}


def check_logic(rule: Rule, problems: Problems) -> None:
    """Check every condition of a rule."""
    for node in rule.nodes():
        for below in walk(node):
            if isinstance(below, Leaf):
                for test in below.fields:
                    if test.condition is not None:
                        _condition(test.condition, test.mark, f"{below.family}.{test.name}", problems)
            elif isinstance(below, AllNode):
                _contradictions(below, problems)
            elif isinstance(below, AnyNode):
                _tautologies(below, problems)
            elif isinstance(below, CountNode):
                _count(below, problems)
    _bare_codes(rule, problems)


def _condition(condition: Condition, mark: Mark, path: str, problems: Problems) -> None:
    if isinstance(condition, Range):
        low, high = condition.low, condition.high
        if isinstance(low, PerBranch) or isinstance(high, PerBranch):
            return
        if low is not None and high is not None and low >= high:
            problems.add(mark, path, f"nothing is {condition.words()}", "SC207", "the interval is empty")
        elif high == 0:
            problems.add(mark, path, "nothing is below 0", "SC207")
        elif low == 0 and high is None:
            problems.add(mark, path, "everything is at or above 0", "SC208")
    elif isinstance(condition, Like) and "*" in condition.texts:
        problems.add(mark, path, "everything is like *", "SC208")


def _contradictions(node: AllNode, problems: Problems) -> None:
    """Find parts of an `all` that no machine can satisfy together."""
    wanted: dict[tuple[str, str], set[object]] = {}
    for child in node.children:
        if NotNode(child) in node.children or any(
            isinstance(other, NotNode) and other.child == child for other in node.children
        ):
            problems.add(node.mark, "all", "a condition and its opposite stand together", "SC207")
        if not isinstance(child, Leaf) or not isinstance(FAMILIES[child.family], MapFamily):
            continue
        for test in child.fields:
            if not isinstance(test.condition, OneOf) or FAMILIES[child.family].fields[test.name].listed:
                continue
            place = (child.family, test.name)
            values = set(test.condition.values)
            left = wanted[place] & values if place in wanted else values
            if not left:
                problems.add(test.mark, ".".join(place), "it cannot be both", "SC207", "one machine has one value")
            wanted[place] = left


def _tautologies(node: AnyNode, problems: Problems) -> None:
    for child in node.children:
        if any(isinstance(other, NotNode) and other.child == child for other in node.children):
            problems.add(node.mark, "any", "a condition or its opposite is always true", "SC208")


def _count(node: CountNode, problems: Problems) -> None:
    size = len(node.children)
    if node.at_least > size or (node.at_most is not None and node.at_most < node.at_least):
        problems.add(node.mark, "count", f"never so many of {size}", "SC207")
    elif node.at_least == 0 and (node.at_most is None or node.at_most >= size):
        problems.add(node.mark, "count", f"always so many of {size}", "SC208")


def _crash_leaves(rule: Rule, node: Node, seen: frozenset[str] = frozenset()) -> Iterable[Leaf]:
    for below in walk(node):
        if isinstance(below, Leaf):
            if below.family == "crash":
                yield below
        elif hasattr(below, "name") and below.name not in seen:
            yield from _crash_leaves(rule, rule.define[below.name], seen | {below.name})


def _bare_codes(rule: Rule, problems: Problems) -> None:
    if rule.crashed is None or rule.crashed_needs == "exposed":
        return
    leaves = list(_crash_leaves(rule, rule.crashed))
    if leaves and all({test.name for test in leaf.fields} <= _BARE for leaf in leaves):
        hint = "add `crashed_needs: exposed`, or ask for a culprit"
        problems.add(leaves[0].mark, "crashed", "a stop code alone has many causes", "SC213", hint)


def check_twins(rules: Iterable[Rule]) -> list[Problem]:
    """Find rules that say the same."""
    found: list[Problem] = []
    first: dict[str, Rule] = {}
    for rule in rules:
        if rule.status == "withdrawn":
            continue
        twin = first.setdefault(rule.digest, rule)
        if twin is not rule:
            one = Problems(rule.file, rule.lines)
            mark = rule.marks.get("id", Mark(1, 1, 2))
            one.add(mark, "", f"the same conditions as rule {twin.id}", "SC209", "merge them, or withdraw one")
            found += one.items
    return found
