"""0x133 with parameter 1 = 1: where the processor was seen while its deferred calls added up.

The kernel samples return addresses into a buffer of the processor block while the watchdog's time runs out
(KPRCB.DpcWatchdogProfile, and behind it where the next capture goes). The offsets hold for the builds that they were
published for; another build's block is not read. A sample says that code was there, not that it took the time, so its
driver is a hint.

Source of the offset: `volatilityfoundation/volatility: plugins/overlays/windows` (17763). NOT VERIFIED: that a pointer
to the samples stands there, and not the samples themselves, is remembered, with no source found for it; a wrong reading
gives no samples or a hint of confidence `low`.
"""

from __future__ import annotations

from collections import Counter

from forensics.crash.case import CrashCase
from forensics.crash.policy import blame_order, policy_of
from forensics.facts import Culprit

__all__ = ["by_watchdog_profile"]

#: (build, size of the processor block) -> offset of the buffer's address; the address of the next capture follows it.
_PROFILE = {(17763, 0x7EC0): 0x61A8}

#: Twice what the kernel's buffer of 256 KiB holds.
_MAX_SAMPLES = 0x10000


def _samples(case: CrashCase) -> list[int]:
    dump = case.evidence.dump
    if dump.machine != "x64" or dump.prcb is None or dump.kdbg is None:
        return []
    at = _PROFILE.get((dump.header.minor_version or 0, dump.kdbg.value("SizePrcb") or 0))
    if at is None or at + 16 > len(dump.prcb):
        return []
    start, end = (int.from_bytes(dump.prcb[place : place + 8], "little") for place in (at, at + 8))
    if not start or start & 7 or end <= start:
        return []
    length = min(end - start, 8 * _MAX_SAMPLES) & -8
    data = case.evidence.attempt(case.evidence.memory.read_available, start, length) or b""
    return [int.from_bytes(data[place : place + 8], "little") for place in range(0, len(data) & -8, 8)]


def by_watchdog_profile(case: CrashCase) -> Culprit | None:
    """Return the driver that the watchdog's samples show most often; None when they show none that can be blamed."""
    if case.code != 0x133 or case.evidence.parameters[0] != 1:
        return None
    seen: Counter[int] = Counter()
    for value in _samples(case):
        module = case.evidence.modules.at(value)
        if module is not None and blame_order(policy_of(module.name).kind) <= 1 and case.words.is_possible(value):
            seen[value] += 1
    by_module: Counter[int] = Counter()
    for value, count in seen.items():
        found = case.evidence.modules.at(value)
        if found is not None:
            by_module[found.base] += count
    if not by_module:
        return None
    base, count = by_module.most_common(1)[0]
    module = case.evidence.modules.at(base)
    place = max((value for value in seen if case.evidence.modules.at(value) is module), key=lambda value: seen[value])
    because = [
        f"the watchdog's samples of this processor show {case.label(place)} and other places of the same driver "
        f"{count} times, oftener than any other driver"
    ]
    case.against.append("a sample tells where the processor was, not how long: the time of many calls was added up")
    return case.verdict("driver", module, "low", because)
