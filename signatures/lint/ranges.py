"""SC201 to SC206, SC212: ranges per servicing branch, held against the table of builds."""

from __future__ import annotations

from parsers.version import Version
from parsers.windows_builds import branches, lookup, release_of_kb, shares_with
from signatures.conditions import PerBranch, Range
from signatures.kinds import VERSION
from signatures.load import walk
from signatures.model import Affected, Edge, FieldTest, Leaf, Mark, Rule
from signatures.problems import Problems

__all__ = ["check_ranges"]


def check_ranges(rule: Rule, problems: Problems) -> None:
    """Check the ranges of a rule and the bounds that belong to a branch."""
    for at, entry in enumerate(rule.affected):
        path = f"affected[{at}]"
        _order(entry, path, problems)
        _ends(entry, path, problems)
        for number, edge in enumerate(entry.edges):
            place = f"{path}.events[{number}]"
            _edge(rule, entry, edge, place, problems)
    gate = {build for entry in rule.affected for branch in entry.branches for build in shares_with(branch)}
    for node in rule.nodes():
        for below in walk(node):
            if isinstance(below, Leaf):
                _bounds(below, gate, problems)


def _edge(rule: Rule, entry: Affected, edge: Edge, path: str, problems: Problems) -> None:
    if edge.build is not None and edge.build not in entry.branches:
        hint = f"this entry is of branch {', '.join(str(branch) for branch in entry.branches)}"
        problems.add(edge.mark, path, f"the edge {edge.text} lies on another branch", "SC201", hint)
    if not edge.source and rule.status in ("test", "stable"):
        problems.add(edge.mark, path, f"the edge {edge.text} has no source", "SC205", "name the reference that says so")
    if edge.inferred and rule.status != "experimental":
        hint = "an edge that nobody published is for `experimental` alone"
        problems.add(edge.mark, path, f"the edge {edge.text} is inferred", "SC205", hint)
    if not edge.kb or edge.kind == "last_affected":
        return
    for build in (edge.build,) if edge.build is not None else entry.branches:
        _kb(edge, build, path, problems)


def _kb(edge: Edge, build: int, path: str, problems: Problems) -> None:
    """Hold the update of an edge against the table; what the table does not know is no problem."""
    if edge.build is None and edge.ubr == 0:
        return
    release = lookup(build, edge.ubr)
    if release is not None and release.kb is not None:
        if edge.kb != release.kb and edge.kb not in release.conflicts:
            problems.add(
                edge.mark, path, f"{build}.{edge.ubr} is {release.kb}, not {edge.kb}", "SC206", "by the table of builds"
            )
        return
    levels = [known.ubr for known in release_of_kb(edge.kb) if known.build == build and known.ubr is not None]
    if levels and edge.ubr not in levels:
        known = ", ".join(f"{build}.{level}" for level in levels)
        problems.add(
            edge.mark, path, f"{edge.kb} is {known}, not {build}.{edge.ubr}", "SC206", "by the table of builds"
        )


def _order(entry: Affected, path: str, problems: Problems) -> None:
    """Check that edges ascend and that each range ends before the next begins."""
    for branch in entry.branches:
        edges = [edge for edge in entry.edges if edge.build in (None, branch)]
        inside, last = False, -1
        for edge in edges:
            starts = edge.kind == "introduced"
            if edge.ubr <= last or starts is inside:
                message = f"the edge {edge.text} does not follow the one before it"
                hint = "edges ascend; `introduced` and its end take turns"
                problems.add(edge.mark, f"{path}.events", message, "SC203", hint)
                break
            inside, last = starts, edge.ubr
        if not edges:
            problems.add(entry.mark, f"{path}.events", f"no edge is of branch {branch}", "SC203")


def _ends(entry: Affected, path: str, problems: Problems) -> None:
    last = max(entry.edges, key=lambda edge: edge.ubr)
    if last.kind == "introduced" and not entry.open_ended:
        problems.add(
            last.mark, f"{path}.events", "the last range has no end", "SC204", "add `fixed`, or `open_ended: why`"
        )


def _bounds(leaf: Leaf, gate: set[int], problems: Problems) -> None:
    for test in leaf.fields:
        condition = test.condition
        if not isinstance(condition, Range):
            continue
        place = f"{leaf.family}.{test.name}"
        bounds = [bound for bound in (condition.low, condition.high) if bound is not None]
        if leaf.family == "os" and test.name == "at":
            _levels(test, bounds, gate, place, problems)
        if condition.kind is VERSION and leaf.family in ("driver", "file"):
            _versions(test, bounds, gate, place, problems)


def _levels(test: FieldTest, bounds: list[tuple[int, int]], gate: set[int], path: str, problems: Problems) -> None:
    builds = {bound[0] for bound in bounds}
    if len(builds) > 1:
        hint = "revisions of two builds have no order"
        problems.add(test.mark, path, "the bounds lie on two builds", "SC212", hint)
    elif gate and not builds <= gate:
        hint = f"the rule speaks of {', '.join(str(build) for build in sorted(gate))}"
        problems.add(test.mark, path, f"build {builds.pop()} is outside `affected`", "SC212", hint)


def _versions(test: FieldTest, bounds: list[object], gate: set[int], path: str, problems: Problems) -> None:
    """Find versions of Windows' own files that belong to a branch which the rule does not speak of."""
    for bound in bounds:
        if isinstance(bound, PerBranch):
            for build, version in bound.bounds.items():
                _version(test.mark, version, set(shares_with(build)), f"{path}.per_branch.{build}", problems)
        elif isinstance(bound, Version) and gate:
            _version(test.mark, bound, gate, path, problems)


def _version(mark: Mark, version: Version, gate: set[int], path: str, problems: Problems) -> None:
    known = branches().get(version.build)
    if known is None or known.nt != f"{version.major}.{version.minor}" or version.build in gate:
        return
    hint = f"expected one of {', '.join(str(build) for build in sorted(gate))}"
    problems.add(mark, path, f"{version} belongs to branch {version.build}", "SC202", hint)
