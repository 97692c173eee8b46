"""How often, and how long, a request is tried again: full jitter, the server's own word, and a budget for the image.

References: "Exponential Backoff And Jitter" (AWS Architecture Blog); RFC 9110, 10.2.3 (Retry-After).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["RETRIED", "TRIES", "Patience"]

#: Status codes after which the same request may succeed.
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
#: Times that one request is made.
TRIES = 4
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 60.0
#: For a whole image: a server that fails all the time ends the scan, it does not make it last for days.
_MAX_RETRIES = 200
_MAX_WAITED_S = 600.0


class Patience:
    """The budget of retries of one image.

    Args:
        sleep: waits.

    Attributes:
        retries: requests made again so far.
        waited: seconds waited before them.

    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._lock = threading.Lock()
        self.retries = 0
        self.waited = 0.0

    def wait(self, number: int, retry_after: str | None = None) -> bool:
        """Wait before the next try; return False where there is to be none.

        Args:
            number: how many tries there were.
            retry_after: the field of the answer: seconds, or a date.

        """
        if number >= TRIES:
            return False
        seconds = random.uniform(0, _FIRST_WAIT_S * 2 ** (number - 1))  # noqa: S311  # spreads load, hides nothing
        seconds = max(seconds, min(_seconds(retry_after), _LONGEST_WAIT_S))
        with self._lock:
            if self.retries >= _MAX_RETRIES or self.waited + seconds > _MAX_WAITED_S:
                return False
            self.retries += 1
            self.waited += seconds
        self._sleep(seconds)
        return True


def _seconds(retry_after: str | None) -> float:
    """Return what a `Retry-After` asks for, in seconds; 0 when it asks for nothing that makes sense."""
    text = (retry_after or "").strip()
    if text.isdecimal() and text.isascii():
        return float(text[:6])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, ((when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
