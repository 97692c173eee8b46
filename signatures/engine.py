"""The engine: a rule and a facts document in, a finding out. Pure: no I/O, no clock, nothing global.

The state is the first row that fits, with gate = all(affected, not any(excludes)), and `crashed` joined with `exposed`
where the rule asks for it (`crashed_needs`):

1. gate NO: clear
2. `crashed` YES: crashed
3. gate YES, `exposed` YES: exposed
4. gate UNKNOWN, `exposed` YES: suspected
5. `exposed` UNKNOWN: suspected if informed, else unjudged
6. `crashed` UNKNOWN, `exposed` NO: clear
7. `crashed` UNKNOWN, no `exposed`: suspected if informed by the crash, else unjudged
8. else clear

*Informed* means that at least one leaf of the rule is YES, its ranges included; *informed by the crash* that at least
one field of a crash condition is true of a crash that is not excluded. Without that, one unreadable hive would make
every rule of the database suspected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from forensics.facts import Facts
from signatures.evaluate import Evaluator
from signatures.finding import FindingDict, State, UnjudgedDict, make_finding, sort_key
from signatures.load import Database
from signatures.model import Rule
from signatures.three import Value, all_of, negate
from signatures.verdict import CrashRef, MissingDict, Verdict, merge, unique
from signatures.world import World

__all__ = ["Judged", "Judgement", "judge", "judge_all", "judge_in", "state_of"]

_LEVELS = ("low", "medium", "high")
#: Reasons that one unjudged rule names.
_MAX_REASONS = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """Every verdict of one rule, for the finding and for `why`; None where the rule does not ask."""

    rule: Rule
    affected: Verdict
    excludes: Verdict | None
    gate: Value
    exposed: Verdict | None
    crashed: Verdict | None
    corroborates: tuple[Verdict, ...]
    state: State
    evaluator: Evaluator


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a whole database says of one machine.

    Attributes:
        findings: crashed, exposed and suspected, sorted by state, severity and id.
        clear: the rules that say no, with what speaks against them, sorted by id.
        unjudged: the rules of which nothing can be said, sorted by id.

    """

    findings: list[FindingDict]
    clear: list[FindingDict]
    unjudged: list[UnjudgedDict]


def state_of(
    gate: Value,
    crashed: Value | None,
    exposed: Value | None,
    *,
    informed: bool,
    crash_informed: bool,
    may_suspect: bool = True,
) -> State:
    """Return the state by the table above; None stands for a condition that the rule does not have."""
    unknown: State = "suspected" if may_suspect else "unjudged"
    if gate is Value.NO:
        return "clear"
    if crashed is Value.YES:
        return "crashed"
    if exposed is Value.YES:
        return "exposed" if gate is Value.YES else unknown
    if exposed is Value.UNKNOWN:
        return unknown if informed else "unjudged"
    if crashed is Value.UNKNOWN and exposed is None:
        return unknown if crash_informed else "unjudged"
    return "clear"


def judge_in(rule: Rule, world: World) -> Judged:
    """Evaluate every condition of a rule."""
    evaluator = Evaluator(rule, world)
    affected = evaluator.affected()
    excludes = evaluator.any_of("excludes", rule.excludes) if rule.excludes else None
    gate = affected.value if excludes is None else all_of((affected.value, negate(excludes.value)))
    exposed = evaluator.evaluate(rule.exposed) if rule.exposed is not None else None
    crashed = evaluator.evaluate(rule.crashed) if rule.crashed is not None else None
    if crashed is not None and exposed is not None and rule.crashed_needs == "exposed":
        both = [crashed, exposed]
        crashed = merge(all_of(verdict.value for verdict in both), "crashed and exposed", both, every_against=False)
    asked = [verdict for verdict in (affected, exposed, crashed) if verdict is not None]
    state = state_of(
        gate,
        crashed.value if crashed is not None else None,
        exposed.value if exposed is not None else None,
        informed=any(verdict.informed for verdict in asked),
        crash_informed=crashed is not None and crashed.crash_informed,
        may_suspect=rule.suspect != "never",
    )
    corroborates = tuple(evaluator.evaluate(node) for node in rule.corroborates)
    return Judged(rule, affected, excludes, gate, exposed, crashed, corroborates, state, evaluator)


def judge(rule: Rule, facts: Facts | Mapping[str, Any]) -> FindingDict:
    """Judge one rule; the state may be `clear` or `unjudged` too."""
    return _finding(judge_in(rule, World(facts)))


