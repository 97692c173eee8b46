from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from forensics.crash import bugchecks
from forensics.crash.bugchecks import attributions, boot_codes, describe, find, masked
from forensics.crash.ntstatus import NTSTATUS, describe_status

HEADER = Path("/usr/x86_64-w64-mingw32/include/ntstatus.h"), Path("/usr/share/mingw-w64/include/ntstatus.h")


def test_every_documented_code_is_found_by_its_line() -> None:
    document = json.loads((Path(bugchecks.__file__).parent / "data" / "bugchecks.json").read_text("utf-8"))
    rows = document["bugchecks"]
    assert len(rows) == 425
    for row in rows:
        info = describe(int(row["code"], 16))
        plain = row["name"].removesuffix("_M") if masked(int(row["code"], 16)) != int(row["code"], 16) else row["name"]
        assert info.name == plain
        assert info.source


@pytest.mark.realdata
def test_the_table_names_what_the_reference_names_and_loses_no_parameter(shared: Path) -> None:
    reference = json.loads((shared / "reference" / "bugchecks.json").read_text("utf-8"))
    for row in reference["bugchecks"]:
        code = int(row["code"], 16)
        if masked(code) == code:
            info = describe(code)
            assert info.name == row["name"]
            for parameter, text in zip(info.parameters, row["parameters"], strict=True):
                # The page lists 0x1A8's sources as values of parameter 1; parameter 3 is reserved.
                assert parameter.meaning or text is None or (code, parameter.number) == (0x1A8, 3), row["code"]


def test_the_attribution_is_kept() -> None:
    assert all("CC BY 4.0" in text for text in attributions())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0x7B", 0x7B),
        ("7B", 0x7B),
        ("7b", 0x7B),
        ("123", 0x7B),
        ("stop 0x7b", 0x7B),
        ("STOP: 0x0000007B", 0x7B),
        ("0x0000007B", 0x7B),
        ("INACCESSIBLE_BOOT_DEVICE", 0x7B),
        ("inaccessible boot device", 0x7B),
        ("0x1000007E", 0x7E),
        ("DRIVER_POWER_STATE_FAILURE", 0x9F),
        ("159", 0x9F),
    ],
)
def test_a_bug_check_is_found_however_it_is_written(text: str, code: int) -> None:
    first = find(text)[0]
    assert first.bugcheck is not None
    assert first.bugcheck.code == code


def test_digits_alone_give_both_readings() -> None:
    assert [item.code for item in find("123")] == [0x7B, 0x123]


def test_a_loader_code_tells_the_screen_and_the_status() -> None:
    (found,) = find("0xC0000098")
    assert found.bugcheck is None
    assert found.status is not None
    assert "STATUS_FILE_INVALID" in found.status
    assert [screen.stage for screen in found.boot] == ["loader"]
    assert found.boot[0].look_at
    assert found.boot[0].remedy


def test_a_code_that_is_bug_check_and_status_tells_both() -> None:
    (found,) = find("0xC000021A")
    assert found.bugcheck is not None
    assert found.status is not None
    assert found.boot


def test_nothing_is_found_for_nonsense() -> None:
    assert find("") == []
    assert find("zz") == []
    assert find("no such name") == []


def test_parameters_choose_the_case_and_the_meanings_of_the_others() -> None:
    info = describe(0x9F, (3, 0xFFFFD68FE35B8050, 0xFFFFD007D6287BA0, 0xFFFFD68FE383B8A0))
    assert info.case == "device object blocks a power IRP too long"
    assert [parameter.meaning for parameter in info.parameters[1:]] == [
        "physical device object",
        "nt!_TRIAGE_9F_POWER",
        "blocked IRP",
    ]


def test_a_sign_extended_status_is_named() -> None:
    info = describe(0x1000007E, (0xFFFFFFFFC0000005, 1, 2, 3))
    assert info.code == 0x7E
    assert info.raw == 0x1000007E
    assert "STATUS_ACCESS_VIOLATION" in info.parameters[0].meaning


def test_keys_of_sub_codes_that_name_several_values_are_understood() -> None:
    assert describe(0xC4, (0x17, 0, 0, 0)).case
    assert describe(0x139, (10, 0, 0, 0)).case.startswith("indirect call guard")


def test_an_undocumented_code_has_no_name() -> None:
    info = describe(0x12345678, (1, 2, 3, 4))
    assert info.name == ""
    assert [parameter.value for parameter in info.parameters] == [1, 2, 3, 4]


def test_only_the_minidump_mark_is_masked() -> None:
    assert masked(0x1000007E) == 0x7E
    assert masked(0x100000EA) == 0xEA
    assert masked(0xC000021A) == 0xC000021A
    assert masked(0x4000008A) == 0x4000008A
    assert masked(0x15A) == 0x15A


def test_screens_name_no_section_of_another_paper() -> None:
    for screen in boot_codes():
        for text in (screen.means, screen.screen, *screen.look_at, *screen.remedy):
            assert re.search(r"\b[DBFNSCG]-?\d\d\b(?!\d)|\.md\b", text.replace("MSFT1000", "")) is None, text


@pytest.mark.skipif(not any(path.exists() for path in HEADER), reason="mingw's ntstatus.h is not installed")
def test_status_names_are_those_of_the_public_header() -> None:
    text = next(path for path in HEADER if path.exists()).read_text("utf-8", "replace")
    public = {
        int(value, 16): name
        for name, value in re.findall(r"#define (STATUS_\w+)\s+\(\(NTSTATUS\)0x([0-9A-Fa-f]{8})\)", text)
    }
    for value, (name, _words) in NTSTATUS.items():
        if value in public:
            assert public[value] == name


def test_a_status_is_described_by_its_low_half() -> None:
    assert describe_status(0xFFFFFFFFC000001D).startswith("0xc000001d STATUS_ILLEGAL_INSTRUCTION")
    assert describe_status(0xC0FFEE00) == "0xc0ffee00"


@pytest.mark.parametrize(
    ("text", "screen"),
    [
        ("WinRE", "re-console"),
        ("Your PC needs to be repaired", "re-pc-repair"),
        ("Choose an option", "re-console"),
        ("operating system wasn't found", "fw-os-not-found"),
    ],
)
def test_a_screen_is_found_by_the_words_it_shows(text: str, screen: str) -> None:
    assert screen in [row.id for item in find(text) for row in item.boot]


def test_words_that_no_screen_shows_find_nothing() -> None:
    assert find("the quick brown fox") == []
    assert find("of a the") == []


def test_a_mark_behind_a_number_does_not_hide_it() -> None:
    assert [item.code for item in find("0x7B;")] == [0x7B]


@pytest.mark.parametrize("text", ["0xC0000135", "c0000142", "STATUS_DLL_INIT_FAILED", "3221225794"])
def test_what_a_program_that_does_not_start_ends_with_is_known(text: str) -> None:
    assert "a DLL" in (find(text)[0].status or "")


@pytest.mark.parametrize(("code", "stage"), [
    (0xC000000F, "boot-manager"), (0xC0000034, "boot-manager"), (0xC0000098, "loader"), (0xC0000225, "boot-manager"),
    (0xC0000428, "boot-manager"),
])  # fmt: skip
def test_boot_managers_own_codes_say_what_stopped_and_what_to_look_at(code: int, stage: str) -> None:
    (found,) = find(f"{code:#x}")
    assert found.status is not None
    assert found.boot[0].stage == stage
    assert found.boot[0].means
    assert found.boot[0].look_at
    assert found.boot[0].remedy
