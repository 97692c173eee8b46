"""CONTEXT and EXCEPTION_RECORD: the registers and the reason, as the kernel wrote them.

Sources: Microsoft winnt.h (CONTEXT, ARM64_NT_CONTEXT, EXCEPTION_RECORD) and `0vercl0k/kdmp-parser`; offsets checked on
real dumps of builds 19041, 22000 and 26100. The layouts are declared with construct; the values are kept by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Array, Bytes, Int16ul, Int32ul, Int64ul, Struct

from parsers.dump.layouts import EXCEPTION_RECORD32, EXCEPTION_RECORD64
from parsers.limits import require

__all__ = [
    "ARM64_CONTEXT",
    "X64_CONTEXT",
    "X64_GENERAL",
    "X86_CONTEXT",
    "Arm64Context",
    "ExceptionRecord",
    "X64Context",
    "X86Context",
]

#: General registers of x64 in the order of their numbers in instructions and unwind codes.
X64_GENERAL = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))

#: CONTEXT of x64, 0x4D0 bytes.
X64_CONTEXT = Struct(
    "home" / Array(6, Int64ul),  # 0x00
    "context_flags" / Int32ul,  # 0x30
    "mx_csr" / Int32ul,  # 0x34
    "seg_cs" / Int16ul,  # 0x38
    "seg_ds" / Int16ul,
    "seg_es" / Int16ul,
    "seg_fs" / Int16ul,
    "seg_gs" / Int16ul,
    "seg_ss" / Int16ul,
    "e_flags" / Int32ul,  # 0x44
    "debug" / Array(6, Int64ul),  # 0x48 Dr0..Dr3, Dr6, Dr7
    "general" / Array(16, Int64ul),  # 0x78 Rax..R15
    "rip" / Int64ul,  # 0xF8
    "float_save" / Bytes(0x200),  # 0x100 FXSAVE
    "vector" / Bytes(26 * 16),  # 0x300
    "vector_control" / Int64ul,  # 0x4A0
    "debug_control" / Int64ul,
    "last_branch_to_rip" / Int64ul,
    "last_branch_from_rip" / Int64ul,
    "last_exception_to_rip" / Int64ul,
    "last_exception_from_rip" / Int64ul,
)

#: CONTEXT of x86, 0x2CC bytes.
X86_CONTEXT = Struct(
    "context_flags" / Int32ul,  # 0x00
    "debug" / Array(6, Int32ul),  # 0x04
    "float_save" / Bytes(0x70),  # 0x1C
    "seg_gs" / Int32ul,  # 0x8C
    "seg_fs" / Int32ul,
    "seg_es" / Int32ul,
    "seg_ds" / Int32ul,
    "edi" / Int32ul,  # 0x9C
    "esi" / Int32ul,
    "ebx" / Int32ul,
    "edx" / Int32ul,
    "ecx" / Int32ul,
    "eax" / Int32ul,
    "ebp" / Int32ul,  # 0xB4
    "eip" / Int32ul,
    "seg_cs" / Int32ul,
    "e_flags" / Int32ul,
    "esp" / Int32ul,  # 0xC4
    "seg_ss" / Int32ul,
    "extended" / Bytes(512),  # 0xCC FXSAVE
)

#: CONTEXT of ARM64, 0x390 bytes.
ARM64_CONTEXT = Struct(
    "context_flags" / Int32ul,  # 0x000
    "cpsr" / Int32ul,  # 0x004
    "x" / Array(29, Int64ul),  # 0x008 X0..X28
    "fp" / Int64ul,  # 0x0F0 X29
    "lr" / Int64ul,  # 0x0F8 X30
    "sp" / Int64ul,  # 0x100
    "pc" / Int64ul,  # 0x108
    "v" / Bytes(32 * 16),  # 0x110
    "fpcr" / Int32ul,  # 0x310
    "fpsr" / Int32ul,
    "bcr" / Array(8, Int32ul),  # 0x318
    "bvr" / Array(8, Int64ul),  # 0x338
    "wcr" / Array(2, Int32ul),  # 0x378
    "wvr" / Array(2, Int64ul),  # 0x380
)


@dataclass(frozen=True, slots=True)
class X64Context:
    """Registers of an x64 CONTEXT.

    Attributes:
        registers: the 16 general registers by lower-case name ("rax", … "r15").

    """

    context_flags: int
    mx_csr: int
    seg_cs: int
    seg_ss: int
    e_flags: int
    rip: int
    registers: dict[str, int]

    SIZE = 0x4D0

    @classmethod
    def parse(cls, data: bytes) -> X64Context:
        """Read a CONTEXT.

        Raises:
            TruncatedError: fewer than 0x4D0 bytes.

        """
        raw = X64_CONTEXT.parse(require(data, cls.SIZE, format="CONTEXT x64", offset=0))
        return cls(
            raw.context_flags,
            raw.mx_csr,
            raw.seg_cs,
            raw.seg_ss,
            raw.e_flags,
            raw.rip,
            dict(zip(X64_GENERAL, raw.general, strict=True)),
        )

    @property
    def rsp(self) -> int:
        """The stack pointer."""
        return self.registers["rsp"]

    def is_plausible(self) -> bool:
        """Tell whether the flags, segments and stack pointer can be a kernel's or a user's CONTEXT."""
        return (
            self.context_flags & 0xFFF00000 == 0x00100000
            and self.context_flags & 0x7 != 0
            and self.seg_cs in (0x10, 0x33)
            and self.seg_ss in (0x18, 0x2B, 0x00)
            and bool(self.e_flags & 2)
        )


@dataclass(frozen=True, slots=True)
class X86Context:
    """Registers of an x86 CONTEXT; `registers` holds eax, ecx, edx, ebx, esp, ebp, esi, edi."""

    context_flags: int
    seg_cs: int
    seg_ss: int
    e_flags: int
    eip: int
    registers: dict[str, int]

    SIZE = 0x2CC

    @classmethod
    def parse(cls, data: bytes) -> X86Context:
        """Read a CONTEXT.

        Raises:
            TruncatedError: fewer than 0x2CC bytes.

        """
        raw = X86_CONTEXT.parse(require(data, cls.SIZE, format="CONTEXT x86", offset=0))
        names = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
        return cls(raw.context_flags, raw.seg_cs, raw.seg_ss, raw.e_flags, raw.eip, {name: raw[name] for name in names})

    @property
    def esp(self) -> int:
        """The stack pointer."""
        return self.registers["esp"]

    def is_plausible(self) -> bool:
        """Tell whether the flags, segment and stack pointer can be a kernel's CONTEXT."""
        return (
            self.context_flags & 0xFFFF0000 == 0x00010000
            and self.context_flags & 0x7 != 0
            and self.seg_cs & 0xFFFF == 0x8
            and bool(self.e_flags & 2)
            and self.esp % 4 == 0
        )


