from __future__ import annotations

import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from stopcode.report.lines import Line, aligned, paragraphs
from stopcode.report.terminal import write_terminal

COMMAND = "dism /Image:E:\\ /Add-Package /PackagePath:C:\\updates\\kb5003171.msu /LogPath:C:\\dism.log"


def written(lines: list[Line], width: int, *, colour: bool = False, unicode: bool = True) -> list[str]:
    out = io.StringIO()
    write_terminal(lines, out, width=width, colour=colour, unicode=unicode)
    return out.getvalue().splitlines()


def test_wrapped_text_hangs_below_its_own_beginning() -> None:
    assert written([Line("one two three four five six seven", indent=2, lead="1. ")], 30) == [
        "  1. one two three four five",
        "     six seven",
    ]


def test_a_command_is_never_broken() -> None:
    assert written([Line(COMMAND, "command", 4)], 40) == [f"    {COMMAND}"]


def test_without_colour_no_escape_sequence_is_written() -> None:
    assert not re.search("\x1b", "\n".join(written([Line("bad", "bad"), Line("x", "heading")], 80)))
    assert "\x1b[" in written([Line("bad", "bad")], 80, colour=True)[0]


def test_ascii_replaces_the_drawn_signs() -> None:
    assert written([Line("CRASHED ✖ … – →")], 80, unicode=False) == ["CRASHED x ... - ->"]


def test_a_table_keeps_its_columns_and_wraps_the_last_one() -> None:
    rows = written(list(aligned([("P1", "0x3", "a b c d e f g h i j k l m n o"), ("P2", "0x12345", "x")])), 40)
    assert rows == ["P1  0x3      a b c d e f g h i j k l m n", "             o", "P2  0x12345  x"]


def test_paragraphs_are_joined_where_only_their_file_wrapped_them() -> None:
    assert [line.text for line in paragraphs("one\ntwo\n\nthree\n")] == ["one two", "three"]


_TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=200)


@given(
    st.lists(st.builds(Line, _TEXT, st.sampled_from(["plain", "bad", "quiet"]), st.integers(0, 12), _TEXT), max_size=4),
    st.integers(24, 120),
)
def test_any_text_fits_and_brings_no_control_character(lines: list[Line], width: int) -> None:
    for row in written(lines, width, colour=False):
        assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in row)
    short = [line._replace(lead="") for line in lines]
    for row in written(short, width):
        assert cell_len(row) <= width


@given(_TEXT, _TEXT, st.integers(1, 23))
def test_a_very_narrow_terminal_loses_no_text(lead: str, text: str, width: int) -> None:
    from stopcode.report.safe import shown

    rows = written([Line(text, indent=6, lead=lead)], width)
    assert "".join("".join(rows).split()) == "".join((shown(lead) + shown(text)).split())
