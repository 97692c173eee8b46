"""The processor as the dump's secondary data tells it: CPUID leaves and the registry's values of processor 0.

mssmbios.sys adds both. The CPUID blob holds records of 40 bytes {u32 subleaf, u32 leaf, eax, ebx, ecx, edx as the
system sees them, the same once more without its hypervisor}; measured on seven real dumps, where leaf 1 agrees with the
family, model and stepping of the registry's Identifier. Leaf 7 is zero in all of them, although their processors have
it: a row of zeros says nothing. Feature bits: Intel SDM volume 2, CPUID; AMD APM volume 3.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from parsers.bytesource import ByteSource
from parsers.dump.secondary import SecondaryBlob
from parsers.limits import MAX_PROCESSOR_VALUES

__all__ = ["Leaves", "has_feature", "read_leaves", "read_processor_values"]

#: (leaf, subleaf) -> eax, ebx, ecx, edx.
Leaves = Mapping[tuple[int, int], tuple[int, int, int, int]]

_LEAVES_TAG = "d03dc06f-d88e-44c5-ba2a-fae035172d19"
_VALUES_TAG = "6c7ac389-4313-47dc-9f34-a8800a0fb56c"
_RECORD = struct.Struct("<II4I16x")
_EAX, _EBX, _ECX, _EDX = range(4)
#: feature -> (leaf, register, bit); subleaf 0.
_FEATURES: dict[str, tuple[int, int, int]] = {
    "sse3": (1, _ECX, 0), "pclmul": (1, _ECX, 1), "ssse3": (1, _ECX, 9), "fma": (1, _ECX, 12), "sse41": (1, _ECX, 19),
    "sse42": (1, _ECX, 20), "crc32": (1, _ECX, 20), "movbe": (1, _ECX, 22), "popcnt": (1, _ECX, 23),
    "aes": (1, _ECX, 25), "xsave": (1, _ECX, 26), "xrstor": (1, _ECX, 26), "avx": (1, _ECX, 28), "f16c": (1, _ECX, 29),
    "rdrand": (1, _ECX, 30), "fsgsbase": (7, _EBX, 0), "bmi": (7, _EBX, 3), "avx2": (7, _EBX, 5), "bmi2": (7, _EBX, 8),
    "rtm": (7, _EBX, 11), "avx512": (7, _EBX, 16), "rdseed": (7, _EBX, 18), "adx": (7, _EBX, 19),
    "smap": (7, _EBX, 20), "sha": (7, _EBX, 29), "rdpid": (7, _ECX, 22), "lzcnt": (0x80000001, _ECX, 5),
    "sse4a": (0x80000001, _ECX, 6), "xop": (0x80000001, _ECX, 11), "fma4": (0x80000001, _ECX, 16),
    "tbm": (0x80000001, _ECX, 21),
}  # fmt: skip


def read_leaves(source: ByteSource, blobs: Sequence[SecondaryBlob]) -> Leaves:
    """Return the CPUID leaves as the crashed system saw them; empty when the dump does not hold them.

    Raises:
        ReadError: the place cannot be read.

    """
    for blob in blobs:
        if blob.tag == _LEAVES_TAG and blob.size and blob.size % _RECORD.size == 0:
            data = source.read_at(blob.offset, min(blob.size, MAX_PROCESSOR_VALUES * _RECORD.size))
            rows = _RECORD.iter_unpack(data[: len(data) // _RECORD.size * _RECORD.size])
            return {(leaf, subleaf): (eax, ebx, ecx, edx) for subleaf, leaf, eax, ebx, ecx, edx in rows}
    return {}


def has_feature(leaves: Leaves, name: str) -> bool | None:
    """Tell whether the processor has a feature, by the name that decoders give it; None when not known."""
    place = _FEATURES.get(name)
    if place is None or (1, 0) not in leaves:
        return None
    leaf, register, bit = place
    row = leaves.get((leaf, 0))
    if row is None:
        highest = leaves.get((leaf & 0x80000000, 0))
        # A leaf above the highest one is not there because the processor is older than it.
        return False if highest is not None and 0 < highest[_EAX] < leaf else None
    if not any(row):
        return None
    return bool(row[register] >> bit & 1)


def read_processor_values(source: ByteSource, blobs: Sequence[SecondaryBlob]) -> dict[str, str | int]:
    r"""Return the values of `HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0` that are text or a DWORD.

    Records: u32 bytes of the name, the name (UTF-16, with its zero), u32 type, u32 bytes of the data, the data.

    Raises:
        ReadError: the place cannot be read.

    """
    found: dict[str, str | int] = {}
    for blob in blobs:
        if blob.tag != _VALUES_TAG:
            continue
        data = source.read_at(blob.offset, min(blob.size, 0x10000))
        at = 0
        while at + 4 <= len(data) and len(found) < MAX_PROCESSOR_VALUES:
            length = int.from_bytes(data[at : at + 4], "little")
            name = _text(data[at + 4 : at + 4 + length])
            at += 4 + length
            if len(data) < at + 8:
                break
            kind, size = struct.unpack_from("<II", data, at)
            value = data[at + 8 : at + 8 + size]
            at += 8 + size
            if kind == 1:
                found[name] = _text(value).strip()
            elif kind == 4 and len(value) == 4:
                found[name] = int.from_bytes(value, "little")
        break
    return found


def _text(raw: bytes) -> str:
    return raw[: len(raw) // 2 * 2].decode("utf-16-le", "replace").partition("\0")[0]
