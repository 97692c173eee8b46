"""What `stopcode rescue` found and took, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stopcode.report.lines import Line, Tone, aligned, heading
from stopcode.report.words import count_of, moment, stop_code

__all__ = ["rescue_lines"]

_PLACES = {
    "memory-dmp": "dump file",
    "minidump": "small dump",
    "pagefile": "inside a page file",
    "dump-tmp": "renamed page file",
    "dedicated": "dedicated dump file",
    "live-kernel": "live report",
    "wer": "error report",
}


def rescue_lines(document: Mapping[str, Any], *, verbose: bool = False) -> Iterator[Line]:
    """Yield the list of dumps, why there is none, and what was taken."""
    dumps = document["dumps"]
    if dumps:
        yield Line(count_of(len(dumps), "dump"), "heading")
        rows = [("", "written", "bytes", "what it is", "stop code", "path"), *(_row(item) for item in dumps)]
        tones: list[Tone] = ["quiet", *(_tone(item) for item in dumps)]
        yield from aligned(rows, tones=tones)
    else:
        yield Line("No dump is on this disk.", "heading")
    for remark in document["diagnostics"]:
        if remark["code"].startswith("crashes.") and (remark["severity"] != "info" or verbose or not dumps):
            yield Line(remark["message"], "doubt", lead="  ")
            if remark["hint"]:
                yield Line(remark["hint"], "quiet", 4, "→ ")
    others = document.get("process_dumps") or []
    if others:
        yield Line(f"{count_of(len(others), 'dump')} of processes among the error reports, which tell nothing of the "
                   "kernel", "quiet")  # fmt: skip
        if verbose:
            yield from (Line(path, "quiet", 2) for path in others)
    if verbose:
        for item in dumps:
            if item.get("latest_because"):
                yield Line(item["latest_because"], "quiet", lead=f"{item['n']}: ")
    yield from _copied(document.get("copied") or [])
    if "archive" in document:
        yield from _archive(document["archive"], verbose)


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    number, size = str(item["n"]), f"{item['size']:,}"
    place = _PLACES.get(item["where"], item["where"])
    if "problem" in item:
        return number, "", size, place, item["problem"], item["path"]
    what = [item.get("kind", ""), place]
    if item.get("live") and item["where"] != "live-kernel":
        what.append("live report")
    if not item.get("complete", True):
        what.append("cut or damaged")
    if item.get("copy_of"):
        what.append(f"as {item['copy_of']}")
    return number, moment(item.get("time")), size, ", ".join(what), stop_code(item), item["path"]


def _tone(item: Mapping[str, Any]) -> Tone:
    if "problem" in item or not item.get("complete", True):
        return "doubt"
    return "strong" if item.get("latest") else "plain"


def _copied(rows: list[Mapping[str, Any]]) -> Iterator[Line]:
    if not rows:
        return
    yield from heading("Copied")
    for row in rows:
        if "problem" in row:
            yield Line(f"{row['path']}: {row['problem']}", "bad", 2, f"{row['n']}: ")
            continue
        yield Line(f"{row['to']} ({row['size']:,} bytes)", indent=2, lead=f"{row['n']}: ")
        yield Line(row["sha256"], "verbatim", 5, "SHA-256, read again: ")
        yield from _unreadable(row, 5)


def _unreadable(row: Mapping[str, Any], indent: int) -> Iterator[Line]:
    lost = row.get("unreadable")
    if lost:
        yield Line(
            f"{lost['bytes']:,} bytes could not be read and are zeros, the first at {lost['ranges'][0][0]:#x}: "
            f"{lost['reason']}",
            "doubt",
            indent,
        )


def _archive(archive: Mapping[str, Any], verbose: bool) -> Iterator[Line]:
    yield from heading("Packed")
    files = archive["files"]
    size = sum(item["size"] for item in files)
    yield Line(f"{archive['to']} ({count_of(len(files), 'file')}, {size:,} bytes before packing, verified)", indent=2)
    for item in files:
        if verbose:
            yield Line(item["name"], "quiet", 4)
        if "unreadable" in item:
            yield Line(item["name"], "doubt", 4)
            yield from _unreadable(item, 6)
    left = archive["left_out"]
    for item in left if verbose else left[:10]:
        yield Line(f"{item['path']}: {item['reason']}", "doubt", 4, "left out: ")
    if len(left) > 10 and not verbose:
        yield Line(f"and {len(left) - 10} more: -v lists them", "doubt", 4)
    for item in archive["not_found"]:
        yield Line(f"{item['pattern']}: {item['reason']}", "doubt", 4, "not found: ")
    if archive["redacted"]:
        yield Line("Names of the machine, its domain and its users were replaced in text files; look through the zip "
                   "before you pass it on.", "plain", 4)  # fmt: skip
