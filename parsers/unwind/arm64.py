"""One step of ARM64 unwinding: from the registers of a frame to its caller's, by the module's unwind data.

Windows on ARM64 promises unwind data for every function that touches the stack or a saved register. Every operation
stands for one instruction of four bytes, so that a place in a prolog or epilog tells which of them have run. What
cannot be known is an error (the return address) or stays unknown (a register).

A frame of the kernel's own ends a sequence of them: a KTRAP_FRAME, a CONTEXT, or the stack pointer and the place alone.

Sources: Microsoft "ARM64 exception handling" (MicrosoftDocs/cpp-docs: docs/build/arm64-exception-handling.md); the
kernel's frames after `dotnet/runtime: src/coreclr/unwinder/arm64/unwinder.cpp` and the offsets MfSp, MfPc of ksarm64.h
(`microsoft/win32metadata: generation/WinSDK/RecompiledIdlHeaders/shared/ksarm64.h`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from parsers.dump.context import Arm64Context
from parsers.dump.trap_frame import Arm64TrapFrame
from parsers.errors import FormatError, ReadError, UnsupportedError
from parsers.unwind.arm64_info import DOUBLE, FP, LR, UNCOUNTED, Arm64Function, Op, instructions, read_function
from parsers.unwind.frame_pointer import without_signature
from parsers.unwind.image import CodeImage, MemoryReader

__all__ = ["Arm64Registers", "Arm64Step", "unwind_arm64"]

_MASK = (1 << 64) - 1
#: x0 to x17 do not outlive a call; x18 is the platform's.
_VOLATILE = range(18)
#: In ContextFlags: the CONTEXT is of a function that made a call.
_UNWOUND_TO_CALL = 0x20000000


@dataclass(slots=True)
class Arm64Registers:
    """Registers of one frame, as far as they are known.

    Attributes:
        pc: instruction pointer.
        sp: stack pointer.
        known: x0 to x30 by number, d registers from 64 on.

    """

    pc: int
    sp: int
    known: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arm64Step:
    """The caller of a frame.

    Attributes:
        regs: its registers; pc is the return address, or an interrupted place where `trap` says so.
        method: "leaf" (no row: lr is the caller), "unwind" or "epilog".
        trap: pc has not run; also behind the stack cookie helpers, which hand another stack pointer back: what is
            known of their caller holds after the call, not at it.
        frame: what of the kernel's the registers were read from, "" where from nothing of the kind.

    """

    regs: Arm64Registers
    method: Literal["leaf", "unwind", "epilog"]
    trap: bool = False
    frame: Literal["", "trap", "machine", "context"] = ""


def unwind_arm64(regs: Arm64Registers, image: CodeImage, memory: MemoryReader, *, interrupted: bool) -> Arm64Step:
    """Return the caller of a frame.

    Args:
        regs: the frame's registers; pc lies in `image`.
        image: the module.
        memory: the machine's memory, for the stack.
        interrupted: pc has not run; else it is a return address.

    Raises:
        ReadError: the unwind data, or the saved return address, is not there.
        FormatError: the data contradicts itself or the stack, or a frame that made a call has none.
        UnsupportedError: a frame whose layout is not public, or of scalable vectors.

    """
    rva = regs.pc - image.base
    row = image.function_at(rva if interrupted else rva - 4)
    function = read_function(image, row.begin, row.unwind) if row is not None else None
    if function is None or rva - function.begin >= function.length + (0 if interrupted else 4):
        if not interrupted:
            raise FormatError("ARM64 frame", "no unwind data for a function that made a call", found=f"{regs.pc:#x}")
        return Arm64Step(_returned(regs, regs.sp, dict(regs.known), interrupted=True), "leaf")
    # A call has not yet done what its own code says: stack cookie helpers make room for their caller, and give it back
    # in its epilog, whose code for that call is "alloc". So a return address counts as the call before it.
    offset = rva - function.begin - (0 if interrupted else 4)
    ops, method = _to_undo(function, offset)
    special = next((op for op in ops if op.kind in ("trap", "machine", "context")), None)
    if special is not None:
        # What stands before it are the kernel's own registers; nothing is undone behind it.
        sp, known, _ = _undo(ops[: ops.index(special)], regs, memory)
        return _from_kernel_frame(special.kind, sp, known, memory, method)
    sp, known, trap = _undo(ops, regs, memory)
    trap = trap or (interrupted and method == "epilog" and _hands_back_more(function, ops))
    if sp < regs.sp or sp & 15:
        raise FormatError("ARM64 frame", "the stack does not shrink", expected=f">={regs.sp:#x}", found=f"{sp:#x}")
    return Arm64Step(_returned(regs, sp, known, interrupted=interrupted), method, trap)


def _returned(regs: Arm64Registers, sp: int, known: dict[int, int], *, interrupted: bool) -> Arm64Registers:
    lr = known.get(LR)
    if lr is None:
        raise ReadError("the return address is not known", address=regs.pc)
    pc = without_signature(lr)
    if not interrupted and pc == regs.pc and sp == regs.sp:
        raise FormatError("ARM64 frame", "a frame that is its own caller", found=f"{pc:#x}")
    kept = {number: value for number, value in known.items() if number not in _VOLATILE and number != LR}
    return Arm64Registers(pc, sp, kept)


def _to_undo(function: Arm64Function, offset: int) -> tuple[tuple[Op, ...], Literal["unwind", "epilog"]]:
    """Return the operations that have run at an offset, in the order in which they are undone."""
    done = offset // 4
    length = instructions(function.ops[: function.prolog])
    if done < length:
        return _behind(function.ops, length - done), "unwind"
    for start, epilog in function.epilogs:
        passed = (offset - start) // 4
        if start <= offset and passed < instructions(epilog):
            rest = _behind(epilog, passed)
            return (rest, "epilog") if rest[-1].kind == "end" else ((*rest, *function.ops), "unwind")
    return function.ops, "unwind"


def _behind(ops: tuple[Op, ...], count: int) -> tuple[Op, ...]:
    """Return operations without those that the first `count` instructions stand for."""
    at = 0
    while count and at < len(ops):
        count -= ops[at].kind not in UNCOUNTED
        at += 1
    return ops[at:]


def _from_kernel_frame(
    kind: str, sp: int, known: dict[int, int], memory: MemoryReader, method: Literal["leaf", "unwind", "epilog"]
) -> Arm64Step:
    """Take the registers from a frame of the kernel's at `sp`; the others are the interrupted code's still."""
    kept = {number: value for number, value in known.items() if number not in _VOLATILE and number != LR}
    if kind == "trap":
        frame = Arm64TrapFrame.parse(memory.read(sp, Arm64TrapFrame.SIZE))
        kept |= {**dict(enumerate(frame.x)), FP: frame.fp, LR: frame.lr}
        return Arm64Step(Arm64Registers(frame.pc, frame.sp, kept), method, trap=True, frame="trap")
    if kind == "context":
        context = Arm64Context.parse(memory.read(sp, Arm64Context.SIZE))
        whole = {**dict(enumerate(context.x)), FP: context.fp, LR: context.lr}
        called = bool(context.context_flags & _UNWOUND_TO_CALL)
        return Arm64Step(Arm64Registers(context.pc, context.sp, whole), method, trap=not called, frame="context")
    pair = memory.read(sp, 16)
    regs = Arm64Registers(int.from_bytes(pair[8:], "little"), int.from_bytes(pair[:8], "little"), kept)
    return Arm64Step(regs, method, trap=True, frame="machine")


def _hands_back_more(function: Arm64Function, ops: tuple[Op, ...]) -> bool:
    """Tell whether the rest of an epilog leaves more of the stack than the function took.

    True for MSVC's __security_push_cookie, whose data does not say so at its end (__security_pop_cookie's does).
    """
    epilog = next((epilog for _start, epilog in function.epilogs if epilog[-len(ops) :] == ops), ())
    taken = sum(op.add for op in function.ops if op.kind in ("save", "alloc"))
    return sum(op.add for op in epilog if op.kind in ("save", "alloc")) < taken


def _undo(ops: tuple[Op, ...], regs: Arm64Registers, memory: MemoryReader) -> tuple[int, dict[int, int], bool]:
    """Return (sp, registers, whether the caller was interrupted)."""
    sp, known, pairs, trap = regs.sp, dict(regs.known), 0, False
    for op in ops:
        if op.kind == "end":
            break
        if op.kind == "next":
            pairs += 1
            continue
        if op.kind == "save":
            for pair in range(pairs + 1):
                _restore(op, pair, sp, known, memory)
            pairs = 0
            sp += op.add
        elif op.kind == "alloc":
            sp += op.add
        elif op.kind == "set_fp":
            if FP not in known:
                raise ReadError("x29 is not known", address=regs.pc)
            sp = (known[FP] - op.add) & _MASK
        elif op.kind == "clear":
            trap = True
        elif op.kind == "stop":
            raise UnsupportedError("a frame whose layout is not public")
    return sp, known, trap


def _restore(op: Op, pair: int, sp: int, known: dict[int, int], memory: MemoryReader) -> None:
    """Take the registers of a save, or of the `pair`-th pair that goes on from it."""
    for index, register in enumerate(op.registers):
        number = register + 2 * pair
        # After x27, x28 comes the frame pair; after d15 there is nothing to keep.
        if number > LR and number < DOUBLE:
            raise FormatError("ARM64 unwind codes", "a register that is none", found=number)
        try:
            data = memory.read((sp + op.offset + op.stride * (2 * pair + index)) & _MASK, 8)
        except ReadError:
            known.pop(number, None)
            continue
        known[number] = int.from_bytes(data, "little")
