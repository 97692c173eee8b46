"""The programs that build samples, and what to say when one is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["PACKAGES", "missing", "run"]

#: Program -> the Debian package that brings it.
PACKAGES = {
    "x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64",
    "x86_64-w64-mingw32-windres": "binutils-mingw-w64-x86-64",
    "mkntfs": "ntfs-3g",
    "wimlib-imagex": "wimtools",
    "qemu-img": "qemu-utils",
}
#: mkntfs lies in sbin, which is not on everybody's path.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def missing() -> list[str]:
    """Return a line for every program that is not installed."""
    return [
        f"{program} is missing: Debian package {package}"
        for program, package in PACKAGES.items()
        if shutil.which(program, path=_PATH) is None
    ]


def run(program: str, *arguments: str | Path) -> str:
    """Run a program and return what it says.

    Raises:
        RuntimeError: it is not installed, or fails.

    """
    found = shutil.which(program, path=_PATH)
    if found is None:
        raise RuntimeError(f"{program} is missing: Debian package {PACKAGES.get(program, 'not known')}")
    done = subprocess.run([found, *map(str, arguments)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{program} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
