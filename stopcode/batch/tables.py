"""A fleet document for people (lines) and for spreadsheets (CSV)."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from stopcode.report.full import STATE_WORD
from stopcode.report.lines import Line, Tone, aligned, blank, heading
from stopcode.report.safe import shown
from stopcode.report.words import count_of, stop_code

__all__ = ["COLUMNS", "fleet_lines", "write_csv"]

_TONES: dict[str, Tone] = {"crashed": "bad", "exposed": "bad", "suspected": "doubt", "partial": "doubt"}
#: Cells that a spreadsheet would take for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def fleet_lines(fleet: Mapping[str, Any]) -> Iterator[Line]:
    """Yield the answer of each rule, then a line a machine, then what could not be read."""
    for answer in fleet["answers"]:
        found = answer["crashed"] or answer["exposed"]
        yield Line(str(answer["sentence"]), "bad" if found else "doubt")
    if not any(answer["crashed"] or answer["exposed"] for answer in fleet["answers"]):
        yield Line(f"0 of {fleet['read']:,} exposed to a known problem", "strong")
    told = ", ".join(f"{number:,} {state}" for state, number in fleet["states"].items())
    failed = f"; {len(fleet['failed']):,} not read" if fleet["failed"] else ""
    yield Line(f"{count_of(fleet['read'], 'machine')} read{': ' if told else ''}{told}{failed}")
    if fleet["machines"]:
        folder = _folder([str(machine["path"]) for machine in fleet["machines"]])
        if folder:
            yield Line(f"Images in {folder}", "quiet")
        yield blank()
        rows = [
            ("STATE", "HOST", "WINDOWS", "UPDATE", "LATEST CRASH", "KNOWN PROBLEM", "IMAGE"),
            *(_row(machine, folder) for machine in fleet["machines"]),
        ]
        tones: list[Tone] = ["quiet", *(_TONES.get(str(machine["state"]), "plain") for machine in fleet["machines"])]
        yield from aligned(rows, tones=tones)
    if fleet["failed"]:
        yield from heading(f"Not read: {len(fleet['failed'])}")
        for item in fleet["failed"]:
            yield Line(str(item["path"]), "plain", 2)
            yield Line(f"{item['code']}: {item['reason']}", "doubt", 4)
            if item["hint"]:
                yield Line(f"hint: {item['hint']}", "quiet", 4)
    if fleet["left_out"]:
        yield from heading(f"Left out: {len(fleet['left_out'])}")
        for item in fleet["left_out"]:
            yield Line(f"{item['path']}: {item['reason']}", "quiet", 2)


def _folder(paths: Sequence[str]) -> str:
    """Return the folder that all paths lie in; "" where naming it would save nothing."""
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120 - text in, text out
    except ValueError:
        return ""
    return folder if len(folder) > 1 else ""


def _problem(machine: Mapping[str, Any]) -> str:
    problems: Sequence[Mapping[str, Any]] = machine["problems"]
    if not problems:
        return "-"
    more = f" +{len(problems) - 1}" if len(problems) > 1 else ""
    return f"{problems[0]['rule']} ({problems[0]['state']}){more}"


def _crash(machine: Mapping[str, Any]) -> str:
    if not machine["bugcheck"]:
        return "-"
    code = stop_code({"code": machine["bugcheck"]})
    return f"{code} {machine['culprit']}" if machine["culprit"] else code


def _row(machine: Mapping[str, Any], folder: str) -> tuple[str, ...]:
    state = str(machine["state"] or "?")
    path = str(machine["path"])
    cells = (
        STATE_WORD.get(state, state.upper()),
        machine["hostname"],
        machine["version"] or machine["product"],
        machine["update_kb"],
        _crash(machine),
        _problem(machine),
        os.path.relpath(path, folder) if folder else path,
    )
    # Escaped here already: the columns' widths are those of what is shown.
    return tuple(shown(str(cell or "-")) for cell in cells)


COLUMNS = (
    "path", "state", "hostname", "product", "version", "update_kb", "bugcheck", "culprit", "crashed", "exposed",
    "suspected", "sentence", "failure", "exit",
)  # fmt: skip


def _cell(value: object) -> str:
    text = shown(str(value)) if value is not None else ""
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_csv(fleet: Mapping[str, Any], out: TextIO) -> None:
    """Write a line a machine (RFC 4180), those that could not be read too; `failure` says why."""
    # Line ends are the stream's own: a text stream of Windows makes CR LF of them.
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for machine in fleet["machines"]:
        rules = {
            state: " ".join(problem["rule"] for problem in machine["problems"] if problem["state"] == state)
            for state in ("crashed", "exposed", "suspected")
        }
        values = {**machine, **rules, "failure": None}
        writer.writerow([_cell(values[name]) for name in COLUMNS])
    for item in fleet["failed"]:
        values = dict.fromkeys(COLUMNS) | {
            "path": item["path"], "failure": f"{item['code']}: {item['reason']}", "exit": item["exit"]}  # fmt: skip
        writer.writerow([_cell(values[name]) for name in COLUMNS])
