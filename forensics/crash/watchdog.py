"""0x133 with parameter 1 = 1: the stacks that the kernel took while its deferred calls added up.

Before the watchdog's time runs out the kernel walks the running stack at every tick and keeps it. Parameter 3 names
DPC_WATCHDOG_GLOBAL_TRIAGE_BLOCK, which holds no stacks but says where they are: the offset, in the processor block, of
two pointers: to the buffer, and to the place in it where the next stack goes. A stack is a word with the number of
its frames in the low 16 bits, the return addresses, the innermost first, and a last word: 0, or in later builds a
pointer back into the buffer. When the buffer is full the kernel begins again at its start: only what lies before the
next place is read.

Sources: the block, its signature and revision: ntddk.h of the WDK, in `microsoft/windows-rs` and its documentation
(Wdk::System::SystemServices::DPC_WATCHDOG_GLOBAL_TRIAGE_BLOCK); that two pointers to pointers stand in the processor
block, one behind the other: `ntdiff/headers: Win10_1809_RS5/x64/System32/ntdll.dll/Standalone/_KPRCB.h` (0x61A8,
0x61B0) and the same file of other builds; the stacks: public listings of the kernel's KiDpcWatchdogCaptureStack and
KeAccumulateTicks. No real dump with them was at hand. Builds whose parameter 3 is 0 have no such block.
"""

from __future__ import annotations

from collections import Counter

from forensics.crash.case import CrashCase
from forensics.crash.policy import blame_order, policy_of
from forensics.facts import Culprit
from parsers.dump.modules import LoadedModule
from parsers.limits import MAX_WATCHDOG_BYTES

__all__ = ["by_watchdog_profile", "watchdog_stacks"]

_SIGNATURE = 0xAEBECEDE
_REVISION = 1
#: The kernel asks for at most 50 frames of a stack.
_MAX_FRAMES = 0x32
#: Fewer stacks than these say little of where the time went.
_ENOUGH = 3


def watchdog_stacks(case: CrashCase) -> list[tuple[int, ...]]:
    """Return the stacks that the kernel kept, the oldest first, each with the innermost return address first."""
    evidence = case.evidence
    prcb, block = evidence.dump.prcb, evidence.bytes_at(evidence.parameters[2], 16)
    if prcb is None or block is None or evidence.dump.machine != "x64":
        return []
    if int.from_bytes(block[:4], "little") != _SIGNATURE or int.from_bytes(block[4:6], "little") != _REVISION:
        return []
    at, slots = int.from_bytes(block[8:10], "little"), int.from_bytes(block[12:16], "little")
    if at % 8 or at + 16 > len(prcb):
        return []
    start, following = (int.from_bytes(prcb[place : place + 8], "little") for place in (at, at + 8))
    length = following - start
    if not start or start % 8 or length % 8 or not 0 < length <= min(8 * slots, MAX_WATCHDOG_BYTES):
        return []
    data = evidence.attempt(evidence.memory.read_available, start, length) or b""
    return _stacks(data, range(start, start + min(8 * slots, MAX_WATCHDOG_BYTES) + 1))


def _stacks(data: bytes, buffer: range) -> list[tuple[int, ...]]:
    """Cut a buffer into stacks; what comes after one that cannot be one is not read."""
    words = [int.from_bytes(data[place : place + 8], "little") for place in range(0, len(data) & -8, 8)]
    found = []
    at = 0
    while at < len(words):
        count = words[at] & 0xFFFF
        last = at + 1 + count
        if not 0 < count <= _MAX_FRAMES or last >= len(words) or (words[last] and words[last] not in buffer):
            break
        found.append(tuple(words[at + 1 : last]))
        at = last + 1
    return found


def _innermost(case: CrashCase, stack: tuple[int, ...]) -> tuple[LoadedModule, int] | None:
    """Return the first driver on a stack that can be blamed, with the place."""
    for place in stack:
        module = case.evidence.modules.at(place)
        if module is not None and blame_order(policy_of(module.name).kind) <= 1 and case.words.is_possible(place):
            return module, place
    return None


def by_watchdog_profile(case: CrashCase) -> Culprit | None:
    """Return the driver that the watchdog's stacks show most often; None when they show none that can be blamed."""
    if case.code != 0x133 or case.evidence.parameters[0] != 1:
        return None
    stacks = watchdog_stacks(case)
    seen = [one for one in (_innermost(case, stack) for stack in stacks) if one is not None]
    if not stacks:
        case.against.append("the stacks that the watchdog took before it stopped the machine are not in the dump")
    if not seen:
        return None
    base, count = Counter(module.base for module, _place in seen).most_common(1)[0]
    place = Counter(place for module, place in seen if module.base == base).most_common(1)[0][0]
    module = case.evidence.modules.at(base)
    because = [
        f"of the {len(stacks)} stacks that the watchdog took of this processor {count} run through {case.label(place)} "
        "or another place of the same driver, which is the innermost there that can be blamed"
    ]
    case.against.append("a stack tells where the processor was, not how long: the time of many calls was added up")
    often = len(stacks) >= _ENOUGH and 2 * count > len(stacks)
    return case.verdict("driver", module, "medium" if often else "low", because)
