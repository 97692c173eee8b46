"""The forward epilog search: the caller of an x64 frame where its unwind data is not in the dump.

Triage dumps mostly keep the code from a return address on, seldom the call before it and hardly ever `.pdata`.
From the return address every way through the code leads to the function's own epilog, and in between Rsp is
accounted for by its instructions: so the epilog tells where the next return address lies. The ways are followed
as a data flow: where two meet, only what both agree on is known afterwards. One slot over all ways, or no answer.

Own method; held against the unwind data on return addresses of real binaries, with no wrong answer among those
given, and against the published stack of a real triage dump.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from parsers.errors import ReadError
from parsers.limits import MAX_FORWARD_INSTRUCTIONS
from parsers.unwind.image import MemoryReader
from parsers.unwind.registers import NONVOLATILE, REGISTER_NAMES, VOLATILE, Registers

if TYPE_CHECKING:
    import capstone

__all__ = ["ForwardSearch"]

_MASK = (1 << 64) - 1
_MAX_INSTRUCTION = 15

#: What is known on a way: registers by name, and by "[address]" the stack words stored on it (-1: unknown). A
#: register that is not there is unknown; a word that is not there is what the memory holds.
_STATES = dict[str, int]
_UNKNOWN_WORD = -1


class _Visit(NamedTuple):
    """A place on a way and the registers known there."""

    pc: int
    regs: _STATES


class ForwardSearch:
    """A search over one machine's memory.

    Args:
        memory: for the stack.
        read_code: gives up to n bytes of code at an address; none where there is none.
        low: lowest address of the stack.
        high: the address behind it.
        accept: whether a word can be a return address (it lies in executable code of a module, and the bytes before
            it, where they are there, are a call).

    """

    def __init__(
        self,
        memory: MemoryReader,
        read_code: Callable[[int, int], bytes],
        *,
        low: int,
        high: int,
        accept: Callable[[int], bool],
    ) -> None:
        import capstone

        self._memory = memory
        self._read_code = read_code
        self._low = low
        self._high = high
        self._accept = accept
        self._disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._disassembler.detail = True

    def caller(self, regs: Registers, *, interrupted: bool) -> Registers | None:
        """Return the caller of a frame, or None when no single answer exists.

        Never to be asked in the kernel's own trap and exception stubs, which do not return by an epilog.

        Args:
            regs: of the frame: Rip and Rsp, and what else is known.
            interrupted: Rip has not run yet; else Rip is a return address and volatile registers are unknown.

        """
        start = dict(regs.gprs)
        if not interrupted:
            for name in VOLATILE:
                start.pop(name, None)
        ends = self._follow(_Visit(regs.rip, start))
        if not ends:
            return None
        slots = {end.get("rsp") for end in ends}
        slot = slots.pop()
        if slots or slot is None or not self._low <= slot <= self._high - 8 or slot < regs.rsp or slot % 8:
            return None
        word = self._word(slot)
        if word is None or not self._accept(word):
            return None
        known = ends[0]
        for end in ends[1:]:
            known = _meet(known, end)
        nonvolatile = {name: known[name] for name in NONVOLATILE if name in known}
        return Registers(word, {**nonvolatile, "rsp": slot + 8})

    def _follow(self, start: _Visit) -> list[_STATES]:
        """Run the data flow; return the registers at each `ret` (Rsp: where its return address lies)."""
        seen: dict[int, _STATES] = {}
        ends: dict[int, _STATES] = {}
        work = [start]
        for _count in range(MAX_FORWARD_INSTRUCTIONS):
            if not work:
                return list(ends.values())
            pc, regs = work.pop()
            if "rsp" not in regs:
                continue  # a way on which Rsp is lost gives nothing
            before = seen.get(pc)
            if before is not None:
                if before["rsp"] != regs["rsp"]:
                    return []  # no compiler's function has two stacks at one place: a way led into other code
                merged = _meet(before, regs)
                if merged == before:
                    continue
                regs = merged
            seen[pc] = regs
            following, end = self._run(pc, dict(regs))
            if end is not None:
                ends[pc] = end
            work += following
        return []

    def _run(self, pc: int, regs: _STATES) -> tuple[list[_Visit], _STATES | None]:
        """Run one instruction: where it leads, and the registers when it returns."""
        instruction = next(self._disassembler.disasm(self._read_code(pc, _MAX_INSTRUCTION), pc, 1), None)
        if instruction is None:
            return [], None
        return self._step(instruction, regs)

    def _step(self, instruction: capstone.CsInsn, regs: _STATES) -> tuple[list[_Visit], _STATES | None]:
        from capstone import x86_const as x

        after = instruction.address + instruction.size
        kind = instruction.id
        operands = instruction.operands
        if kind == x.X86_INS_RET:
            return [], regs
        if kind in (x.X86_INS_INT3, x.X86_INS_INT, x.X86_INS_UD2, x.X86_INS_HLT, x.X86_INS_IRETQ):
            return [], None
        if kind == x.X86_INS_JMP:
            target = _target(operands)
            return ([_Visit(target, regs)] if target is not None else []), None
        if instruction.group(x.X86_GRP_JUMP):
            ways = [_Visit(after, regs)]
            target = _target(operands)
            if target is not None:
                ways.append(_Visit(target, dict(regs)))
            return ways, None
        if kind == x.X86_INS_CALL:
            for name in VOLATILE:
                regs.pop(name, None)
            return [_Visit(after, regs)], None
        self._apply(instruction, operands, regs)
        return [_Visit(after, regs)], None

    def _apply(self, instruction: capstone.CsInsn, operands: list[Any], regs: _STATES) -> None:
        """Do to the registers what an instruction does that goes on behind itself."""
        from capstone import CS_AC_WRITE
        from capstone import x86_const as x

        kind = instruction.id
        rsp = regs["rsp"]
        first = _whole_register(instruction, operands[0]) if operands else None
        if kind == x.X86_INS_PUSHFQ or (kind == x.X86_INS_PUSH and operands[0].size == 8):
            regs["rsp"] = (rsp - 8) & _MASK
            _store(regs, rsp - 8, 8, regs.get(first) if first is not None else None)
            return
        for operand in operands:
            if operand.type == x.X86_OP_MEM and operand.access & CS_AC_WRITE:
                address = _address(instruction, operand, regs)
                if address is not None:
                    # A saved register may be stored on the way (shrink wrapping) and taken back at its end.
                    source = _whole_register(instruction, operands[1]) if kind == x.X86_INS_MOV else None
                    _store(regs, address, operand.size, regs.get(source) if source is not None else None)
        if kind == x.X86_INS_POPFQ:
            regs["rsp"] = (rsp + 8) & _MASK
            return
        if kind == x.X86_INS_POP and first is not None and first != "rsp":
            _set(regs, first, self._stack_word(rsp, regs))
            regs["rsp"] = (rsp + 8) & _MASK
            return
        if kind == x.X86_INS_LEAVE:
            frame = regs.get("rbp")
            _set(regs, "rbp", None if frame is None else self._stack_word(frame, regs))
            _set(regs, "rsp", None if frame is None else (frame + 8) & _MASK)
            return
        value: int | None = None
        known = False
        if first is not None and len(operands) == 2:
            second = operands[1]
            if kind in (x.X86_INS_ADD, x.X86_INS_SUB) and second.type == x.X86_OP_IMM and first in regs:
                sign = 1 if kind == x.X86_INS_ADD else -1
                value, known = (regs[first] + sign * second.imm) & _MASK, True
            elif kind in (x.X86_INS_LEA, x.X86_INS_MOV) and second.type == x.X86_OP_MEM:
                address = _address(instruction, second, regs)
                if address is not None:
                    value, known = (address if kind == x.X86_INS_LEA else self._stack_word(address, regs)), True
            elif kind == x.X86_INS_MOV and second.type == x.X86_OP_REG:
                source = _whole_register(instruction, second)
                value, known = (regs.get(source) if source is not None else None), True
        _reads, writes = instruction.regs_access()
        for number in writes:
            name = _parent(instruction.reg_name(number))
            if name is not None and not (known and name == first):
                regs.pop(name, None)
        if known and first is not None:
            _set(regs, first, value)

    def _stack_word(self, address: int, regs: _STATES) -> int | None:
        # Only the stack: what lies elsewhere may have changed since the function began.
        if not self._low <= address <= self._high - 8:
            return None
        if address % 8:
            return None
        stored = regs.get(f"[{address:x}]")
        if stored is not None:
            return None if stored == _UNKNOWN_WORD else stored
        return self._word(address)

    def _word(self, address: int) -> int | None:
        try:
            return int.from_bytes(self._memory.read(address, 8), "little")
        except ReadError:
            return None


def _meet(one: _STATES, other: _STATES) -> _STATES:
    """Return what two ways agree on."""
    merged = {name: value for name, value in one.items() if other.get(name) == value}
    for name in {*one, *other}:
        if name not in merged and name[0] == "[":
            merged[name] = _UNKNOWN_WORD
    return merged


def _store(regs: _STATES, address: int, size: int, value: int | None) -> None:
    """Note a store: the words it touches are unknown, save a whole word whose value is known."""
    for word in range(address & -8, address + size, 8):
        whole = value is not None and word == address and size == 8
        regs[f"[{word & _MASK:x}]"] = value if whole and value is not None else _UNKNOWN_WORD


def _set(regs: _STATES, name: str, value: int | None) -> None:
    if value is None:
        regs.pop(name, None)
    else:
        regs[name] = value


def _target(operands: list[Any]) -> int | None:
    from capstone import x86_const as x

    # capstone gives immediates as signed numbers; without the mask every kernel address would look unmapped.
    return int(operands[0].imm) & _MASK if operands and operands[0].type == x.X86_OP_IMM else None


def _whole_register(instruction: capstone.CsInsn, operand: Any) -> str | None:
    from capstone import x86_const as x

    if operand.type != x.X86_OP_REG or operand.size != 8:
        return None
    name = str(instruction.reg_name(operand.reg))
    return name if name in REGISTER_NAMES else None


def _address(instruction: capstone.CsInsn, operand: Any, regs: _STATES) -> int | None:
    """Return the address of a [base + displacement] operand whose base is known."""
    if operand.mem.index or operand.mem.segment or not operand.mem.base:
        return None
    base = regs.get(str(instruction.reg_name(operand.mem.base)))
    return None if base is None else (base + int(operand.mem.disp)) & _MASK


def _parents() -> dict[str, str]:
    found = {name: name for name in REGISTER_NAMES}
    for name in REGISTER_NAMES[:8]:
        short = name[1:]
        found |= {f"e{short}": name, short: name, f"{short}l": name}
        if short.endswith("x"):
            found |= {f"{short[0]}l": name, f"{short[0]}h": name}
    for name in REGISTER_NAMES[8:]:
        found |= {f"{name}d": name, f"{name}w": name, f"{name}b": name}
    return found


_PARENTS = _parents()


def _parent(name: str | None) -> str | None:
    return _PARENTS.get(name) if name else None
