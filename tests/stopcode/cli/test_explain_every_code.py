"""`explain` prints each of the documented codes, with parameters too, and says plainly what it does not know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forensics.crash import bugchecks
from forensics.crash.bugchecks import masked
from forensics.crash.ntstatus import NTSTATUS
from stopcode.cli.exits import Exit
from tests.stopcode.cli.run import Stopcode


def test_each_of_the_425_codes_is_printed_with_its_name(call: Stopcode) -> None:
    document = json.loads((Path(bugchecks.__file__).parent / "data" / "bugchecks.json").read_text("utf-8"))
    codes = [(int(row["code"], 16), row["name"]) for row in document["bugchecks"]]
    assert len(codes) == 425
    for code, name in codes:
        # The mark's own names end in _M (0x1000007E): the code under the mark is told.
        plain = name if masked(code) == code else name.removesuffix("_M")
        for words in ((f"{code:#x}",), (f"{code:#x}", "3"), (f"{code:#x}", "3", "ffff", "0", "1")):
            done = call("explain", *words)
            assert (done.code, done.err) == (Exit.OK, ""), words
            assert done.out.splitlines()[0] == f"0x{code:X} {plain}", words


@pytest.mark.parametrize(
    "words", [("0xdeadbeef",), ("0x9F", "xyz"), ("FOO",), ("0x",), ("the", "quick", "brown", "fox")]
)
def test_what_is_not_known_is_one_line_and_one_hint(call: Stopcode, words: tuple[str, ...]) -> None:
    done = call("explain", *words)
    assert done.code == Exit.UNREADABLE
    assert done.out == ""
    error, hint = done.err.splitlines()
    assert error == f"stopcode: error: nothing is known of {' '.join(words)!r}"
    assert hint.startswith("stopcode: hint: ")


def test_each_start_up_screen_is_told_by_its_id_and_by_its_number(call: Stopcode) -> None:
    document = json.loads((Path(bugchecks.__file__).parent / "data" / "boot-codes.json").read_text("utf-8"))
    screens = document["entries"]
    assert len(screens) == 100
    told: dict[str, str] = {}
    for screen in screens:
        for words in ([screen["id"]], [screen["code"]] if screen["code"] else []):
            if not words:
                continue
            if words[0] not in told:
                done = call("explain", *words)
                assert (done.code, done.err) == (Exit.OK, ""), words
                told[words[0]] = done.out
            out = told[words[0]]
            assert f"start-up screen [{screen['id']}]" in out
            assert out.count("  means: ") >= 1
            assert "look at: " in out or not screen["look_at"]


def test_each_ntstatus_of_the_table_is_told_by_number_and_by_name(call: Stopcode) -> None:
    for value, (name, words) in NTSTATUS.items():
        by_number = call("explain", f"{value:#x}")
        assert (by_number.code, by_number.err) == (Exit.OK, "")
        assert f"NTSTATUS {value:#x} {name} ({words})" in by_number.out
        assert name in call("explain", name).out


def test_an_ntstatus_alone_is_told(call: Stopcode) -> None:
    done = call("explain", "0xC0000142")
    assert done.out.splitlines()[0] == "NTSTATUS 0xc0000142 STATUS_DLL_INIT_FAILED (a DLL could not be initialized)"


def test_the_screens_of_the_recovery_environment_are_told_together(call: Stopcode) -> None:
    done = call("explain", "WinRE")
    assert done.code == Exit.OK
    assert done.out.count("start-up screen [re-") == 4
    assert done.out.count("stage: recovery") == 4


def test_a_table_for_other_values_of_a_given_parameter_is_not_listed(call: Stopcode) -> None:
    assert "where p1=0x613" in call("explain", "0xA0").out
    told = call("explain", "0xA0", "B", "1", "4").out
    assert "progress before the space ran out: HIBERFILE_PROGRESS_TABLE_PAGES" in told
    assert "where p1=" not in told
    assert "P2 may be, where p1=0x25:" in call("explain", "0x7C", "25").out
