"""One x64 instruction: what it does to memory, with the addresses that a set of registers gives.

Only what is certain is said. An instruction whose accesses are not wholly known (gathers, state saves, segment loads,
system instructions …) is `open`: nothing may be concluded from what it touches. Checked against an emulator that runs
the instructions of real drivers with nothing mapped (tests/forensics/crash/test_decode.py).

Source: Intel SDM volume 2 (operation sections); the decoder is capstone's, imported when first needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["Access", "Instruction", "decode", "decoder"]

_MASK = (1 << 64) - 1
_MASK32 = (1 << 32) - 1

#: A memory operand that is no access: an address computed, a hint, padding.
_NO_ACCESS = frozenset({"lea", "nop", "prefetchw", "prefetcht0", "prefetcht1", "prefetcht2", "prefetchnta", "prefetch"})
#: First operand written only, the others read only.
_MOVES = frozenset({
    "mov", "movabs", "movzx", "movsx", "movsxd", "movups", "movaps", "movupd", "movapd", "movdqa", "movdqu", "movq",
    "movd", "movnti", "movntps", "movntdq", "movss", "vmovups", "vmovaps", "vmovdqu", "vmovdqa", "vmovq", "vmovd",
})  # fmt: skip
#: Every memory operand is read only.
_READS = frozenset({"cmp", "test", "push", "imul", "mul", "div", "idiv", "comiss", "comisd", "ucomiss", "ucomisd"})
#: Instructions whose accesses are not told by their operands alone, or that load segments and tables.
_OPEN = frozenset({
    "enter", "xlatb", "maskmovdqu", "maskmovq", "bt", "bts", "btr", "btc", "iret", "iretd", "iretq", "retf", "retfq",
    "lcall", "ljmp", "int", "into", "int1", "syscall", "sysret", "sysretq", "sysenter", "sysexit", "sysexitq", "swapgs",
    "verr", "verw", "lar", "lsl", "ltr", "lldt", "lgdt", "lidt", "sgdt", "sidt", "sldt", "str", "lss", "lfs", "lgs",
    "invpcid", "invept", "invvpid", "invlpg", "clflush", "clflushopt", "clwb", "clzero", "cldemote", "xbegin",
    "monitor", "mwait", "monitorx", "movdir64b", "enqcmd", "enqcmds", "insb", "insw", "insd", "outsb", "outsw", "outsd",
})  # fmt: skip
_OPEN_PREFIXES = (
    "vm", "vgather", "vpgather", "vscatter", "vpscatter", "vmask", "vpmask", "xsave", "xrstor", "fxsave", "fxrstor",
    "fsave", "fnsave", "frstor", "fldenv", "fnstenv", "fstenv", "enc", "tile", "wrss", "wruss", "rstorssp",
    "saveprevssp", "setssbsy", "clrssbsy", "vpcompress", "vpexpand", "vcompress", "vexpand",
)  # fmt: skip
#: Repeated string instructions: processors move whole lines at once, and the pointer may lag behind the fault.
_REPEAT_SPAN = 0x1000
#: Names that begin as a prefix above and are plain moves all the same.
_NOT_OPEN = _MOVES | {"vmovsd", "vmovss", "vmovhps", "vmovlps", "vmovupd", "vmovapd", "vmulps", "vmulpd", "vminps"}
_SEGMENTS = frozenset({"cs", "ds", "es", "fs", "gs", "ss"})
_PREFIX_WORDS = ("rep", "repe", "repne", "repz", "repnz", "lock", "notrack", "bnd", "xacquire", "xrelease")


@dataclass(frozen=True, slots=True)
class Access:
    """One access to memory.

    Attributes:
        text: the operand as it is written ("[r9 + r8]"), or what makes it ("the stack").
        address: of its first byte; None when a register that it needs is not known.
        size: bytes.
        reads: may be reported as a read.
        writes: may be reported as a write.
        registers: the registers that the address was computed from.

    """

    text: str
    address: int | None
    size: int
    reads: bool
    writes: bool
    registers: tuple[str, ...] = ()

    def touches(self, address: int) -> bool:
        """Tell whether a byte at an address is among those accessed."""
        return self.address is not None and (address - self.address) & _MASK < self.size


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        address: of its first byte.
        data: its bytes.
        name: mnemonic without prefixes.
        text: in assembler.
        accesses: to memory, the fetch of the instruction left out; () when there are none, or `open`.
        open: its accesses are not wholly known.
        target: where a direct call or jump goes, else None.
        divisor: value of the divisor of div and idiv where it is in a register that is known.

    """

    address: int
    data: bytes
    name: str
    text: str
    accesses: tuple[Access, ...]
    open: bool
    target: int | None = None
    divisor: int | None = None

    @property
    def known(self) -> bool:
        """Whether every access and its address is known."""
        return not self.open and all(access.address is not None for access in self.accesses)


@lru_cache(maxsize=1)
def decoder() -> Any:
    """Return capstone's decoder of x64 code, with details; imported only now."""
    import capstone

    made = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    made.detail = True
    return made


def _value(name: str, registers: Mapping[str, int], following: int) -> int | None:
    """Return an address register's value; 32-bit ones are the low halves."""
    if name in ("rip", "eip"):
        return following & (_MASK if name == "rip" else _MASK32)
    if name in registers:
        return registers[name] & _MASK
    whole = "r" + name[1:] if name.startswith("e") else name[:-1] if name.endswith("d") else ""
    return registers[whole] & _MASK32 if whole in registers else None


