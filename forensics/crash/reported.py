"""What a bug check or an exception record says of the access that failed: address, kind, IRQL.

Sources: Microsoft's pages of the bug checks (MicrosoftDocs/windows-driver-docs, CC BY 4.0); EXCEPTION_RECORD in
winnt.h (information 0: 0 read, 1 write, 8 execute; 1: the address, -1 for a general protection fault).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forensics.crash.evidence import Evidence
from parsers.dump.context import ExceptionRecord

__all__ = ["TRAP_CODES", "AccessKind", "ReportedAccess", "reported_access"]

AccessKind = Literal["read", "write", "execute"]

#: Bug checks whose fault is an instruction that the processor trapped.
TRAP_CODES = frozenset(
    {0x0A, 0xD1, 0xD4, 0x50, 0xCC, 0xCD, 0xD5, 0xD6, 0xBE, 0xFC, 0x7E, 0x8E, 0x1E, 0x3B, 0x18D, 0x7F}
)
_EXCEPTION_KINDS: dict[int, AccessKind] = {0: "read", 1: "write", 8: "execute"}
_IRQL_KINDS: dict[int, AccessKind] = {0: "read", 1: "write", 2: "execute", 8: "execute"}
#: 0x50: builds before 1507 write 1, later ones 2, for a write.
_PAGE_KINDS: dict[int, AccessKind] = {0: "read", 1: "write", 2: "write", 8: "execute", 0x10: "execute"}
_MINUS_ONE = (1 << 64) - 1
_MINUS_ONE32 = (1 << 32) - 1
_ACCESS_VIOLATION = 0xC0000005


@dataclass(frozen=True, slots=True)
class ReportedAccess:
    """The access that failed.

    Attributes:
        address: what was touched; None for a general protection fault, which has no address.
        kind: how; None when it is not said.
        irql: the interrupt level, where the bug check names it.
        where: which parameter or record says so.

    """

    address: int | None
    kind: AccessKind | None
    irql: int | None
    where: str


def reported_access(evidence: Evidence, record: tuple[int, ExceptionRecord] | None) -> ReportedAccess | None:
    """Return what is said of the access; None when nothing is."""
    code = evidence.code
    first, second, third, fourth = evidence.parameters
    if code in (0x0A, 0xD1, 0xD4):
        return ReportedAccess(first, _IRQL_KINDS.get(third), second, "parameter 1")
    if code in (0x50, 0xCC, 0xCD, 0xD5, 0xD6):
        return ReportedAccess(first, _PAGE_KINDS.get(second), None, "parameter 1")
    if code == 0xBE:
        return ReportedAccess(first, "write", None, "parameter 1")
    if code == 0xFC:
        return ReportedAccess(first, "execute", None, "parameter 1")
    if record is not None:
        where = f"the exception record at {record[0]:#x}"
        return _of_exception(evidence, record[1].code, record[1].information, where)
    if code == 0x1E and third in _EXCEPTION_KINDS:
        return _of_exception(evidence, first & 0xFFFFFFFF, (third, fourth), "parameters 3 and 4")
    return None


def _of_exception(evidence: Evidence, code: int, information: tuple[int, ...], where: str) -> ReportedAccess | None:
    if code != _ACCESS_VIOLATION or len(information) < 2 or information[0] not in _EXCEPTION_KINDS:
        return None
    # A record of x86 holds 32 bits.
    word = _MINUS_ONE32 if evidence.dump.machine == "x86" else _MINUS_ONE
    address = information[1] & word
    if address == word:
        # The kind that comes with it says nothing: the processor gives none.
        return ReportedAccess(None, None, None, where)
    return ReportedAccess(address, _EXCEPTION_KINDS[information[0]], None, where)
