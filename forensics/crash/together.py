"""What several dumps say together that none says alone.

The same wrong bit, many different faults of one machine, one driver behind different problems, the start as the time of
all. Dumps are of one machine when the firmware's own numbers are the same (`hardware.fingerprint`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypedDict

from forensics.facts import CrashDict

__all__ = ["Together", "together"]

#: Seconds in which Windows loads its drivers and starts its services.
_AT_START = 120
#: Different faults of one machine from which on they have more in common than any driver.
_MANY = 4


class Together(TypedDict):
    """Dumps of one machine.

    Attributes:
        fingerprint: of the machine; "" for those that hold none.
        dumps: their items, in the order given.
        buckets: how many dumps each problem has, the most frequent first.
        says: sentences: what they have in common.

    """

    fingerprint: str
    dumps: list[str]
    buckets: dict[str, int]
    says: list[str]


def together(crashes: Iterable[CrashDict]) -> list[Together]:
    """Group crashes by machine, the one with the most dumps first; those of unknown machines come last, as one."""
    groups: dict[str, list[CrashDict]] = {}
    for crash in crashes:
        groups.setdefault(str(crash.get("hardware", {}).get("fingerprint", "")), []).append(crash)
    order = sorted(groups, key=lambda fingerprint: (not fingerprint, -len(groups[fingerprint]), fingerprint))
    return [_one(fingerprint, groups[fingerprint]) for fingerprint in order]


def _one(fingerprint: str, crashes: Sequence[CrashDict]) -> Together:
    buckets = Counter(crash.get("bucket", "") for crash in crashes)
    made: Together = {
        "fingerprint": fingerprint,
        "dumps": [crash["item"] for crash in crashes],
        "buckets": dict(sorted(buckets.items(), key=lambda item: (-item[1], item[0]))),
        "says": [],
    }
    if fingerprint and len(crashes) > 1:
        made["says"] = [*_bits(crashes), *_spread(crashes, len(buckets)), *_alike(crashes, len(buckets))]
    return made


def _bits(crashes: Sequence[CrashDict]) -> list[str]:
    """The same bit wrong in several dumps: a line or a cell, not a program."""
    seen: Counter[int] = Counter()
    for crash in crashes:
        seen.update({int(flip["bit"]) for flip in crash.get("flipped_bits", [])})
    return [
        f"bit {bit} is wrong in {count} dumps of this machine: one failing line of its memory or processor"
        for bit, count in sorted(seen.items())
        if count > 1
    ]


def _one_driver(crashes: Sequence[CrashDict]) -> str | None:
    """Return the driver that every one of them names, None where there is none such."""
    modules = {crash["culprit"]["module"] for crash in crashes}
    return modules.pop() if len(modules) == 1 else None


def _alike(crashes: Sequence[CrashDict], buckets: int) -> list[str]:
    """One driver behind different problems; all of them soon after the start."""
    says = []
    driver = _one_driver(crashes)
    if buckets > 1 and driver is not None:
        says.append(f"all {len(crashes)} accuse {driver}, in {buckets} different problems")
    uptimes = [crash["uptime_s"] for crash in crashes if "uptime_s" in crash]
    if len(uptimes) == len(crashes) and max(uptimes) <= _AT_START:
        says.append(f"all {len(crashes)} came within {max(1, round(max(uptimes)))} s of the start of Windows")
    return says


def _spread(crashes: Sequence[CrashDict], buckets: int) -> list[str]:
    codes = {crash["bugcheck"]["code"] for crash in crashes}
    named = {crash["culprit"]["module"] for crash in crashes if crash["culprit"]["module"]}
    if _one_driver(crashes) is not None or buckets < _MANY or len(codes) < 3 or buckets * 4 < len(crashes) * 3:
        return []
    return [
        f"{len(crashes)} dumps of this machine have {buckets} different faults of {len(codes)} bug checks"
        + (f", in {len(named)} different drivers" if len(named) > 1 else "")
        + ": what they share is the machine: memory, processor, power or heat come before any driver"
    ]
