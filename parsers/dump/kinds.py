"""Dump types and machine types by number and by name.

Sources: Microsoft mindumpdef.h (dump types 1 to 7), `0vercl0k/kdmp-parser: src/lib/kdmp-parser-structs.h`
(types 8 to 0xA, written by WinDbg's `.dump`), the PE specification (machine types).
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["KIND_NAMES", "MACHINE_NAMES", "DumpType", "Machine"]


class DumpType(IntEnum):
    """The DumpType field of a dump header."""

    FULL = 1
    SUMMARY = 2
    HEADER = 3
    TRIAGE = 4
    BITMAP_FULL = 5
    BITMAP_KERNEL = 6
    RDMP_KERNEL = 8
    RDMP_KERNEL_USER = 9
    RDMP_COMPLETE = 0xA


class Machine(IntEnum):
    """The MachineImageType field of a dump header."""

    X86 = 0x014C
    ARM32 = 0x01C4
    IA64 = 0x0200
    X64 = 0x8664
    ARM64 = 0xAA64


#: What a dump of each type is called; 7 ("automatic") is a setting and never stands in a file.
KIND_NAMES: dict[int, str] = {
    DumpType.FULL: "full",
    DumpType.SUMMARY: "kernel-summary",
    DumpType.HEADER: "header-only",
    DumpType.TRIAGE: "triage",
    DumpType.BITMAP_FULL: "bitmap-full",
    DumpType.BITMAP_KERNEL: "bitmap-kernel",
    DumpType.RDMP_KERNEL: "rdmp-kernel",
    DumpType.RDMP_KERNEL_USER: "rdmp-kernel-user",
    DumpType.RDMP_COMPLETE: "rdmp-complete",
}

MACHINE_NAMES: dict[int, str] = {
    Machine.X86: "x86",
    Machine.ARM32: "arm32",
    Machine.IA64: "ia64",
    Machine.X64: "x64",
    Machine.ARM64: "arm64",
}
