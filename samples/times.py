"""Times as Windows writes them."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

__all__ = ["at", "filetime", "systemtime", "unix"]

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    """Return an ISO 8601 time, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def filetime(time: datetime) -> int:
    """Return 100 ns since 1601."""
    return (time - _EPOCH) // timedelta(microseconds=1) * 10


def unix(time: datetime) -> int:
    """Return seconds since 1970."""
    return int(time.timestamp())


def systemtime(time: datetime) -> bytes:
    """Return SYSTEMTIME (16 bytes)."""
    return struct.pack(
        "<8H", time.year, time.month, time.isoweekday() % 7, time.day, time.hour, time.minute, time.second,
        time.microsecond // 1000,
    )  # fmt: skip
