"""Where a case file and its images lie: file URIs, and file systems on which SQLite's WAL does not work."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

__all__ = ["mounts_text", "on_network", "path_of_uri", "uri_of"]

#: File systems of Linux that other machines share; the WAL index is shared memory of one machine.
_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs",
     "nfs", "nfs4", "smb3", "smbfs", "virtiofs"}
)  # fmt: skip


def uri_of(path: Path) -> str:
    """Return the file URI of a path: unique, and text even where the file's name is not."""
    return path.absolute().as_uri()


def path_of_uri(uri: str) -> Path:
    """Return the path that `uri_of` was given."""
    text = os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))
    return Path(text.removeprefix("/") if os.name == "nt" and text[2:3] == ":" else text)


def mounts_text() -> str:
    """Return the system's table of mounts; empty where it has none."""
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _unescaped(field: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def on_network(path: Path, mounts: str) -> bool:
    r"""Tell whether a path lies on a file system of the network.

    Args:
        path: an absolute path.
        mounts: the text of `/proc/self/mounts`; on other systems only the form `\\server\share` tells.

    """
    if str(path).startswith("\\\\"):
        return True
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_unescaped(fields[1]))
        # A later mount on the same point hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind in _NETWORK
