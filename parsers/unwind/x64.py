"""One step of x64 unwinding: from the registers of a frame to its caller's, exactly.

Everything is taken from the module's unwind data and, in version 1 epilogs, from its code; nothing is guessed.
What cannot be known is an error (the return address) or stays unknown (a register whose saved copy is not in the
dump). Checked against real functions run in an emulator (`benchmarks/unwind_truth.py`).

Source: Microsoft "x64 exception handling" (MicrosoftDocs/cpp-docs: docs/build/exception-handling-x64.md);
dotnet/runtime: src/coreclr/unwinder/amd64/unwinder.cpp (MIT), a copy of Windows' own logic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_UNWIND_CHAIN
from parsers.unwind.epilog import Epilog, epilog_by_code, epilog_by_descriptor
from parsers.unwind.image import CodeImage, MemoryReader
from parsers.unwind.registers import REGISTER_NAMES, VOLATILE, Registers
from parsers.unwind.unwind_info import (
    ALLOC_SMALL,
    FLAG_EXCEPTION_HANDLER,
    PUSH_MACHFRAME,
    PUSH_NONVOL,
    SAVE_NONVOL,
    SAVE_XMM128,
    SET_FPREG,
    UnwindCode,
    UnwindInfo,
    read_unwind_info,
    resolve,
)

__all__ = ["Method", "Registers", "Step", "unwind_frame"]

_MASK = (1 << 64) - 1

Method = Literal["leaf", "unwind", "epilog", "machine-frame"]


@dataclass(frozen=True, slots=True)
class Step:
    """The caller of a frame.

    Attributes:
        regs: the caller's registers; Rip is the return address, or after a machine frame the interrupted place.
        method: how it was found: "leaf" (no row: nothing saved), "unwind" (unwind codes), "epilog" (the rest of an
            epilog), "machine-frame" (what the processor pushed at an interrupt or exception).
        function_rva: RVA of the first byte of the row that covers the frame (of a split function's part, that
            part's); None for a leaf.
        trap: the caller was interrupted, not calling: pass `interrupted=True` for its own step.
        certain: False when something that could contradict this step is not there (code bytes that tell an
            epilog), or the row has a language handler and no codes: hand-written assembler whose frames only that
            handler knows.

    """

    regs: Registers
    method: Method
    function_rva: int | None
    trap: bool
    certain: bool = True


def unwind_frame(regs: Registers, image: CodeImage, memory: MemoryReader, *, interrupted: bool) -> Step:
    """Return the caller of a frame.

    Args:
        regs: the frame's registers; Rip lies in `image`.
        image: the module.
        memory: the machine's memory, for the stack.
        interrupted: the frame is the innermost one or was interrupted by a trap: Rip is an instruction that has
            not run. Else Rip is a return address.

    Raises:
        ReadError: the unwind data, the stack's word or a register that is needed is not there.
        FormatError: the unwind data contradicts itself or the stack, or a frame that made a call has none.
        UnsupportedError: unwind data of version 3.

    """
    rva = regs.rip - image.base
    if not 0 <= rva <= image.size:
        raise FormatError("x64 frame", "the address lies outside the module", found=f"{regs.rip:#x}")
    row = image.function_at(rva if interrupted else rva - 1)
    frame = _Frame(regs, image, memory)
    if row is None:
        if not interrupted:
            raise FormatError("x64 frame", "no unwind data for a function that made a call", found=f"{regs.rip:#x}")
        frame.pop_return()
        return frame.step("leaf", None)
    row = resolve(image, row)
    info = read_unwind_info(image, row.unwind)
    offset = rva - row.begin
    certain = not (offset and _handler_knows(info))
    if interrupted:
        by = epilog_by_descriptor if info.version == 2 else epilog_by_code
        epilog, told = by(image, row, info, rva)
        certain = certain and told
        if epilog is not None:
            frame.certain = certain
            frame.run_epilog(epilog, info)
            return frame.step("machine-frame" if frame.trap else "epilog", row.begin)
    frame.certain = certain
    frame.undo(info, offset)
    if not frame.trap:
        frame.pop_return()
    return frame.step("machine-frame" if frame.trap else "unwind", row.begin)


def _handler_knows(info: UnwindInfo) -> bool:
    # A function that needs a handler calls others and so needs a frame; a row that has the handler and no codes is
    # hand-written assembler whose handler restores the registers (OpenSSL's, in cryptography's _rust.pyd).
    return not info.codes and info.chained is None and bool(info.flags & FLAG_EXCEPTION_HANDLER)


class _Frame:
    """Registers on their way to the caller's."""

    def __init__(self, regs: Registers, image: CodeImage, memory: MemoryReader) -> None:
        self.old_rsp = regs.rsp
        self.regs = regs.copy()
        self.image = image
        self.memory = memory
        self.trap = False
        self.certain = True
        self.restored: set[str] = set()

    def step(self, method: Method, function_rva: int | None) -> Step:
        """Close the step: check the stack, forget what a caller's frame cannot know."""
        rsp = self.regs.rsp
        if rsp & 7:
            raise FormatError("x64 frame", "the caller's Rsp is not aligned", found=f"{rsp:#x}")
        if not self.trap and rsp <= self.old_rsp:
            raise FormatError(
                "x64 frame", "the stack does not shrink", expected=f">{self.old_rsp:#x}", found=f"{rsp:#x}"
            )
        for name in VOLATILE:
            if name not in self.restored:
                self.regs.gprs.pop(name, None)
        return Step(self.regs, method, function_rva, self.trap, self.certain)

    def word(self, address: int) -> int:
        """Return the 8 bytes at an address, or raise ReadError."""
        data = self.memory.read(address & _MASK, 8)
        if len(data) != 8:
            raise ReadError(f"no stack word at {address:#x}", address=address)
        return int.from_bytes(data, "little")

    def restore(self, number: int, address: int) -> None:
        """Take a register from its saved copy; it becomes unknown when the copy is not there."""
        name = REGISTER_NAMES[number]
        try:
            value = self.word(address)
        except ReadError:
            if name == "rsp":
                raise
            self.regs.gprs.pop(name, None)
            return
        self.regs.gprs[name] = value
        self.restored.add(name)

    def pop_return(self) -> None:
        """Take the return address."""
        rsp = self.regs.rsp
        self.regs.rip = self.word(rsp)
        self.regs.rsp = rsp + 8

    def pop_machine_frame(self, error_code: int) -> None:
        """Take what the processor pushed: Rip, Cs, EFlags, Rsp, Ss, below them the error code if any."""
        at = self.regs.rsp + error_code
        self.regs.rip = self.word(at)
        self.regs.rsp = self.word(at + 24)
        self.trap = True

    def run_epilog(self, epilog: Epilog, info: UnwindInfo) -> None:
        """Do what the rest of an epilog does."""
        if epilog.frame_displacement is not None:
            self.regs.rsp = self.regs.known(info.frame_register) + epilog.frame_displacement
        self.regs.rsp += epilog.add
        for number in epilog.pops:
            rsp = self.regs.rsp
            self.regs.rsp = rsp + 8
            if number is not None:
                self.restore(number, rsp)
        self.regs.rsp += epilog.drop
        if epilog.machine_frame:
            self.pop_machine_frame(0)
        else:
            self.pop_return()

    def undo(self, info: UnwindInfo, offset: int) -> None:
        """Undo a row's codes, as many as have run, and all of its chain's."""
        base = self.base(info, offset)
        for code in info.codes:
            if offset >= info.prolog_size or code.offset <= offset:
                self.undo_code(code, info, base)
                if self.trap:
                    return
        for _link in range(MAX_UNWIND_CHAIN):
            if info.chained is None:
                return
            info = read_unwind_info(self.image, resolve(self.image, info.chained).unwind)
            for code in info.codes:
                self.undo_code(code, info, base)
                if self.trap:
                    return
        raise FormatError("UNWIND_INFO", "endless chain", expected=MAX_UNWIND_CHAIN)

    def base(self, info: UnwindInfo, offset: int) -> int | None:
        """Return the address that saved registers count from, computed before anything is undone.

        None when the frame register that it needs is unknown; the codes that use it then fail.
        """
        if not info.frame_register:
            return self.regs.rsp
        is_set = offset >= info.prolog_size or info.chained is not None
        if not is_set:
            is_set = any(code.op == SET_FPREG and code.offset <= offset for code in info.codes)
        if not is_set:
            return self.regs.rsp
        value = self.regs.gprs.get(REGISTER_NAMES[info.frame_register])
        return None if value is None else (value - info.frame_offset) & _MASK

    def undo_code(self, code: UnwindCode, info: UnwindInfo, base: int | None) -> None:
        """Undo one operation."""
        if code.op == PUSH_NONVOL:
            rsp = self.regs.rsp
            self.regs.rsp = rsp + 8
            self.restore(code.info, rsp)
        elif code.op == ALLOC_SMALL:
            self.regs.rsp += code.operand
        elif code.op == SET_FPREG:
            self.regs.rsp = self.regs.known(info.frame_register) - info.frame_offset
        elif code.op == SAVE_NONVOL:
            if base is None:
                self.regs.known(info.frame_register)
            else:
                self.restore(code.info, base + code.operand)
        elif code.op == SAVE_XMM128:
            self.restore_xmm(code, base)
        elif code.op == PUSH_MACHFRAME:
            self.pop_machine_frame(8 if code.info else 0)

    def restore_xmm(self, code: UnwindCode, base: int | None) -> None:
        """Take an Xmm register; no frame is lost over one."""
        self.regs.xmm.pop(code.info, None)
        if base is None:
            return
        try:
            self.regs.xmm[code.info] = self.memory.read((base + code.operand) & _MASK, 16)
        except ReadError:
            return
