"""One instruction of x64 or x86: what it does to memory, with the addresses that a set of registers gives.

Only what is certain is said. An instruction whose accesses are not wholly known (gathers, state saves, segment loads,
system instructions …) is `open`: nothing may be concluded from what it touches. Checked against an emulator that runs
instructions of real drivers, and made-up ones, with nothing mapped (tests/forensics/crash/test_decode*.py).

Source: Intel SDM volume 2 (operation sections); the decoder is capstone's, imported when first needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from forensics.crash.access import Access, Instruction

__all__ = ["LONGEST", "decode_x86", "decoder_x86"]

#: Bytes of the longest instruction.
LONGEST = 15
_MASK = (1 << 64) - 1
_MASK32 = (1 << 32) - 1

#: A memory operand that is no access: an address computed, a hint, padding.
_NO_ACCESS = frozenset({
    "lea", "nop", "prefetchw", "prefetchwt1", "prefetcht0", "prefetcht1", "prefetcht2", "prefetchnta", "prefetch",
})  # fmt: skip
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
    "les", "lds", "invpcid", "invept", "invvpid", "invlpg", "clflush", "clflushopt", "clwb", "clzero", "cldemote",
    "xbegin", "monitor", "mwait", "monitorx", "movdir64b", "enqcmd", "enqcmds", "insb", "insw", "insd", "outsb",
    "outsw", "outsd",
})  # fmt: skip
_OPEN_PREFIXES = (
    "vm", "vgather", "vpgather", "vscatter", "vpscatter", "vmask", "vpmask", "xsave", "xrstor", "fxsave", "fxrstor",
    "fsave", "fnsave", "frstor", "fldenv", "fnstenv", "fstenv", "enc", "tile", "wrss", "wruss", "rstorssp",
    "saveprevssp", "setssbsy", "clrssbsy", "vpcompress", "vpexpand", "vcompress", "vexpand", "bndldx", "bndstx",
    "bndmk", "bndc", "bndmov",
)  # fmt: skip
#: Vector moves that demand alignment (the legacy forms of other vector instructions do too).
_ALIGNED = frozenset({"movaps", "movapd", "movdqa", "movntps", "movntpd", "movntdq", "vmovaps", "vmovapd", "vmovdqa"})
#: Instructions that neither touch memory by themselves nor can be refused by protection.
_HARMLESS = frozenset({
    "mov", "movzx", "movsx", "movsxd", "lea", "add", "sub", "adc", "sbb", "and", "or", "xor", "not", "neg", "cmp",
    "test", "inc", "dec", "shl", "shr", "sar", "rol", "ror", "nop", "imul", "cdq", "cqo", "cdqe", "bswap", "bsf", "bsr",
    "xorps", "pxor", "movaps", "movups", "movdqa", "movdqu", "je", "jne", "jb", "jae", "ja", "jbe", "jl", "jge", "jg",
    "jle", "js", "jns",
})  # fmt: skip
#: Repeated string instructions: processors move whole lines at once, and the pointer may lag behind the fault.
_REPEAT_SPAN = 0x1000
#: Names that begin as a prefix above and are plain moves all the same.
_NOT_OPEN = _MOVES | {"vmovsd", "vmovss", "vmovhps", "vmovlps", "vmovupd", "vmovapd", "vmulps", "vmulpd", "vminps"}
_SEGMENTS = frozenset({"cs", "ds", "es", "fs", "gs", "ss"})
_PREFIX_WORDS = ("rep", "repe", "repne", "repz", "repnz", "lock", "notrack", "bnd", "xacquire", "xrelease")


@dataclass(frozen=True, slots=True)
class _Mode:
    """What differs between the two: width of a pointer, the registers of stack and frame."""

    width: int
    stack: str
    frame: str
    mask: int


_X64 = _Mode(8, "rsp", "rbp", _MASK)
_X86 = _Mode(4, "esp", "ebp", _MASK32)
#: Bytes that an instruction without operands takes from the stack pointer; the size of a pointer where None.
_PUSHES: dict[str, int | None] = {
    "push": None, "call": None, "pushfq": 8, "pushfd": 4, "pushf": 2, "pushal": 32, "pushaw": 16,
}  # fmt: skip
_POPS: dict[str, int | None] = {
    "pop": None, "ret": None, "popfq": 8, "popfd": 4, "popf": 2, "popal": 32, "popaw": 16,
}  # fmt: skip
#: Those of them whose operand size says how much they move, where the prefix for it counts.
_SIZED = frozenset({"push", "pop", "pushf", "popf"})


@lru_cache(maxsize=2)
def decoder_x86(*, wide: bool = True) -> Any:
    """Return capstone's decoder of x64 code (x86 where not `wide`), with details; imported only now."""
    import capstone

    made = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64 if wide else capstone.CS_MODE_32)
    made.detail = True
    return made


