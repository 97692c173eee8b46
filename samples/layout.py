"""Where things lie on a sample's disk: fixed, so that hives, BCD and partition table agree."""

from __future__ import annotations

import uuid

__all__ = [
    "DISK_ID", "FIRST_SECTOR", "MIB", "MSR_ID", "RECOVERY_ID", "SIGNATURE", "SYSTEM_ID", "SYSTEM_SIZE", "WINDOWS_ID",
]  # fmt: skip

MIB = 1 << 20
#: Signature of an MBR disk.
SIGNATURE = 0x5C1D7A3E
DISK_ID = uuid.UUID("1f6a3f0e-6d1b-4c55-9a0a-5f3f0c9b7d11")
RECOVERY_ID = uuid.UUID("5d3c1b60-2f4a-4c8e-8d17-0e9f8a7b6c51")
MSR_ID = uuid.UUID("6e4d2c71-3a5b-4d9f-9e28-1fa09b8c7d61")
SYSTEM_ID = uuid.UUID("8a2b1d64-0b5f-4b1e-8f53-2c1a7f6e9d21")
WINDOWS_ID = uuid.UUID("b7c8f2a9-3f64-4de0-93b1-6e5d4c3b2a31")
#: Size of the system partition: "System Reserved" of generation 1, the EFI system partition of generation 2.
SYSTEM_SIZE = {1: 500 * MIB, 2: 99 * MIB}
#: (partition, generation) -> first sector.
FIRST_SECTOR = {
    ("system", 1): 2048,
    ("windows", 1): 2048 + 500 * 2048,
    ("recovery", 2): 2048,
    ("system", 2): 2048 + 499 * 2048,
    ("msr", 2): 2048 + 598 * 2048,
    ("windows", 2): 2048 + 614 * 2048,
}
