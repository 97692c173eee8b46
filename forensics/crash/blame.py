"""The verdict: evidence in the order of its strength, the first that speaks decides.

1. codes whose nature names no driver (a person, the boot volume, a process); 2. the machine itself (machine checks, a
flipped bit, an instruction that the processor should have executed, storage that failed, a fault that its instruction
cannot have made); 3. an object that a parameter names, and after it a live dump as such; 4. the faulting instruction;
5. the driver that raised the bug check itself; 6. the driver that the dying kernel wrote into the dump; 7. an address
of code, an object of the I/O manager or a driver's name in a parameter; 8. the stacks that the watchdog for deferred
calls took; 9. the frames of the stack by the policy of `policy.py`; 10. nothing: `unknown`.

`high`: exact evidence for the driver (or the cause) itself. `medium`: exact evidence for a place, one step of
interpretation away. `low`: a hint; no driver is ever named above it on a scanned stack. `none`: no driver must be
named. The order is ours; the strength of each piece is docs/crash.md's.
"""

from __future__ import annotations

from forensics.crash.blame_fit import by_misfit
from forensics.crash.blame_kinds import by_hardware, by_live_dump, by_nature
from forensics.crash.blame_objects import by_object
from forensics.crash.blame_parameters import by_parameter
from forensics.crash.blame_stack import by_caller, by_fault, by_kernels_word, by_stack
from forensics.crash.case import CrashCase
from forensics.crash.context import HUNG_AT
from forensics.crash.watchdog import by_watchdog_profile
from forensics.facts import Culprit

__all__ = ["blame"]

#: Damage that somebody else did is found there: the stack shows the victim.
_VICTIM = {
    0x19: "the pool is damaged: the code that found it is the victim",
    0xC2: "a bad request to the pool: often after damage by another driver",
    0xC5: "the pool is damaged: the code that found it is the victim",
    0x13A: "a heap of the kernel is damaged: the code that found it is the victim",
    0x1A: "memory management found its tables damaged",
    0x4E: "the list of physical pages is damaged",
    0x109: "code or data of the kernel was changed: by a driver that patches it, or by bad memory",
    0x7A: "a page could not be read back: the thread that needed it is the victim",
    0x77: "a page of a kernel stack could not be read back: the thread that needed it is the victim",
    0x154: "the store manager (compressed memory, page file) failed: storage or memory",
}


def blame(case: CrashCase) -> Culprit:
    """Return the verdict on a crash."""
    for step in (by_nature, by_hardware, by_misfit, by_object, by_live_dump):
        found = step(case)
        if found is not None:
            return found
    if case.code in _VICTIM:
        return _victim(case)
    # Raised by another processor than the one that hung: its own stack says nothing.
    if case.code in HUNG_AT and case.fault is None:
        words = "the processor that hung left no context in the dump; the stack is of the one that noticed"
        return case.verdict("unknown", None, "none", [words])
    for step in (by_fault, by_caller, by_kernels_word, by_parameter, by_watchdog_profile, by_stack):
        found = step(case)
        if found is not None:
            return found
    return _unknown(case)


def _victim(case: CrashCase) -> Culprit:
    for frame in case.frames:
        module = frame.module
        if module is not None and not case.evidence.modules.is_kernel(module):
            case.others.append(f"{case.label(frame.ip)} on the stack ({frame.method}): the finder, not the cause")
    case.against.append("Driver Verifier with special pool can name the driver when it happens again")
    because = [f"bug check {case.code:#x}: {_VICTIM[case.code]}"]
    return case.verdict("unknown", None, "none", because)


def _unknown(case: CrashCase) -> Culprit:
    because = []
    more = "a complete or kernel dump of the same crash may show more"
    if case.evidence.dump.header.is_encrypted:
        because.append("the dump is encrypted: only its header can be read")
        more = "the same dump shows more to who has the key and decrypts it"
    elif case.evidence.dump.kind == "header-only":
        because.append("the dump is its header alone")
    elif not case.evidence.modules.modules:
        because.append("the dump holds no list of modules")
    elif not case.frames:
        because.append("the dump holds no registers to begin a stack with")
    else:
        because.append("every frame that was found is the kernel's own, or of code that only carries others")
    for frame in case.frames[:4]:
        case.others.append(f"{case.label(frame.ip)} ({frame.method})")
    case.against.append(more)
    return case.verdict("unknown", None, "none", because)
