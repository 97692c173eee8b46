"""The verdict: one sentence about the latest boot, and the lines a person reads next.

An older crash is "an earlier crash": it is told in a line and is never the sentence. What the sentence says of the
past is what the newest dump or, without one, the event log shows; what it says of the future is a known problem
that fits the machine as it is now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensics.crash.undumped import undumped
from forensics.unreadable import unreadable_boot_drivers
from stopcode.report.outcome import is_unread
from stopcode.report.several import several_lines
from stopcode.report.words import caused_by, count_of, culprit_name, duration, machine_name, moment, stop_code

__all__ = ["KnownUpdates", "is_of_crash", "latest_crash", "verdict"]

_KINDS = {
    "regression": "known regression",
    "third-party": "known problem of a third-party driver",
    "misconfiguration": "known misconfiguration",
    "corruption": "known kind of corruption",
    "hardware": "known hardware problem",
}
_TRIGGERS = {
    "failover": "if it were failed over",
    "reboot": "at its next start",
    "update": "with its next update",
    "migration": "if it were migrated",
    "load": "under load",
    "time": "sooner or later",
    "hardware-change": "on other hardware",
    "uninstall": "if the software were removed",
}
_TARGETS = {
    "azure-site-recovery": " by Site Recovery",
    "azure": " to Azure",
    "hyper-v-replica": " by Hyper-V Replica",
    "hyper-v": " to Hyper-V",
}


#: A machine that wrote anything so long after it began to boot did start.
_SOUND_BOOT_S = 600.0
_CONFIDENCE = {"high": 2, "medium": 1}


@dataclass(frozen=True, slots=True)
class KnownUpdates:
    """Which updates a rule names: the one it came with, and the one that ends it ("" when none is named)."""

    introduced: str = ""
    fixed: str = ""


def latest_crash(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the crash that the latest boot ended in, None when there is none."""
    return next((crash for crash in facts.get("crashes") or [] if crash.get("latest", True)), None)


def is_of_crash(finding: Mapping[str, Any], crash: Mapping[str, Any]) -> bool:
    """Tell whether it is this crash that made a finding `crashed`."""
    return (finding.get("crash") or {}).get("item") == crash.get("item")


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _known_as(finding: Mapping[str, Any], updates: KnownUpdates) -> str:
    """Return what the problem is called, with the updates that bring and end it."""
    name = _KINDS.get(str(finding.get("kind")), "known problem")
    came = f" came with {updates.introduced}" if updates.introduced else ""
    ends = f" {updates.fixed} ends" if updates.fixed else ""
    if came and ends:
        return f"This is the {name} that{came} and that{ends}."
    if came or ends:
        return f"This is the {name} that{came or ends}."
    return f"This is a {name}: {_ended(str(finding.get('title', '')))}"


def _crash_sentence(machine: str, crash: Mapping[str, Any]) -> str:
    when = f" on {moment(crash.get('time'))}" if crash.get("time") else ""
    uptime = crash.get("uptime_s")
    after = ""
    if isinstance(uptime, int | float):
        after = f", {duration(uptime)} after it began to boot," if uptime < 600 else f", after {duration(uptime)},"
    return f"{machine} crashed{when}{after} with {stop_code(crash.get('bugcheck') or {})}: {caused_by(crash)}."


def _live_sentence(machine: str, crash: Mapping[str, Any]) -> str:
    when = f"on {moment(crash.get('time'))} " if crash.get("time") else ""
    named = f": {caused_by(crash)}" if (crash.get("culprit") or {}).get("kind") == "driver" else ""
    return (
        f"{machine} did not crash: {when}Windows wrote a live report with {stop_code(crash.get('bugcheck') or {})} and "
        f"ran on{named}."
    )


def _exposed_sentence(machine: str, finding: Mapping[str, Any], updates: KnownUpdates) -> str:
    trigger = next((_TRIGGERS[name] for name in finding.get("triggers") or [] if name in _TRIGGERS), "")
    if "failover" in (finding.get("triggers") or []):
        trigger = _TRIGGERS["failover"]
        trigger += next((_TARGETS[name] for name in finding.get("targets") or [] if name in _TARGETS), "")
    if trigger and finding.get("severity") in ("critical", "high"):
        head = f"{machine} would crash {trigger}"
    else:
        head = f"{machine} has a known problem"
    known = _known_as(finding, updates)
    title = "" if known.startswith("This is a ") else f": {finding.get('title')}"
    return f"{_ended(head + title)} {known}"


def _unread(facts: Mapping[str, Any]) -> list[str]:
    """Return the sections of the facts that could not be read whole, by name, with what is only not collected aside."""
    names = []
    for gap in facts.get("gaps") or []:
        if not is_unread(gap):
            continue
        name = str(gap.get("path", "")).strip("/").split("/")[0]
        if name and name not in names:
            names.append(name)
    return names


