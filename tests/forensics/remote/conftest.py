from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.forensics.remote.server import Files, serving


@pytest.fixture
def server() -> Iterator[Files]:
    """A server of ranges on the loopback."""
    with serving() as files:
        yield files
