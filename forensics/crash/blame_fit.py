"""The verdict when the fault does not fit its instruction: the machine, not the driver that was running."""

from __future__ import annotations

from forensics.crash.case import CrashCase
from forensics.facts import Culprit

__all__ = ["by_misfit"]


def by_misfit(case: CrashCase) -> Culprit | None:
    """Return the verdict `hardware` when something contradicts the fault; None when nothing does."""
    fit, fault = case.fit, case.fault
    if fit is None or fault is None or not fit.misfits:
        return None
    because = [misfit.text for misfit in fit.misfits]
    because.append(f"the fault was reported at {case.label(fault.ip)} ({fault.where})")
    bits = [misfit.bit for misfit in fit.misfits if misfit.bit is not None]
    case.flipped_bits += [(misfit.bit, misfit.text) for misfit in fit.misfits if misfit.bit is not None]
    if bits:
        because.append(
            "a single wrong bit is what a failing processor or memory leaves (heat, voltage and overclocking too)"
        )
    case.against += [f"what fits: {words}" for words in fit.agrees]
    case.against += fit.doubts
    if not any(misfit.reported for misfit in fit.misfits):
        case.against.append("a driver that wrote over a pointer or over code may leave the same picture")
    module = case.evidence.modules.at(fault.ip)
    if module is not None and not case.evidence.modules.is_kernel(module):
        case.others.append(f"{case.label(fault.ip)} is only where the processor was")
    for frame in case.frames[1:]:
        if frame.module is not None and not case.evidence.modules.is_kernel(frame.module):
            case.others.append(
                f"{case.label(frame.ip)} on the stack ({frame.method}): nothing leads from it to this fault"
            )
    sure = "medium" if any(misfit.sure == "medium" for misfit in fit.misfits) else "low"
    return case.verdict("hardware", None, "medium" if sure == "medium" else "low", because)
