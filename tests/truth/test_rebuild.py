"""Every committed sample against a fresh build of it: the same facts and findings, whatever versions the tools have."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from samples.build import build_disk
from samples.family import FAMILY
from stopcode.scan import scan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.peer("mkntfs", "wimlib-imagex", "x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-windres"),
]


@contextmanager
def drivers() -> Iterator[Path]:
    """The folder of built drivers, kept from run to run by what each was built of; one process at a time fills it."""
    fcntl = pytest.importorskip("fcntl")
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"stopcode-tests-{user}" / "drivers"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def told(path: Path) -> dict[str, Any]:
    report: Any = scan(str(path))
    document: dict[str, Any] = json.loads(json.dumps(report))
    return {part: document[part] for part in ("verdict", "facts", "findings", "unjudged")}


@pytest.mark.parametrize("name", [variant.name for variant in FAMILY])
def test_a_committed_sample_tells_what_a_fresh_build_tells(
    built: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    [variant] = [variant for variant in FAMILY if variant.name == name]
    raw = tmp_path / "disk.raw"
    with drivers() as cache:
        build_disk(variant, raw, cache)
    fresh, committed = told(raw), told(built(f"{name}.vhdx"))
    for part, content in committed.items():
        assert fresh[part] == content, part
