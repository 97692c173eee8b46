from __future__ import annotations

import pytest

from tests.stopcode.cli.run import Stopcode


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stopcode:
    """The command line, called in this process, away from the tester's own environment."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return Stopcode(capsys)
