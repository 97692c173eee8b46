"""Open, collect, judge, put together.

Everything heavy (disks, collectors, rules) is imported when a scan begins, not when this module is: the command line
names it before it knows what it will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from forensics.remote.address import is_address
from parsers.bytesource import first_bytes
from parsers.diagnostics import Diagnostic, Diagnostics
from stopcode import __version__
from stopcode.scan.clock import Clock
from stopcode.scan.progress import Progress, Watcher

if TYPE_CHECKING:
    from forensics.disk import ImageOptions
    from forensics.facts import Facts
    from forensics.remote.blocks import RemoteFile
    from signatures import Database
    from stopcode.report.document import Report
    from stopcode.scan.lone import Extras, LoneDump

__all__ = ["judged_report", "scan", "unjudged_report"]

#: Which section of the facts is whole when a collector has run; a section that two write is told after the second.
_WHOLE_AFTER = {
    "system": "system",
    "services": "services",
    "drivers": "drivers",
    "filters": "filters",
    "updates": "updates",
    "crash_settings": "crash_settings",
    "events": "events",
    "boots": "boot",
    "files": "files",
    "registry": "registry",
    "crashes": "crashes",
    "disk_as_of": "system",
}


class _Teller:
    """Turns what `collect` tells into remarks with the sections that became whole."""

    def __init__(self, watcher: Watcher | None) -> None:
        self._watch = watcher or (lambda _remark: None)
        self._last = ""
        self._count = 0

    def step(self, name: str) -> None:
        self._watch(Progress(name, 0, 0))

    def collecting(self, name: str, number: int, count: int, facts: Facts) -> None:
        # Opening comes before the collectors and judging behind them.
        self._count = count + 2
        self._finish(facts)
        self._last = name
        self._watch(Progress(name, number + 1, self._count))

    def judging(self, facts: Facts) -> None:
        self._finish(facts)
        self._watch(Progress("judge", max(self._count - 1, 0), self._count))

    def _finish(self, facts: Facts) -> None:
        section = _WHOLE_AFTER.get(self._last)
        if section is not None:
            self._watch(Progress(self._last, 0, self._count, section, cast("Mapping[str, Any]", facts)[section]))


def scan(
    path: str,
    *,
    database: Database | None = None,
    progress: Watcher | None = None,
    remarks: Sequence[Diagnostic] = (),
    options: ImageOptions | None = None,
    extras: Extras | None = None,
) -> Report:
    """Read one machine and say what is known of it.

    Args:
        path: a disk image, a folder with a Windows tree in it, or a crash dump; or the address of an image or a dump.
        database: the rules; the built-in ones when None.
        progress: told what is being done.
        remarks: what was to be said of the rules when they were loaded; they open the report's diagnostics.
        options: what the user gives beside the name of a disk image.
        extras: driver and symbol files of the analyst's, asked after what the disk itself has.

    Raises:
        OpenError: the input gives nothing: an empty path, no such file, not a disk, locked, no Windows.
        FormatError: the container or the dump is damaged beyond use.
        UnsupportedError: a kind of container or dump that is not read.

    """
    from stopcode.scan.lone import NOTHING_MORE, begins_dump, is_dump, read_lone, require_named

    clock = Clock()
    more = extras or NOTHING_MORE
    diagnostics = Diagnostics(list(remarks))
    teller = _Teller(progress)
    teller.step("open")
    opened = _opened(path, diagnostics, options)
    head = b""
    if opened is None:
        require_named(path)
        head = first_bytes(path)
    try:
        only_a_dump = is_dump(path, head) if opened is None else begins_dump(opened)
    except BaseException:
        if opened is not None:
            opened.close()
        raise
    if only_a_dump:
        lone = read_lone(path if opened is None else opened, diagnostics, more)
        teller.judging(lone.facts)
        stats = clock.stats(lone.bytes_read + len(head), lone.requests + bool(head))
        return judged_report(lone.facts, lone.source, database or _built_in(), diagnostics, stats, lone=True)
    from forensics.collect import Machine, collect
    from forensics.disk import open_image

    with open_image(path if opened is None else opened, diagnostics, options, head=head) as image:
        rules = database or _built_in()
        machine = Machine(image.windows, rules.wants(), diagnostics, images=more.images, symbols=more.symbols)
        facts = collect(machine, teller.collecting)
        facts["volumes"] = image.volumes
        if not image.volumes:
            # Where files came from is known to whoever collected them.
            facts["gaps"].append({"path": "/volumes", "reason": "not collected: files alone show no volumes"})
            facts["gaps"].sort(key=lambda gap: gap["path"])
        teller.judging(facts)
        return judged_report(facts, image.describe(), rules, diagnostics,
                             clock.stats(image.bytes_read, image.requests))  # fmt: skip


def _opened(path: str, diagnostics: Diagnostics, options: ImageOptions | None) -> RemoteFile | None:
    """Return the file behind an address; None for a path."""
    if not is_address(path):
        return None
    from forensics.disk import ImageOptions
    from forensics.remote.opening import open_remote

    allowed = options or ImageOptions()
    return open_remote(path, diagnostics, allow_redirects=allowed.allow_redirects, allow_private=allowed.allow_private)


def _built_in() -> Database:
    from signatures import load_database

    return load_database(tests=False)


def judged_report(
    facts: Facts,
    source: dict[str, Any],
    database: Database,
    diagnostics: Diagnostics,
    stats: dict[str, Any],
    *,
    lone: bool = False,
) -> Report:
    """Judge facts and put the report together; needs no disk."""
    from signatures import judge_all
    from stopcode.report.document import SCHEMA
    from stopcode.report.verdict import verdict
    from stopcode.scan.updates import known_updates

    judgement = judge_all(database, facts)
    updates = {
        str(finding["rule"]): known_updates(database.get(finding["rule"]), finding, facts)
        for finding in judgement.findings
    }
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "tool": {
            "name": "stopcode",
            "version": __version__,
            "rules": len(database.rules),
            "rules_digest": database.digest,
        },
        "source": source,
        "verdict": verdict(
            cast("Mapping[str, Any]", facts),
            cast("list[Mapping[str, Any]]", judgement.findings),
            updates,
            lone=lone,
        ),
        "facts": facts,
        "findings": judgement.findings,
        "unjudged": judgement.unjudged,
        "diagnostics": [item.to_dict() for item in diagnostics.items],
        "stats": stats,
    }
    return cast("Report", report)


def unjudged_report(lone: LoneDump, diagnostics: Diagnostics, stats: dict[str, Any]) -> Report:
    """Return the report of a dump that no rule was asked about."""
    from stopcode.report.verdict import verdict

    report: dict[str, Any] = {
        "schema": "stopcode/report/1",
        "tool": {"name": "stopcode", "version": __version__, "rules": 0},
        "source": lone.source,
        "verdict": verdict(cast("Mapping[str, Any]", lone.facts), [], {}, lone=True, judged=False),
        "facts": lone.facts,
        "findings": [],
        "unjudged": [],
        "diagnostics": [item.to_dict() for item in diagnostics.items],
        "stats": stats,
    }
    return cast("Report", report)