def _without_dump(machine: str, facts: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what is known of the latest boot where no dump tells of it, and whether a reported stop is part of it.

    A stop that the event log reports is part of it when nothing shows that the machine ran on after it: the report is
    written by the boot behind the stop, and a machine that stops at every start leaves no more than that.
    """
    boots = (facts.get("boot") or {}).get("boots") or []
    reported = undumped(facts)
    newest = boots[0] if boots else {}
    ran_until = _ran_until(facts, newest)
    if reported and (not newest or (_crashed_before(boots) and not ran_until)):
        stopped = f" on {moment(reported['stopped'])}" if reported.get("stopped") else ""
        told = f"no dump of it is left; the event log reports that it stopped{stopped} with {stop_code(reported)}"
        if not newest:
            return f"{machine}: {told}.", True
        began = f"its latest boot began on {moment(newest['started'])}"
        return f"{machine}: {told}; {began} and nothing tells how that ended.", True
    if newest.get("end") == "shutdown":
        return f"{machine} was shut down cleanly on {moment(newest.get('ended'))}, after its latest boot.", False
    unread = _unread(facts)
    unknown = "crashes" in unread
    where = "on the disk"
    if "crash_settings" in unread:
        where = "where dumps usually lie; whether they were written elsewhere could not be read"
    if newest:
        ran = f", it ran until {moment(ran_until)} at least" if ran_until else ""
        began = f"{machine}: its latest boot began on {moment(newest['started'])}{ran}"
        if unknown:
            return f"{began}, and whether a crash of it is on the disk could not be read.", False
        return f"{began}{',' * bool(ran)} and no crash of it is {where}.", False
    if unknown:
        return f"{machine}: whether a crash is on the disk could not be read.", False
    return f"{machine}: no crash is {where}.", False


def _crashed_before(boots: Sequence[Mapping[str, Any]]) -> bool:
    return len(boots) > 1 and boots[1].get("end") == "bugcheck" and _open_ended(boots[0])


def _ran_until(facts: Mapping[str, Any], newest: Mapping[str, Any]) -> str:
    """Return the newest time on the disk where it is so long after the latest boot that this boot was a sound one."""
    as_of = str((facts.get("system") or {}).get("disk_as_of") or "")
    try:
        span = datetime.fromisoformat(as_of) - datetime.fromisoformat(str(newest.get("started")))
    except (ValueError, TypeError):
        return ""
    return as_of if span.total_seconds() > _SOUND_BOOT_S else ""


def _open_ended(boot: Mapping[str, Any]) -> bool:
    return boot.get("end") in (None, "running")


def verdict(
    facts: Mapping[str, Any],
    findings: Sequence[Mapping[str, Any]],
    updates: Mapping[str, KnownUpdates],
    *,
    lone: bool = False,
    judged: bool = True,
) -> dict[str, Any]:
    """Return the verdict of one report.

    Args:
        facts: what was read.
        findings: what the rules say, the weightiest first.
        updates: rule id -> the updates it names.
        lone: the input was a dump without its disk.
        judged: whether rules were asked at all.

    """
    machine = machine_name(facts)
    crash = latest_crash(facts)
    known = [item for item in findings if item.get("state") == "crashed" and crash and is_of_crash(item, crash)]
    exposed = [
        item
        for item in findings
        if item not in known
        and (item.get("state") == "exposed" or (item.get("state") == "crashed" and item.get("exposed_now")))
    ]
    suspected = [item for item in findings if item.get("state") == "suspected"]
    unread = [] if lone else _unread(facts)
    chosen: Mapping[str, Any] | None = None
    reported = False
    live = next((item for item in facts.get("crashes") or [] if item.get("live")), None) if lone else None
    if live is not None:
        # A dump alone tells of nothing but this one moment, and that was no crash.
        state, sentence = "clear", _live_sentence(machine, live)
    elif crash is not None:
        state = "crashed"
        sentence = _crash_sentence(machine, crash)
        if known:
            chosen = known[0]
            sentence += " " + _known_as(chosen, updates.get(str(chosen["rule"]), KnownUpdates()))
        elif judged and not lone:
            sentence += " " + (_doubt(suspected) if suspected else "No known problem explains it.")
    else:
        told, reported = _without_dump(machine, facts)
        state, chosen, sentence = _of_the_rest(
            machine, told, reported, exposed, suspected, updates, unread=bool(unread)
        )
    made: dict[str, Any] = {
        "state": state,
        "sentence": sentence,
        "lines": [
            line
            for line in _lines(facts, live or crash, chosen, [*exposed, *suspected], unread, reported=reported)
            # The sentence names the problem already where it has no crash to tell of.
            if chosen is None or not (line.startswith("Known problem: ") and str(chosen.get("title")) in sentence)
        ],
    }
    if chosen is not None:
        made["rule"] = chosen["rule"]
    return made


def _likeliest(suspected: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the likeliest; the list itself is sorted by severity."""
    return max(suspected, key=lambda item: _CONFIDENCE.get(str(item.get("confidence")), 0))


def _doubt(suspected: Sequence[Mapping[str, Any]]) -> str:
    many = f"{len(suspected)} known problems cannot be excluded, the likeliest:"
    doubt = "A known problem cannot be excluded:" if len(suspected) == 1 else many
    return f"{doubt} {_ended(str(_likeliest(suspected).get('title')))}"


def _of_the_rest(
    machine: str,
    told: str,
    reported: bool,
    exposed: Sequence[Mapping[str, Any]],
    suspected: Sequence[Mapping[str, Any]],
    updates: Mapping[str, KnownUpdates],
    *,
    unread: bool,
) -> tuple[str, Mapping[str, Any] | None, str]:
    """Return state, known problem and sentence of a machine whose latest boot left no dump."""
    if exposed and not reported:
        chosen = exposed[0]
        return "exposed", chosen, _exposed_sentence(machine, chosen, updates.get(str(chosen["rule"]), KnownUpdates()))
    if exposed:
        return "crashed", exposed[0], f"{told} It has a known problem: {_ended(str(exposed[0].get('title')))}"
    if suspected:
        return ("crashed" if reported else "suspected"), _likeliest(suspected), f"{told} {_doubt(suspected)}"
    state = "crashed" if reported else "partial" if unread else "clear"
    nothing = "Nothing known was found in what could be read." if unread else "No known problem was found."
    return state, None, f"{told} {nothing}"


def _lines(
    facts: Mapping[str, Any],
    crash: Mapping[str, Any] | None,
    chosen: Mapping[str, Any] | None,
    others: Sequence[Mapping[str, Any]],
    unread: Sequence[str],
    *,
    reported: bool,
) -> list[str]:
    """Return what a person reads next: why, which problem, what to do first, up to when the disk tells, what else."""
    lines = []
    if crash is not None:
        culprit = crash.get("culprit") or {}
        because = [str(reason) for reason in culprit.get("because") or []]
        if culprit.get("module") and because:
            lines.append(f"Culprit: {culprit_name(crash)} ({culprit.get('confidence')} confidence): {because[0]}")
        elif because:
            lines.append(f"Cause: {because[0]}")
    if chosen is not None:
        lines.append(f"Known problem: {chosen.get('title')} [{chosen.get('rule')}]")
        steps = chosen.get("remediation") or []
        if steps:
            lines.append(f"First: {steps[0].get('do')}")
    as_of = (facts.get("system") or {}).get("disk_as_of")
    if as_of:
        lines.append(f"Disk as of {moment(as_of)}: what happened later is not on it")
    rest = [item for item in others if item is not chosen]
    if rest:
        more = f", and {len(rest) - 1} more" if len(rest) > 1 else ""
        lines.append(f"Also {rest[0].get('state')}: {rest[0].get('title')} [{rest[0].get('rule')}]{more}")
    # The report of a machine that ran on is no crash.
    older = [item for item in facts.get("crashes") or [] if item is not crash and not item.get("live")]
    earlier = [item for item in older if not item.get("foreign")]
    foreign = [item for item in older if item.get("foreign")]
    other = None if reported else undumped(facts)
    if other:
        lines.append(f"The event log reports a stop before {moment(other.get('time'))}: {stop_code(other)}")
    boots = (facts.get("boot") or {}).get("boots") or []
    if crash is None and len(boots) > 1 and boots[1].get("end") == "unexpected":
        began = moment(boots[1].get("started"))
        lines.append(
            f"The boot before the latest, of {began}, ended without warning: power, reset, or a crash without a dump"
        )
    for lead, group in (("An earlier crash", earlier), ("A dump of another build of Windows", foreign)):
        if group:
            of = group[0]
            more = f", and {count_of(len(group) - 1, 'older one')}" if len(group) > 1 else ""
            told = f"{stop_code(of.get('bugcheck') or {})}, {culprit_name(of)}"
            lines.append(f"{lead}: {moment(of.get('time'))}, {told}{more}")
    lines += several_lines(facts)
    broken = [f"{name} ({reason})" for name, reason in unreadable_boot_drivers(facts)]
    if broken:
        more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        lines.append(f"A file that Windows needs to start is there and cannot be read: {broken[0]}{more}")
    if any(
        volume.get("role") == "windows" and volume.get("journal") == "unreadable"
        for volume in facts.get("volumes") or []
    ):
        lines.append(
            "The journal of the Windows volume cannot be read: files that changed last may be read as they were before"
        )
    if unread:
        lines.append(f"Not read, or not whole: {', '.join(unread)}")
    return lines
