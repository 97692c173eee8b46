"""What errors say."""

from __future__ import annotations

import pytest

from parsers.errors import FormatError


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({}, "VHD: wrong"),
        ({"offset": 16}, "VHD: wrong at offset 0x10"),
        ({"expected": 1, "found": 2}, "VHD: wrong (expected 1, found 2)"),
        ({"found": 0}, "VHD: wrong (found 0)"),
        ({"expected": "conectix", "offset": 0}, "VHD: wrong (expected conectix) at offset 0x0"),
    ],
)
def test_an_error_says_what_is_known_and_nothing_else(details: dict[str, object], text: str) -> None:
    assert FormatError("VHD", "wrong", **details).message == text  # type: ignore[arg-type]
