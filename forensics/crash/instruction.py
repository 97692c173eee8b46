"""Whether every x64 processor can execute the instruction that was reported as illegal.

Three answers differ in what they accuse: bytes that are no instruction (the code was damaged or never was code), an
instruction of an extension (the processor may lack it: the driver's build does not fit the machine), and one that
every x64 processor has (then the processor did not execute what memory holds: hardware). Only a list of the commonest
instructions counts as the third: anything else is left open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forensics.crash.decode_x86 import decoder_x86
from forensics.crash.evidence import Evidence
from parsers.dump.cpuid import has_feature
from parsers.errors import StopcodeError

__all__ = ["IllegalInstruction", "is_function_start", "judge_illegal"]

_COMMON = frozenset({
    "mov", "movzx", "movsx", "movsxd", "lea", "add", "sub", "adc", "sbb", "and", "or", "xor", "not", "neg", "cmp",
    "test", "inc", "dec", "shl", "shr", "sar", "rol", "ror", "push", "pop", "call", "ret", "jmp", "nop", "imul",
    "mul", "div", "idiv", "cdq", "cqo", "cdqe", "xchg", "movups", "movaps", "movdqa", "movdqu", "xorps", "pxor",
    "movd", "movq", "bt", "bts", "btr", "bsf", "bsr", "leave", "movabs",
})  # fmt: skip
_COMMON_PREFIXES = ("cmov", "set", "j")
#: capstone's groups of instructions that came after the first x64 processors.
_LATER = frozenset(
    {"sse3", "ssse3", "sse41", "sse42", "sse4a", "avx", "avx2", "avx512", "bmi", "bmi2", "fma", "fma4", "aes", "adx"}
    | {"rtm", "hle", "sha", "pclmul", "f16c", "xop", "tbm", "sgx", "smap", "fsgsbase", "vm"}
)
#: The same, for those that capstone puts into no group.
_LATER_NAMES = frozenset(
    {"popcnt", "lzcnt", "tzcnt", "movbe", "crc32", "rdrand", "rdseed", "rdpid", "xsave", "xrstor", "setssbsy"}
)
#: A `mov` of this group names a control, debug or segment register: one that is not there (CR1), or not to write (CS).
_PRIVILEGED = "privilege"


@dataclass(frozen=True, slots=True)
class IllegalInstruction:
    """What stands at the place.

    Attributes:
        kind: "absent" (the bytes are not in the dump), "invalid" (no instruction), "deliberate" (ud2), "extension"
            (came after the first x64 processors), "common" (one that every x64 processor executes), "open" (neither is
            known).
        text: the instruction in assembler, "" when there is none.
        data: its bytes (or the first eight).
        feature: what an "extension" needs, as CPUID names it; "" when that is not known.
        has: whether this processor has it, by the dump's copy of CPUID; None when that does not tell.

    """

    kind: Literal["absent", "invalid", "deliberate", "extension", "common", "open"]
    text: str
    data: bytes
    feature: str = ""
    has: bool | None = None


def judge_illegal(evidence: Evidence, address: int) -> IllegalInstruction:
    """Decode the instruction at an address of an x64 dump: of its memory alone, for a file has what should be there."""
    data = evidence.attempt(evidence.memory.read_available, address, 15) or b""
    data = data[:15]
    if not data:
        return IllegalInstruction("absent", "", b"")
    found = next(decoder_x86().disasm(data, address, 1), None)
    if found is None:
        return IllegalInstruction("invalid" if len(data) == 15 else "absent", "", data[:8])
    text = f"{found.mnemonic} {found.op_str}".strip()
    own = bytes(found.bytes)
    if found.mnemonic in ("ud2", "ud1", "ud0"):
        return IllegalInstruction("deliberate", text, own)
    groups = {found.group_name(group) for group in found.groups}
    if found.mnemonic in _LATER_NAMES or groups & _LATER:
        for feature in (found.mnemonic, *sorted(groups & _LATER)):
            has = has_feature(evidence.cpuid, feature)
            if has is not None:
                return IllegalInstruction("extension", text, own, feature, has)
        return IllegalInstruction("extension", text, own)
    common = found.mnemonic in _COMMON or found.mnemonic.startswith(_COMMON_PREFIXES)
    return IllegalInstruction("common" if common and _PRIVILEGED not in groups else "open", text, own)


def is_function_start(evidence: Evidence, address: int) -> bool:
    """Tell whether an address is shown to be a function's first byte: padding (int3) right before it."""
    try:
        return address % 16 == 0 and evidence.code_bytes(address - 1, 1) == b"\xcc"
    except StopcodeError:
        return False