@dataclass(frozen=True, slots=True)
class Arm64Context:
    """Registers of an ARM64 CONTEXT; `x` holds X0 to X28. Addresses may carry pointer-authentication bits."""

    context_flags: int
    cpsr: int
    x: tuple[int, ...]
    fp: int
    lr: int
    sp: int
    pc: int

    SIZE = 0x390

    @classmethod
    def parse(cls, data: bytes) -> Arm64Context:
        """Read a CONTEXT.

        Raises:
            TruncatedError: fewer than 0x390 bytes.

        """
        raw = ARM64_CONTEXT.parse(require(data, cls.SIZE, format="CONTEXT ARM64", offset=0))
        return cls(raw.context_flags, raw.cpsr, tuple(raw.x), raw.fp, raw.lr, raw.sp, raw.pc)

    def is_plausible(self) -> bool:
        """Tell whether flags, processor state and stack pointer can be a kernel's CONTEXT (AArch64, EL1)."""
        return (
            self.context_flags & 0x07F00000 == 0x00400000
            and self.context_flags & 0x7 != 0
            and self.cpsr & 0x1F in (4, 5)
            and self.sp % 16 == 0
        )


@dataclass(frozen=True, slots=True)
class ExceptionRecord:
    """An EXCEPTION_RECORD.

    Attributes:
        code: NTSTATUS.
        flags: 1 = cannot be continued.
        record: address of a chained record, 0 = none.
        address: where it happened.
        information: the parameters that are in use, at most 15.

    """

    code: int
    flags: int
    record: int
    address: int
    information: tuple[int, ...]

    @classmethod
    def parse(cls, data: bytes, pointer_size: int = 8) -> ExceptionRecord:
        """Read a record of a 64-bit (0x98 bytes) or 32-bit (0x50 bytes) machine.

        Raises:
            TruncatedError: fewer bytes than the record has.

        """
        layout = EXCEPTION_RECORD64 if pointer_size == 8 else EXCEPTION_RECORD32
        raw = layout.parse(require(data, layout.sizeof(), format="EXCEPTION_RECORD", offset=0))
        used = tuple(raw.exception_information[: min(raw.number_parameters, 15)])
        return cls(raw.exception_code, raw.exception_flags, raw.exception_record, raw.exception_address, used)
