"""The child: scans one image under limits and answers with its report. `python -I -m stopcode.batch.worker`.

Everything that reads the image runs here, so whatever an image does to the reader, it does it to this process alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from stopcode.batch.protocol import ErrorKind, Request

__all__ = ["confine", "main"]

#: Open files at once: the image, its parents, the interpreter's own.
_FILES = 512
#: What a scan that is not at its limit can have at any moment.
_PROBE = 4 << 20


def confine(request: Request) -> None:
    """Set the limits of this process; where the system has none (Windows), the supervisor's watch alone remains.

    No core file is left (it would hold the evidence), no file can be written, and memory and processor time end.
    """
    try:
        import resource
    except ImportError:
        return

    def limit(what: int, soft: int, hard: int) -> None:
        # A limit that is lower already stays.
        _, allowed = resource.getrlimit(what)
        if allowed != resource.RLIM_INFINITY:
            soft, hard = min(soft, allowed), min(hard, allowed)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (soft, hard))

    limit(resource.RLIMIT_CORE, 0, 0)
    limit(resource.RLIMIT_FSIZE, 0, 0)
    limit(resource.RLIMIT_NOFILE, _FILES, _FILES)
    if request.memory:
        limit(resource.RLIMIT_AS, request.memory, request.memory)
    if request.cpu:
        limit(resource.RLIMIT_CPU, request.cpu, request.cpu + 10)


def _leave_with_supervisor() -> None:
    """End this process when the supervisor does: nobody would hear the answer."""

    def wait() -> None:
        while os.read(0, 1 << 10):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class _Pipe:
    """The way to the supervisor. What libraries print goes to stderr instead."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def say(self, message: dict[str, Any]) -> None:
        self._file.write(json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n")
        self._file.flush()

    def fail(self, kind: ErrorKind, message: str, hint: str = "", code: str = "") -> None:
        self.say({"error": {"kind": kind, "code": code, "message": message, "hint": hint}})


def _code(error: Exception) -> str:
    """Return the last part of a diagnostic's code for an error ("not-a-disk")."""
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=.)(?=[A-Z])", "-", name).lower()


def _scan(request: Request, pipe: _Pipe) -> None:
    # Imported before the limits: compiled modules may still be written to their cache.
    import forensics.collect
    import forensics.disk.container  # noqa: F401 - as above
    from forensics.disk import ImageOptions
    from parsers.diagnostics import Diagnostics
    from signatures import load_database
    from stopcode.scan import Progress, scan

    remarks = Diagnostics()
    database = load_database([Path(name) for name in request.signatures], remarks, tests=False)
    confine(request)

    def watch(remark: Progress) -> None:
        if remark.section is None:
            pipe.say({"step": remark.step})

    options = ImageOptions(keys=request.keys)
    report = scan(request.path, database=database, progress=watch, remarks=remarks.items, options=options)
    pipe.say({"report": report})


def _fail_for_memory(pipe: _Pipe) -> None:
    pipe.fail("memory", "the scan needed more memory than it may have", "is the image what it says it is?")


def _memory_is_used_up() -> bool:
    """Tell whether the limit is reached: the interpreter's own errors then name other things (SyntaxError, for one)."""
    try:
        bytearray(_PROBE)
    except MemoryError:
        return True
    return False


def main() -> int:
    """Read the request, scan, answer."""
    from parsers.errors import StopcodeError

    pipe = _Pipe()
    request = Request.from_line(sys.stdin.buffer.readline())
    _leave_with_supervisor()
    try:
        _scan(request, pipe)
    except StopcodeError as error:
        pipe.fail("open", error.message, error.hint, _code(error))
    except MemoryError:
        _fail_for_memory(pipe)
    except OSError as error:
        pipe.fail("open", error.strerror or str(error), code="unreadable")
    except Exception as error:  # noqa: BLE001 - the edge of the worker: a bug of ours is told, not raised
        if _memory_is_used_up():
            _fail_for_memory(pipe)
            return 0
        traceback.print_exc()
        pipe.fail("bug", f"{type(error).__name__}: {error}", "stopcode scan IMAGE --traceback shows where; report it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
