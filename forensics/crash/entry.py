"""Whether the bug check context stands at the very first instruction of KeBugCheckEx or KeBugCheck.

Only then is the word at the stack pointer the caller's return address. Shown by what the calling convention puts
there: the code and its parameters in RCX, RDX, R8, R9 and in the home space above the return address (in all six
real dumps with such a context), or by the code of KeBugCheck, which only calls KeBugCheckEx.
"""

from __future__ import annotations

from dataclasses import dataclass

from forensics.crash.context import CrashContext
from forensics.crash.evidence import Evidence

__all__ = ["BugCheckCall", "bugcheck_call"]

#: KeBugCheckEx begins by storing its register arguments in their home space: mov [rsp+8],rcx; mov [rsp+10h],rdx …
_STORES = bytes.fromhex("48894c24084889542410")
#: KeBugCheck: sub rsp,28h; call.
_SUB_CALL = bytes.fromhex("4883ec28e8")


@dataclass(frozen=True, slots=True)
class BugCheckCall:
    """The call that stopped the machine.

    Attributes:
        function: "KeBugCheckEx" or "KeBugCheck".
        return_address: what the word at the stack pointer says.
        checks: what shows it.

    """

    function: str
    return_address: int
    checks: tuple[str, ...]


def bugcheck_call(evidence: Evidence, context: CrashContext) -> BugCheckCall | None:
    """Return the call when the context is shown to be at the entry of the bug check function, else None."""
    if evidence.dump.machine != "x64":
        return None
    home = evidence.bytes_at(context.sp, 0x30)
    if home is None:
        return None
    words = [int.from_bytes(home[i : i + 8], "little") for i in range(0, 0x30, 8)]
    code = context.registers.get("rcx", 0) & 0xFFFFFFFF
    if code not in (evidence.code, evidence.code_raw):
        return None
    bytes_ = evidence.code_bytes(context.ip, 12)
    label = evidence.modules.label(context.ip)
    arguments = tuple(context.registers.get(name, 0) for name in ("rdx", "r8", "r9"))
    if arguments == evidence.parameters[:3] and words[5] == evidence.parameters[3]:
        return BugCheckCall(
            "KeBugCheckEx",
            words[0],
            (
                f"RCX, RDX, R8, R9 and [RSP+28h] hold the bug check code and its four parameters: {label} is the entry "
                "of KeBugCheckEx, so [RSP] is its caller",
            ),
        )
    if bytes_[:5] == _SUB_CALL and len(bytes_) >= 9:
        target = (context.ip + 9 + int.from_bytes(bytes_[5:9], "little", signed=True)) & (1 << 64) - 1
        head = evidence.code_bytes(target, len(_STORES))
        if len(head) >= 8 and _STORES.startswith(head) and not any(evidence.parameters):
            return BugCheckCall(
                "KeBugCheck",
                words[0],
                (
                    f"RCX holds the bug check code and all parameters are 0; the code at {label} is sub rsp,28h; call "
                    f"{evidence.modules.label(target)}, which begins as KeBugCheckEx does: it is the entry of "
                    "KeBugCheck, so [RSP] is its caller",
                ),
            )
    if bytes_.startswith(_STORES):
        return BugCheckCall(
            "KeBugCheckEx",
            words[0],
            (f"RCX holds the bug check code and the code at {label} begins as KeBugCheckEx does: [RSP] is its caller",),
        )
    return None
