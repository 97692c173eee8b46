"""The place of a crash for people: where it stopped, the instruction, and whether the fault fits it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stopcode.report.lines import Line

__all__ = ["fault_lines"]


def fault_lines(crash: Mapping[str, Any], *, indent: int, verbose: bool) -> Iterator[Line]:
    """Yield the context of a crash; `verbose` adds registers, the checks, and all that the instruction tells."""
    context = crash.get("context")
    if not context:
        return
    what = "Fault at" if context.get("fault") else "Bug check called at"
    yield Line(f"{context.get('place')} ({context.get('where')})", indent=indent, lead=f"{what} ")
    inner = indent + 2
    # The inside of a context has no type in the schema: a stored report may hold anything there.
    exception = context.get("exception")
    if isinstance(exception, Mapping):
        yield Line(str(exception.get("code")), indent=inner, lead="exception: ")
    if context.get("instruction"):
        yield Line(str(context["instruction"]), indent=inner, lead="instruction: ")
    if context.get("code"):
        yield Line(str(context["code"]), "quiet", inner, "code: ")
    yield from _fit(crash, inner, verbose=verbose)
    if not verbose:
        return
    for check in _list(context.get("checks")):
        yield Line(str(check), "quiet", inner, "checked: ")
    if isinstance(context.get("registers"), Mapping):
        registers = list(context["registers"].items())
        for at in range(0, len(registers), 3):
            cells = [f"{name:>4} {value!s:<18}" for name, value in registers[at : at + 3]]
            yield Line(" ".join(cells).rstrip(), "quiet", inner)


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _fit(crash: Mapping[str, Any], indent: int, *, verbose: bool) -> Iterator[Line]:
    """Yield what the instruction says of the fault; what the reasons of the culprit tell already only with -v."""
    fit = crash.get("fit") or {}
    culprit = crash.get("culprit") or {}
    told = set() if verbose else {*(culprit.get("because") or []), *(culprit.get("against") or [])}
    verdict = fit.get("verdict")
    if verdict == "contradicts":
        yield Line("the fault does not fit its instruction, so not this code is to blame", "doubt", indent)
    elif verdict == "fits":
        yield Line("the fault fits its instruction", indent=indent)
    for key, lead in (("misfits", "misfit: "), ("agrees", "fits: "), ("doubts", "doubt: ")):
        for sentence in _list(fit.get(key)):
            if sentence not in told and (verbose or key != "doubts"):
                yield Line(str(sentence), "doubt" if key == "misfits" else "quiet", indent, lead)
    if verbose:
        for access in _list(fit.get("accesses")):
            kinds = " and ".join(str(kind) for kind in _list(access.get("kinds"))) or "none"
            where = access.get("address") or "an address that is not known"
            yield Line(f"{access.get('operand')}: {kinds} of {access.get('size')} bytes at {where}", "quiet", indent,
                       "touches: ")  # fmt: skip
