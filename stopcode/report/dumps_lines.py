"""Many dumps for people: what they are in one sentence, a table of the problems, then each problem's dumps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from stopcode.report.dumps import DumpRow, DumpsDocument, Problem, culprit_of
from stopcode.report.lines import Line, aligned, blank, heading
from stopcode.report.words import count_of, moment, stop_code

__all__ = ["dumps_lines"]

#: Dumps of one problem that are listed without -v.
_LISTED = 5
_NAMES = 3


def dumps_lines(document: DumpsDocument, *, verbose: bool = False) -> Iterator[Line]:
    """Yield the sentence, the table of problems, and the dumps of each; `verbose` lists every dump and reason."""
    yield Line(document["verdict"]["sentence"], "bad")
    for line in document["verdict"]["lines"]:
        yield Line(line, indent=2)
    if document["problems"]:
        yield blank()
        yield from _table(document["problems"])
    rows = {row["path"]: row for row in document["dumps"]}
    folder = _folder(list(rows))
    for number, problem in enumerate(document["problems"], 1):
        yield from heading(f"{number}. {stop_code(problem)}, {culprit_of(problem)}")
        yield from _dumps([rows[path] for path in problem["dumps"]], problem, folder, verbose=verbose)
    if document["unread"]:
        yield from heading(f"Not read: {len(document['unread'])}")
        for item in document["unread"]:
            yield Line(item["message"], "doubt", 2, "" if item["path"] in item["message"] else f"{item['path']}: ")
            if verbose and item.get("hint"):
                yield Line(item["hint"], "quiet", 4, "hint: ")


def _some(names: Sequence[object]) -> str:
    more = f" +{len(names) - _NAMES}" if len(names) > _NAMES else ""
    return ", ".join(str(name) for name in names[:_NAMES]) + more or "-"


def _table(problems: Sequence[Problem]) -> Iterator[Line]:
    rows = [("", "DUMPS", "NEWEST", "CODE", "CULPRIT", "CONFIDENCE", "BUILD", "PROCESS")]
    rows += [
        (
            f"{number}.",
            f"{len(problem['dumps']):>5,}",
            moment(problem["newest"]),
            stop_code(problem),
            culprit_of(problem),
            problem["confidence"],
            _some(problem["builds"]),
            _some(problem["processes"]),
        )
        for number, problem in enumerate(problems, 1)
    ]
    yield from aligned(rows, tones=["quiet"])


def _dumps(rows: Sequence[DumpRow], problem: Problem, folder: str, *, verbose: bool) -> Iterator[Line]:
    for reason in problem["because"]:
        yield Line(reason, indent=2, lead="because: ")
    yield Line(problem["bucket"], "quiet", 2, "bucket: ")
    taken = rows if verbose else rows[:_LISTED]
    yield from aligned(
        [
            (
                moment(row.get("time")),
                row["confidence"],
                str(row.get("build", "-")),
                row.get("process", "-"),
                _file(row, folder),
            )
            for row in taken
        ],
        indent=2,
    )
    if len(taken) < len(rows):
        yield Line(f"{count_of(len(rows) - len(taken), 'more dump')} (-v lists them)", "quiet", 2)
    if verbose:
        for row in taken:
            for remark in row["diagnostics"]:
                yield Line(remark["message"], "doubt", 2, f"{_short(row['path'], folder)}: {remark['code']}: ")


def _file(row: DumpRow, folder: str) -> str:
    notes = ["live report"] if row.get("live") else []
    if not row["complete"]:
        notes.append("cut or damaged")
    if "same_as" in row:
        notes.append(f"the same crash as {_short(row['same_as'], folder)}")
    return _short(row["path"], folder) + (f" ({'; '.join(notes)})" if notes else "")


def _short(path: str, folder: str) -> str:
    return os.path.relpath(path, folder) if folder else path


def _folder(paths: Sequence[str]) -> str:
    """Return the folder that all paths lie in; "" where there is none to speak of."""
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120  # text in, text out
    except ValueError:
        return ""
