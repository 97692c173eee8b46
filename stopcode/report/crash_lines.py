"""One crash for people: what stopped it, where, through whom, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stopcode.report.fault_lines import fault_lines
from stopcode.report.hardware import hardware_rows
from stopcode.report.lines import Line, Tone, aligned
from stopcode.report.words import caused_by, count_of, culprit_name, duration, moment, place, stop_code

__all__ = ["crash_lines"]

_FRAMES, _UNLOADED = 16, 5
_CONFIDENCE_TONE: dict[str, Tone] = {"high": "strong", "medium": "strong", "low": "doubt", "none": "doubt"}


def _size(number: object) -> str:
    return f"{number:,} bytes" if isinstance(number, int) else "unknown size"


def crash_lines(crash: Mapping[str, Any], *, verbose: bool = False, indent: int = 0) -> Iterator[Line]:
    """Yield everything that a person wants of one crash; `verbose` adds registers, all frames and all modules."""
    bugcheck = crash.get("bugcheck") or {}
    yield Line(stop_code(bugcheck), "strong", indent)
    if bugcheck.get("case"):
        yield Line(str(bugcheck["case"]), indent=indent + 2)
    inner = indent + 2
    yield from aligned(_facts(crash), indent=inner)
    parameters = bugcheck.get("parameters") or []
    if parameters:
        rows = [
            (f"P{number}", str(item.get("value")), str(item.get("meaning") or ""))
            for number, item in enumerate(parameters, 1)
        ]
        yield from aligned(rows, indent=inner)
    yield from _culprit(crash, inner)
    yield from fault_lines(crash, indent=inner, verbose=verbose)
    yield from _stack("Stack", crash.get("stack") or [], inner, verbose)
    yield from _stack("Stack of the bug check call", _own(crash), inner, verbose)
    yield from _modules(crash, inner, verbose)
    yield from _unloaded(crash, inner, verbose)
    if verbose:
        yield from _streams(crash, inner)
    for gap in crash.get("gaps") or []:
        yield Line(str(gap), "doubt", inner, "not known: ")


def _facts(crash: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    dump = crash.get("dump") or {}
    whole = "" if dump.get("complete", True) else ", cut or damaged"
    member = f" as {dump['member']}" if dump.get("member") else ""
    packed = f", in the {dump['archive']}{member}" if dump.get("archive") else ""
    traits = "".join(f", {trait}" for trait in dump.get("traits") or [])
    yield "Dump", f"{dump.get('path')} ({dump.get('kind')}{traits}{packed}, {_size(dump.get('size'))}{whole})"
    uptime = crash.get("uptime_s")
    ran = f", {duration(uptime)} after boot" if isinstance(uptime, int | float) else ""
    yield "Time", moment(crash.get("time")) + ran
    system = [f"build {crash['build']}"] if crash.get("build") else []
    if crash.get("machine"):
        system.append(str(crash["machine"]))
    if crash.get("processors"):
        system.append(count_of(int(crash["processors"]), "processor"))
    for key, words in (("safe_mode", "in safe mode"), ("verifier", "Driver Verifier on")):
        if (crash.get("os") or {}).get(key):
            system.append(words)
    if system:
        yield "System", ", ".join(system)
    if crash.get("process"):
        thread = f", thread {crash['thread']}" if crash.get("thread") else ""
        yield "Process", str(crash["process"]) + thread
    yield from hardware_rows(crash.get("hardware"))
    for key, label in (("comment", "Comment"), ("writer", "Writer")):
        if dump.get(key):
            yield label, str(dump[key])
    if crash.get("bucket"):
        yield "Bucket", str(crash["bucket"])
    if dump.get("copy_of"):
        yield "Copy", f"the same crash as {dump['copy_of']}"
    if crash.get("live"):
        yield "Live", str(crash.get("latest_because") or "a live report")
    elif crash.get("foreign"):
        yield "Foreign", f"no crash of this Windows: {crash.get('latest_because') or 'it is of another build'}"
    elif crash.get("latest_because") and not crash.get("latest", True):
        yield "Earlier", f"an earlier crash: {crash['latest_because']}"


def _culprit(crash: Mapping[str, Any], indent: int) -> Iterator[Line]:
    culprit = crash.get("culprit") or {}
    confidence = str(culprit.get("confidence") or "none")
    tone = _CONFIDENCE_TONE.get(confidence, "plain")
    if culprit.get("module"):
        yield Line(f"{culprit_name(crash)} ({confidence} confidence)", tone, indent, "Culprit: ")
    else:
        said = caused_by(crash)
        yield Line(said[:1].upper() + said[1:] + f" ({confidence} confidence)", tone, indent)
    for word, lead in (("because", "because: "), ("against", "against: "), ("others", "also: ")):
        for reason in culprit.get(word) or []:
            yield Line(str(reason), "plain" if word == "because" else "quiet", indent + 2, lead)


def _own(crash: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the frames of the bug check call up to where its stack becomes the one at the fault."""
    stack, call = crash.get("stack") or [], crash.get("bugcheck_stack") or []
    joined = {(frame.get("ip"), frame.get("sp")) for frame in stack}
    end = next((at for at, frame in enumerate(call) if (frame.get("ip"), frame.get("sp")) in joined), len(call))
    return list(call[:end])