def judge_all(database: Database | Iterable[Rule], facts: Facts | Mapping[str, Any]) -> Judgement:
    """Judge every rule that is not withdrawn."""
    rules = database.rules if isinstance(database, Database) else tuple(database)
    world = World(facts)
    findings: list[FindingDict] = []
    clear: list[FindingDict] = []
    unjudged: list[UnjudgedDict] = []
    for rule in rules:
        if rule.status == "withdrawn":
            continue
        finding = _finding(judge_in(rule, world))
        if finding["state"] == "unjudged":
            unjudged.append({"rule": rule.id, "reason": reason_of(finding["missing"])})
        elif finding["state"] == "clear":
            clear.append(finding)
        else:
            findings.append(finding)
    return Judgement(
        sorted(findings, key=sort_key),
        sorted(clear, key=lambda finding: finding["rule"]),
        sorted(unjudged, key=lambda row: row["rule"]),
    )


def reason_of(missing: Iterable[MissingDict]) -> str:
    """Return the first reasons, each once."""
    reasons = list(dict.fromkeys(line["reason"] for line in missing))
    more = f" and {len(reasons) - _MAX_REASONS} more" if len(reasons) > _MAX_REASONS else ""
    return "; ".join(reasons[:_MAX_REASONS]) + more


def _finding(judged: Judged) -> FindingDict:
    """Put together what speaks for the state, what against, and what is missing."""
    parts = [verdict for verdict in (judged.affected, judged.exposed, judged.crashed) if verdict is not None]
    state = judged.state
    more: dict[str, Any] = {}
    if state == "clear":
        more["against"] = list(_against(judged))
    else:
        shown = [verdict for verdict in parts if verdict.value is not Value.NO]
        extra = [verdict for verdict in judged.corroborates if verdict.value is Value.YES]
        more["evidence"] = list(unique(line for verdict in (*shown, *extra) for line in verdict.evidence))
        refused = [verdict for verdict in parts if verdict.value is Value.NO]
        more["against"] = list(unique(line for verdict in refused for line in verdict.against))
        more["missing"] = list(_missing(judged, parts))
    if state in ("crashed", "exposed", "suspected"):
        crash = _crash(judged.crashed) if state == "crashed" else None
        more["confidence"] = _confidence(judged, crash)
        if crash is not None:
            more["crash"] = {key: value for key, value in crash.items() if key != "confidence"}
        now = _exposed_now(judged) if state == "crashed" else None
        if now is not None:
            more["exposed_now"] = now
    return make_finding(judged.rule, state, judged.evaluator, **more)


def _against(judged: Judged) -> tuple[Any, ...]:
    if judged.affected.value is Value.NO:
        return judged.affected.against
    if judged.gate is Value.NO and judged.excludes is not None:
        return judged.excludes.evidence
    parts = [verdict for verdict in (judged.exposed, judged.crashed) if verdict is not None]
    return unique(line for verdict in parts if verdict.value is Value.NO for line in verdict.against)


def _missing(judged: Judged, parts: list[Verdict]) -> tuple[MissingDict, ...]:
    unknown = [verdict for verdict in parts if verdict.value is Value.UNKNOWN]
    if judged.excludes is not None and judged.excludes.value is Value.UNKNOWN:
        unknown.append(judged.excludes)
    return unique(line for verdict in unknown for line in verdict.missing)


def _exposed_now(judged: Judged) -> bool | None:
    """Tell whether the machine would still crash; None where that is not known or not asked."""
    if judged.exposed is None:
        return None
    value = all_of((judged.gate, judged.exposed.value))
    return None if value is Value.UNKNOWN else value is Value.YES


def _crash(crashed: Verdict | None) -> CrashRef | None:
    """Return the crash that counts: the latest one where it did, else the newest that did (facts are newest first)."""
    refs = crashed.crashes if crashed is not None else ()
    return next((ref for ref in refs if ref.get("latest")), refs[0] if refs else None)


def _confidence(judged: Judged, crash: CrashRef | None) -> str:
    """Say how sure a finding is.

    `crashed` begins with the confidence in the culprit (medium where the rule names none), `exposed` with medium,
    `suspected` with low. A corroborating condition that is YES raises it by one step, a gate that is not known lowers
    it by one.
    """
    level = {"crashed": 1, "exposed": 1, "suspected": 0}[judged.state]
    if crash is not None and crash.get("confidence") in _LEVELS:
        level = _LEVELS.index(crash["confidence"])
    if any(verdict.value is Value.YES for verdict in judged.corroborates):
        level += 1
    level = min(level, len(_LEVELS) - 1)
    if judged.gate is Value.UNKNOWN and judged.state == "crashed":
        level -= 1
    return _LEVELS[max(level, 0)]
