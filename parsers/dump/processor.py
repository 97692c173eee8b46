"""The processor and thread that crashed, found through the kernel's debugger block."""

from __future__ import annotations

from dataclasses import dataclass

from parsers.dump.kdbg import KdDebuggerData
from parsers.dump.memory import Memory
from parsers.errors import ReadError
from parsers.limits import MAX_PROCESSORS

__all__ = ["STACK_POINTER_OFFSET", "Processor", "crashing_processor", "processors", "stack_range"]

#: Where the stack pointer stands in a CONTEXT of each machine.
STACK_POINTER_OFFSET = {"x64": 0x98, "x86": 0xC4, "arm64": 0x100}
#: Largest DPC and interrupt stacks looked at: the kernel gives them 24 KiB, and more where the hypervisor asks.
_SPECIAL_STACK = 0x10000


@dataclass(frozen=True, slots=True)
class Processor:
    """One KPRCB.

    Attributes:
        number: index in KiProcessorBlock.
        address: of the KPRCB.
        thread: address of its current ETHREAD, None when it cannot be read.
        context: address of the CONTEXT on the side that the bug check code saved, None when there is none.

    """

    number: int
    address: int
    thread: int | None
    context: int | None


def _pointer(memory: Memory, address: int, offset: int | None) -> int | None:
    if offset is None:
        return None
    try:
        return memory.pointer(address + offset) or None
    except ReadError:
        return None


def processors(memory: Memory, kdbg: KdDebuggerData, count: int) -> list[Processor]:
    """Return the processors whose blocks can be named, at most MAX_PROCESSORS."""
    table = kdbg.value("KiProcessorBlock")
    found: list[Processor] = []
    if table is None:
        return found
    for number in range(min(count, MAX_PROCESSORS)):
        address = _pointer(memory, table, number * memory.pointer_size)
        if address is None:
            continue
        thread = _pointer(memory, address, kdbg.value("OffsetPrcbCurrentThread"))
        context = _pointer(memory, address, kdbg.value("OffsetPrcbContext"))
        found.append(Processor(number, address, thread, context))
    return found


def _thread_stack(memory: Memory, kdbg: KdDebuggerData, thread: int | None) -> tuple[int, int] | None:
    """Return (limit, base) of a thread's kernel stack."""
    if thread is None:
        return None
    low = _pointer(memory, thread, kdbg.value("OffsetKThreadStackLimit"))
    base_offset = kdbg.value("OffsetKThreadStackBase") or kdbg.value("OffsetKThreadInitialStack")
    high = _pointer(memory, thread, base_offset)
    return (low, high) if low is not None and high is not None and low < high else None


def crashing_processor(
    memory: Memory, kdbg: KdDebuggerData, found: list[Processor], machine: str, stack_pointer: int | None
) -> Processor | None:
    """Return the processor whose saved context has the header's stack pointer.

    Where none has: the one whose current thread's stack, or DPC or interrupt stack, holds that pointer; the only one;
    else None.
    """
    offset = STACK_POINTER_OFFSET.get(machine)
    if stack_pointer is not None and offset is not None:
        for processor in found:
            if processor.context and _pointer(memory, processor.context, offset) == stack_pointer:
                return processor
        for processor in found:
            if stack_range(memory, kdbg, processor, stack_pointer) is not None:
                return processor
    return found[0] if len(found) == 1 else None


def stack_range(
    memory: Memory, kdbg: KdDebuggerData, processor: Processor, stack_pointer: int | None
) -> tuple[int, int] | None:
    """Return (lowest, first behind the highest) address of the stack that holds the stack pointer.

    The thread's own stack; else the processor's DPC or interrupt stack, from the pointer's page up to its base. With
    no stack pointer at all, the thread's. None when the pointer lies in none of them.
    """
    own = _thread_stack(memory, kdbg, processor.thread)
    if own is not None and (stack_pointer is None or own[0] <= stack_pointer < own[1]):
        return own
    if stack_pointer is None:
        return None
    for name in ("OffsetPrcbDpcStack", "OffsetPrcbIsrStack"):
        base = _pointer(memory, processor.address, kdbg.value(name))
        if base is not None and base - _SPECIAL_STACK <= stack_pointer < base:
            return stack_pointer & ~0xFFF, base
    return None
