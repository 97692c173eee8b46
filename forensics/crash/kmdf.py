"""Clients of the kernel-mode driver framework, from the table that the framework appends to every dump.

Source: `microsoft/Windows-Driver-Frameworks: src/framework/shared/inc/private/common/fxbugcheck.h`
(FX_DUMP_DRIVER_INFO_ENTRY, 56 bytes on x64; the sizes of the blobs in real dumps are multiples of it).
"""

from __future__ import annotations

import struct

from forensics.crash.evidence import Evidence
from parsers.errors import ReadError

__all__ = ["client_of_globals"]

_TAG = "f87e4a4c-c5a1-4d2f-bff0-d5de63a5e4c3"
_ENTRY = struct.Struct("<QIII32s4x")
_MAX_ENTRIES = 4096


def client_of_globals(evidence: Evidence, address: int) -> str | None:
    """Return the name under which the client with this FX_DRIVER_GLOBALS registered; None when it is not listed."""
    if evidence.dump.pointer_size != 8 or not address:
        return None
    for blob in evidence.dump.secondary():
        if blob.tag != _TAG:
            continue
        try:
            data = evidence.dump.source.read_at(blob.offset, min(blob.size, _MAX_ENTRIES * _ENTRY.size))
        except ReadError:
            return None
        for globals_, _major, _minor, _build, name in _ENTRY.iter_unpack(
            data[: len(data) // _ENTRY.size * _ENTRY.size]
        ):
            if globals_ == address:
                text: str = name.partition(b"\0")[0].decode("ascii", "replace")
                return text or None
    return None
