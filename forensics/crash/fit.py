"""Does the fault fit? The instruction and its registers, held against the access that was reported.

An access that this instruction with these registers cannot have made was made by a machine that does not work: then
the place says nothing of its driver. What fits is evidence for the place. What cannot be known is left open, and only
what is certain turns a verdict:

* `agrees`: sentences that speak for the place;
* `doubts`: sentences that speak against the place and turn nothing;
* `misfits`: contradictions, each with how sure it is and the bit that would explain it.

The instruction pointer is looked at in fit_pointer.py, single bits of addresses and page-table entries in fit_bits.py,
what the trap itself says in fit_trap.py: each tells what it asks of which processor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from forensics.crash.access import Access, Instruction
from forensics.crash.context import CrashContext
from forensics.crash.decode import decode
from forensics.crash.evidence import Evidence
from forensics.crash.fit_bits import FlippedPointer, flipped_pointer, is_canonical, page_table_words
from forensics.crash.fit_pointer import pointer_misfit
from forensics.crash.fit_trap import irql_words, syndrome_words
from forensics.crash.hardware import one_bit
from forensics.crash.reported import TRAP_CODES, ReportedAccess, reported_access
from forensics.crash.stack import StackWalker
from parsers.dump.context import ExceptionRecord

__all__ = ["Fit", "Misfit", "examine"]

_MASK = (1 << 64) - 1
#: Longest instruction: a fetch may fail anywhere in it.
_FETCH = {"x64": 15, "x86": 15, "arm64": 4}
#: The stack pointer as operands name it.
_STACK = {"x64": "rsp", "x86": "esp", "arm64": "sp"}
#: ARM64 can be told to ignore an address's top byte (TCR_EL1.TBI0 and TBI1): alone it proves nothing.
_WITHOUT_TAG = (1 << 56) - 1
_DIVIDE_BY_ZERO = 0xC0000094

Sure = Literal["medium", "low"]


@dataclass(frozen=True, slots=True)
class Misfit:
    """One contradiction.

    Attributes:
        text: what contradicts what.
        sure: how much of it a working machine could still have made.
        bit: the bit that would explain it, None when no single one would.
        reported: the processor itself reports it, so that no software can have made it.

    """

    text: str
    sure: Sure
    bit: int | None = None
    reported: bool = False


@dataclass(slots=True)
class Fit:
    """The instruction at the fault, and what was found out about it.

    Attributes:
        instruction: None when its bytes are absent or none.
        in_memory: its bytes are the dump's own, not those of a file of the same build.
        reported: the access that was reported, None when none was.
        agrees, doubts, misfits: see the module's docstring.

    """

    instruction: Instruction | None = None
    in_memory: bool = False
    reported: ReportedAccess | None = None
    agrees: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    misfits: list[Misfit] = field(default_factory=list)

    @property
    def verdict(self) -> Literal["fits", "contradicts", "open"]:
        """The whole in one word."""
        return "contradicts" if self.misfits else "fits" if self.agrees else "open"


def examine(
    evidence: Evidence,
    walker: StackWalker,
    fault: CrashContext | None,
    record: tuple[int, ExceptionRecord] | None,
) -> Fit | None:
    """Hold a fault against its instruction; None when there is no fault, or of a processor that is not known."""
    machine = evidence.dump.machine
    if fault is None or machine not in _FETCH:
        return None
    fit = Fit()
    longest = _FETCH[machine]
    registers = {**fault.registers, _STACK[machine]: fault.sp}
    data = evidence.attempt(evidence.memory.read_available, fault.ip, longest) or b""
    fit.in_memory = bool(data)
    data = data if len(data) == longest else evidence.code_bytes(fault.ip, longest)
    fit.instruction = decode(data, fault.ip, registers, machine)
    if evidence.code not in TRAP_CODES:
        return fit
    fit.reported = reported_access(evidence, record)
    found = pointer_misfit(evidence, walker, fault)
    if found is not None:
        fit.misfits.append(Misfit(*found))
    trap = syndrome_words(fault, fit.reported)
    if trap.broken:
        fit.misfits.append(Misfit(trap.broken, "medium", reported=True))
    if fit.reported is not None:
        _hold_access(evidence, fit, fault, fit.reported, by_tables=trap.by_tables)
        level = irql_words(evidence, fault, fit.reported)
        fit.doubts += level.doubts
        if fit.agrees or fit.misfits:
            # Alone they would only say that the report is whole, not that the instruction made the access.
            fit.agrees += level.agrees + trap.agrees
    fit.doubts += trap.doubts
    _hold_division(fit, record, evidence)
    return fit


def _hold_access(
    evidence: Evidence, fit: Fit, fault: CrashContext, reported: ReportedAccess, *, by_tables: bool
) -> None:
    instruction = fit.instruction
    if reported.address is None:
        if instruction is not None and evidence.dump.machine != "arm64":
            _hold_protection(evidence, fit, instruction)
        return
    if (reported.address - fault.ip) & _MASK < _FETCH[evidence.dump.machine] and reported.kind != "write":
        fit.agrees.append(
            f"the address reported ({reported.address:#x}) is the instruction's own: it could not be fetched"
        )
        return
    if instruction is not None:
        _hold_address(evidence, fit, instruction, reported.address, reported)
    if not fit.misfits and by_tables:
        _hold_mapping(evidence, fit, reported, instruction)


def _list(accesses: tuple[Access, ...]) -> str:
    return " and ".join(f"{access.address:#x} ({access.text})" for access in accesses) or "no memory at all"


def _hold_address(
    evidence: Evidence, fit: Fit, instruction: Instruction, address: int, reported: ReportedAccess
) -> None:
    touching = [access for access in instruction.accesses if access.touches(address)]
    if touching:
        access = touching[0]
        if reported.kind == "execute" or not any(
            (one.writes if reported.kind == "write" else one.reads) for one in touching if reported.kind is not None
        ):
            if reported.kind is not None and instruction.known:
                _contradict(
                    fit,
                    f"{reported.where} reports {_a(reported.kind)} of {address:#x}, and {instruction.text} does not "
                    f"{reported.kind} there",
                    "low",
                    None,
                )
            return
        fit.agrees.append(
            f"{instruction.text} with these registers touches {access.address:#x} ({access.text}): the address reported"
            if access.address == address
            else f"{instruction.text} with these registers touches {address:#x}, the address reported"
        )
        return
    if not instruction.known:
        return
    if evidence.dump.machine == "arm64" and any(
        access.address is not None and (address - access.address) & _WITHOUT_TAG < access.size
        for access in instruction.accesses
    ):
        fit.doubts.append(
            f"{instruction.text} with these registers touches {_list(instruction.accesses)}, which differs from the "
            f"address reported ({address:#x}) in its top byte, that the processor may ignore"
        )
        return
    bits = {one_bit(access.address ^ address) for access in instruction.accesses if access.address is not None}
    bit = next((bit for bit in bits if bit is not None), None)
    text = (
        f"{instruction.text} with these registers touches {_list(instruction.accesses)}, and {reported.where} reports "
        f"{address:#x}: this instruction cannot have made that access"
    )
    if bit is not None:
        text += f"; the two differ in exactly one bit ({bit})"
    _contradict(fit, text, "medium" if bit is not None or evidence.cr2 == address else "low", bit)


def _a(kind: str) -> str:
    return {"read": "a read", "write": "a write", "execute": "an execution"}[kind]


def _contradict(fit: Fit, text: str, sure: Sure, bit: int | None) -> None:
    """Take a contradiction; with bytes from a file it is only a doubt, for the kernel may have patched its copy."""
    if fit.in_memory:
        fit.misfits.append(Misfit(text, sure, bit))
    else:
        fit.doubts.append(f"{text} (its bytes are the file's: those in memory are not in the dump)")


def _take_flipped(fit: Fit, found: FlippedPointer) -> None:
    fit.misfits.append(Misfit(found.text, found.sure, found.bit))


def _hold_protection(evidence: Evidence, fit: Fit, instruction: Instruction) -> None:
    """A general protection fault has no address: the instruction must have had a reason for it."""
    is_x64 = evidence.dump.machine == "x64"
    wild = [
        access
        for access in instruction.accesses
        if is_x64 and access.address is not None and not is_canonical(access.address)
    ]
    if wild:
        access = wild[0]
        fit.agrees.append(
            f"{instruction.text} with these registers touches {access.address:#x} ({access.text}), which is no "
            "canonical address: a general protection fault, as reported"
        )
        if access.address is not None:
            found = flipped_pointer(evidence, access.address, access)
            if found is not None:
                _take_flipped(fit, found)
        return
    if not instruction.known:
        return
    if any((access.address or 0) % instruction.aligned for access in instruction.accesses):
        fit.agrees.append(f"{instruction.text} demands an aligned address and has none: a general protection fault")
    elif not instruction.accesses and instruction.harmless:
        _contradict(
            fit, f"a general protection fault was reported, and {instruction.text} can cause none", "medium", None
        )
    elif instruction.accesses and is_x64:
        fit.doubts.append(
            f"{instruction.text} with these registers touches {_list(instruction.accesses)}, a canonical address: "
            "address alone causes no general protection fault there; device memory that refuses, or a hypervisor, may"
        )


def _hold_mapping(evidence: Evidence, fit: Fit, reported: ReportedAccess, instruction: Instruction | None) -> None:
    """Look at what the page tables say of the address, and whether one bit leads from it to a sound place."""
    address = reported.address
    if address is None:
        return
    words = page_table_words(evidence, address, reported.kind)
    fit.agrees += words.agrees
    fit.doubts += words.doubts
    if words.flipped is not None:
        _take_flipped(fit, words.flipped)
        return
    access = next((one for one in instruction.accesses if one.touches(address)), None) if instruction else None
    if access is not None and not words.maps:
        found = flipped_pointer(evidence, address, access)
        if found is not None:
            _take_flipped(fit, found)


def _hold_division(fit: Fit, record: tuple[int, ExceptionRecord] | None, evidence: Evidence) -> None:
    """A division by zero needs a divisor of zero."""
    code = record[1].code if record is not None else evidence.parameters[0] & 0xFFFFFFFF
    instruction = fit.instruction
    if evidence.code not in (0x7E, 0x8E, 0x1E, 0x3B) or code != _DIVIDE_BY_ZERO or instruction is None:
        return
    if instruction.divisor == 0:
        fit.agrees.append(f"{instruction.text}: the divisor is 0, as reported")
    elif instruction.divisor is not None:
        _contradict(
            fit,
            f"a division by zero was reported, and the divisor of {instruction.text} is {instruction.divisor:#x}",
            "medium",
            None,
        )
