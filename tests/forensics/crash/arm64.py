"""Records of an ARM64 kernel for synthetic crashes, packed by hand."""

from __future__ import annotations

import struct


def trap_frame_arm64(
    pc: int,
    sp: int,
    *,
    esr: int = 0x96000047,
    fault: int = 0,
    active: int = 1,
    spsr: int = 0x60000004,
    **registers: int,
) -> bytes:
    """KTRAP_FRAME of ARM64 kernel code: by default of a write to a page that is not there."""
    words = [registers.get(f"x{number}", 0) for number in range(19)]
    words += [registers.get("lr", 0), registers.get("fp", 0), pc]
    head = struct.pack("<B7xQ", active, fault).ljust(0x90, b"\0") + struct.pack("<IIQ", spsr, esr, sp)
    return head + struct.pack("<22Q", *words)


def context_arm64(pc: int, sp: int, *, fp: int = 0, lr: int = 0, **registers: int) -> bytes:
    """CONTEXT of ARM64."""
    words = [registers.get(f"x{number}", 0) for number in range(29)]
    return (struct.pack("<II", 0x400007, 0x80000144) + struct.pack("<33Q", *words, fp, lr, sp, pc)).ljust(0x390, b"\0")
