"""What the trap itself says of the fault: the processor's reason (ARM64), the interrupt level, interrupts disabled.

The processor names its reason in ESR_EL1, which the trap frame keeps: an access whose kind it tells otherwise than the
bug check does, an older frame with another address, and errors of the memory that it reports itself.

Parameter 2 of 0xA, 0xD1 and 0xD4 is the interrupt level at the fault. CR8 of x64 holds it too, and the processor's
block keeps CR8 as it was when the bug check was called (0 or 2 in all seven real dumps that were looked at, never the
15 that the bug check itself raises it to). Equal, the two speak for each other; a difference is not held against
anybody: no dump of these bug checks was at hand, and published reports (`ionescu007/SimpleVisor` issue 35) show 0xFF in
the parameter where the driver itself had read the level as 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from forensics.crash.context import CrashContext
from forensics.crash.evidence import Evidence
from forensics.crash.reported import ReportedAccess

__all__ = ["TrapWords", "irql_words", "syndrome_words"]

_DISPATCH = 2
#: Interrupts are disabled: EFlags.IF is 0; of ARM64, SPSR.I is 1.
_EFLAGS_IF, _SPSR_I = 1 << 9, 1 << 7
#: Fault status codes by which a device, the bus or the page-table cache refused, not the page tables.
_NOT_BY_TABLES = frozenset({0x10, 0x13, 0x14, 0x15, 0x16, 0x17, 0x30})


@dataclass(slots=True)
class TrapWords:
    """What a trap says.

    Attributes:
        agrees: sentences that speak for the place.
        doubts: sentences that speak against it.
        broken: the processor itself reports that its memory failed: the sentence; "" where it does not.
        by_tables: the page tables may have been the reason.

    """

    agrees: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    broken: str = ""
    by_tables: bool = True


def syndrome_words(fault: CrashContext, reported: ReportedAccess | None) -> TrapWords:
    """Hold the reason in an ARM64 trap frame against the access that was reported."""
    words = TrapWords()
    syndrome = fault.syndrome
    if syndrome is None or not syndrome.is_abort:
        return words
    says = f"Esr of the trap frame ({syndrome.value:#x}) says {syndrome.words}"
    if syndrome.is_parity:
        words.broken = f"{says}: the processor itself reports that its memory failed"
        words.by_tables = False
        return words
    if syndrome.status in _NOT_BY_TABLES:
        words.by_tables = False
        words.doubts.append(f"{says}: no page table refused the access, but a device, the bus or the translation cache")
    if reported is None or reported.address is None:
        return words
    if syndrome.has_address and fault.fault_address != reported.address:
        words.doubts.append(
            f"the trap frame's fault address ({fault.fault_address or 0:#x}) is not the one in {reported.where} "
            f"({reported.address:#x}): it may be an older trap's"
        )
        return words
    if syndrome.kind is None or reported.kind is None:
        return words
    if syndrome.kind == reported.kind:
        where = " at the same address" if syndrome.has_address else ""
        words.agrees.append(f"Esr of the trap frame reports the same kind of access ({reported.kind}){where}")
    else:
        words.doubts.append(f"{says}, and the bug check reports another kind of access ({reported.kind})")
    return words


def irql_words(evidence: Evidence, fault: CrashContext, reported: ReportedAccess) -> TrapWords:
    """Hold the interrupt level that was reported against what else tells it."""
    words = TrapWords()
    irql = reported.irql
    if irql is None:
        return words
    disabled = _are_interrupts_disabled(evidence, fault)
    if irql < _DISPATCH:
        if disabled:
            words.agrees.append(
                f"parameter 2 gives the IRQL as {irql}, and interrupts were disabled at the fault "
                f"({_flags_name(evidence)} {fault.flags or 0:#x}): no pager can be asked there either"
            )
        else:
            unless = "" if disabled is False else ", unless interrupts were disabled"
            words.doubts.append(
                f"parameter 2 gives the IRQL as {irql}: below 2 the pager would have been asked{unless}"
            )  # fmt: skip
    elif evidence.cr8 == irql:
        words.agrees.append(
            f"CR8 of the processor's block is {irql} too: the interrupt level that parameter 2 gives"
        )  # fmt: skip
    return words


def _flags_name(evidence: Evidence) -> str:
    return "SPSR" if evidence.dump.machine == "arm64" else "EFlags"


def _are_interrupts_disabled(evidence: Evidence, fault: CrashContext) -> bool | None:
    """Tell whether the interrupted code had disabled interrupts; None where the fault's flags are not known."""
    if fault.flags is None:
        return None
    if evidence.dump.machine == "arm64":
        return bool(fault.flags & _SPSR_I)
    return not fault.flags & _EFLAGS_IF
