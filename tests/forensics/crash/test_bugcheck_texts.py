"""No text of the tables is cut off inside its sentence, holds remains of a page, or points to a page not at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forensics.crash import bugchecks
from forensics.crash.bugchecks import boot_codes, describe
from forensics.crash.ntstatus import NTSTATUS

#: Words that no sentence ends with: one that does was cut.
OPEN_WORDS = re.compile(
    r"(?:a|about|an|and|are|as|at|be|beca|because|been|but|by|ca|could|for|from|had|has|have|if|in|including|inside|into|"
    r"is|its|might|must|not|of|on|or|param|per|should|than|that|the|their|this|to|tried|trying|attempting|until|via|was|"
    r"were|when|where|which|while|whose|will|with|without|would|(?:are|ca|could|did|does|had|has|have|is|was|were|wo)n't)",
    re.IGNORECASE,
)
#: What a page says of itself, or of a place on it, and markup.
REMAINS = re.compile(
    r"\bsee (?:source|below|above|parameters?|subcodes|description|table)|listed (?:here|below)|\bselector, |"
    r"\bParam(?:eter)?\b|\bVALUES\b|\bbeca\b|\bp[1-4]=|(?<!\w)!\w+kd\b|"
    r"</?(?:strong|em|br|p|a|td)/?>|&\w+;|\*\*\w|`|\]\(|\\_|https?:"
)
#: "0: first 1: second": the values of a list that ran together, most often with its end lost.
RUN_TOGETHER = re.compile(r"[^\s,;:(]\s+(?:0x)?\d+\s?:(?:\s|$)|\.\s(?:0x)?\d+\s?:")


def faults(text: str, *, ends: bool = True) -> list[str]:
    """Return what shows that a text was cut, or was taken over with the page around it."""
    found = []
    if any(text.count(left) != text.count(right) for left, right in ("()", "[]", "{}")) or text.count('"') % 2:
        found.append("brackets or quotes do not close")
    if text != text.strip() or re.search(r"\s\s|[\t\n\r]", text):
        found.append("blanks")
    if not text:
        found.append("empty")
    if match := REMAINS.search(text):
        found.append(f"remains: {match[0]}")
    if ends:
        if text.endswith((",", ";", ":", "(", "[", "-", "/", ".", "=")):
            found.append("ends with a mark")
        last = re.split(r"[\s(]", text.rstrip(').," '))[-1]
        if OPEN_WORDS.fullmatch(last) and last not in {"IN", "ON"}:
            found.append(f"ends with {last!r}")
        if RUN_TOGETHER.search(text):
            found.append("values of a list ran together")
    return found


def rows() -> list[dict[str, Any]]:
    document = json.loads((Path(bugchecks.__file__).parent / "data" / "bugchecks.json").read_text("utf-8"))
    found: list[dict[str, Any]] = document["bugchecks"]
    return found


def texts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every text of a code with the place it stands at, what it says of other parameters apart."""
    for number, text in enumerate(row["parameters"], 1):
        if text is not None:
            yield f"P{number}", text
    for key, table in row.get("subcodes", {}).items():
        for value, text in table.items():
            plain, bracket, others = text.partition(" [p")
            yield f"{key} {value}", plain
            if bracket:
                assert others.endswith("]"), (row["code"], key, value)
                for part in f"p{others[:-1]}".split("; "):
                    yield f"{key} {value} {part[:2]}", part[3:]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("hardware failure has occurred beca", "remains: beca"),
        ("previously-allocated shared memory page that was", "ends with 'was'"),
        ("driver called MmMapLockedPages. (You should )", "ends with 'should'"),
        ("address of the thread (if", "brackets or quotes do not close"),
        ('caller asked for "bug check', "brackets or quotes do not close"),
        ("0: product should be WinNT 1: product should be", "values of a list ran together"),
        ("start of the buffer. 0x02 : tag after the buffer", "values of a list ran together"),
        ("depends on value of Parameter", "remains: Parameter"),
        ("see source", "remains: see source"),
        ("the <strong>device</strong>", "remains: <strong>"),
        ("two  blanks", "blanks"),
        ("first of several,", "ends with a mark"),
    ],
)
def test_a_text_like_the_ones_that_were_found_is_refused(text: str, fault: str) -> None:
    assert fault in faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "NTSTATUS",
        "0: no resource list, 1: no IRQ resource in the list",
        "the message string tells more",
        "fatal error: a device is gone",
        "process (from Windows 10, 1507)",
        'wrongly marked as "copy on write"',
    ],
)
def test_a_whole_text_is_let_through(text: str) -> None:
    assert faults(text) == []


