"""Verdicts from the place of the fault and from the stack."""

from __future__ import annotations

from forensics.crash.blame_traces import by_former_driver, by_former_word, by_framework_log
from forensics.crash.case import CrashCase
from forensics.crash.context import HUNG_AT
from forensics.crash.instruction import judge_illegal
from forensics.crash.ntstatus import describe_status
from forensics.crash.policy import FRAMEWORKS, blame_order, policy_of
from forensics.crash.stack import Frame
from forensics.facts import Culprit
from parsers.dump.modules import LoadedModule

__all__ = ["by_caller", "by_fault", "by_kernels_word", "by_stack"]

_ILLEGAL = 0xC000001D
_ACCESS = 0xC0000005
_DPC_WATCHDOG = 0x133
_CLASS_WORDS = {"exact": "unwound exactly", "likely": "found by the code's own way out", "guess": "only a stack scan"}


def _order(module: LoadedModule) -> int:
    return blame_order(policy_of(module.name).kind)


def _fault_words(case: CrashCase) -> list[str]:
    """Return what is known of the fault itself."""
    fault = case.fault
    if fault is None:
        return [case.stack_of] if case.stack_of else []
    what = "the processor hung" if case.code in HUNG_AT else "the fault is"
    words = [f"{what} at {case.label(fault.ip)} ({fault.where})", *fault.checks]
    code = case.exception_code
    if code is not None:
        words.append(f"the exception is {describe_status(code)}")
    if case.record is not None and code == _ACCESS and len(case.record[1].information) >= 2:
        how, address = case.record[1].information[:2]
        kind = {0: "a read of", 1: "a write to", 8: "an execution at"}.get(how, "an access to")
        if address == (1 << 64) - 1:
            words.append("the record gives the address as -1: a general protection fault, which has none")
        else:
            words.append(f"it was {kind} {address:#x} (exception record at {case.record[0]:#x})")
            if address == case.evidence.cr2:
                words.append(f"CR2 of the processor holds the same address ({address:#x})")
    if case.fit is not None:
        words += case.fit.agrees
        case.against += case.fit.doubts
    touched = case.evidence.parameters[0]
    if case.code in (0xD1, 0x0A, 0x50, 0xD5, 0xD6, 0xCC, 0xCD) and touched and touched == case.evidence.cr2:
        words.append(f"CR2 of the processor equals parameter 1, the address that was touched ({touched:#x})")
    return words


def by_fault(case: CrashCase) -> Culprit | None:
    """Return the verdict when the faulting instruction itself lies in a driver."""
    evidence, fault = case.evidence, case.fault
    if fault is None:
        return None
    module = evidence.modules.at(fault.ip)
    words = _fault_words(case)
    if module is None:
        driver = evidence.modules.unloaded_at(fault.ip)
        if driver is not None:
            because = [*words, f"that is inside {case.former(driver)}: something still called it"]
            return case.verdict("driver", driver.name, "medium" if fault.by_looks else "high", because)
        return None
    if _order(module) > 1:
        return None
    if case.code in HUNG_AT:
        case.against.append("a processor may hang where it is for reasons of hardware, firmware or its hypervisor")
        return case.verdict("driver", module, "medium", words)
    if case.exception_code == _ILLEGAL and evidence.dump.machine == "x64":
        found = judge_illegal(evidence, fault.ip)
        if found.kind == "extension":
            words.append(
                f"memory holds {found.data.hex(' ')} = {found.text} there: a sound instruction that not every "
                f"processor has. This build of {module.name} does not fit this processor: an older one may, a newer "
                "one will not"
            )
            if found.has is False:
                words.append(f"this processor does not have it: CPUID in the dump says so ({found.feature})")
        elif found.kind == "deliberate":
            words.append(f"memory holds {found.text} there: {module.name} stopped itself (an assertion)")
        elif found.kind == "open":
            words.append(f"memory holds {found.data.hex(' ')} = {found.text} there")
            case.against.append("whether this processor has that instruction is not known here")
            return case.verdict("driver", module, "medium", words)
        elif found.kind == "invalid":
            words.append(f"memory holds {found.data.hex(' ')} there, which is no instruction")
            case.against.append("damaged code can also come from bad memory or from another driver's writes")
            return case.verdict("driver", module, "medium", words)
        else:
            case.against.append("the bytes of the instruction are not in the dump: the processor may be at fault")
            return case.verdict("driver", module, "medium", words)
    if fault.by_looks:
        case.against.append("no parameter names the instruction: the trap frame may be of an earlier fault")
        return case.verdict("driver", module, "medium", words)
    return case.verdict("driver", module, "high", words)


def by_caller(case: CrashCase) -> Culprit | None:
    """Return the verdict when a driver called KeBugCheck or KeBugCheckEx itself."""
    call = case.call
    if call is None or case.fault is not None:
        return None
    module = case.evidence.modules.at(call.return_address)
    if module is None or _order(module) > 1 or not case.words.is_possible(call.return_address):
        return None
    because = [
        f"{module.name} raised this bug check itself: it called {call.function} right before "
        f"{case.label(call.return_address)}",
        *call.checks,
    ]
    case.against.append(f"why {module.name} gave up is not in the dump: the text of the code is only its own choice")
    if case.code == 0x65:
        case.against.append("the code's name speaks of memory set-up while starting: not what happened here")
    return case.verdict("driver", module, "high", because)


