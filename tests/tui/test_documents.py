"""The document of the application has every key of the table."""

from __future__ import annotations

import re
from pathlib import Path

from tui.bindings import KEYS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "tui.md"


def test_the_document_lists_the_keys_of_the_table_in_its_order() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(key.shown, key.help) for key in KEYS]


def test_no_key_means_two_things_in_one_area() -> None:
    used: dict[tuple[str, str], str] = {}
    for key in KEYS:
        for name in key.keys.split(","):
            assert used.setdefault((key.area, name), key.id) == key.id
    assert len({key.id for key in KEYS}) == len(KEYS)
