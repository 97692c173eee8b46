"""The tables of diagnostics in the documents against the codes in the program."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Document -> what the codes in its table begin with.
TABLES = {
    "containers.md": ("container", "vhd", "vhdx", "vmdk", "qcow2", "vdi", "e01"),
    "remote.md": ("remote",),
    "volumes.md": ("archive", "disk", "ntfs", "volume", "hive", "boot", "bitlocker"),
}
_CODE = re.compile(r"[a-z0-9]+\.[a-z0-9-]+")
_SEVERITIES = ("error", "warning", "info")


def told(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (code, severity) of every remark that a module makes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SEVERITIES:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and _CODE.fullmatch(first.value):
                yield first.value, node.func.attr


def in_the_code(prefixes: tuple[str, ...]) -> set[tuple[str, str]]:
    files = (path for floor in ("parsers", "forensics", "stopcode") for path in (ROOT / floor).rglob("*.py"))
    return {item for path in files for item in told(path) if item[0].partition(".")[0] in prefixes}


@pytest.mark.parametrize("document", TABLES)
def test_every_diagnostic_has_its_row_with_its_severity_and_no_row_is_left_over(document: str) -> None:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9]+\.[a-z0-9-]+)` \| ([\w, ]+) \|", text, re.MULTILINE)
    # A remark that is worse in some cases has both severities in its row.
    stated = {(code, severity) for code, severities in rows for severity in severities.split(", ")}
    assert stated == in_the_code(TABLES[document])
    assert len({code for code, _ in rows}) == len(rows)


def test_every_code_that_ends_the_reading_of_a_remote_image_is_told_under_that_code() -> None:
    # A source raises it with the error; the file over it makes the remark, and knows only those that it names.
    raised = {
        first.value
        for path in (ROOT / "forensics" / "remote").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "RemoteError"
        if isinstance(first := node.args[0], ast.Constant)
    }
    assert raised == {code for code, _ in in_the_code(("remote",))}
