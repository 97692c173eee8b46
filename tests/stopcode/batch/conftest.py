"""A fake worker and a folder of images for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stopcode.batch.fake import FakeWorker


@pytest.fixture
def worker(tmp_path: Path) -> FakeWorker:
    return FakeWorker(tmp_path / "worker")


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes images by name and gives their folder."""
    folder = tmp_path / "images"

    def make(*names: str, content: str = "x") -> Path:
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_text(content)
        return folder

    return make
