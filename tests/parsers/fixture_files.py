"""Where the wheels' members lie, and small PE files built by mingw-w64."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from samples.fixtures import member_path, pins

GCC = "x86_64-w64-mingw32-gcc"
WINDRES = "x86_64-w64-mingw32-windres"


def fetched(name: str) -> Path:
    """A wheel's member by the start of its file name; skips (or fails, where CI says so) when it is not fetched."""
    for pin in pins():
        for member in pin["members"]:
            if member.rsplit("/", 1)[-1].startswith(name):
                path = member_path(pin, member)
                if path.is_file():
                    return path
                reason = f"{name} is not in the cache (run `make fixtures`)"
                if os.environ.get("STOPCODE_REQUIRE") == "1":
                    pytest.fail(reason)
                pytest.skip(reason)
    raise LookupError(name)


def all_fetched(*, for_benchmarks: bool = False) -> list[Path]:
    """Every image, with those that only benchmarks read where asked for; symbol files lie beside theirs."""
    members = [(pin, member) for pin in pins() if for_benchmarks or "only" not in pin for member in pin["members"]]
    return [member_path(pin, member) for pin, member in members if not member.endswith(".pdb")]


def compile_dll(
    folder: Path, name: str, source: str, *options: str, suffix: str = ".c", extra: tuple[str, ...] = ()
) -> Path:
    """Build a DLL with no runtime."""
    text = folder / f"{name}{suffix}"
    text.write_text(source)
    target = folder / f"{name}.dll"
    command = [
        GCC,
        "-shared",
        "-nostdlib",
        "-nostartfiles",
        "-Wl,--entry=0",
        *options,
        "-o",
        str(target),
        str(text),
        *extra,
        "-lgcc",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return target


def compile_resource(folder: Path, text: str) -> str:
    """Compile a resource script to an object."""
    script = folder / "version.rc"
    script.write_text(text, encoding="utf-8")
    target = folder / "version.o"
    subprocess.run([WINDRES, "-c", "65001", str(script), "-o", str(target)], check=True, capture_output=True)
    return str(target)
