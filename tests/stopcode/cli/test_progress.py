"""The line that a person watches."""

from __future__ import annotations

import io

import pytest

from stopcode.cli.progress import LineProgress
from stopcode.scan import Progress


@pytest.mark.parametrize("width", [1, 8, 20, 40, 80, 200])
def test_the_line_fits_and_keeps_the_step_and_the_end_of_the_path(width: int) -> None:
    err = io.StringIO()
    with LineProgress(err, "/replicas/" + "long/" * 20 + "disk.vhdx", width=width) as progress:
        progress(Progress("drivers", 3, 14))
        line = err.getvalue().removeprefix("\r\x1b[K")
    assert len(line) <= width
    if width >= 80:
        assert "disk.vhdx: " in line
    if width >= 40:
        assert line.endswith("(4 of 14)")


def test_what_is_drawn_is_gone_at_the_end() -> None:
    err = io.StringIO()
    with LineProgress(err, "disk.vhdx") as progress:
        progress(Progress("open", 0, 0))
        assert "disk.vhdx: " in err.getvalue()
    assert err.getvalue().endswith("\r\x1b[K")


def test_a_name_cannot_move_the_cursor() -> None:
    err = io.StringIO()
    LineProgress(err, "a\x1b[2Jb\n.vhd")(Progress("open", 0, 0))
    assert err.getvalue().count("\x1b") == 1
    assert "\n" not in err.getvalue()
