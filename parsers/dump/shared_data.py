"""KUSER_SHARED_DATA: what the kernel shows every process of the system, at the same address in each.

Kernel dumps hold the page whole, small dumps single stretches of it. Offsets: `volatilityfoundation/volatility:
plugins/overlays/windows` (17763) and Microsoft ntddk.h (KUSER_SHARED_DATA), where they are kept for good because
programs are compiled against them.
"""

from __future__ import annotations

from typing import NamedTuple

from parsers.dump.memory import Memory
from parsers.errors import ReadError

__all__ = ["SharedData", "read_shared_data"]

_ADDRESS = {"x64": 0xFFFFF78000000000, "arm64": 0xFFFFF78000000000, "x86": 0xFFDF0000}
_NT_BUILD_NUMBER = 0x260
_SAFE_BOOT_MODE = 0x2EC
#: Builds from the first Windows 10 on keep their number there; the high bits tell free and checked kernels apart.
_FIRST_WITH_BUILD = 10240


class SharedData(NamedTuple):
    """What is used of it; None = not in the dump.

    Attributes:
        build: the number that Windows displays (19045 where the kernel's code base is 19041).
        safe_boot: SafeBootMode: 0 = an ordinary start, else safe mode.

    """

    build: int | None
    safe_boot: int | None


def read_shared_data(memory: Memory, machine: str) -> SharedData:
    """Return what of the page is in the dump."""
    base = _ADDRESS.get(machine)
    if base is None:
        return SharedData(None, None)
    build = _integer(memory, base + _NT_BUILD_NUMBER, 4)
    number = build & 0xFFFF if build is not None else 0
    return SharedData(number if number >= _FIRST_WITH_BUILD else None, _integer(memory, base + _SAFE_BOOT_MODE, 1))


def _integer(memory: Memory, address: int, size: int) -> int | None:
    try:
        return memory.integer(address, size)
    except ReadError:
        return None
