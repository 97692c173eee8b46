"""Marvin32, the hash that guards the entries of a hive's log.

Reference: msuhanov/regf "Windows registry file format specification", "Log entry"; the hashes of 66 real entries agree.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["marvin32"]

_SEED: Final = 0x82EF4D887A4E55C5
_MASK: Final = 0xFFFFFFFF


def marvin32(data: bytes) -> int:
    """Return the hash of some bytes, 64 bits, with the seed that the registry uses."""
    low, high = _SEED & _MASK, _SEED >> 32
    whole = len(data) & ~3
    rest = int.from_bytes(data[whole:] + b"\x80", "little")
    # The one loop over megabytes: written without calls.
    for word in (*struct.unpack_from(f"<{whole // 4}I", data), rest, 0):
        low = (low + word) & _MASK
        high ^= low
        low = ((low << 20 | low >> 12) + high) & _MASK
        high = (high << 9 & _MASK | high >> 23) ^ low
        low = ((low << 27 | low >> 5) + high) & _MASK
        high = high << 19 & _MASK | high >> 13
    return high << 32 | low
