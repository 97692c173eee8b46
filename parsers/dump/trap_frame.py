"""KTRAP_FRAME of x64, ARM64 and x86: the registers that a trap interrupted, as the kernel's entry code stored them.

Sources:

* x64: `volatilityfoundation/volatility: plugins/overlays/windows` (the same from build 7601 to 19041); offsets checked
  on real dumps of builds 19041 and 26100.
* ARM64: the offsets from TrExceptionActive to KTRAP_FRAME_LENGTH in ksarm64.h (`microsoft/win32metadata:
  generation/WinSDK/RecompiledIdlHeaders/shared/ksarm64.h`, the same in two editions of the SDK), and ARM64_KTRAP_FRAME
  in `dotnet/runtime: src/coreclr/unwinder/arm64/unwinder.cpp`. No real dump that holds one was at hand.
* x86: the types _X86_KTRAP_FRAME and _X86_KTRAP_FRAME_BLUE that the public symbols of the Windows 10 and 11 kernels
  describe. Blue is Windows 8.1, build 9600: from there on what lies before ExceptionList stands 4 bytes lower.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Padding, Struct

from parsers.limits import require

__all__ = [
    "ARM64_TRAP_FRAME",
    "X64_TRAP_FRAME",
    "X86_TRAP_FRAME",
    "X86_TRAP_FRAME_BLUE",
    "Arm64TrapFrame",
    "X64TrapFrame",
    "X86TrapFrame",
]

#: KTRAP_FRAME of x64, 0x190 bytes. Rbx, Rdi and Rsi are saved on some paths only, R12 to R15 never.
X64_TRAP_FRAME = Struct(
    "home" / Array(5, Int64ul),  # 0x00
    "previous_mode" / Int8ul,  # 0x28
    "previous_irql" / Int8ul,
    "fault_indicator" / Int8ul,
    "exception_active" / Int8ul,  # 0x2B
    "mx_csr" / Int32ul,  # 0x2C
    "rax" / Int64ul,  # 0x30
    "rcx" / Int64ul,
    "rdx" / Int64ul,
    "r8" / Int64ul,
    "r9" / Int64ul,
    "r10" / Int64ul,
    "r11" / Int64ul,
    "gs_base" / Int64ul,  # 0x68
    "xmm" / Bytes(6 * 16),  # 0x70
    "fault_address" / Int64ul,  # 0xD0
    "debug" / Array(6, Int64ul),  # 0xD8
    Padding(0x28),
    "seg_ds" / Int16ul,  # 0x130
    "seg_es" / Int16ul,
    "seg_fs" / Int16ul,
    "seg_gs" / Int16ul,
    "trap_frame" / Int64ul,  # 0x138
    "rbx" / Int64ul,
    "rdi" / Int64ul,
    "rsi" / Int64ul,
    "rbp" / Int64ul,  # 0x158
    "error_code" / Int64ul,  # 0x160
    "rip" / Int64ul,  # 0x168 from here on: what the processor pushed
    "seg_cs" / Int16ul,
    Padding(6),
    "e_flags" / Int32ul,  # 0x178
    Padding(4),
    "rsp" / Int64ul,  # 0x180
    "seg_ss" / Int16ul,
    Padding(6),
)

#: KTRAP_FRAME of ARM64, 0x150 bytes. X19 to X28 are in none: the code that was called keeps them.
ARM64_TRAP_FRAME = Struct(
    "exception_active" / Int8ul,  # 0x00
    "context_from_kframes_unwound" / Int8ul,
    "debug_registers_valid" / Int8ul,
    "previous_irql" / Int8ul,  # 0x03 of interrupts; of system calls the previous mode
    Padding(4),
    "fault_address" / Int64ul,  # 0x08 of page faults; of system calls the previous trap frame
    "vfp_state" / Int64ul,  # 0x10
    "bcr" / Array(8, Int32ul),  # 0x18
    "bvr" / Array(8, Int64ul),  # 0x38
    "wcr" / Array(2, Int32ul),  # 0x78
    "wvr" / Array(2, Int64ul),  # 0x80
    "spsr" / Int32ul,  # 0x90
    "esr" / Int32ul,  # 0x94
    "sp" / Int64ul,  # 0x98
    "x" / Array(19, Int64ul),  # 0xA0 X0..X18
    "lr" / Int64ul,  # 0x138
    "fp" / Int64ul,  # 0x140
    "pc" / Int64ul,  # 0x148
)

_X86_DEBUG = ("debug" / Array(6, Int32ul), "seg_gs" / Int32ul, "seg_es" / Int32ul, "seg_ds" / Int32ul)
_X86_VOLATILE = ("edx" / Int32ul, "ecx" / Int32ul, "eax" / Int32ul)
_X86_END = (
    "exception_list" / Int32ul,  # 0x4C
    "seg_fs" / Int32ul,
    "edi" / Int32ul,  # 0x54
    "esi" / Int32ul,
    "ebx" / Int32ul,
    "ebp" / Int32ul,  # 0x60
    "error_code" / Int32ul,
    "eip" / Int32ul,  # 0x68
    "seg_cs" / Int32ul,
    "e_flags" / Int32ul,  # 0x70
)
#: KTRAP_FRAME of x86 up to Windows 8, as far as frames of kernel code have it.
X86_TRAP_FRAME = Struct(
    "dbg_ebp" / Int32ul,  # 0x00
    "dbg_eip" / Int32ul,
    "dbg_arg_mark" / Int32ul,  # 0x08
    "dbg_arg_pointer" / Int32ul,
    "temp_seg_cs" / Int32ul,  # 0x10
    "temp_esp" / Int32ul,
    *_X86_DEBUG,  # 0x18
    *_X86_VOLATILE,  # 0x3C
    "previous_previous_mode" / Int32ul,  # 0x48
    *_X86_END,
)
#: The same from Windows 8.1 on.
X86_TRAP_FRAME_BLUE = Struct(
    "dbg_ebp" / Int32ul,  # 0x00
    "dbg_eip" / Int32ul,
    "dbg_arg_mark" / Int32ul,  # 0x08
    "temp_seg_cs" / Int32ul,
    "temp_esp" / Int32ul,  # 0x10
    *_X86_DEBUG,  # 0x14
    *_X86_VOLATILE,  # 0x38
    "previous_previous_mode" / Int32ul,  # 0x44
    "mx_csr" / Int32ul,
    *_X86_END,
)

#: What the kernel's entry code of x86 writes into every trap frame at DbgArgMark.
_X86_MARK = 0xBADB0D00
#: First build with the layout of Windows 8.1.
_BLUE = 9600


@dataclass(frozen=True, slots=True)
class X64TrapFrame:
    """A KTRAP_FRAME of x64.

    Attributes:
        exception_active: 1 = an exception, 2 = a system call, 0 = an interrupt.
        fault_address: CR2 of a page fault.
        error_code: what the processor pushed.
        registers: rax, rcx, rdx, r8 to r11, rbp always; rbx, rdi, rsi on some paths only; rsp and rip as interrupted.

    """

    previous_mode: int
    previous_irql: int
    exception_active: int
    fault_address: int
    error_code: int
    seg_cs: int
    seg_ss: int
    e_flags: int
    rip: int
    rsp: int
    registers: dict[str, int]

    SIZE = 0x190

    @classmethod
    def parse(cls, data: bytes) -> X64TrapFrame:
        """Read a trap frame.

        Raises:
            TruncatedError: fewer than 0x190 bytes.

        """
        raw = X64_TRAP_FRAME.parse(require(data, cls.SIZE, format="KTRAP_FRAME x64", offset=0))
        names = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11")
        return cls(
            raw.previous_mode,
            raw.previous_irql,
            raw.exception_active,
            raw.fault_address,
            raw.error_code,
            raw.seg_cs,
            raw.seg_ss,
            raw.e_flags,
            raw.rip,
            raw.rsp,
            {name: raw[name] for name in names},
        )


@dataclass(frozen=True, slots=True)
class Arm64TrapFrame:
    """A KTRAP_FRAME of ARM64.

    Attributes:
        exception_active: 1 = an exception, 2 = a system call, 0 = an interrupt.
        fault_address: FAR_EL1 of a page fault.
        spsr: the interrupted processor state.
        esr: ESR_EL1, why the processor trapped (parsers/dump/syndrome.py reads it).
        x: X0 to X18.

    """

    exception_active: int
    fault_address: int
    spsr: int
    esr: int
    sp: int
    x: tuple[int, ...]
    lr: int
    fp: int
    pc: int

    SIZE = 0x150

    @classmethod
    def parse(cls, data: bytes) -> Arm64TrapFrame:
        """Read a trap frame.

        Raises:
            TruncatedError: fewer than 0x150 bytes.

        """
        raw = ARM64_TRAP_FRAME.parse(require(data, cls.SIZE, format="KTRAP_FRAME ARM64", offset=0))
        return cls(
            raw.exception_active, raw.fault_address, raw.spsr, raw.esr, raw.sp, tuple(raw.x), raw.lr, raw.fp, raw.pc
        )

    @property
    def registers(self) -> dict[str, int]:
        """The general registers that it holds, by name: x0 to x18, fp, lr, sp."""
        return {f"x{number}": value for number, value in enumerate(self.x)} | {
            "fp": self.fp,
            "lr": self.lr,
            "sp": self.sp,
        }


@dataclass(frozen=True, slots=True)
class X86TrapFrame:
    """A KTRAP_FRAME of x86 kernel code; the stack pointer was right behind it, for no Esp is pushed there.

    Attributes:
        marked: DbgArgMark holds the kernel's mark.
        registers: edx, ecx, eax, edi, esi, ebx, ebp.

    """

    marked: bool
    error_code: int
    eip: int
    seg_cs: int
    e_flags: int
    registers: dict[str, int]

    SIZE = 0x74

    @classmethod
    def parse(cls, data: bytes, build: int) -> X86TrapFrame:
        """Read a trap frame of a kernel of this build.

        Raises:
            TruncatedError: fewer than 0x74 bytes.

        """
        layout = X86_TRAP_FRAME_BLUE if build >= _BLUE else X86_TRAP_FRAME
        raw = layout.parse(require(data, cls.SIZE, format="KTRAP_FRAME x86", offset=0))
        names = ("edx", "ecx", "eax", "edi", "esi", "ebx", "ebp")
        return cls(
            raw.dbg_arg_mark == _X86_MARK,
            raw.error_code,
            raw.eip,
            raw.seg_cs & 0xFFFF,
            raw.e_flags,
            {name: raw[name] for name in names},
        )
