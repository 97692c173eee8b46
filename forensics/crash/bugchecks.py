"""Bug check codes: names, meanings of parameters and sub-codes; the codes and screens of a start that stops.

The tables are data (`data/bugchecks.json`, all 425 documented codes; `data/boot-codes.json`, 100 screens), each with
its attribution: facts from Microsoft's documentation (MicrosoftDocs/windows-driver-docs and others, CC BY 4.0),
reworded. One entry stands on one line, so that a dump's one code is found by a text search and only its line is
parsed; the whole table is parsed for `find` by name alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from forensics.crash.ntstatus import NTSTATUS, describe_status
from forensics.crash.subcodes import holds, said, select, split_others

__all__ = [
    "BootCode",
    "BugCheckInfo",
    "Explanation",
    "ParameterInfo",
    "attributions",
    "boot_codes",
    "describe",
    "find",
    "masked",
]

_DATA = Path(__file__).parent / "data"
#: WinDbg's minidump mark: 0x1000007E is 0x7E whose header CONTEXT is the faulting one.
_MINIDUMP_MARK = 0x10000000
_WORD = re.compile(r"[a-z0-9']+")
#: Words with which a documented meaning says that the value is an NTSTATUS.
_STATUS_WORDS = ("ntstatus", "status code", "exception code", "status of")


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """One parameter: `value` is None when none was given; `meaning` is "" for reserved or undocumented ones."""

    number: int
    value: int | None
    meaning: str


@dataclass(frozen=True, slots=True)
class BugCheckInfo:
    """What is documented of a bug check.

    Attributes:
        code: masked (0x7E for 0x1000007E).
        raw: as given.
        name: the documented name; "" when the code is not documented.
        parameters: the four of them, with values where they were given.
        case: the sub-code's meaning that the given parameters select; "" when none does.
        subcodes: parameter ("1" … "4", or "2@p1=0x6", "3@p1=0x8,p2=0x6") -> value -> meaning; without the tables that
            are for other values of the parameters given.
        source: page of Microsoft's documentation.

    """

    code: int
    raw: int
    name: str
    parameters: tuple[ParameterInfo, ...]
    case: str
    subcodes: dict[str, dict[str, str]]
    source: str


@dataclass(frozen=True, slots=True)
class BootCode:
    """A screen on which a start stops: Boot Manager's, the loader's, WinRE's, the kernel's.

    Attributes:
        id: permanent id ("ld-c0000098").
        code: number on the screen, None for a screen without one.
        stage: where the message is produced: firmware, boot-manager, loader, recovery, kernel …
        look_at: what to look at on the disk.
        remedy: what to do offline; the drive letters are explained by `conventions` of the data file.

    """

    id: str
    code: int | None
    name: str
    stage: str
    screen: str
    means: str
    look_at: tuple[str, ...]
    remedy: tuple[str, ...]
    confidence: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known about one code that a person asked for.

    Attributes:
        code: the number; None when only a screen without a code was found.
        bugcheck: the documented bug check of that number.
        boot: screens that show the number.
        status: the NTSTATUS of that number: "0xc0000005 STATUS_… (…)".

    """

    code: int | None
    bugcheck: BugCheckInfo | None
    boot: tuple[BootCode, ...]
    status: str | None


@lru_cache(maxsize=2)
def _text(name: str) -> str:
    return (_DATA / name).read_text(encoding="utf-8")


@lru_cache(maxsize=2)
def _document(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_text(name))
    return document


def attributions() -> list[str]:
    """Return the attribution of each table, to be shown where its texts are."""
    return [str(_document(name)["attribution"]) for name in ("bugchecks.json", "boot-codes.json")]


def masked(code: int) -> int:
    """Return the code without WinDbg's minidump mark (0x1000007E is 0x7E)."""
    return code & ~_MINIDUMP_MARK if code >> 28 == 1 and code & 0xFFF0000 == 0 else code


@lru_cache(maxsize=64)
def _entry(code: int) -> dict[str, Any] | None:
    text = _text("bugchecks.json")
    at = text.find(f'\n{{"code": "{code:#x}",')
    if at < 0:
        return None
    line = text[at + 1 : text.index("\n", at + 1)].rstrip().rstrip(",")
    entry: dict[str, Any] = json.loads(line)
    return entry


