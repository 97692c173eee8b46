"""Give a VHDX identifiers of its own story: qemu-img draws them, so that no two runs give the same bytes.

Layout: Microsoft Open Specifications MS-VHDX: headers at 64 and 128 KiB with CRC-32C, metadata table, Page 83 item.
"""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

__all__ = ["crc32c", "stamp_vhdx"]

_HEADERS = (0x10000, 0x20000)
_REGIONS = 0x30000
_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_PAGE83 = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746").bytes_le


def _table() -> list[int]:
    rows = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return rows


_CRC = _table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of bytes."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def stamp_vhdx(path: Path, name: str) -> None:
    """Replace the identifiers in both headers and that of the virtual disk by ones that follow from a name.

    Raises:
        ValueError: the file is no VHDX that was closed.

    """
    drawn = [uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}-{what}").bytes_le for what in ("file", "data", "disk")]
    with path.open("r+b") as file:
        headers = {}
        for place in _HEADERS:
            file.seek(place)
            headers[place] = bytearray(file.read(4096))
            if headers[place][:4] != b"head":
                raise ValueError(f"{path} has no header at {place:#x}")
        # The first sequence number is drawn too; the header with the greater one is the current one.
        order = sorted(_HEADERS, key=lambda place: struct.unpack_from("<Q", headers[place], 8)[0])
        for place, header in headers.items():
            struct.pack_into("<Q", header, 8, 1 + order.index(place))
            header[0x10:0x30] = drawn[0] + drawn[1]
            header[4:8] = bytes(4)
            struct.pack_into("<I", header, 4, crc32c(bytes(header)))
            file.seek(place)
            file.write(header)
        if any(header[0x30:0x40] != bytes(16) for header in headers.values()):
            raise ValueError(f"the log of {path} is in use")
        # The log is empty; what is left in it would tell of the build.
        length, log = struct.unpack_from("<IQ", headers[_HEADERS[0]], 0x44)
        file.seek(log)
        file.write(bytes(length))
        file.seek(_REGIONS)
        regions = file.read(0x10000)
        row = regions.index(_METADATA)
        metadata = struct.unpack_from("<Q", regions, row + 16)[0]
        file.seek(metadata)
        table = file.read(0x10000)
        row = table.index(_PAGE83)
        file.seek(metadata + struct.unpack_from("<I", table, row + 16)[0])
        file.write(drawn[2])
