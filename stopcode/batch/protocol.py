"""What supervisor and worker say to each other, and the limits of it.

The worker gets one line of JSON on its stdin, which then stays open: its end tells the worker that the supervisor is
gone. It answers on the pipe that was its stdout with lines of JSON: `{"step": name}` whenever a step begins, and last
`{"report": {...}}` or `{"error": {"kind", "code", "message", "hint"}}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from forensics.disk.keys import VolumeKeys

__all__ = ["MAX_ANSWER", "MAX_STDERR", "ErrorKind", "Request", "message_of"]

#: Bytes of one line of a worker's answer; the report of one machine stays below 1 MB.
MAX_ANSWER = 32 << 20
#: Bytes of a worker's stderr that are kept, the last ones.
MAX_STDERR = 64 << 10

ErrorKind = Literal["open", "memory", "bug"]


@dataclass(frozen=True, slots=True)
class Request:
    """One image to scan, and what the child may use.

    Attributes:
        path: the image.
        signatures: further rules, as the user named them.
        memory: bytes of memory (address space) that the child may have; 0 for no limit.
        cpu: seconds of processor time; 0 for no limit.
        keys: what opens encrypted volumes; they go through the pipe, never through arguments or the environment.

    """

    path: str
    signatures: tuple[str, ...] = ()
    memory: int = 0
    cpu: int = 0
    keys: VolumeKeys = field(default_factory=VolumeKeys)

    def to_line(self) -> bytes:
        """Return the request as its line."""
        fields = {
            "path": self.path,
            "signatures": self.signatures,
            "memory": self.memory,
            "cpu": self.cpu,
            "keys": self.keys.to_plain(),
        }
        return json.dumps(fields).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Request:
        """Read a request."""
        fields = json.loads(line)
        keys = VolumeKeys.from_plain(fields["keys"])
        return cls(fields["path"], tuple(fields["signatures"]), fields["memory"], fields["cpu"], keys)


def message_of(line: bytes) -> dict[str, Any] | None:
    """Return the message in a line, None when it is none: then something else wrote into the pipe."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
