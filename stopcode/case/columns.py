"""What of a report becomes columns: everything a question about a fleet needs, and nothing else.

Reports hold whatever a damaged or hostile disk holds, so each value is made into what its column takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["crash_rows", "diagnostic_rows", "finding_rows", "parents_of", "scan_columns"]


def _text(value: object) -> str | None:
    """Return a text that UTF-8 can carry; lone surrogates are written out."""
    if value is None:
        return None
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _number(value: object) -> int | None:
    """Return an integer of SQLite's (64 bits, signed), else None."""
    if isinstance(value, float) and -(1 << 53) < value < 1 << 53:
        value = round(value)
    return value if isinstance(value, int) and -(1 << 63) <= value < 1 << 63 else None


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def parents_of(report: Mapping[str, Any]) -> list[str]:
    """Return the names of the files, beside the image, that it builds on; a name that leads elsewhere is none."""
    names = [str(parent.get("path")) for parent in _items(_map(report.get("source")).get("parents"))]
    return [name for name in names if name not in ("", ".", "..") and not set(name) & set("/\\\0")]


def scan_columns(report: Mapping[str, Any]) -> dict[str, str | int | None]:
    """Return the columns of `scan` that come from the report."""
    source, facts = _map(report.get("source")), _map(report.get("facts"))
    system, verdict, stats = _map(facts.get("system")), _map(report.get("verdict")), _map(report.get("stats"))

    def milliseconds(value: object) -> int | None:
        return _number(value * 1000) if isinstance(value, int | float) else None

    return {
        "kind": _text(source.get("kind")),
        "size": _number(source.get("size")),
        "parents": json.dumps(parents_of(report)),
        "hostname": _text(system.get("hostname")),
        "domain": _text(system.get("domain")),
        "product": _text(system.get("product")),
        "build": _number(system.get("build")),
        "ubr": _number(system.get("ubr")),
        "windows_version": _text(system.get("version")),
        "update_kb": _text(system.get("update_kb")),
        "disk_as_of": _text(system.get("disk_as_of")),
        "state": _text(verdict.get("state")),
        "sentence": _text(verdict.get("sentence")),
        "bytes_read": _number(stats.get("bytes_read")),
        "requests": _number(stats.get("requests")),
        "wall_ms": milliseconds(stats.get("wall_s")),
        "cpu_ms": milliseconds(stats.get("cpu_s")),
    }


def finding_rows(report: Mapping[str, Any]) -> list[tuple[str | None, ...]]:
    """Return rule, title, state, severity, status, confidence of each finding."""
    return [
        (
            _text(finding.get("rule")) or "",
            _text(finding.get("title")) or "",
            _text(finding.get("state")) or "",
            _text(finding.get("severity")) or "",
            _text(finding.get("status")) or "",
            _text(finding.get("confidence")),
        )
        for finding in _items(report.get("findings"))
    ]


def crash_rows(report: Mapping[str, Any]) -> list[tuple[str | int | None, ...]]:
    """Return time, latest, bug check, culprit, confidence, dump of each crash."""
    rows: list[tuple[str | int | None, ...]] = []
    for crash in _items(_map(report.get("facts")).get("crashes")):
        culprit = _map(crash.get("culprit"))
        rows.append(
            (
                _text(crash.get("time")),
                int(bool(crash.get("latest"))),
                _text(_map(crash.get("bugcheck")).get("code")),
                _text(culprit.get("module") or culprit.get("kind")),
                _text(culprit.get("confidence")),
                _text(_map(crash.get("dump")).get("path")),
            )
        )
    return rows


def diagnostic_rows(diagnostics: object) -> list[tuple[str | None, ...]]:
    """Return severity, code, message, hint, source of each diagnostic."""
    return [
        tuple(_text(item.get(name)) or "" for name in ("severity", "code", "message", "hint", "source"))
        for item in _items(diagnostics)
    ]
