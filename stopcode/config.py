"""What a user may set for every run: nothing is read from files yet.

Colour, width and encoding are decisions about one output stream; they are made in `stopcode.cli.context`.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["cache_folder"]


def cache_folder(environment: Mapping[str, str]) -> str | None:
    r"""Return the folder for logs and caches, or None when the environment names no home for it.

    `$XDG_CACHE_HOME/stopcode`, else `~/.cache/stopcode`; on Windows `%LOCALAPPDATA%\stopcode`.
    """
    for name, below in (("XDG_CACHE_HOME", ""), ("LOCALAPPDATA", ""), ("HOME", "/.cache")):
        base = environment.get(name)
        if base:
            return f"{base}{below}/stopcode"
    return None
