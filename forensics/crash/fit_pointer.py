"""Whether a program can have come to the instruction pointer of a fault by itself.

It cannot when the pointer lies in the padding between two functions, in the middle of an instruction, or one bit beside
the target of the call that led there. Each needs the function table or the code to show it; without them nothing is
said.
"""

from __future__ import annotations

from typing import Literal

from forensics.crash.context import CrashContext
from forensics.crash.decode import decode
from forensics.crash.evidence import Evidence
from forensics.crash.hardware import one_bit
from forensics.crash.stack import StackWalker
from parsers.dump.modules import LoadedModule
from parsers.errors import StopcodeError
from parsers.limits import MAX_SWEPT_CODE
from parsers.pe_pdata import RuntimeFunction

__all__ = ["pointer_misfit"]

_MASK = (1 << 64) - 1
#: What linkers put between functions: int3, or zeros behind the last one.
_PADDING = (0xCC, 0x00)

#: Bits within which functions jump to each other all the time.
_NEARBY = 12

Found = tuple[str, Literal["medium", "low"], int | None]


def pointer_misfit(evidence: Evidence, walker: StackWalker, fault: CrashContext) -> Found | None:
    """Return what shows that no program went to the instruction pointer of its own; None when nothing does."""
    called = _called(evidence, walker, fault)
    module = evidence.modules.at(fault.ip)
    if called is not None:
        site, target = called
        bit = one_bit(target ^ fault.ip)
        if bit is not None and not _led_on(evidence, walker, target, fault.ip, bit):
            text = (
                f"the call right before {evidence.modules.label(site)} ([RSP]) goes to "
                f"{evidence.modules.label(target)}; the processor went to {evidence.modules.label(fault.ip)}, one bit "
                f"({bit}) beside it"
            )
            return text, "medium", bit
    if module is None:
        return _beside_function(evidence, walker, fault)
    row, told = _row(walker, module, fault.ip)
    if not told:
        return None
    if row is None:
        return _in_padding(evidence, fault.ip)
    return _in_middle(evidence, module, row, fault.ip)


def _row(walker: StackWalker, module: LoadedModule, address: int) -> tuple[RuntimeFunction | None, bool]:
    """Return (row of the function table, whether the table could tell)."""
    try:
        return walker.image_of(module).function_at(address - module.base), True
    except StopcodeError:
        return None, False


def _called(evidence: Evidence, walker: StackWalker, fault: CrashContext) -> tuple[int, int] | None:
    """Return (return address at the stack pointer, target of the direct call before it), when there is one."""
    site = evidence.word(fault.sp)
    if site is None or not walker.words.is_possible(site):
        return None
    data = evidence.code_bytes(site - 5, 5)
    if len(data) != 5 or data[0] != 0xE8:
        return None
    target = (site + int.from_bytes(data[1:], "little", signed=True)) & _MASK
    return (site, target) if evidence.is_code(target) else None


def _led_on(evidence: Evidence, walker: StackWalker, target: int, address: int, bit: int) -> bool:
    """Tell whether the called function can have led to an address with the stack untouched.

    A leaf moves on in itself; a function may end in a jump to another one, mostly one nearby.
    """
    module = evidence.modules.at(target)
    if module is None or evidence.modules.at(address) is not module:
        return False
    row, _told = _row(walker, module, address)
    return bit < _NEARBY or (row is not None and row.begin == address - module.base)


def _beside_function(evidence: Evidence, walker: StackWalker, fault: CrashContext) -> Found | None:
    """Look for the one function of a module that begins one bit beside an instruction pointer in no module."""
    starts = []
    for bit in range(64):
        address = fault.ip ^ 1 << bit
        module = evidence.modules.at(address)
        if module is None:
            continue
        row, _told = _row(walker, module, address)
        if row is not None and row.begin == address - module.base:
            starts.append((bit, address))
    word = evidence.word(fault.sp)
    if len(starts) != 1 or word is None or not walker.words.is_possible(word):
        return None
    bit, address = starts[0]
    text = (
        f"the instruction pointer {fault.ip:#x} is in no module and one bit ({bit}) beside "
        f"{evidence.modules.label(address)}, where a function begins; [RSP] is a return address into "
        f"{evidence.modules.label(word)}"
    )
    return text, "medium", bit


def _in_padding(evidence: Evidence, address: int) -> Found | None:
    """No function covers the address: padding, when it is filled as such up to the next function's boundary."""
    end = (address | 15) + 1
    data = evidence.attempt(evidence.memory.read, address, end - address)
    if data is None or len(data) < 2 or not any(data == bytes([fill]) * len(data) for fill in _PADDING):
        return None
    text = (
        f"the instruction pointer {evidence.modules.label(address)} lies in the padding between functions "
        f"({data[:4].hex(' ')} …): no program goes there"
    )
    return text, "low", None


def _in_middle(evidence: Evidence, module: LoadedModule, row: RuntimeFunction, address: int) -> Found | None:
    """Decode the function from its first byte on: the address must be where an instruction begins."""
    begin = module.base + row.begin
    length = address - begin
    if not 0 < length <= MAX_SWEPT_CODE:
        return None
    code = evidence.attempt(evidence.memory.read, begin, length + 1)
    if code is None:
        return None
    code += evidence.code_bytes(address + 1, 14)
    at = inside = 0
    text = ""
    targets = set()
    while at < length:
        instruction = decode(code[at : at + 15], begin + at, {})
        # Behind a jump through a register there may be its table.
        if instruction is None or (instruction.name == "jmp" and instruction.target is None):
            return None
        targets.add(instruction.target)
        text, inside, at = instruction.text, at, at + len(instruction.data)
    if at == length or address in targets:
        return None
    words = (
        f"the instruction pointer {evidence.modules.label(address)} lies in the middle of an instruction: decoded from "
        f"the function's first byte, {text} stands at {evidence.modules.label(begin + inside)}"
    )
    return words, "medium", None
