"""Whether a program can have come to the instruction pointer of a fault by itself.

It cannot when the pointer lies in the padding between two functions, in the middle of an instruction, or one bit beside
the target of the call that led there. Each needs the function table or the code to show it; without them nothing is
said. x86 has no function table: there the padding itself, exports and direct calls into other modules are what is left.
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
from parsers.unwind.arm64_info import read_function
from parsers.unwind.frame_pointer import without_signature

__all__ = ["pointer_misfit"]

_MASK = (1 << 64) - 1
_MASK32 = (1 << 32) - 1
#: What linkers put between functions: int3, or zeros behind the last one.
_PADDING = (0xCC, 0x00)

#: Bits within which functions jump to each other all the time.
_NEARBY = 12
#: What holds the return address right after a call.
_RETURN = {"x64": "[RSP]", "x86": "[ESP]", "arm64": "lr"}
#: Bits of an instruction pointer that are tried. A failed check of a signed pointer of ARM64 sets one above its address
#: on purpose (FEAT_PAuth), and no wrong bit.
_ADDRESS_BITS = {"x64": 64, "x86": 32, "arm64": 48}
#: Instructions of x86 behind which another function, or no code, may begin.
_ENDS = frozenset({"ret", "retf", "jmp", "iretd", "int3", "ud2", "call", "hlt", "int"})

Found = tuple[str, Literal["medium", "low"], int | None]


def pointer_misfit(evidence: Evidence, walker: StackWalker, fault: CrashContext) -> Found | None:
    """Return what shows that no program went to the instruction pointer of its own; None when nothing does."""
    called = _called(evidence, walker, fault)
    module = evidence.modules.at(fault.ip)
    if called is not None:
        site, target = called
        bit = one_bit(target ^ fault.ip)
        if bit is not None and not _led_on(evidence, walker, called, fault.ip, bit):
            text = (
                f"the call right before {evidence.modules.label(site)} ({_RETURN[walker.machine]}) goes to "
                f"{evidence.modules.label(target)}; the processor went to {evidence.modules.label(fault.ip)}, one bit "
                f"({bit}) beside it"
            )
            return text, "medium", bit
    if module is None:
        return _beside_function(evidence, walker, fault)
    if walker.machine == "x86":
        return _in_padding_x86(evidence, fault.ip) or _in_middle_of_export(evidence, module, fault.ip)
    if walker.machine == "arm64" and fault.ip % 4:
        return _misaligned(evidence, fault.ip)
    row, told = _row(walker, module, fault.ip)
    if not told:
        return None
    if row is None:
        return _in_padding(evidence, fault.ip)
    return _in_middle(evidence, module, row, fault.ip) if walker.machine == "x64" else None


def _row(walker: StackWalker, module: LoadedModule, address: int) -> tuple[RuntimeFunction | None, bool]:
    """Return (row of the function table, whether the table could tell)."""
    if walker.machine == "x86":
        return None, False
    image = walker.image_of(module)
    try:
        row = image.function_at(address - module.base)
        if row is None or walker.machine == "x64":
            return row, image.has_table
        # A row of ARM64 holds no end: the unwind data tell it.
        length = read_function(image, row.begin, row.unwind).length
    except StopcodeError:
        return None, False
    return (row if address - module.base < row.begin + length else None), True


def _called(evidence: Evidence, walker: StackWalker, fault: CrashContext) -> tuple[int, int] | None:
    """Return (return address, target of the direct call before it), when there is one."""
    site = _return_address(evidence, walker, fault)
    if site is None:
        return None
    if walker.machine == "arm64":
        word = int.from_bytes(evidence.code_bytes(site - 4, 4), "little")
        offset = (word & 0x3FFFFFF) - (1 << 26 if word >> 25 & 1 else 0)
        target = (site - 4 + offset * 4) & _MASK if word >> 26 == 0x25 else 0
    else:
        data = evidence.code_bytes(site - 5, 5)
        if len(data) != 5 or data[0] != 0xE8:
            return None
        mask = _MASK if walker.machine == "x64" else _MASK32
        target = (site + int.from_bytes(data[1:], "little", signed=True)) & mask
    return (site, target) if evidence.is_code(target) else None


def _return_address(evidence: Evidence, walker: StackWalker, fault: CrashContext) -> int | None:
    """Return where a function that has just been called would return to: the word at the stack pointer, or lr."""
    if walker.machine == "arm64":
        word: int | None = without_signature(fault.registers.get("lr", 0))
    else:
        word = evidence.word(fault.sp)
    return word if word is not None and walker.words.is_possible(word) else None


def _led_on(evidence: Evidence, walker: StackWalker, called: tuple[int, int], address: int, bit: int) -> bool:
    """Tell whether the called function can have led to an address with the stack untouched.

    A leaf moves on in itself; a function may end in a jump to another one, mostly one nearby. On ARM64 lr outlives the
    call: the caller itself may have gone on. Without a function table nothing in the same module can be told.
    """
    site, target = called
    module = evidence.modules.at(target)
    here = evidence.modules.at(address)
    if here is None:
        return False
    row, told = _row(walker, here, address)
    if walker.machine == "arm64" and here is evidence.modules.at(site):
        of_site, _told = _row(walker, here, site - 4)
        if not told or (row is not None and row == of_site):
            return True
    if module is None or here is not module:
        return False
    if walker.machine != "x64" and not told:
        return True
    return bit < _NEARBY or (row is not None and row.begin == address - module.base)


def _begins(evidence: Evidence, walker: StackWalker, module: LoadedModule, address: int) -> bool:
    """Tell whether a function is known to begin at an address: by the table, on x86 by an export in code."""
    if walker.machine == "x86":
        image = evidence.image(module)
        nearest = image.nearest_export(address - module.base) if image is not None else None
        return nearest is not None and nearest[1] == 0 and evidence.is_code(address)
    row, _told = _row(walker, module, address)
    return row is not None and row.begin == address - module.base


def _beside_function(evidence: Evidence, walker: StackWalker, fault: CrashContext) -> Found | None:
    """Look for the one function of a module that begins one bit beside an instruction pointer in no module."""
    starts = []
    for bit in range(_ADDRESS_BITS[walker.machine]):
        address = fault.ip ^ 1 << bit
        module = evidence.modules.at(address)
        if module is not None and _begins(evidence, walker, module, address):
            starts.append((bit, address))
    word = _return_address(evidence, walker, fault)
    if len(starts) != 1 or word is None:
        return None
    bit, address = starts[0]
    text = (
        f"the instruction pointer {fault.ip:#x} is in no module and one bit ({bit}) beside "
        f"{evidence.modules.label(address)}, where a function begins; {_RETURN[walker.machine]} is a return address "
        f"into {evidence.modules.label(word)}"
    )
    # Exports are few among the functions of an x86 module: another one may begin a bit away too.
    return text, "low" if walker.machine == "x86" else "medium", bit


def _misaligned(evidence: Evidence, address: int) -> Found | None:
    """Every instruction of ARM64 lies on a boundary of four bytes."""
    bit = one_bit(address & 3)
    if bit is None or not evidence.is_code(address):
        return None
    text = (
        f"the instruction pointer {evidence.modules.label(address)} lies in the middle of an instruction: one bit "
        f"({bit}) from a boundary of four bytes, where alone ARM64 has instructions"
    )
    return text, "low", bit


def _in_padding(evidence: Evidence, address: int) -> Found | None:
    """No function covers the address: padding, when it is filled as such up to the next function's boundary."""
    end = (address | 15) + 1
    data = evidence.attempt(evidence.memory.read, address, end - address)
    fills = _PADDING if evidence.dump.machine == "x64" else (0x00,)
    if data is None or len(data) < 2 or not any(data == bytes([fill]) * len(data) for fill in fills):
        return None
    return _padding_words(evidence, address, data), "low", None


