"""Composed disks, each built and scanned once a session, and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stopcode.scan import scan
from tests.truth.composed import MACHINES, content, make_disk


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory, unpacked: Callable[[str], Path]) -> Callable[[str], Path]:
    """Return a function that gives the disk of a machine of `composed.MACHINES`."""
    folder = tmp_path_factory.mktemp("composed")

    def give(name: str) -> Path:
        place = folder / f"{name}.img"
        return place if place.exists() else make_disk(place, content(MACHINES[name], unpacked))

    return give


@pytest.fixture(scope="session")
def report_of(disk: Callable[[str], Path]) -> Callable[[str], Any]:
    """Return a function that gives the report of such a disk."""
    known: dict[str, Any] = {}

    def give(name: str) -> Any:
        if name not in known:
            known[name] = scan(str(disk(name)))
        return known[name]

    return give
