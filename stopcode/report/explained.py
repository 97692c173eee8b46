"""What `stopcode explain` finds as plain data (`stopcode/explain/1`): numbers are hexadecimal text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from forensics.crash.bugchecks import BootCode, BugCheckInfo, Explanation

__all__ = [
    "EXPLAIN_SCHEMA", "Explained", "ExplainedBugCheck", "ExplainedCode", "ExplainedParameter", "ExplainedScreen",
    "explained",
]  # fmt: skip

EXPLAIN_SCHEMA = "stopcode/explain/1"


class ExplainedParameter(TypedDict):
    """One of the four parameters: its value where one was given, and what it means, "" where that is not documented."""

    number: int
    value: str | None
    meaning: str


class ExplainedBugCheck(TypedDict):
    """A bug check. `code` is without WinDbg's mark, `raw` as it was given; `case` is what the parameters select.

    `subcodes` are tables of a parameter's values: its number, with a condition behind "@" where there is one.
    """

    code: str
    raw: str
    name: str
    parameters: list[ExplainedParameter]
    case: str
    subcodes: dict[str, dict[str, str]]
    source: str


class ExplainedScreen(TypedDict):
    """A screen of a start that stops: what it shows and means, what to look at on the disk, what to do."""

    id: str
    code: str | None
    name: str
    stage: str
    screen: str
    means: str
    look_at: list[str]
    remedy: list[str]
    confidence: str
    sources: list[str]


class ExplainedCode(TypedDict):
    """All that one code stands for; `status` is the NTSTATUS of that number."""

    code: str | None
    bugcheck: ExplainedBugCheck | None
    boot: list[ExplainedScreen]
    status: str | None


class Explained(TypedDict):
    """The whole document: what was found, the likeliest first, and whose facts these are, with their licence."""

    schema: str
    found: list[ExplainedCode]
    credits: list[str]


def explained(found: Sequence[Explanation], credits: Sequence[str]) -> Explained:
    """Return the document."""
    return {
        "schema": EXPLAIN_SCHEMA,
        "found": [
            {
                "code": _hex(item.code),
                "bugcheck": None if item.bugcheck is None else _bugcheck(item.bugcheck),
                "boot": [_screen(screen) for screen in item.boot],
                "status": item.status,
            }
            for item in found
        ],
        "credits": list(credits),
    }


def _hex(number: int | None) -> str | None:
    return None if number is None else f"{number:#x}"


def _bugcheck(info: BugCheckInfo) -> ExplainedBugCheck:
    return {
        "code": f"{info.code:#x}",
        "raw": f"{info.raw:#x}",
        "name": info.name,
        "parameters": [
            {"number": row.number, "value": _hex(row.value), "meaning": row.meaning} for row in info.parameters
        ],
        "case": info.case,
        "subcodes": info.subcodes,
        "source": info.source,
    }


def _screen(screen: BootCode) -> ExplainedScreen:
    return {
        "id": screen.id,
        "code": _hex(screen.code),
        "name": screen.name,
        "stage": screen.stage,
        "screen": screen.screen,
        "means": screen.means,
        "look_at": list(screen.look_at),
        "remedy": list(screen.remedy),
        "confidence": screen.confidence,
        "sources": list(screen.sources),
    }
