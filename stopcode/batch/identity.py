"""Whether a kept scan still says what a new one would say."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forensics.facts import Wants

__all__ = ["covers", "stamp_of", "wants_text"]


def stamp_of(files: Iterable[Path]) -> str | None:
    """Return a digest over name, size and time of change of an image's files.

    None when they cannot be told: a folder, whose own time says nothing of the files below it, or a file that is not
    there. It is no proof of the content: whoever sets a file's time back can hide a change.
    """
    digest = hashlib.sha256()
    for path in files:
        try:
            status = path.stat()
        except OSError:
            return None
        if path.is_dir():
            return None
        digest.update(os.fsencode(path.name) + b"\0%d\0%d\0" % (status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


def wants_text(wants: Wants) -> str:
    """Return what rules have collected as canonical JSON."""
    plain = {
        "files": sorted(wants.files),
        "registry": sorted(wants.registry),
        "events": sorted(wants.events),
        "filter_classes": sorted(wants.filter_classes),
    }
    return json.dumps(plain, separators=(",", ":"))


def covers(kept: str, wanted: str) -> bool:
    """Tell whether facts collected for `kept` hold everything that rules with `wanted` look at."""
    try:
        there, needed = json.loads(kept), json.loads(wanted)
        return all(
            {json.dumps(item) for item in items} <= {json.dumps(item) for item in there.get(name, [])}
            for name, items in needed.items()
        )
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False
