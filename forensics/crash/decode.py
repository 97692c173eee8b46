"""Decoding for any processor: the room of each reads its own instructions, imported when its dump comes."""

from __future__ import annotations

from collections.abc import Mapping

from forensics.crash.access import Instruction

__all__ = ["decode"]


def decode(data: bytes, address: int, registers: Mapping[str, int], machine: str = "x64") -> Instruction | None:
    """Decode the instruction at the beginning of `data`.

    Args:
        data: its bytes, or more.
        address: where it lies.
        registers: as far as they are known, by lower-case name as in a CONTEXT of the machine.
        machine: "x64", "x86" or "arm64".

    Returns:
        The instruction; None when the bytes are none (or end too early).

    """
    if machine == "arm64":
        from forensics.crash.decode_arm64 import decode_arm64

        return decode_arm64(data, address, registers)
    from forensics.crash.decode_x86 import decode_x86

    return decode_x86(data, address, registers, wide=machine == "x64")
