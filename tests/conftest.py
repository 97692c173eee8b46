"""Fixtures and rules for the whole suite.

`STOPCODE_SHARED` names the folder with the real hives, logs, dumps and disks (default: ../shared beside the
checkout). `STOPCODE_REQUIRE=1` (set by CI) turns every skip for a missing program, file or wheel into a failure.
"""

from __future__ import annotations

import functools
import hashlib
import lzma
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("STOPCODE_SHARED", ROOT.parent / "shared")).resolve()
REQUIRE = os.environ.get("STOPCODE_REQUIRE") == "1"
FIXTURES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stopcode" / "fixtures"

#: The Python that Debian's packages bring modules for, whatever runs the tests.
SYSTEM_PYTHON = "/usr/bin/python3"

settings.register_profile("short", max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("long", max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("long" if os.environ.get("STOPCODE_FUZZ") == "long" else "short")


def _missing(reason: str) -> None:
    if REQUIRE:
        pytest.fail(f"{reason}, and STOPCODE_REQUIRE=1 forbids the skip")
    pytest.skip(reason)


@functools.cache
def _installed(program: str) -> bool:
    """Whether a program is there; `python3:NAME` is a module of the system's own Python."""
    name, _colon, module = program.partition(":")
    if not module:
        return shutil.which(name) is not None
    if not Path(SYSTEM_PYTHON).exists():
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a program, the shared data or the wheels that are not here; fail instead where CI says so."""
    for mark in item.iter_markers("peer"):
        for program in mark.args:
            if not _installed(program):
                _missing(f"the program {program} is not installed")
    if item.get_closest_marker("realdata") is not None and not SHARED.is_dir():
        _missing(f"no shared data at {SHARED} (set STOPCODE_SHARED)")
    if item.get_closest_marker("wheels") is not None and not FIXTURES.is_dir():
        _missing("the Windows wheels are not in the cache (run `make fixtures`)")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data."""
    if not SHARED.is_dir():
        _missing(f"no shared data at {SHARED} (set STOPCODE_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def unpacked(shared: Path) -> Callable[[str], Path]:
    """Return a function that gives the plain file for a path below shared/data, unpacking .xz once a machine."""
    # One folder for all parallel workers of a user; a file appears in it whole or not at all.
    cache = Path(tempfile.gettempdir()) / f"stopcode-tests-{os.getuid() if hasattr(os, 'getuid') else 0}"
    cache.mkdir(mode=0o700, exist_ok=True)

    def give(relative: str) -> Path:
        path = shared / "data" / relative
        if path.exists():
            plain = path
        else:
            packed = path.with_name(path.name + ".xz")
            if not packed.exists():
                raise FileNotFoundError(f"{relative} is not in the shared data, packed or plain")
            stamp = packed.stat()
            key = hashlib.sha256(f"{packed}:{stamp.st_size}:{stamp.st_mtime_ns}".encode()).hexdigest()[:16]
            plain = cache / key / path.name
            if not plain.exists():
                plain.parent.mkdir(exist_ok=True)
                handle, partial = tempfile.mkstemp(dir=plain.parent)
                with lzma.open(packed) as source, os.fdopen(handle, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                Path(partial).replace(plain)
        return plain

    return give


@pytest.fixture(scope="session")
def built() -> Callable[[str], Path]:
    """Return a function that gives the plain file of a committed sample, unpacking it once."""
    from samples.unpack import unpack

    def give(name: str) -> Path:
        return unpack(name)

    return give