def _value(name: str, registers: Mapping[str, int], following: int) -> int | None:
    """Return an address register's value; 32-bit ones of x64 are the low halves."""
    if name in ("rip", "eip"):
        return following & (_MASK if name == "rip" else _MASK32)
    if name in registers:
        return registers[name] & _MASK
    whole = "r" + name[1:] if name.startswith("e") else name[:-1] if name.endswith("d") else ""
    return registers[whole] & _MASK32 if whole in registers else None


def _operand_address(
    found: Any, operand: Any, registers: Mapping[str, int], following: int, mode: _Mode
) -> tuple[int | None, tuple[str, ...]]:
    """Return (address, registers used) of a memory operand."""
    memory, name_of = operand.mem, found.reg_name
    used: list[str] = []
    total = memory.disp
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
    return total & (_MASK32 if found.addr_size == 4 else mode.mask), tuple(used)


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


def _stack_accesses(found: Any, name: str, registers: Mapping[str, int], mode: _Mode) -> list[Access]:
    """Return the accesses that an instruction makes through the stack pointer without an operand."""
    at = registers.get(mode.stack)
    size = _PUSHES.get(name, _POPS.get(name, 0))
    # REX.W beats the prefix that makes operands narrow.
    narrow = name in _SIZED and 0x66 in found.prefix and not found.rex & 8
    if size is None or size == 2:
        size = 2 if narrow else mode.width
    if name in _PUSHES:
        return [Access("the stack", None if at is None else (at - size) & mode.mask, size, False, True, (mode.stack,))]
    if name in _POPS:
        return [Access("the stack", at, size, True, False, (mode.stack,))]
    if name == "leave":
        return [Access("the frame", registers.get(mode.frame), mode.width, True, False, (mode.frame,))]
    return []


def _is_open(found: Any, name: str, mode: _Mode) -> bool:
    if name in _OPEN or (name.startswith(_OPEN_PREFIXES) and name not in _NOT_OPEN):
        return True
    # The decoder cuts the 64-bit address of this form.
    if name == "movabs" and any(operand.type == 3 for operand in found.operands):
        return True
    # Operand sizes that this makes of jumps, calls and returns differ between makers; 16-bit addresses are rare.
    if found.addr_size == 2 or (0x66 in found.prefix and name in ("call", "jmp", "ret", "leave", "iret")):
        return True
    if mode is _X64 and name in ("pushal", "popal"):
        return True
    # A load of a segment register reads a descriptor table.
    return any(operand.type == 1 and found.reg_name(operand.reg) in _SEGMENTS for operand in found.operands)


def decode_x86(data: bytes, address: int, registers: Mapping[str, int], *, wide: bool = True) -> Instruction | None:
    """Decode the instruction at the beginning of `data`.

    Args:
        data: up to 15 bytes from the instruction's first one.
        address: where it lies.
        registers: the general registers as far as they are known, by lower-case name.
        wide: x64; else x86.

    Returns:
        The instruction; None when the bytes are none (or end too early).

    """
    mode = _X64 if wide else _X86
    found = next(decoder_x86(wide=wide).disasm(data[:LONGEST], address, 1), None)
    if found is None:
        return None
    words = found.mnemonic.split()
    name = next((word for word in words if word not in _PREFIX_WORDS), words[0])
    text = f"{found.mnemonic} {found.op_str}".strip()
    own = bytes(found.bytes)
    target = divisor = None
    if found.operands and found.operands[0].type == 2 and (name in ("call", "jmp") or name.startswith("j")):
        target = found.operands[0].imm & mode.mask
    if name in ("div", "idiv") and found.operands and found.operands[0].type == 1:
        operand = found.operands[0]
        divisor = _register_part(found.reg_name(operand.reg), operand.size, registers)
    if _is_open(found, name, mode):
        return Instruction(address, own, name, text, (), True, target=target, divisor=divisor)
    accesses: list[Access] = []
    if name not in _NO_ACCESS:
        for index, operand in enumerate(found.operands):
            if operand.type != 3:
                continue
            at, used = _operand_address(found, operand, registers, address + len(own), mode)
            if name == "pop" and mode.stack in used and at is not None:
                # The address of pop's operand counts from the stack pointer as it is after the pop.
                at = (at + operand.size) & mode.mask
            reads, writes = _kinds(name, index)
            size = max(operand.size, 1)
            if words[0].startswith("rep") and at is not None:
                at, size = (at - _REPEAT_SPAN) & mode.mask, 2 * _REPEAT_SPAN
            accesses.append(Access(_memory_text(found.op_str, len(accesses)), at, size, reads, writes, used))
    accesses += _stack_accesses(found, name, registers, mode)
    aligned = max((min(access.size, 64) for access in accesses), default=1) if name in _ALIGNED else 1
    return Instruction(
        address, own, name, text, tuple(accesses), False, aligned, not accesses and name in _HARMLESS, target, divisor
    )


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
