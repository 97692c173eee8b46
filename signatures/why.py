"""Why a rule says what it says: every condition with its answer, as a tree of plain data, and as lines of text.

"Would change it" is computed, not written: for each place that could not be read the rule is judged again with a value
on each side of every bound that it asks about, everything else as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from forensics.facts import Facts
from signatures.engine import judge_in
from signatures.model import Rule
from signatures.verdict import EvidenceDict, Verdict
from signatures.what_if import Change, changes
from signatures.world import World

__all__ = ["WhyDict", "WhyNode", "render_why", "why"]


#: Labels of nodes that join others.
_JOINED = ("all", "any", "not", "count", "crashed and exposed")
#: Columns of the tree before the answers.
_MAX_HEAD = 40


class WhyNode(TypedDict):
    """One condition: what it is, what it answers, and the lines that say so."""

    label: str
    value: str
    lines: list[WhyLine]
    children: list[WhyNode]


class WhyLine(TypedDict):
    """One statement and where it can be checked."""

    text: str
    where: NotRequired[str]


class WhyDict(TypedDict):
    """The whole tree of one rule."""

    rule: str
    title: str
    state: str
    nodes: list[WhyNode]
    would_change: list[Change]


def why(rule: Rule, facts: Facts | Mapping[str, Any]) -> WhyDict:
    """Judge a rule and tell every step."""
    judged = judge_in(rule, World(facts))
    nodes = [_top("affected", judged.affected)]
    for label, verdict in (("excludes", judged.excludes), ("exposed", judged.exposed), ("crashed", judged.crashed)):
        if verdict is not None:
            nodes.append(_top(label, verdict))
    nodes += [_top("corroborates", verdict) for verdict in judged.corroborates]
    return {
        "rule": rule.id,
        "title": rule.title,
        "state": judged.state,
        "nodes": nodes,
        "would_change": changes(rule, facts, judged),
    }


def _top(label: str, verdict: Verdict) -> WhyNode:
    """Return a part of the rule; a defined name stands below it, joined conditions in its place."""
    if not verdict.children or verdict.label == label:
        return {**_node(verdict), "label": label}
    if verdict.label in _JOINED:
        return {**_node(verdict), "label": f"{label}: {verdict.label}"}
    return {"label": label, "value": verdict.value.value, "lines": [], "children": [_node(verdict)]}


def _node(verdict: Verdict) -> WhyNode:
    if len(verdict.children) == 1 and verdict.children[0].leaf and verdict.label not in _JOINED:
        # A name for one predicate is one row.
        only = _node(verdict.children[0])
        return {**only, "label": f"{verdict.label}: {only['label']}"}
    children = [_node(child) for child in verdict.children]
    lines: list[WhyLine] = []
    if not children:
        lines += [_line(line) for line in (*verdict.evidence, *verdict.against)]
        lines += [{"text": f"{gap['path']} could not be read", "where": gap["reason"]} for gap in verdict.missing]
    return {"label": verdict.label, "value": verdict.value.value, "lines": lines, "children": children}


def _line(line: EvidenceDict) -> WhyLine:
    made: WhyLine = {"text": line["statement"]}
    source = line.get("source")
    if source is not None:
        where = source["path"]
        if "detail" in source:
            where += f": {source['detail']}"
        if "offset" in source:
            where += f" at {source['offset']:#x}"
        made["where"] = where
    elif "path" in line:
        made["where"] = line["path"]
    return made


def render_why(tree: WhyDict) -> list[str]:
    """Return the tree as lines; text from evidence is as it was read, so it must be made safe before a terminal."""
    lines = [f"{tree['rule']}  {tree['title']}  {tree['state'].upper()}"]
    rows: list[tuple[str, str, str, str]] = []
    last = not tree["would_change"]
    for at, node in enumerate(tree["nodes"]):
        _rows(node, "", last and at == len(tree["nodes"]) - 1, rows)
    width = min(max((len(head) for head, _value, _text, _where in rows), default=0), _MAX_HEAD)
    for head, value, text, where in rows:
        line = f"{head.ljust(width)}  {value.upper().ljust(7)}  {text}".rstrip()
        lines.append(f"{line}  [{where}]" if where else line)
    for at, change in enumerate(tree["would_change"]):
        head = "└─ would change it: " if at == len(tree["would_change"]) - 1 else "├─ would change it: "
        outcome = "; ".join(f"{case['value']} → {case['state']}" for case in change["cases"])
        lines.append(f"{head}{change['what']}: {outcome}")
    return lines


def _rows(node: WhyNode, indent: str, last: bool, rows: list[tuple[str, str, str, str]]) -> None:
    head = f"{indent}{'└─' if last else '├─'} {node['label']}"
    below = indent + ("   " if last else "│  ")
    first, *others = node["lines"] or [{"text": ""}]
    rows.append((head, node["value"], first["text"], first.get("where", "")))
    rows += [(below, "", line["text"], line.get("where", "")) for line in others]
    children: Sequence[WhyNode] = node["children"]
    for at, child in enumerate(children):
        _rows(child, below, at == len(children) - 1, rows)
