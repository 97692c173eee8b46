"""Logs before Windows 8.1: a bitmap of changed sectors (`DIRT`) and the sectors.

Reference: msuhanov/regf "Windows registry file format specification", "Old format"; tried on a hive that Windows 7
recovered.
"""

from __future__ import annotations

from typing import Final

from parsers.bytesource import ByteSource
from parsers.limits import MAX_HIVE_BYTES, MAX_HIVE_LOG
from parsers.registry.base_block import BASE_BLOCK, BaseBlock

__all__ = ["sectors_of"]

_MAGIC: Final = b"DIRT"
#: Bytes that one bit of the bitmap stands for.
_SECTOR: Final = 512
#: Sectors of 512 bytes in the largest that disks have.
_MAX_CLUSTER: Final = 8


def sectors_of(log: ByteSource, base: BaseBlock) -> tuple[list[tuple[int, bytes]], str]:
    """Return the changed sectors, each with its offset in the hive bins, and why the log is not to be used, or "".

    Args:
        log: the log.
        base: its base block.

    """
    stride = BASE_BLOCK * base.cluster
    if not 1 <= base.cluster <= _MAX_CLUSTER or base.bins_size > MAX_HIVE_BYTES:
        return [], "its header holds impossible values"
    length = base.bins_size // _SECTOR // 8
    head = log.read_at(stride, len(_MAGIC) + length)
    if head[: len(_MAGIC)] != _MAGIC:
        return [], f"it marks no changes ({_MAGIC.decode()} is missing)"
    if len(head) < len(_MAGIC) + length:
        return [], "it ends within its list of changes"
    count = int.from_bytes(head[len(_MAGIC) :], "little").bit_count()
    at = stride + -(-len(head) // stride) * stride
    if at + count * _SECTOR > min(log.size, MAX_HIVE_LOG):
        return [], f"it ends before the last of its {count} changes"
    places = [
        byte * 8 + bit
        for byte, bits in enumerate(head[len(_MAGIC) :])
        if bits
        for bit in range(8)
        if bits >> bit & 1
    ]  # fmt: skip
    data = log.read_at(at, count * _SECTOR)
    if len(data) < count * _SECTOR:
        return [], "its changes cannot be read"
    changes = [
        (place * _SECTOR, data[number * _SECTOR : (number + 1) * _SECTOR]) for number, place in enumerate(places)
    ]
    return changes, "" if changes else "it marks no changes"
