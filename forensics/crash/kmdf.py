"""Clients of the kernel-mode driver framework, from the table that the framework appends to every dump.

Source: `microsoft/Windows-Driver-Frameworks: src/framework/shared/inc/private/common/fxbugcheck.h`
(FX_DUMP_DRIVER_INFO_ENTRY, 56 bytes on x64; the sizes of the blobs in real dumps are multiples of it).
"""

from __future__ import annotations

import struct
from typing import Literal

from forensics.crash.evidence import Evidence
from parsers.dump.secondary import SecondaryBlob
from parsers.errors import ReadError

__all__ = ["client_of_globals", "client_table", "logged_driver"]

_TAG = "f87e4a4c-c5a1-4d2f-bff0-d5de63a5e4c3"
_LOG_TAG = "54c84888-01d1-4c1e-bed6-282c98241303"
#: Offset of the driver's name in the log's header.
_LOG_NAME = 0x24
_ENTRY = struct.Struct("<QIII32s4x")
_MAX_ENTRIES = 4096


def logged_driver(evidence: Evidence) -> str | None:
    """Return whose in-flight log the framework appended to the dump (name of the service), None when there is none.

    It takes the log of the driver that it stops for, or whose image holds the faulting address; else the one that it
    tracked last. Source: the same project, `kmdf/src/core/fxbugcheckcallback.cpp`, `inc/private/fxifr.h`.
    """
    for blob in evidence.dump.secondary():
        if blob.tag == _LOG_TAG and blob.size >= _LOG_NAME + 32:
            try:
                raw = evidence.dump.source.read_at(blob.offset + _LOG_NAME, 32).partition(b"\0")[0]
            except ReadError:
                return None
            text = raw.decode("ascii", "replace")
            return text if text and text.isprintable() and text.isascii() else None
    return None


def client_table(evidence: Evidence) -> Literal["whole", "cut"] | None:
    """Tell whether the dump holds the framework's table of its clients, wholly or in part; None when not at all."""
    for blob in evidence.dump.secondary():
        if blob.tag == _TAG:
            return "whole" if len(_table(evidence, blob)) == min(blob.size, _MAX_ENTRIES * _ENTRY.size) else "cut"
    return None


def _table(evidence: Evidence, blob: SecondaryBlob) -> bytes:
    try:
        return evidence.dump.source.read_at(blob.offset, min(blob.size, _MAX_ENTRIES * _ENTRY.size))
    except ReadError:
        return b""


def client_of_globals(evidence: Evidence, address: int) -> str | None:
    """Return the name under which the client with this FX_DRIVER_GLOBALS registered; None when it is not listed."""
    if evidence.dump.pointer_size != 8 or not address:
        return None
    for blob in evidence.dump.secondary():
        if blob.tag != _TAG:
            continue
        data = _table(evidence, blob)
        for globals_, _major, _minor, _build, name in _ENTRY.iter_unpack(
            data[: len(data) // _ENTRY.size * _ENTRY.size]
        ):
            if globals_ == address:
                text: str = name.partition(b"\0")[0].decode("ascii", "replace")
                return text or None
    return None
