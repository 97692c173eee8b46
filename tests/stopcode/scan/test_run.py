"""What a scan adds to what the collectors found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stopcode.report.outcome import exit_of
from stopcode.scan import scan
from tests.stopcode.machines import windows_folder


def test_the_volumes_of_a_folder_are_unknown_and_do_not_make_its_report_partial(tmp_path: Path) -> None:
    report: Any = scan(str(windows_folder(tmp_path, ubr=1697)))
    paths = [gap["path"] for gap in report["facts"]["gaps"]]
    assert "/volumes" in paths
    assert paths == sorted(paths)
    assert exit_of(report) == 0
    assert not any("volumes" in line for line in report["verdict"]["lines"])
