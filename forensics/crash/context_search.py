"""Records that no parameter names directly: a CONTEXT somewhere on the stack, a pair of pointers to record and CONTEXT.

The exception dispatcher keeps a CONTEXT of the fault on the kernel stack, on a boundary of 16 bytes (the alignment that
winnt.h declares for it; 4 on x86). EXCEPTION_POINTERS is winnt.h's too: a pointer to the record, then one to the
CONTEXT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from forensics.crash.evidence import Evidence
from parsers.dump.context import Arm64Context, X64Context, X86Context
from parsers.limits import MAX_STACK_SCAN_BYTES

__all__ = ["contexts_on_stack", "exception_pointers"]


class _Form(NamedTuple):
    """A CONTEXT of one machine: offset of its instruction pointer, bytes, boundary, and whether bytes can be one."""

    ip_at: int
    size: int
    step: int
    is_plausible: Callable[[bytes], bool]


_FORMS = {
    "x64": _Form(0xF8, X64Context.SIZE, 16, lambda data: X64Context.parse(data).is_plausible()),
    "arm64": _Form(0x108, Arm64Context.SIZE, 16, lambda data: Arm64Context.parse(data).is_plausible()),
    "x86": _Form(0xB8, X86Context.SIZE, 4, lambda data: X86Context.parse(data).is_plausible()),
}
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
    """Give (address, bytes) of what can be a CONTEXT with this instruction on the crash's stack, the innermost first.

    Args:
        evidence: the dump.
        ip: the instruction's address that the bug check names.
        above: stack pointer of the bug check call: what lies below it on the same stack is dead.

    """
    form = _FORMS.get(evidence.dump.machine)
    if evidence.stack is None or form is None:
        return
    low, high = evidence.stack
    if above is not None and low <= above < high:
        low = above
    size = evidence.dump.pointer_size
    wanted = (ip & (1 << 8 * size) - 1).to_bytes(size, "little")
    for base, data in evidence.pieces(low, min(high, low + MAX_STACK_SCAN_BYTES)):
        at = data.find(wanted)
        while at >= 0:
            start = at - form.ip_at
            if start >= 0 and (base + start) % form.step == 0 and start + form.size <= len(data):
                record = data[start : start + form.size]
                if form.is_plausible(record):
                    yield base + start, record
            at = data.find(wanted, at + 1)
