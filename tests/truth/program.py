"""The program as a user starts it: a process of its own, with its exit code and both streams."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT

_ENTRY = "import sys; from stopcode.cli.main import entry; sys.exit(entry())"


def stopcode(*words: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command with these words."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", _ENTRY, *map(str, words)],
        capture_output=True, text=True, encoding="utf-8", env=environment, timeout=timeout, check=False,
    )  # fmt: skip
