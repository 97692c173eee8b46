"""One instruction and what it does to memory: the words that every processor's decoder uses."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Access", "Instruction"]

_MASK = (1 << 64) - 1


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
        aligned: the boundary that its accesses must lie on; 1 = any.
        harmless: it can be refused for no reason but its accesses.
        target: where a direct call or jump goes, else None.
        divisor: value of the divisor of div and idiv where it is in a register that is known.

    """

    address: int
    data: bytes
    name: str
    text: str
    accesses: tuple[Access, ...]
    open: bool
    aligned: int = 1
    harmless: bool = False
    target: int | None = None
    divisor: int | None = None

    @property
    def known(self) -> bool:
        """Whether every access and its address is known."""
        return not self.open and all(access.address is not None for access in self.accesses)