def _stack(title: str, frames: Sequence[Mapping[str, Any]], indent: int, verbose: bool) -> Iterator[Line]:
    if not frames:
        return
    yield Line(title, "heading", indent)
    taken = frames if verbose else frames[:_FRAMES]
    rows = []
    tones: list[Tone] = []
    for number, frame in enumerate(taken):
        image = f", by the {frame['image']}'s unwind data" if frame.get("image") and verbose else ""
        method, confidence = str(frame.get("method")), str(frame.get("confidence"))
        label = method + ("" if method == confidence else f", {confidence}") + image
        if frame.get("line"):
            label += f", {frame['line']}"
        if frame.get("inlined") and verbose:
            label += f", inlined there: {' < '.join(str(name) for name in frame['inlined'])}"
        cells = [f"{number:2}", *([str(frame.get("sp"))] if verbose else []), place(frame), label]
        rows.append(cells)
        tones.append("quiet" if frame.get("confidence") == "guess" else "plain")
    yield from aligned(rows, indent=indent + 2, tones=tones)
    if len(frames) > len(taken):
        yield Line(f"{len(frames) - len(taken)} more frames (-v shows them)", "quiet", indent + 2)


def _modules(crash: Mapping[str, Any], indent: int, verbose: bool) -> Iterator[Line]:
    modules = crash.get("modules") or []
    count = crash.get("module_count", len(modules))
    if not modules:
        return
    named = {str(frame.get("module")).lower() for frame in crash.get("stack") or [] if frame.get("module")}
    culprit = (crash.get("culprit") or {}).get("module")
    if culprit:
        named.add(str(culprit).lower())
    listed = modules if verbose else [item for item in modules if str(item.get("name")).lower() in named]
    more = "" if len(listed) == count else f" of {count:,} loaded (-v shows all that are known)"
    yield Line(f"Modules: {len(listed)}{more}", "heading", indent)
    rows = [
        (
            str(item.get("name")),
            str(item.get("base")),
            str(item.get("version") or "-"),
            f"stamp {item.get('timestamp', '?')}, size {item.get('size', 0):#x}, on disk: {item.get('on_disk')}",
        )
        for item in listed
    ]
    yield from aligned(rows, indent=indent + 2)


def _unloaded(crash: Mapping[str, Any], indent: int, verbose: bool) -> Iterator[Line]:
    unloaded = crash.get("unloaded") or []
    if not unloaded:
        return
    taken = unloaded if verbose else unloaded[:_UNLOADED]
    more = f", the newest {len(taken)} (-v shows all)" if len(taken) < len(unloaded) else ""
    yield Line(f"Unloaded drivers: {len(unloaded)}{more}", "heading", indent)
    rows = [(str(item.get("name")), f"{item.get('start')} to {item.get('end')}", moment(item.get("time"))
             if item.get("time") else "") for item in taken]  # fmt: skip
    yield from aligned(rows, indent=indent + 2)


def _streams(crash: Mapping[str, Any], indent: int) -> Iterator[Line]:
    streams = (crash.get("dump") or {}).get("streams")
    if not isinstance(streams, list) or not streams:
        return
    yield Line(f"Secondary data: {len(streams)}", "heading", indent)
    rows = [
        (str(item.get("tag")), _size(item.get("size")), str(item.get("name") or "of an unknown writer"))
        for item in streams
    ]
    yield from aligned(rows, indent=indent + 2)