def test_no_text_of_a_bug_check_is_cut_or_holds_remains() -> None:
    found = [
        (row["code"], place, text, fault) for row in rows() for place, text in texts(row) for fault in faults(text)
    ]
    assert found == []


def test_each_value_and_each_condition_of_a_table_can_be_met() -> None:
    for row in rows():
        for key, table in row.get("subcodes", {}).items():
            assert re.fullmatch(r"[1-4](@p[1-4]=0x[0-9A-F]+(,p[1-4]=0x[0-9A-F]+)*)?", key), (row["code"], key)
            for value in table:
                assert re.match(r"(0[xX])?[0-9A-Fa-f]+\b", value), (row["code"], key, value)
                assert faults(value, ends=False) == [], (row["code"], key, value)


def test_a_case_speaks_of_another_parameter_once_and_never_of_its_own() -> None:
    for row in rows():
        for key, table in row.get("subcodes", {}).items():
            for value, text in table.items():
                named = re.findall(r"(?:\[|; )p([1-4])=", text)
                assert len(named) == len(set(named)), (row["code"], key, value)
                assert key[0] not in named, (row["code"], key, value)


def test_what_is_told_of_a_code_holds_no_mark_of_the_table() -> None:
    for row in rows():
        code = int(row["code"], 16)
        plain = describe(code)
        told = [text for table in plain.subcodes.values() for text in table.values()]
        for value in row.get("subcodes", {}).get("1", {}):
            info = describe(code, (int(re.split(r"[ ,]", value)[0], 0),))
            told += [info.case, *(parameter.meaning for parameter in info.parameters)]
        for text in filter(None, told):
            assert faults(text, ends=False) == [], (row["code"], text)


def test_no_text_of_a_screen_or_a_status_is_cut_or_holds_remains() -> None:
    for screen in boot_codes():
        for text in (screen.means, screen.screen, *screen.look_at):
            whole = re.sub(r"\b[A-Z]:(?=$|\))", "drive", text).replace("-FVE-FS-", "FVE-FS").rstrip(".")
            assert faults(whole) == [] or text == "bootdebug on", (screen.id, text)
            assert re.search(r"\.json\b|\brung\b", text) is None, (screen.id, text)  # names of things not at hand
        for text in screen.remedy:
            assert faults(text, ends=False) == [], (screen.id, text)
    for name, words in NTSTATUS.values():
        assert faults(words) == [], name


def test_parameters_choose_a_case_inside_a_case() -> None:
    assert describe(0x7C, (0x25, 0x21)).parameters[1].meaning.endswith(": pausing a miniport adapter")
    assert describe(0xE6, (0xF, 4, 1, 2)).parameters[3].meaning == "address of the corruption"
    hub = describe(0xFE, (8, 6, 2))
    assert hub.parameters[2].meaning.startswith("time-out code: reset that a client driver began")
    assert describe(0xFE, (8, 2, 2)).parameters[2].meaning == "device object"


def test_a_verifier_error_of_the_io_manager_is_told_by_its_first_parameter() -> None:
    # As in the dumps of github.com/nefarius/ScpToolkit/issues/29 and openzfsonwindows/openzfs/issues/102.
    info = describe(0xC9, (0x21F, 0xFFFFF800E247B174, 0xFFFFCF8147D54DC0, 0))
    assert info.case == "Non-fatal error: driver has no dispatch routine for a required major function"
    assert "address in the driver's code where the error was detected" in info.parameters[1].meaning
