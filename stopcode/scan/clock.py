"""What a run costs, as the `stats` of every document have it."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["Clock"]


class Clock:
    """Wall and processor time since it was made."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def stats(self, bytes_read: int, requests: int) -> dict[str, Any]:
        """Return what was read and how long it took so far."""
        return {
            "bytes_read": bytes_read,
            "requests": requests,
            "wall_s": round(time.perf_counter() - self._wall, 3),
            "cpu_s": round(time.process_time() - self._cpu, 3),
        }
