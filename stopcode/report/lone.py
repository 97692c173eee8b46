"""A dump without its disk, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stopcode.report.crash_lines import crash_lines
from stopcode.report.full import diagnostic_lines
from stopcode.report.lines import Line, heading

__all__ = ["lone_lines"]


def lone_lines(report: Mapping[str, Any], *, verbose: bool = False) -> Iterator[Line]:
    """Yield the verdict, the crash, and what could not be read."""
    verdict = report["verdict"]
    yield Line(str(verdict["sentence"]), "good" if verdict["state"] == "clear" else "bad")
    for line in verdict["lines"]:
        yield Line(str(line), indent=2)
    yield Line("")
    for crash in report["facts"]["crashes"]:
        yield from crash_lines(crash, verbose=verbose)
    remarks = [item for item in report["diagnostics"] if verbose or item["severity"] != "info"]
    if remarks:
        yield from heading("Remarks")
        for remark in remarks:
            yield from diagnostic_lines(remark)
