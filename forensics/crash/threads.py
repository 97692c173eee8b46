"""Another thread's stack: bug checks that name the thread that something waits for.

A thread that waits has left its registers on its own stack: KTHREAD.KernelStack points to a KSWITCH_FRAME (x64: 0x40
bytes, Rbp at 0x30, the return address into KiSwapContext at 0x38), above which KiSwapContext keeps the nonvolatile
registers as its unwind data tells. The offset of KernelStack is the debugger block's own. The place is believed only
when a call stands before it.

Sources: Microsoft's pages of 0x9F (MicrosoftDocs/windows-driver-docs, CC BY 4.0); WDF_POWER_ROUTINE_TIMED_OUT_DATA in
`microsoft/Windows-Driver-Frameworks: src/publicinc/wdf/kmdf/1.31/wdfbugcodes.h`; KSWITCH_FRAME as public in the WRK and
in `reactos/reactos: sdk/include/ndk/amd64/ketypes.h`, unchanged since Windows 7.
"""

from __future__ import annotations

from typing import NamedTuple

from forensics.crash.context import CrashContext
from forensics.crash.evidence import Evidence
from forensics.crash.scan import ReturnAddresses

__all__ = ["StuckThread", "stuck_thread"]

_FRAME_SIZE, _FRAME_RBP, _FRAME_RETURN = 0x40, 0x30, 0x38
#: Offset of the stuck thread in WDF_POWER_ROUTINE_TIMED_OUT_DATA on 64-bit Windows.
_WDF_THREAD = 0x18


class StuckThread(NamedTuple):
    """A thread that a bug check names.

    Attributes:
        address: of its KTHREAD.
        words: what it is, for a person.
        context: where it waits.

    """

    address: int
    words: str
    context: CrashContext


def stuck_thread(evidence: Evidence, words: ReturnAddresses) -> StuckThread | None:
    """Return the thread that the bug check accuses of waiting; None when it names none or its stack is not there."""
    kind, second, third, _fourth = evidence.parameters
    if evidence.code == 0x9F and kind == 4:
        address, told = third, "the thread that holds the lock of PnP (parameter 3)"
    elif evidence.code == 0x10D and kind == 1:
        address = evidence.word(second + _WDF_THREAD) or 0 if second else 0
        told = "the thread whose power callback did not come back (from parameter 2)"
    elif evidence.code == 0xEA and kind != evidence.dump.thread_address:
        # The one that stopped the machine runs: what its KernelStack points to is of an earlier switch.
        address, told = kind, "the thread that is stuck in a driver (parameter 1)"
    else:
        return None
    kdbg = evidence.dump.kdbg
    offset = kdbg.value("OffsetKThreadKernelStack") if kdbg is not None else None
    if evidence.dump.machine != "x64" or not address or not offset:
        return None
    stack = evidence.word(address + offset)
    if not stack or stack & 7:
        return None
    rbp, place = evidence.word(stack + _FRAME_RBP), evidence.word(stack + _FRAME_RETURN)
    if rbp is None or place is None or not words.is_possible(place) or not words.call_before(place):
        return None
    sentence = f"the stack is that of {told}, KTHREAD {address:#x}, which waits"
    registers = {"rsp": stack + _FRAME_SIZE, "rbp": rbp}
    where = f"switch frame at {stack:#x} of the thread at {address:#x}"
    context = CrashContext(place, stack + _FRAME_SIZE, registers, "switch-frame", stack, where, is_fault=False)
    return StuckThread(address, sentence, context)
