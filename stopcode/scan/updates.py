"""Which updates a known problem is told by: the one it came with and the one that ends it, as its rule names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stopcode.report.verdict import KnownUpdates

if TYPE_CHECKING:
    from forensics.facts import Facts
    from signatures.model import Edge, Rule

__all__ = ["known_updates"]


def known_updates(rule: Rule | None, finding: Mapping[str, Any], facts: Facts) -> KnownUpdates:
    """Return the updates of a rule for this machine's branch.

    The edge of the affected range says what brought it; its other edge or, where the range is open, the remedy that
    applies says what ends it.
    """
    edges = _edges(rule, facts["system"].get("build")) if rule is not None else []
    introduced = next((edge.kb for edge in edges if edge.kind == "introduced" and edge.kb), "")
    fixed = next((edge.kb for edge in edges if edge.kind == "fixed" and edge.kb), "")
    if not fixed:
        steps = finding.get("remediation") or []
        fixed = next((str(step["kb"]) for step in steps if step.get("kb") and step.get("kind") == "vendor-fix"), "")
    return KnownUpdates(introduced, fixed)


def _edges(rule: Rule, build: int | None) -> list[Edge]:
    """Return the edges of the machine's branch; of all branches where it is not known and there is only one."""
    ranges = [item for item in rule.affected if build is None or build in item.branches]
    return [edge for item in ranges for edge in item.edges] if len(ranges) == 1 else []
