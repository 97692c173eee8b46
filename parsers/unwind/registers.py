"""The x64 registers of one frame, as far as they are known."""

from __future__ import annotations

from collections.abc import Mapping

from parsers.errors import ReadError

__all__ = ["NONVOLATILE", "REGISTER_NAMES", "VOLATILE", "Registers"]

#: By the number that instructions and unwind codes use.
REGISTER_NAMES = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
#: A call may change these (Microsoft "x64 calling convention").
VOLATILE = ("rax", "rcx", "rdx", "r8", "r9", "r10", "r11")
#: These it must give back.
NONVOLATILE = ("rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15")

_MASK = (1 << 64) - 1


class Registers:
    """Rip, Rsp and what is known of the other registers.

    A register that is not in `gprs` (or not in `xmm`) is unknown: a caller's volatile registers always, and any
    whose saved copy could not be read.

    Args:
        rip: instruction pointer.
        gprs: general registers by lower-case name; "rsp" must be among them.
        xmm: Xmm registers by number, 16 bytes each.

    """

    __slots__ = ("gprs", "rip", "xmm")

    def __init__(self, rip: int, gprs: Mapping[str, int], xmm: Mapping[int, bytes] | None = None) -> None:
        self.rip = rip & _MASK
        self.gprs = {name: value & _MASK for name, value in gprs.items()}
        self.xmm: dict[int, bytes] = dict(xmm) if xmm else {}

    @property
    def rsp(self) -> int:
        """The stack pointer."""
        return self.gprs["rsp"]

    @rsp.setter
    def rsp(self, value: int) -> None:
        self.gprs["rsp"] = value & _MASK

    def known(self, number: int) -> int:
        """Return a register by its number.

        Raises:
            ReadError: its value is not known.

        """
        name = REGISTER_NAMES[number]
        value = self.gprs.get(name)
        if value is None:
            raise ReadError(f"the value of {name} in this frame is not known")
        return value

    def copy(self) -> Registers:
        """Return registers that can be changed on their own."""
        new = Registers.__new__(Registers)
        new.rip = self.rip
        new.gprs = dict(self.gprs)
        new.xmm = dict(self.xmm)
        return new

    def __repr__(self) -> str:
        return f"Registers(rip={self.rip:#x}, " + ", ".join(f"{k}={v:#x}" for k, v in self.gprs.items()) + ")"
