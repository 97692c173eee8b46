from __future__ import annotations

import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from stopcode.report.safe import LIMIT, shown


def test_no_code_point_without_a_shape_gets_through() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {unicodedata.category(character) for character in shown(every, limit=len(every))}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_escape_sequences_and_bidirectional_controls_are_written_out() -> None:
    assert shown("\x1b]0;x\x07") == r"\x1b]0;x\x07"
    assert shown("\x9b41m") == r"\x9b41m"
    assert shown("gpj.\u202eexe") == "gpj.<U+202E>exe"
    assert shown("a\nb\tc") == r"a\x0ab\x09c"
    assert shown("\udc80") == r"\x80"


def test_plain_text_of_any_language_stays() -> None:
    for text in (r"\Windows\System32\drivers\vmstorfl.sys", "Müller", "サーバー　1", "a b"):
        assert shown(text) == text


def test_a_long_text_is_cut_and_the_rest_counted() -> None:
    assert shown("x" * (LIMIT + 7)) == "x" * LIMIT + "… (+7)"


@given(st.text())
def test_applying_it_twice_changes_nothing_more(text: str) -> None:
    assert shown(shown(text)) == shown(text)
