r"""File names from evidence, made names of one file in one folder of ours.

A hostile disk may call a file `..\..\x`, `CON`, `a:b` or anything else that NTFS can hold; what comes out is one
component that no host takes for a path, a stream, a device or an option.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["archive_name", "file_name", "unique"]

#: What Windows keeps for devices, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE | re.DOTALL)
_FORBIDDEN = frozenset('<>:"/\\|?*%')
#: File systems of hosts allow 255 bytes; room is left for a number and a suffix.
_MAX_BYTES = 200


def file_name(text: str) -> str:
    """Return one component that is safe on every host; never empty."""
    name = "".join("_" if _is_bad(character) else character for character in text)
    while len(name.encode("utf-8")) > _MAX_BYTES:
        stem, dot, suffix = name.rpartition(".")
        # The suffix says what the file is: cut before it.
        name = f"{stem[:-1]}.{suffix}" if dot and len(stem) > 1 and len(suffix) <= 8 else name[:-1]
    name = name.rstrip(". ").lstrip(" ")
    if name[:1] in ("", "-", ".") or _DEVICES.fullmatch(name):
        name = f"_{name}"
    return name


def _is_bad(character: str) -> bool:
    return character in _FORBIDDEN or unicodedata.category(character)[0] == "C" or ord(character) == 0x2028


def unique(name: str, taken: set[str]) -> str:
    """Return a name that is in `taken` under no case, with a number before its suffix where it must; and take it."""
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem:
        stem, suffix = name, ""
    number = 1
    made = name
    while made.casefold() in taken:
        number += 1
        made = f"{stem}-{number}{'.' + suffix if suffix else ''}"
    taken.add(made.casefold())
    return made


def archive_name(volume: str, path: str, taken: set[str]) -> str:
    r"""Return the name in a zip of a file on a volume: `C/Windows/…`, as collectors of artefacts write it.

    Args:
        volume: "" for the Windows volume, a drive ("D:") or "volume 2".
        path: its path there.
        taken: the names used so far, case-folded; the new one is added.

    """
    folder = file_name(volume.rstrip(":")) if volume else "C"
    parts = [file_name(part) for part in path.split("\\") if part]
    *above, last = parts or ["_"]
    head = "/".join((folder, *above))
    plain = {name.rpartition("/")[2] for name in taken if name.rpartition("/")[0] == head.casefold()}
    made = unique(last, plain)
    taken.add(f"{head}/{made}".casefold())
    return f"{head}/{made}"
