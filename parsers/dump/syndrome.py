"""ESR_EL1 of ARM64: why the processor trapped, in the words of the architecture.

Source: Arm Architecture Reference Manual for A-profile (DDI 0487), D24.2 "ESR_EL1, Exception Syndrome Register": EC in
bits 31:26; for aborts FnV in bit 10, CM in bit 8, WnR in bit 6 and the fault status code in bits 5:0; for BRK its
number in bits 15:0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Syndrome"]

_CLASSES = {
    0x00: "unknown reason", 0x07: "use of vector registers that are off", 0x0D: "branch target exception",
    0x0E: "illegal execution state", 0x15: "SVC", 0x18: "system register or instruction that was trapped",
    0x1C: "pointer authentication failure", 0x20: "instruction abort from user mode", 0x21: "instruction abort",
    0x22: "PC alignment fault", 0x24: "data abort from user mode", 0x25: "data abort", 0x26: "SP alignment fault",
    0x2F: "SError", 0x30: "breakpoint from user mode", 0x31: "breakpoint", 0x32: "single step from user mode",
    0x33: "single step", 0x34: "watchpoint from user mode", 0x35: "watchpoint", 0x3C: "BRK",
}  # fmt: skip
#: Classes of an exception that only code of user mode causes.
_FROM_USER = frozenset({0x15, 0x20, 0x24, 0x30, 0x32, 0x34})
_INSTRUCTION, _DATA = (0x20, 0x21), (0x24, 0x25)
#: Fault status codes by their upper bits; the lower two are the level of the table.
_BY_LEVEL = {0: "address size fault", 1: "translation fault", 2: "access flag fault", 3: "permission fault",
             5: "external abort on a table walk", 7: "parity or ECC error on a table walk"}  # fmt: skip
_SINGLE = {
    0x10: "external abort", 0x11: "tag check fault", 0x13: "external abort on a table walk, level -1",
    0x18: "parity or ECC error", 0x1B: "parity or ECC error on a table walk, level -1", 0x21: "alignment fault",
    0x29: "address size fault, level -1", 0x2B: "translation fault, level -1", 0x30: "TLB conflict abort",
}  # fmt: skip
#: Parity or ECC errors of the memory system, reported as such.
_PARITY = frozenset({0x18, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F})
#: No address goes with an external abort whose FnV is set.
_EXTERNAL = 0x10


@dataclass(frozen=True, slots=True)
class Syndrome:
    """A value of ESR_EL1.

    Attributes:
        value: as stored.

    """

    value: int

    @property
    def exception_class(self) -> int:
        """EC."""
        return self.value >> 26 & 0x3F

    @property
    def is_abort(self) -> bool:
        """Whether an access, or the fetch of an instruction, was refused."""
        return self.exception_class in _INSTRUCTION + _DATA

    @property
    def is_known(self) -> bool:
        """Whether the class is one that the architecture gives kernel code of Windows."""
        return self.exception_class in _CLASSES

    @property
    def from_user(self) -> bool:
        """Whether only code of user mode can have caused it."""
        return self.exception_class in _FROM_USER

    @property
    def status(self) -> int | None:
        """The fault status code of an abort; None for other classes."""
        return self.value & 0x3F if self.is_abort else None

    @property
    def kind(self) -> Literal["read", "write", "execute"] | None:
        """How the access was made; None where it is no abort, or a cache instruction (always reported as a write)."""
        if self.exception_class in _INSTRUCTION:
            return "execute"
        if self.exception_class not in _DATA or self.value >> 8 & 1:
            return None
        return "write" if self.value >> 6 & 1 else "read"

    @property
    def has_address(self) -> bool:
        """Whether FAR_EL1 is valid with it."""
        if self.exception_class in (0x22, 0x34, 0x35):
            return True
        return self.is_abort and not (self.status == _EXTERNAL and self.value >> 10 & 1)

    @property
    def is_parity(self) -> bool:
        """Whether the processor itself reports a parity or ECC error of its memory."""
        return self.status in _PARITY

    @property
    def breakpoint(self) -> int | None:
        """The number of a BRK instruction."""
        return self.value & 0xFFFF if self.exception_class == 0x3C else None

    @property
    def words(self) -> str:
        """The value in words: "data abort, translation fault at level 3, a write"."""
        text = _CLASSES.get(self.exception_class, f"exception class {self.exception_class:#x}")
        if self.breakpoint is not None:
            return f"{text} {self.breakpoint:#x}"
        if self.status is None:
            return text
        text += f", {_status_words(self.status)}"
        return text + {"read": ", a read", "write": ", a write"}.get(self.kind or "", "")


def _status_words(status: int) -> str:
    if status in _SINGLE:
        return _SINGLE[status]
    name = _BY_LEVEL.get(status >> 2)
    return f"{name} at level {status & 3}" if name is not None else f"fault status {status:#x}"
