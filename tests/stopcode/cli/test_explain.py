from __future__ import annotations

import pytest

from stopcode.cli.exits import Exit
from tests.stopcode.cli.run import Stopcode


@pytest.mark.parametrize(
    "words",
    [("0x7B",), ("7b",), ("123",), ("INACCESSIBLE_BOOT_DEVICE",), ("inaccessible", "boot", "device"), ("STOP", "0x7B"),
     ("STOP: 0x0000007B (0xFFFFF880009A97E8, 0xFFFFFFFFC0000034, 0x0, 0x0)",)],
)  # fmt: skip
def test_the_ways_people_write_a_stop_code_all_find_it(call: Stopcode, words: tuple[str, ...]) -> None:
    done = call("explain", *words)
    assert done.code == 0
    assert done.out.startswith("0x7B INACCESSIBLE_BOOT_DEVICE\n")


def test_parameters_choose_the_documented_case(call: Stopcode) -> None:
    done = call("explain", "0x9F", "3", "ffffcf0d`5c3e7060", "0xfffff80254f3b7d0", "ffffcf0d5bb45a60")
    assert "this case: device object blocks a power IRP too long" in done.out
    assert "P4  0xffffcf0d5bb45a60  blocked IRP" in done.out


def test_what_the_parameters_decided_is_not_listed_again(call: Stopcode) -> None:
    words = ("explain", "0x1A", "41792", "ffffab8103853048", "2000000000", "0")
    short, whole = call(*words).out, call(*words, "-v").out
    assert "this case: corrupted PTE was detected" in short
    assert "P1 may be" not in short
    assert "P1 may be" in whole
    assert "P1 may be" in call("explain", "0x1A").out
    # A value that is in no table decides nothing: the table is still of use.
    assert "P1 may be" in call("explain", "0x1A", "99999").out


def test_parameters_that_mean_nothing_take_no_room(call: Stopcode) -> None:
    assert "not documented" not in call("explain", "0x7B").out
    assert "P4  0x0  reserved, or not documented" in " ".join(
        call("explain", "0x7B", "1", "2", "0", "0").out.split("\n")
    )


def test_the_licence_is_one_line_and_whole_with_v(call: Stopcode) -> None:
    short, whole = call("explain", "0x7B").out, call("explain", "-v", "0x7B").out
    assert short.splitlines()[-1].startswith("Facts from Microsoft's documentation (CC BY 4.0)")
    assert short.count("CC BY 4.0") == 1
    assert "MicrosoftDocs/windows-driver-docs" in whole
    assert "source: bug-check-0x7b" in whole


def test_a_start_up_code_tells_stage_and_remedy(call: Stopcode) -> None:
    done = call("explain", "0xc000000e")
    assert done.code == 0
    assert "start-up screen [" in done.out
    assert "  do 1: " in done.out


def test_many_answers_are_a_list(call: Stopcode) -> None:
    done = call("explain", "DRIVER")
    assert done.out.splitlines()[0].endswith("codes fit (-v tells all of them whole)")
    assert "0x9F" in done.out
    assert len(call("explain", "-v", "DRIVER").out) > 5 * len(done.out)


def test_json_writes_numbers_as_hexadecimal_text(call: Stopcode) -> None:
    [row] = call("explain", "-o", "json", "0x1000007E", "0xffffffffc0000005").document["found"]
    assert row["bugcheck"]["code"] == "0x7e"
    assert row["bugcheck"]["raw"] == "0x1000007e"
    assert row["bugcheck"]["parameters"][0]["value"] == "0xffffffffc0000005"
    assert "STATUS_ACCESS_VIOLATION" in row["bugcheck"]["parameters"][0]["meaning"]


@pytest.mark.parametrize("words", [("nonsense",), ("0xfffffff1",), ("\x1b[31m",), ("", "")])
def test_what_is_not_known_ends_with_3_and_one_hint(call: Stopcode, words: tuple[str, ...]) -> None:
    done = call("explain", *words)
    assert done.code == Exit.UNREADABLE
    assert done.err.startswith("stopcode: error: nothing is known of ")
    assert "\x1b" not in done.err


@pytest.mark.parametrize("words", [("0x9F", "xyz"), ("0x9F", "1", "2", "3", "4", "5"), ("STOP", "0x9F", "-1")])
def test_a_known_code_with_words_that_are_no_parameters_says_which_part_is_wrong(
    call: Stopcode, words: tuple[str, ...]
) -> None:
    done = call("explain", "--", *words)
    assert done.code == 3
    assert done.err.splitlines()[1] == (
        "stopcode: hint: 0x9F is known: behind it stand at most four parameters, each a hexadecimal number"
    )