def _padding_words(evidence: Evidence, address: int, data: bytes) -> str:
    return (
        f"the instruction pointer {evidence.modules.label(address)} lies in the padding between functions "
        f"({data[:4].hex(' ')} …): no program goes there"
    )


def _in_padding_x86(evidence: Evidence, address: int) -> Found | None:
    """Without a function table: int3 in front, from there on to the boundary.

    A single int3, or the first of several, may be one that a program meant, or that a call which should not have
    returned ran into: the second traps no one who came from the first.
    """
    end = (address | 15) + 1
    data = evidence.attempt(evidence.memory.read, address - 1, end - address + 1)
    if data is None or len(data) < 3 or data != b"\xcc" * len(data) or not evidence.is_code(address):
        return None
    return _padding_words(evidence, address, data), "low", None


def _in_middle_of_export(evidence: Evidence, module: LoadedModule, address: int) -> Found | None:
    """Decode an exported function of x86 from its first byte, as far as one instruction surely follows the other."""
    image = evidence.image(module)
    nearest = image.nearest_export(address - module.base) if image is not None else None
    if nearest is None or not 0 < nearest[1] <= MAX_SWEPT_CODE or not evidence.is_code(address - nearest[1]):
        return None
    swept = _sweep(evidence, address - nearest[1], address, ends=_ENDS)
    if swept is None:
        return None
    words = (
        f"the instruction pointer {evidence.modules.label(address)} lies in the middle of an instruction: decoded from "
        f"the first byte of the export {nearest[0]}, {swept[1]} stands at {evidence.modules.label(swept[0])}"
    )
    return words, "low", None


def _in_middle(evidence: Evidence, module: LoadedModule, row: RuntimeFunction, address: int) -> Found | None:
    """Decode the function from its first byte on: the address must be where an instruction begins."""
    swept = _sweep(evidence, module.base + row.begin, address)
    if swept is None:
        return None
    words = (
        f"the instruction pointer {evidence.modules.label(address)} lies in the middle of an instruction: decoded from "
        f"the function's first byte, {swept[1]} stands at {evidence.modules.label(swept[0])}"
    )
    return words, "medium", None


def _sweep(evidence: Evidence, begin: int, address: int, ends: frozenset[str] = frozenset()) -> tuple[int, str] | None:
    """Return (address, text) of the instruction that an address lies in the middle of; None when it is in none.

    Args:
        evidence: the dump.
        begin: first byte of a function.
        address: the place in it.
        ends: names behind which nothing is known to follow.

    """
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
        instruction = decode(code[at : at + 15], begin + at, {}, evidence.dump.machine)
        # Behind a jump through a register there may be its table.
        if instruction is None or (instruction.name == "jmp" and instruction.target is None):
            return None
        targets.add(instruction.target)
        text, inside, at = instruction.text, at, at + len(instruction.data)
        if instruction.name in ends and at <= length:
            return None
    return None if at == length or address in targets else (begin + inside, text)
