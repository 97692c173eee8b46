"""The README is true: its commands run as written and its example is what the program says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Needs a person; that it starts is shown in tests/stopcode/cli/test_tui.py.
INTERACTIVE = ("stopcode tui ",)


def blocks(section: str) -> list[str]:
    text = README.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"```\n(.*?)```", text, re.DOTALL)


def tour() -> list[str]:
    lines = [line for block in blocks("Five minutes") for line in block.splitlines()]
    return [line for line in lines if not line.startswith(INTERACTIVE)]


@pytest.fixture(scope="module")
def folder(built: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the checkout after `make demo`, with a dump in it."""
    from forensics.disk import open_image
    from parsers.diagnostics import Diagnostics

    made = tmp_path_factory.mktemp("readme")
    disk = built("ws2019-failed.vhdx")
    (made / "samples").symlink_to(disk.parents[1])
    with open_image(disk, Diagnostics()) as image:
        dump = image.windows.files.open("\\Windows\\MEMORY.DMP")
        (made / "MEMORY.DMP").write_bytes(dump.read_at(0, dump.size))
    return made


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(line)
    program = {"stopcode": [sys.executable, "-m", "stopcode.cli.main"], "python": [sys.executable]}[words[0]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([*program, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_tour_runs_as_written(folder: Path) -> None:
    lines = tour()
    assert len(lines) >= 9
    for line in lines:
        done = run(line, folder)
        found = "samples/built" in line or line == "stopcode report report.json"
        judged = line.startswith(("stopcode scan", "stopcode report", "stopcode batch"))
        assert done.returncode == (1 if found and judged else 0), (line, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stdout or "--output" in line or line.startswith("python"), line


def test_the_first_example_is_what_the_program_says(folder: Path) -> None:
    example = re.search(r"```\n\$ stopcode scan disk\.vhdx\n(.*?)```", README, re.DOTALL)
    assert example is not None
    said = run("stopcode scan samples/built/ws2019-failed.vhdx", folder).stdout
    unwrapped = re.sub(r"\n(?! )", " ", example[1].rstrip()).split("\n")
    real = said.splitlines()
    for number, line in enumerate(unwrapped):
        # The README cuts long lines with an ellipsis, nothing else.
        assert real[number].startswith(line.rstrip(")").removesuffix("…").rstrip()), line


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in blocks("Two commands")[0].splitlines():
        assert re.search(rf"^{line.removeprefix('make ')}:", makefile, re.MULTILINE), line