def by_kernels_word(case: CrashCase) -> Culprit | None:
    """Return the verdict when the dying kernel itself wrote a driver's name into a small dump (KiBugCheckDriver)."""
    triage = case.evidence.dump.triage
    name = triage.broken_driver() if triage is not None else None
    if not name:
        return None
    module = case.evidence.modules.named(name.rpartition("\\")[2])
    if module is None or _order(module) > 1:
        case.others.append(f"{name}, which the kernel itself named in the dump, only carries others or is not loaded")
        return None
    because = [*_fault_words(case), f"the kernel itself named {module.name} in the dump as the driver it stopped for"]
    return case.verdict("driver", module, "medium", because)


def _first_by_class(frames: list[Frame], start: int) -> list[tuple[int, Frame]]:
    """Return the first frame of each module from `start` on, in stack order, without modules never to be blamed."""
    found: list[tuple[int, Frame]] = []
    seen: set[int] = set()
    for index, frame in enumerate(frames[start:], start):
        if frame.module is None or frame.module.base in seen or _order(frame.module) > 2:
            continue
        seen.add(frame.module.base)
        found.append((index, frame))
    return found


def _client(frames: list[Frame], index: int) -> Frame | None:
    """Return the client of the framework frame at `index`: the nearest frame of a driver next to its frames.

    Older frames first (the client called the framework), then newer ones (the framework called the client). A frame
    of the kernel or of another framework in between breaks the neighbourhood.
    """
    own = frames[index].module
    if own is None:
        return None
    for step in (1, -1):
        at = index + step
        while 0 <= at < len(frames):
            module = frames[at].module
            if module is None:
                break
            if module.base != own.base:
                if _order(module) <= 1:
                    return frames[at]
                break
            at += step
    return None


def by_stack(case: CrashCase) -> Culprit | None:
    """Return the verdict of the frames: the first of the class that is blamed first.

    Exact frames give `medium`; frames found in another way, `low`. A framework passes the blame to its client.
    """
    frames = case.frames
    cumulative = case.code == _DPC_WATCHDOG and case.evidence.parameters[0] == 1
    if cumulative:
        case.against.append(
            "parameter 1 is 1: the time of many deferred calls was added up, and this stack is only that of the last"
        )
    for wanted in (("exact",), ("exact", "likely"), ("exact", "likely", "guess")):
        usable = [frame for frame in frames if frame.confidence in wanted]
        # Frames of one confidence are a run from the innermost on: what follows a weaker one is never surer.
        found = _choose(case, usable, weakest="likely" if cumulative else wanted[-1])
        if found is None and wanted == ("exact",):
            found = by_former_driver(case, usable)
        if found is not None:
            return found
    return by_framework_log(case) or by_former_word(case) or _last_resort(case)


def _choose(case: CrashCase, frames: list[Frame], *, weakest: str) -> Culprit | None:
    candidates = _first_by_class(frames, 0)
    if not candidates:
        return None
    index, first = candidates[0]
    if first.module is None:
        return None
    if first.module.name.lower() in FRAMEWORKS:
        client = _client(frames, index)
        if client is not None and client.module is not None:
            what = FRAMEWORKS[first.module.name.lower()]
            case.others.append(f"{case.label(first.ip)}: {policy_of(first.module.name).reason}")
            words = (
                f"{case.label(first.ip)} is {policy_of(first.module.name).reason}; right beside it on the stack stands "
                f"its {what}, {case.label(client.ip)} ({_CLASS_WORDS[client.confidence]})"
            )
            return _named(case, client, words, weakest)
    if _order(first.module) == 1 and _beside_framework(frames, index):
        return _named(
            case,
            first,
            f"the first driver on the stack is {case.label(first.ip)}, client of the framework that stands beside it",
            weakest,
        )
    for order in (0, 1):
        for index, frame in candidates:
            if frame.module is not None and _order(frame.module) == order:
                passed = [item for at, item in candidates if at < index]
                for item in passed:
                    if item.module is not None:
                        case.others.append(f"{case.label(item.ip)}: {policy_of(item.module.name).reason}")
                if passed and any(item.module is not None and _order(item.module) == 1 for item in passed):
                    case.against.append("a driver of Windows stands nearer to the fault")
                words = (
                    f"the first driver on the stack that is not passed over is {case.label(frame.ip)} "
                    f"({_CLASS_WORDS[frame.confidence]})"
                )
                return _named(case, frame, words, weakest)
    return None


def _beside_framework(frames: list[Frame], index: int) -> bool:
    own = frames[index].module
    for step in (1, -1):
        at = index + step
        while 0 <= at < len(frames):
            module = frames[at].module
            if module is None:
                break
            if own is None or module.base != own.base:
                if module.name.lower() in FRAMEWORKS:
                    return True
                break
            at += step
    return False


def _named(case: CrashCase, frame: Frame, words: str, weakest: str) -> Culprit:
    because = [*_fault_words(case), words]
    if case.fault is None and case.call is not None and not case.stack_of:
        because += case.call.checks
    return case.verdict("driver", frame.module, "medium" if weakest == "exact" else "low", because)


def _last_resort(case: CrashCase) -> Culprit | None:
    """Name a module that mostly carries others, when the fault itself is in it and nothing else is there."""
    fault = case.fault
    module = case.evidence.modules.at(fault.ip) if fault is not None else None
    if module is None or _order(module) != 2:
        return None
    because = [*_fault_words(case), "no driver that it works for was found on the stack"]
    return case.verdict("driver", module, "low", because)
