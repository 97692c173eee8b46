"""Records that no parameter names directly: a CONTEXT somewhere on the stack, a pair of pointers to record and CONTEXT.

The exception dispatcher keeps a CONTEXT of the fault on the kernel stack, on a boundary of 16 bytes (the alignment that
winnt.h declares for it). EXCEPTION_POINTERS is winnt.h's too: a pointer to the record, then one to the CONTEXT.
"""

from __future__ import annotations

from collections.abc import Iterator

from forensics.crash.evidence import Evidence
from parsers.dump.context import X64Context
from parsers.limits import MAX_STACK_SCAN_BYTES

__all__ = ["contexts_on_stack", "exception_pointers"]

#: Offset of Rip in the CONTEXT of x64.
_RIP = 0xF8
#: Bug checks whose parameter points to EXCEPTION_POINTERS ("exception information"), with its number.
_POINTERS_AT = {0x154: 2}


def exception_pointers(evidence: Evidence) -> tuple[int, int] | None:
    """Return the addresses of (EXCEPTION_RECORD, CONTEXT) that a parameter's pair of pointers names, or None."""
    number = _POINTERS_AT.get(evidence.code)
    address = evidence.parameters[number - 1] if number is not None else 0
    if not address:
        return None
    record, context = evidence.word(address), evidence.word(address + evidence.dump.pointer_size)
    return (record, context) if record and context else None


def contexts_on_stack(evidence: Evidence, ip: int, above: int | None) -> Iterator[tuple[int, bytes]]:
    """Give (address, bytes) of what may be a CONTEXT with this Rip on the stack of an x64 crash, the innermost first.

    Args:
        evidence: the dump.
        ip: the instruction's address that the bug check names.
        above: stack pointer of the bug check call: what lies below it on the same stack is dead.

    """
    if evidence.stack is None or evidence.dump.machine != "x64":
        return
    low, high = evidence.stack
    if above is not None and low <= above < high:
        low = above
    wanted = ip.to_bytes(8, "little")
    for base, data in evidence.pieces(low, min(high, low + MAX_STACK_SCAN_BYTES)):
        at = data.find(wanted)
        while at >= 0:
            start = at - _RIP
            if start >= 0 and (base + start) % 16 == 0 and start + X64Context.SIZE <= len(data):
                yield base + start, data[start : start + X64Context.SIZE]
            at = data.find(wanted, at + 1)