def describe(code: int, parameters: Sequence[int | None] = ()) -> BugCheckInfo:
    """Return what is documented of a bug check; an undocumented one has an empty name.

    Args:
        code: as the dump or the screen shows it.
        parameters: up to four; they select sub-codes and are named in the answer.

    """
    short = masked(code)
    entry = _entry(short) or _entry(code)
    values = [*parameters, None, None, None, None][:4]
    if entry is None:
        return BugCheckInfo(short, code, "", tuple(ParameterInfo(i + 1, values[i], "") for i in range(4)), "", {}, "")
    meanings = [text or "" for text in entry["parameters"]]
    subcodes: dict[str, dict[str, str]] = entry.get("subcodes", {})
    case = ""
    for key, table in subcodes.items():
        number, _at, condition = key.partition("@")
        value = values[int(number) - 1]
        if value is None:
            continue
        if not holds(condition, values):
            continue
        text, others = split_others(select(table, value))
        if not text:
            continue
        if number == "1" and not case:
            case = text
        own = meanings[int(number) - 1]
        meanings[int(number) - 1] = f"{own}: {text}" if own and not own.startswith("depends on") else text
        for other, words in others.items():
            if not meanings[other - 1] or meanings[other - 1].startswith("depends on"):
                meanings[other - 1] = words
    for i, value in enumerate(values):
        if value is not None and any(word in meanings[i].lower() for word in _STATUS_WORDS):
            low = value & 0xFFFFFFFF
            if low in NTSTATUS:
                meanings[i] += f": {describe_status(value)}"
    listed = tuple(ParameterInfo(i + 1, values[i], meanings[i]) for i in range(4))
    told = {
        key: {value: said(text) for value, text in table.items()}
        for key, table in subcodes.items()
        if holds(key.partition("@")[2], values) is not False
    }
    return BugCheckInfo(short, code, entry["name"], listed, case, told, entry["source"])


@lru_cache(maxsize=1)
def boot_codes() -> tuple[BootCode, ...]:
    """Return every screen of the table."""
    return tuple(
        BootCode(
            row["id"],
            None if row["code"] is None else int(row["code"], 16),
            row["name"] or "",
            row["stage"],
            row["screen"],
            row["means"],
            tuple(row["look_at"]),
            tuple(row["remedy_offline"]),
            row["confidence"],
            tuple(row["sources"]),
        )
        for row in _document("boot-codes.json")["entries"]
    )


def _explain(code: int, parameters: Sequence[int | None]) -> Explanation | None:
    info = describe(code, parameters)
    boot = tuple(row for row in boot_codes() if row.code is not None and row.code in (code, info.code))
    status = describe_status(code) if code in NTSTATUS else None
    if not info.name and not boot and status is None:
        return None
    return Explanation(code, info if info.name else None, boot, status)


def _readings(text: str) -> list[int]:
    """Return the numbers that a text may mean: digits alone are decimal first (event 41), then hexadecimal."""
    word = text.strip(" \t,;.:").lower().removesuffix("h")
    for prefix in ("stop:", "stop", "0x", "x"):
        if word.startswith(prefix):
            word = word[len(prefix) :].strip().removeprefix("0x")
            if re.fullmatch(r"[0-9a-f]{1,16}", word):
                return [int(word, 16)]
    found = [int(word)] if re.fullmatch(r"\d{1,10}", word) else []
    if re.fullmatch(r"[0-9a-f]{1,16}", word) and int(word, 16) not in found:
        found.append(int(word, 16))
    return found


def _screens_showing(text: str) -> list[BootCode]:
    """Return the screens of a stage ("WinRE"), or those that show every word of the text."""
    words = set(_WORD.findall(text.lower()))
    if not words or max(map(len, words)) < 4:
        return []
    stage = "recovery" if words == {"winre"} else text.strip().lower()
    return [row for row in boot_codes() if row.stage == stage or words <= set(_WORD.findall(row.screen.lower()))]


def _as_name(text: str) -> str:
    """Return a text as names are written: capitals, words joined by underscores."""
    return re.sub(r"[\s-]+", "_", text.strip()).upper()


def find(text: str, parameters: Sequence[int | None] = ()) -> list[Explanation]:
    """Return what a person may mean by a code or name; empty when nothing is known.

    `0x7B`, `7B`, `STOP 0x7B` are hexadecimal; digits alone are read as decimal first (the event log writes 123 for
    0x7B) and as hexadecimal second, and both are returned when both exist. Names may lack their prefix, be in any
    case and with spaces; a part of a name finds every name that holds it, and words that a start-up screen shows find
    the screen.
    """
    found = [item for code in _readings(text) if (item := _explain(code & 0xFFFFFFFF, parameters)) is not None]
    if found:
        return found
    wanted = _as_name(text)
    if len(wanted) < 3:
        return []
    names: dict[int, str] = {int(row["code"], 16): row["name"] for row in _document("bugchecks.json")["bugchecks"]}
    statuses = {code: name for code, (name, _text_) in NTSTATUS.items() if code not in names}
    every = {**names, **statuses}
    codes = [code for code, name in every.items() if _as_name(name) in (wanted, f"STATUS_{wanted}")]
    # 0x1000007E and its like are the same stop under WinDbg's mark: named only when asked for by that name.
    codes = codes or [code for code, name in every.items() if wanted in _as_name(name) and masked(code) == code]
    found = [item for code in codes if (item := _explain(code, parameters)) is not None]
    if found:
        return found
    screens = [row for row in boot_codes() if row.id.upper() == text.strip().upper() or wanted in row.name.upper()]
    screens = screens or _screens_showing(text)
    return [Explanation(row.code, None, (row,), None) for row in screens]
