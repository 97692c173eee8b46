"""The whole report for people: verdict, machine, known problems, crashes, remarks, in this order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from stopcode.report.crash_lines import crash_lines
from stopcode.report.lines import Line, Tone, aligned, blank, heading, paragraphs
from stopcode.report.verdict import latest_crash
from stopcode.report.words import byte_size, count_of, culprit_name, moment, where

__all__ = ["STATE_WORD", "counted", "diagnostic_lines", "finding_lines", "last_boot", "report_lines"]

#: Word and shape, so that nothing is told by colour alone.
STATE_WORD = {"crashed": "CRASHED ✖", "exposed": "EXPOSED ▲", "suspected": "SUSPECTED ?", "clear": "CLEAR ·"}
_STATE_TONE: dict[str, Tone] = {
    "crashed": "bad",
    "exposed": "bad",
    "suspected": "doubt",
    "partial": "doubt",
    "clear": "good",
}
#: The log's time of a boot and the dump's differ by less.
_SAME_BOOT = timedelta(minutes=2)
_ROLES = {"workstation": "workstation", "member": "member server", "domain-controller": "domain controller"}


def report_lines(report: Mapping[str, Any], *, verbose: bool = False) -> Iterator[Line]:
    """Yield the lines of one report."""
    facts = report.get("facts") or {}
    verdict = report.get("verdict") or {}
    tone = _STATE_TONE.get(str(verdict.get("state")), "strong")
    yield Line(str(verdict.get("sentence") or "No verdict."), tone)
    for line in verdict.get("lines") or []:
        yield Line(str(line), indent=2)
    yield from _machine(report, facts)
    findings = report.get("findings") or []
    if findings:
        yield from heading(f"Known problems: {len(findings)}")
        for number, finding in enumerate(findings, 1):
            yield from finding_lines(finding, number=number, verbose=verbose)
    crashes = facts.get("crashes") or []
    if crashes:
        yield from heading(f"Crashes: {counted(crashes)}")
        # A live report may be newer than the crash that the verdict speaks of.
        shown_whole = latest_crash(facts) or crashes[0]
        for crash in crashes:
            yield from _crash(crash, whole=verbose or crash is shown_whole, verbose=verbose)
    yield from _remarks(report, verbose)


def counted(crashes: Sequence[Mapping[str, Any]]) -> str:
    """Return how many crashes these are, and how many live reports, which are none ("2, and 1 live report")."""
    live = sum(bool(crash.get("live")) for crash in crashes)
    return f"{len(crashes) - live:,}" + (f", and {count_of(live, 'live report')}" if live else "")


def _shadow_copy(read: Mapping[str, Any] | None) -> str:
    """Return which shadow copy was read in place of the Windows volume."""
    if not read:
        return ""
    return f"read as of {moment(read['created'])}, {read['id']}" if "created" in read else f"read: {read['id']}"


def _machine(report: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Line]:
    system = facts.get("system") or {}
    unread = {str(gap.get("path")): str(gap.get("reason")) for gap in facts.get("gaps") or []}
    source = report.get("source") or {}

    def known(*names: str) -> str:
        return " ".join(str(system[name]) for name in names if system.get(name) not in (None, ""))

    def or_gap(text: str, *paths: str) -> str:
        if text:
            return text
        reason = next((unread[path] for path in paths if path in unread), "")
        return f"not read: {reason}" if reason else ""

    update = known("update_kb")
    if update and system.get("update_date"):
        update += f" of {system['update_date']}"
    role = _ROLES.get(str(system.get("role")), known("role"))
    if role and system.get("domain"):
        role += f" in {system['domain']}"
    settings = facts.get("crash_settings") or {}
    image = (str(source.get("path") or ""), str(source.get("kind") or ""), byte_size(source.get("size")))
    rows = [
        ("Name", or_gap(known("hostname"), "/system/hostname", "/system")),
        ("Windows", or_gap(known("product", "display_version"), "/system/product", "/system")),
        ("Version", or_gap(known("version"), "/system/version", "/system/build", "/system")),
        ("Processor", known("arch")),
        ("Update", update),
        ("Role", role),
        ("Hardware", known("manufacturer", "model")),
        ("Last boot", or_gap(last_boot(facts), "/boot/last_boot", "/boot")),
        ("Shutdown", f"{moment(system['last_shutdown'])} (the last clean one)" if system.get("last_shutdown") else ""),
        ("Disk as of", moment(system["disk_as_of"]) if system.get("disk_as_of") else ""),
        ("Shadow copy", _shadow_copy(source.get("shadow_copy"))),
        ("Dumps", _dump_settings(settings)),
        ("Image", ", ".join(filter(None, image))),
    ]
    if source.get("kind") == "dump":
        rows = rows[-1:]
    yield from heading("Machine")
    yield from aligned([row for row in rows if row[1]], indent=2)


def last_boot(facts: Mapping[str, Any]) -> str:
    """Return when the latest boot began: a boot that crashed early is known by its dump alone."""
    logged = str((facts.get("boot") or {}).get("last_boot") or "")
    crash = latest_crash(facts) or {}
    try:
        began = datetime.fromisoformat(str(crash.get("time"))) - timedelta(seconds=float(crash.get("uptime_s", "")))
        by_dump = not logged or began > datetime.fromisoformat(logged) + _SAME_BOOT
    except (ValueError, TypeError, OverflowError):
        by_dump = False
    if not by_dump:
        return moment(logged) if logged else ""
    newest = f" (the newest in the event log: {moment(logged)})" if logged else ""
    return f"{moment(began.isoformat())}, by its dump{newest}"


def _dump_settings(settings: Mapping[str, Any]) -> str:
    if not settings.get("enabled"):
        return ""
    file = f" to {settings['dump_file']}" if settings.get("dump_file") else ""
    return f"Windows was told to write: {settings['enabled']}{file if settings['enabled'] != 'none' else ''}"


def finding_lines(finding: Mapping[str, Any], *, number: int = 1, verbose: bool = False) -> Iterator[Line]:
    """Yield one finding: what it is, why it is believed, what to do."""
    state = str(finding.get("state"))
    tone = _STATE_TONE.get(state, "plain")
    yield Line(f"{STATE_WORD.get(state, state)}  {finding.get('title')}", tone, 2, f"{number}. ")
    names = [f"rule {finding.get('rule')}", str(finding.get("severity")), str(finding.get("kind") or "")]
    if finding.get("status") == "experimental":
        names.append("experimental: never sets the exit code")
    if finding.get("confidence"):
        names.append(f"{finding['confidence']} confidence")
    if finding.get("exposed_now") is False and state == "crashed":
        names.append("not exposed any more")
    yield Line(", ".join(filter(None, names)), "quiet", 5)
    if finding.get("summary"):
        yield Line(str(finding["summary"]), indent=5)
    yield from _statements("Evidence", finding.get("evidence") or [], "plain")
    yield from _statements("Against it", finding.get("against") or [], "doubt")
    missing = finding.get("missing") or []
    if missing:
        yield Line("Could not be read", "heading", 5)
        for item in missing:
            yield Line(f"{item.get('path')}: {item.get('reason')}", "doubt", 7, "- ")
    yield from _steps(finding.get("remediation") or [])
    if verbose and finding.get("explain"):
        yield Line("Why", "heading", 5)
        yield from paragraphs(str(finding["explain"]), indent=7)
    references = finding.get("references") or []
    if references and verbose:
        yield Line("Sources", "heading", 5)
        for item in references:
            place = item.get("url") or item.get("repo") or ""
            yield Line(f"{item.get('title')} {place}".rstrip(), "quiet", 7, "- ")


def _statements(title: str, items: Sequence[Mapping[str, Any]], tone: Tone) -> Iterator[Line]:
    if not items:
        return
    yield Line(title, "heading", 5)
    for item in items:
        yield Line(_statement(item), tone, 7, "- ")
        place = where(item.get("source")) or str(item.get("path") or "")
        if place:
            yield Line(place, "quiet", 9)


def _statement(item: Mapping[str, Any]) -> str:
    """Return the statement, with the value where the statement does not hold it already."""
    text = str(item.get("statement") or "")
    value = item.get("value")
    if (
        value not in (None, "")
        and str(value) not in text
        and isinstance(value, str | int)
        and not isinstance(value, bool)
    ):
        text += f": {value}"
    return text


def _steps(steps: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    if not steps:
        return
    yield Line("What to do", "heading", 5)
    for number, step in enumerate(steps, 1):
        condition = f"If {step['condition']}: " if step.get("applies") == "if" and step.get("condition") else ""
        kb = f" ({step['kb']})" if step.get("kb") and str(step["kb"]) not in str(step.get("do")) else ""
        yield Line(f"{condition}{step.get('do')}{kb}", "strong", 7, f"{number}. ")
        for command in step.get("commands") or []:
            yield Line(str(command), "command", 12)
        if step.get("risk"):
            yield Line(f"Mind: {step['risk']}", "doubt", 10)


def _crash(crash: Mapping[str, Any], *, whole: bool, verbose: bool) -> Iterator[Line]:
    if whole:
        yield from crash_lines(crash, verbose=verbose, indent=2)
        return
    bugcheck = crash.get("bugcheck") or {}
    culprit = crash.get("culprit") or {}
    live = "live report, " if crash.get("live") else ""
    blamed = f"{culprit_name(crash)} ({culprit.get('confidence')} confidence)"
    told = f"{bugcheck.get('code')} {bugcheck.get('name')}, {blamed}, {(crash.get('dump') or {}).get('path')}"
    yield Line(live + told, indent=2, lead=f"{moment(crash.get('time'))}  ")


def diagnostic_lines(remark: Mapping[str, Any], *, indent: int = 2) -> Iterator[Line]:
    """Yield one diagnostic: what is wrong, where, what to do."""
    severity = str(remark.get("severity"))
    tone: Tone = {"error": "bad", "warning": "doubt"}.get(severity, "plain")  # type: ignore[assignment]  # tones alone
    source = str(remark.get("source") or "")
    place = f" ({source})" if source and source not in str(remark.get("message")) else ""
    yield Line(f"{remark.get('message')}{place}", tone, indent, f"{severity} {remark.get('code')}: ")
    if remark.get("hint"):
        yield Line(str(remark["hint"]), "quiet", indent + 2, "hint: ")


def _remarks(report: Mapping[str, Any], verbose: bool) -> Iterator[Line]:
    remarks = [item for item in report.get("diagnostics") or [] if verbose or item.get("severity") != "info"]
    hidden = len(report.get("diagnostics") or []) - len(remarks)
    unjudged = report.get("unjudged") or []
    if remarks or unjudged or hidden:
        yield from heading("Remarks")
    for remark in remarks:
        yield from diagnostic_lines(remark)
    if unjudged:
        yield from _unjudged(unjudged, verbose)
    if hidden:
        yield Line(f"{count_of(hidden, 'note')} more (-v shows them)", "quiet", 2)


def _unjudged(unjudged: Sequence[Mapping[str, Any]], verbose: bool) -> Iterator[Line]:
    reasons = Counter(str(item.get("reason")) for item in unjudged).most_common()
    more = f", and {count_of(len(reasons) - 1, 'other reason')}" if len(reasons) > 1 else ""
    yield Line(f"{count_of(len(unjudged), 'rule')} not judged: {reasons[0][0]}{more}", "doubt", 2)
    if verbose:
        for item in unjudged:
            yield Line(f"{item.get('rule')}: {item.get('reason')}", "quiet", 4, "- ")


def separated(blocks: Sequence[Sequence[Line]]) -> Iterator[Line]:
    """Yield several reports with an empty line between them."""
    for number, block in enumerate(blocks):
        if number:
            yield blank()
        yield from block