def _operand_address(
    decoder_instruction: Any, operand: Any, registers: Mapping[str, int], following: int
) -> tuple[int | None, tuple[str, ...]]:
    """Return (address, registers used) of a memory operand."""
    memory, name_of = operand.mem, decoder_instruction.reg_name
    used: list[str] = []
    total = memory.disp
    narrow = decoder_instruction.addr_size == 4
    for number, scale in ((memory.base, 1), (memory.index, memory.scale)):
        if not number:
            continue
        name = name_of(number)
        if name in ("riz", "eiz"):
            continue
        value = _value(name, registers, following)
        if name not in ("rip", "eip"):
            used.append(name)
        if value is None:
            return None, tuple(used)
        total += value * scale
    # Bases of Fs and Gs are in no CONTEXT.
    if memory.segment and name_of(memory.segment) in ("fs", "gs"):
        return None, tuple(used)
    return total & (_MASK32 if narrow else _MASK), tuple(used)


def _memory_text(text: str, number: int) -> str:
    """Return the `number`-th operand in brackets."""
    parts = [part.partition("]")[0] for part in text.split("[")[1:]]
    return f"[{parts[number]}]" if number < len(parts) else "memory"


def _kinds(name: str, index: int) -> tuple[bool, bool]:
    """Return (may read, may write) of a memory operand; where the table does not say, both."""
    if name in _MOVES:
        return index > 0, index == 0
    if name in _READS or name.startswith("cmov"):
        return True, False
    if name.startswith("set") or name == "pop":
        return False, True
    if name in ("call", "jmp"):
        return True, False
    return True, True


def _stack_accesses(found: Any, name: str, rsp: int | None) -> list[Access]:
    """Return the accesses that an instruction makes through Rsp without an operand."""
    if name in ("push", "pushfq", "call"):
        size = found.operands[0].size if name == "push" and found.operands and found.operands[0].size == 2 else 8
        at = None if rsp is None else (rsp - size) & _MASK
        return [Access("the stack", at, size, False, True, ("rsp",))]
    if name in ("pop", "popfq", "ret"):
        return [Access("the stack", rsp, 8, True, False, ("rsp",))]
    return []


def _is_open(found: Any, name: str) -> bool:
    if name in _OPEN or (name.startswith(_OPEN_PREFIXES) and name not in _NOT_OPEN):
        return True
    # The decoder cuts the 64-bit address of this form.
    if name == "movabs" and any(operand.type == 3 for operand in found.operands):
        return True
    # A load of a segment register reads a descriptor table.
    return any(operand.type == 1 and found.reg_name(operand.reg) in _SEGMENTS for operand in found.operands)


def decode(data: bytes, address: int, registers: Mapping[str, int]) -> Instruction | None:
    """Decode the instruction at the beginning of `data`.

    Args:
        data: up to 15 bytes from the instruction's first one.
        address: where it lies.
        registers: the general registers as far as they are known, by lower-case name.

    Returns:
        The instruction; None when the bytes are none (or end too early).

    """
    found = next(decoder().disasm(data[:15], address, 1), None)
    if found is None:
        return None
    words = found.mnemonic.split()
    name = next((word for word in words if word not in _PREFIX_WORDS), words[0])
    text = f"{found.mnemonic} {found.op_str}".strip()
    own = bytes(found.bytes)
    following = address + len(own)
    target = divisor = None
    if found.operands and found.operands[0].type == 2 and (name in ("call", "jmp") or name.startswith("j")):
        target = found.operands[0].imm & _MASK
    if name in ("div", "idiv") and found.operands and found.operands[0].type == 1:
        operand = found.operands[0]
        divisor = _register_part(found.reg_name(operand.reg), operand.size, registers)
    if _is_open(found, name):
        return Instruction(address, own, name, text, (), True, target, divisor)
    rsp = registers.get("rsp")
    accesses: list[Access] = []
    if name == "leave":
        accesses.append(Access("the frame", registers.get("rbp"), 8, True, False, ("rbp",)))
    if name not in _NO_ACCESS:
        for index, operand in enumerate(found.operands):
            if operand.type != 3:
                continue
            at, used = _operand_address(found, operand, registers, following)
            if name == "pop" and "rsp" in used and at is not None:
                # The address of pop's operand counts from Rsp as it is after the pop.
                at = (at + operand.size) & _MASK
            reads, writes = _kinds(name, index)
            size = max(operand.size, 1)
            if words[0].startswith("rep") and at is not None:
                at, size = (at - _REPEAT_SPAN) & _MASK, 2 * _REPEAT_SPAN
            accesses.append(Access(_memory_text(found.op_str, len(accesses)), at, size, reads, writes, used))
    accesses += _stack_accesses(found, name, rsp)
    return Instruction(address, own, name, text, tuple(accesses), False, target, divisor)


def _register_part(name: str, size: int, registers: Mapping[str, int]) -> int | None:
    """Return the value of a register of any width that is the low part of a known one."""
    if name in ("ah", "bh", "ch", "dh"):
        return None
    for whole in registers:
        stem = whole[1:]
        parts = {whole, f"e{stem}", stem, f"{stem}l", f"{stem[:-1]}l", f"{whole}d", f"{whole}w", f"{whole}b"}
        if name in parts:
            return registers[whole] & ((1 << 8 * size) - 1)
    return None
