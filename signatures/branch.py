"""Ranges per servicing branch: which builds and revisions a rule speaks of.

An entry names one branch (or several that share their revisions) and edges: `introduced` (inclusive), `fixed`
(exclusive), `last_affected` (inclusive). They are walked in ascending order, as OSV does; a machine is inside where
the walk has switched on last. Revisions of two branches have no order, so nothing is compared across them.

Without the build no entry can be chosen: what is missing then are the build and its revision, and what else an entry
restricts (installation, architecture, edition) is looked at only as far as it was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from signatures.model import Affected, Edge
from signatures.three import Value, all_of, any_of
from signatures.verdict import EvidenceDict, MissingDict, Verdict, unique
from signatures.world import World

__all__ = ["covers", "judge_affected"]

_RESTRICTIONS = (
    ("installation", "installation", "installation"),
    ("arch", "arch", "architecture"),
    ("editions", "edition", "edition"),
)


def covers(edges: Iterable[Edge], ubr: int) -> tuple[bool, Edge | None]:
    """Walk the edges up to a revision.

    Returns:
        Whether it is inside, and the last edge passed (None below the first).

    """
    inside, passed = False, None
    for edge in sorted(edges, key=lambda edge: (edge.ubr + (edge.kind == "last_affected"), edge.kind == "introduced")):
        if ubr < edge.ubr + (edge.kind == "last_affected"):
            break
        inside, passed = edge.kind == "introduced", edge
    return inside, passed


def judge_affected(entries: tuple[Affected, ...], world: World) -> Verdict:
    """Judge a rule's ranges; a rule without any speaks of every Windows."""
    if not entries:
        return Verdict(Value.YES, "affected")
    build = world.build
    if not isinstance(build, int):
        return _without_build(entries, world, build)
    own = [entry for entry in entries if build in entry.branches]
    if not own:
        branches = sorted({branch for entry in entries for branch in entry.branches})
        line = _line(world, "build", f"Windows is build {build}, not {_listed(branches)}", build, _listed(branches))
        return Verdict(Value.NO, "affected", against=(line,), leaf=True)
    verdicts = [_judge_entry(entry, build, world) for entry in own]
    value = any_of(verdict.value for verdict in verdicts)
    lines = [verdict for verdict in verdicts if verdict.value is value]
    return Verdict(
        value,
        "affected",
        evidence=unique(line for verdict in lines for line in verdict.evidence),
        against=unique(line for verdict in lines for line in verdict.against),
        missing=unique(line for verdict in lines for line in verdict.missing),
        leaf=True,
    )


def _without_build(entries: tuple[Affected, ...], world: World, missing: MissingDict | None) -> Verdict:
    if missing is None:
        line: EvidenceDict = {"statement": "the build of Windows is not there", "path": "/system/build"}
        return Verdict(Value.NO, "affected", against=(line,), leaf=True)
    against: list[EvidenceDict] = []
    for entry in entries:
        refused = [line for value, line, _missing in _restrictions(entry, world) if value is Value.NO and line]
        if not refused:
            lacks = [missing]
            if isinstance(world.ubr, Mapping):
                lacks.append(world.ubr)
            return Verdict(Value.UNKNOWN, "affected", missing=tuple(lacks), leaf=True)
        against += refused
    return Verdict(Value.NO, "affected", against=unique(against), leaf=True)


def _judge_entry(entry: Affected, build: int, world: World) -> Verdict:
    values: list[Value] = []
    evidence: list[EvidenceDict] = []
    against: list[EvidenceDict] = []
    missing: list[MissingDict] = []
    parts = [_range(entry, build, world), *_restrictions(entry, world)]
    for value, line, lack in parts:
        values.append(value)
        if line is not None:
            (evidence if value is Value.YES else against).append(line)
        if lack is not None:
            missing.append(lack)
    value = all_of(values)
    return Verdict(
        value,
        evidence=tuple(evidence) if value is not Value.NO else (),
        against=tuple(against) if value is Value.NO else (),
        missing=tuple(missing) if value is Value.UNKNOWN else (),
    )


def _range(entry: Affected, build: int, world: World) -> tuple[Value, EvidenceDict | None, MissingDict | None]:
    edges = [edge for edge in entry.edges if edge.build in (None, build)]
    ubr = world.ubr
    if isinstance(ubr, Mapping):
        if len(edges) == 1 and edges[0].kind == "introduced" and edges[0].ubr == 0:
            # The whole branch: the revision does not matter.
            return Value.YES, _line(world, "build", f"Windows is build {build}", build, str(build)), None
        return Value.UNKNOWN, None, ubr
    revision = ubr or 0
    inside, passed = covers(edges, revision)
    level = f"{build}.{revision}" if ubr is not None else str(build)
    if passed is None:
        first = min(edges, key=lambda edge: edge.ubr, default=None)
        expected = f"at or above {first.text}{_kb(first)}" if first is not None else "in no range"
        return Value.NO, _line(world, "ubr", f"Windows {level} is below {_edge(first)}", level, expected), None
    if not inside:
        word = "above" if passed.kind == "last_affected" else "at or above the fix,"
        return Value.NO, _line(world, "ubr", f"Windows {level} is {word} {_edge(passed)}", level, "before it"), None
    end = next(
        (edge for edge in sorted(edges, key=lambda edge: edge.ubr) if edge.kind != "introduced" and edge.ubr >= revision
         and (edge.ubr > revision or edge.kind == "last_affected")),
        None,
    )  # fmt: skip
    words = f"at or above {_edge(passed)}"
    if end is not None:
        words += f" and {'below' if end.kind == 'fixed' else 'not above'} {_edge(end)}"
    if passed.ubr == 0 and passed.build is None and end is None:
        return Value.YES, _line(world, "build", f"Windows is build {build}", build, str(build)), None
    return Value.YES, _line(world, "ubr", f"Windows {level} is {words}", level, words), None


def _edge(edge: Edge | None) -> str:
    return f"{edge.text}{_kb(edge)}" if edge is not None else "every range"


def _kb(edge: Edge) -> str:
    return f" ({edge.kb})" if edge.kb else ""


def _listed(branches: list[int]) -> str:
    return ", ".join(str(branch) for branch in branches)


def _restrictions(entry: Affected, world: World) -> list[tuple[Value, EvidenceDict | None, MissingDict | None]]:
    found: list[tuple[Value, EvidenceDict | None, MissingDict | None]] = []
    system = world.section("system")
    for attribute, field, word in _RESTRICTIONS:
        wanted: tuple[str, ...] = getattr(entry, attribute)
        if not wanted:
            continue
        missing = world.gap("system", field)
        if missing is not None:
            found.append((Value.UNKNOWN, None, missing))
            continue
        fact = system.get(field)
        expected = " or ".join(wanted)
        if not isinstance(fact, str):
            line = _line(world, field, f"Windows has no {word}", None, expected)
            found.append((Value.NO, line, None))
            continue
        hit = fact.casefold() in {name.casefold() for name in wanted}
        text = f"{word} is {fact}" if hit else f"{word} is {fact}, not {expected}"
        found.append((Value.of(hit), _line(world, field, text, fact, expected), None))
    return found


def _line(world: World, field: str, statement: str, value: Any, expected: str) -> EvidenceDict:
    line: EvidenceDict = {"statement": statement, "value": value, "expected": expected, "path": f"/system/{field}"}
    source = world.source_of(world.section("system"), field)
    if source is not None:
        line["source"] = source
    return line
