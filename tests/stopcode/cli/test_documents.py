"""The documents name command lines that the program takes, and all that it has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from stopcode.cli.exits import Exit
from stopcode.cli.main import VERBS, parser_of

DOCS = Path(__file__).resolve().parents[3] / "docs"


def documented() -> list[str]:
    lines = []
    for path in (*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"):
        for block in re.findall(r"```\n(.*?)```", path.read_text(), re.DOTALL):
            lines += [line for line in block.splitlines() if line.startswith("stopcode ")]
    return sorted(set(lines))


@pytest.mark.parametrize("line", documented())
def test_every_documented_command_line_is_taken(line: str) -> None:
    words = shlex.split(line)[1:]
    verb = words[0] if words[0] in VERBS else "scan"
    parser, _module = parser_of(verb)
    parser.parse_intermixed_args(words[1:] if words[0] in VERBS else words)


def test_every_verb_and_every_exit_code_is_documented() -> None:
    text = (DOCS / "command-line.md").read_text()
    for verb in VERBS:
        assert f"| `{verb}` |" in text
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == {code.value for code in Exit}


def test_every_format_of_scan_and_every_key_of_a_report_is_documented() -> None:
    from stopcode.report.document import Report

    text = (DOCS / "report.md").read_text()
    for key in Report.__annotations__:
        assert f"| `{key}` |" in text


def test_every_json_document_is_in_the_table() -> None:
    from stopcode.report.documents import DOCUMENTS

    table = (DOCS / "command-line.md").read_text().partition("## JSON documents")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == set(DOCUMENTS)
