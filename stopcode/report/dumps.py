"""Many dumps as one document (`stopcode/dumps/1`): which problems they are, of which machines, each dump in a row.

Kept small on purpose: a row is some hundred bytes, whatever the dump, so that a folder of thousands fits into memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, cast

from forensics.crash.together import together
from forensics.facts import CrashDict
from parsers.diagnostics import DiagnosticDict
from stopcode import __version__
from stopcode.report.document import Tool
from stopcode.report.hardware import board_name, processor_name
from stopcode.report.words import count_of, moment, stop_code

__all__ = [
    "DUMPS_SCHEMA", "DumpRow", "DumpsDocument", "MachineRow", "Problem", "UnreadDump", "culprit_of", "dumps_document",
    "row_of",
]  # fmt: skip

DUMPS_SCHEMA = "stopcode/dumps/1"
_RANK = {"high": 3, "medium": 2, "low": 1, "none": 0}

Kind = Literal["driver", "hardware", "manual", "boot", "process", "unknown"]
Confidence = Literal["high", "medium", "low", "none"]


class DumpRow(TypedDict):
    """One dump. `bucket` is what this dump alone shows.

    `same_as` is the path of another dump of the very same crash, to whose problem this one is counted then. `machine`
    is the same for dumps of one machine, and absent where the dump does not tell it. `live` is true for a live report:
    Windows wrote it and ran on.
    """

    path: str
    bucket: str
    code: str
    name: str
    case: NotRequired[str]
    parameters: list[str]
    time: NotRequired[str]
    uptime_s: NotRequired[float]
    culprit: str | None
    kind: Kind
    confidence: Confidence
    because: list[str]
    process: NotRequired[str]
    build: NotRequired[int]
    architecture: str
    machine: NotRequired[str]
    dump: str
    size: int
    complete: bool
    flipped_bits: NotRequired[list[int]]
    same_as: NotRequired[str]
    live: NotRequired[bool]
    diagnostics: list[DiagnosticDict]


class Problem(TypedDict):
    """Dumps of one bucket. `confidence` and `because` are those of the surest dump, `newest` and `oldest` times.

    `crashes` is smaller than the number of `dumps` where several dumps are of one crash, or are live reports; `live` is
    true where all of them are.
    """

    bucket: str
    code: str
    name: str
    culprit: str | None
    kind: Kind
    confidence: Confidence
    because: list[str]
    newest: str | None
    oldest: str | None
    processes: list[str]
    builds: list[int]
    crashes: int
    live: NotRequired[bool]
    dumps: list[str]


class MachineRow(TypedDict):
    """Dumps of one machine; `machine` is "" for those that do not tell it. `says` are sentences on all of them."""

    machine: str
    hardware: str
    dumps: list[str]
    buckets: dict[str, int]
    says: list[str]


class UnreadDump(TypedDict):
    """A file that is no dump, or cannot be read."""

    path: str
    message: str
    hint: NotRequired[str]


class DumpsVerdict(TypedDict):
    """What all the dumps say together, in one sentence, and what a person reads next."""

    sentence: str
    lines: list[str]


class DumpsDocument(TypedDict):
    """The whole document. Everything is sorted by time, the newest first."""

    schema: str
    tool: Tool
    source: dict[str, Any]
    verdict: DumpsVerdict
    problems: list[Problem]
    machines: list[MachineRow]
    dumps: list[DumpRow]
    unread: list[UnreadDump]
    stats: dict[str, Any]


def row_of(path: str, crash: CrashDict, diagnostics: Sequence[DiagnosticDict]) -> tuple[DumpRow, str]:
    """Return the row of a dump, and its machine in words ("" where it does not tell it)."""
    bugcheck, culprit, dump = crash["bugcheck"], crash["culprit"], crash["dump"]
    row: DumpRow = {
        "path": path,
        "bucket": crash["bucket"],
        "code": bugcheck["code"],
        "name": bugcheck["name"],
        "parameters": [item["value"] for item in bugcheck["parameters"]],
        "culprit": culprit["module"],
        "kind": culprit["kind"],
        "confidence": culprit["confidence"],
        "because": culprit["because"][:1],
        "architecture": crash["machine"],
        "dump": dump["kind"],
        "size": dump["size"],
        "complete": dump["complete"],
        "diagnostics": [item for item in diagnostics if item["severity"] != "info"],
    }
    if "case" in bugcheck:
        row["case"] = bugcheck["case"]
    if "time" in crash:
        row["time"] = crash["time"]
    if "uptime_s" in crash:
        row["uptime_s"] = crash["uptime_s"]
    if "process" in crash:
        row["process"] = crash["process"]
    if "build" in crash:
        row["build"] = crash["build"]
    if crash.get("live"):
        row["live"] = True
    hardware = crash.get("hardware", {})
    if hardware.get("fingerprint"):
        row["machine"] = str(hardware["fingerprint"])
    if crash.get("flipped_bits"):
        row["flipped_bits"] = sorted({int(item["bit"]) for item in crash["flipped_bits"]})
    words = [text for text in (processor_name(hardware), board_name(hardware)) if text]
    return row, ", ".join(words)


def dumps_document(
    rows: Sequence[DumpRow],
    hardware: Mapping[str, str],
    unread: Sequence[UnreadDump],
    source: dict[str, Any],
    stats: dict[str, Any],
) -> DumpsDocument:
    """Put rows together.

    Args:
        rows: one a dump, in any order.
        hardware: machine -> its hardware in words.
        unread: what could not be read.
        source: what was named and what was stepped over.
        stats: what it cost.

    """
    ordered = sorted(rows, key=lambda row: (not row["complete"], row["path"]))
    ordered.sort(key=lambda row: row.get("time", ""), reverse=True)
    _mark_copies(ordered)
    groups: dict[str, list[DumpRow]] = {}
    buckets = {row["path"]: row["bucket"] for row in ordered}
    for row in ordered:
        groups.setdefault(buckets[row.get("same_as", row["path"])], []).append(row)
    problems = [_problem(group) for group in groups.values()]
    machines = _machines(ordered, hardware)
    return {
        "schema": DUMPS_SCHEMA,
        "tool": {"name": "stopcode", "version": __version__, "rules": 0},
        "source": source,
        "verdict": {"sentence": _sentence(ordered, problems, unread), "lines": _lines(ordered, machines, source)},
        "problems": problems,
        "machines": machines,
        "dumps": ordered,
        "unread": list(unread),
        "stats": stats,
    }


def _mark_copies(rows: Sequence[DumpRow]) -> None:
    """Mark dumps of one crash: a MEMORY.DMP and its minidump, or a copy. Time, code and parameters are never alike."""
    first: dict[tuple[str, ...], str] = {}
    for row in rows:
        row.pop("same_as", None)
        if "time" not in row:
            continue
        of = first.setdefault((row["time"], row["code"], *row["parameters"]), row["path"])
        if of != row["path"]:
            row["same_as"] = of


def _problem(rows: Sequence[DumpRow]) -> Problem:
    surest = max(rows, key=lambda row: ("same_as" not in row, _RANK[row["confidence"]]))
    times = [row["time"] for row in rows if "time" in row]
    made: Problem = {
        "bucket": surest["bucket"],
        "code": surest["code"],
        "name": surest["name"],
        "culprit": surest["culprit"],
        "kind": surest["kind"],
        "confidence": surest["confidence"],
        "because": surest["because"],
        "newest": times[0] if times else None,
        "oldest": times[-1] if times else None,
        "processes": sorted({row["process"] for row in rows if "process" in row}),
        "builds": sorted({row["build"] for row in rows if "build" in row}),
        "crashes": sum(map(_is_crash, rows)),
        "dumps": [row["path"] for row in rows],
    }
    if all(row.get("live") for row in rows):
        made["live"] = True
    return made


def _is_crash(row: DumpRow) -> bool:
    """Tell whether a dump is one of a crash that no other dump has told already."""
    return "same_as" not in row and not row.get("live")


def _machines(rows: Sequence[DumpRow], hardware: Mapping[str, str]) -> list[MachineRow]:
    # One dump of each crash: two of the same say nothing twice.
    crashes = [
        {
            "item": row["path"],
            "bucket": row["bucket"],
            "bugcheck": {"code": row["code"]},
            "culprit": {"module": row["culprit"]},
            "hardware": {"fingerprint": row.get("machine", "")},
            **({"uptime_s": row["uptime_s"]} if "uptime_s" in row else {}),
            "flipped_bits": [{"bit": bit} for bit in row.get("flipped_bits", [])],
        }
        for row in rows
        if "same_as" not in row
    ]
    return [
        {
            "machine": group["fingerprint"],
            "hardware": hardware.get(group["fingerprint"], ""),
            "dumps": [row["path"] for row in rows if row.get("machine", "") == group["fingerprint"]],
            "buckets": group["buckets"],
            "says": group["says"],
        }
        for group in together(cast("list[CrashDict]", crashes))
    ]


def culprit_of(item: DumpRow | Problem) -> str:
    """Return who is blamed in a word or two."""
    if item.get("live") and item["kind"] == "manual":
        return "nobody"
    return item["culprit"] or {"unknown": "nobody", "manual": "on purpose"}.get(item["kind"], item["kind"])


def _sentence(rows: Sequence[DumpRow], problems: Sequence[Problem], unread: Sequence[UnreadDump]) -> str:
    if not rows:
        return f"None of {count_of(len(unread), 'file')} could be read as a kernel dump."
    told = count_of(len(rows), "dump")
    crashes = sum(map(_is_crash, rows))
    reports = sum("same_as" not in row for row in rows) - crashes
    if crashes < len(rows):
        parts = ((crashes, "crash", "crashes"), (reports, "live report", ""))
        told += f" of {' and '.join(count_of(*part) for part in parts if part[0])}"
    if reports == len(rows):
        told = count_of(reports, "live report")
    shows = "shows" if len(rows) == 1 else "show"
    newest = problems[0]
    when = f", the newest of {moment(newest['newest'])}" if newest["newest"] else ""
    sure = f" ({newest['confidence']} confidence)" if newest["confidence"] != "none" else ""
    return (
        f"{told} {shows} {count_of(len(problems), 'problem')}{when}: {stop_code(newest)}, {culprit_of(newest)}{sure}."
    )


def _lines(rows: Sequence[DumpRow], machines: Sequence[MachineRow], source: Mapping[str, Any]) -> list[str]:
    lines = []
    for machine in machines:
        number = len(machine["dumps"])
        if machine["machine"] and number > 1:
            all_of = f"All {number:,}" if number == len(rows) else f"{number:,}"
            of = f" ({machine['hardware']})" if machine["hardware"] else ""
            problems = count_of(len(machine["buckets"]), "problem")
            lines.append(f"{all_of} dumps are of one machine{of}: {problems}")
            lines += machine["says"]
    cut = sum(not row["complete"] for row in rows)
    if cut:
        lines.append(f"{count_of(cut, 'dump')} cut or damaged: what is there was read")
    if source.get("user_mode"):
        lines.append(f"{count_of(int(source['user_mode']), 'user-mode minidump')} left out: they are of programs")
    if source.get("cut"):
        lines.append("the folder holds more files than are looked at: not all were")
    return lines
