from __future__ import annotations

import hashlib

import pytest

from forensics.facts import Wants
from parsers.errors import FormatError, ReadError
from parsers.limits import MAX_FILES_OF_GLOB, MAX_HASHED_FILE
from tests.forensics.world import gaps, named, pe_file, scan

CHANNEL = r"%SystemRoot%\System32\drivers\CrowdStrike\C-00000291*.sys"
FOLDER = r"\Windows\System32\drivers\CrowdStrike"


def test_files_that_match_a_pattern_are_told_with_size_time_and_hash() -> None:
    path = rf"{FOLDER}\C-00000291-00000000-00000032.sys"
    data = b"\xaa\xaa\xaa\xaa" + bytes(40_000)
    facts, _ = scan(
        wants=Wants(files={CHANNEL}),
        files={path: data, rf"{FOLDER}\C-00000290-1.sys": b"x", rf"{FOLDER}\deep\C-00000291-1.sys": b"x"},
        times={path: 133_658_373_400_000_000},
    )
    assert len(facts["files"]) == 1
    fact = facts["files"][0]
    assert (fact["path"], fact["glob"], fact["size"]) == (path, CHANNEL, 40_004)
    assert fact["modified"] == "2024-07-19T04:35:40Z"
    assert fact["sha256"] == hashlib.sha256(data).hexdigest()
    assert fact["first_bytes"].startswith("0xaaaaaaaa00")


def test_a_pattern_that_matches_nothing_is_absent_not_unread() -> None:
    facts, _ = scan(wants=Wants(files={CHANNEL}))
    assert named(facts["files"], CHANNEL, "glob")["absent"] is True
    assert not any(path.startswith("/files") for path in gaps(facts))


def test_a_large_file_is_not_hashed_and_that_is_a_gap() -> None:
    facts, _ = scan(wants=Wants(files={r"\big.bin"}), files={r"\big.bin": bytes(MAX_HASHED_FILE + 1)})
    assert "sha256" not in facts["files"][0]
    assert r"/files/\big.bin/sha256" in gaps(facts)


def test_the_version_of_a_file_is_read_and_an_unreadable_one_is_a_gap() -> None:
    facts, _ = scan(
        wants=Wants(files={r"%windir%\System32\*.dll"}),
        files={
            r"\Windows\System32\a.dll": pe_file((1, 2, 3, 4)),
            r"\Windows\System32\b.dll": b"nothing",
            r"\Windows\System32\c.dll": ReadError("bad sector"),
        },
    )
    assert facts["files"][0]["version"] == "1.2.3.4"
    assert {r"/files/\Windows\System32\b.dll/version", r"/files/\Windows\System32\c.dll/version"} <= set(gaps(facts))


@pytest.mark.parametrize("pattern", [r"C:\x.txt", r"%SystemDrive%\x.txt", r"\x.txt", "%systemdrive%/x.txt"])
def test_a_pattern_may_begin_with_letter_or_variable(pattern: str) -> None:
    facts, _ = scan(wants=Wants(files={pattern}), files={r"\x.txt": b"1"})
    assert [fact["path"] for fact in facts["files"]] == [r"\x.txt"]


@pytest.mark.parametrize("pattern", [r"D:\x.txt", r"%TEMP%\x", "x.txt", r"%SystemRoot%\**\x.sys"])
def test_a_pattern_that_cannot_be_looked_for_is_a_gap(pattern: str) -> None:
    facts, _ = scan(wants=Wants(files={pattern}))
    assert any(path.startswith("/files/") for path in gaps(facts))
    assert facts["files"] == []


def test_of_very_many_files_the_first_are_read() -> None:
    files = {rf"\many\{n:04}.txt": b"" for n in range(MAX_FILES_OF_GLOB + 1)}
    facts, _ = scan(wants=Wants(files={r"\many\*.txt"}), files=files)
    assert len(facts["files"]) == MAX_FILES_OF_GLOB
    assert r"/files/\many\*.txt" in gaps(facts)


def test_registry_values_and_keys_that_rules_ask_for_are_told() -> None:
    facts, _ = scan(
        system={r"ControlSet001\Control\Session Manager": {"BootExecute": ["autocheck autochk *"], "Flags": 5}},
        wants=Wants(
            registry={
                ("SYSTEM", r"ControlSet\Control\Session Manager", "BootExecute"),
                ("SYSTEM", r"ControlSet\Control\Session Manager", "Flags"),
                ("SYSTEM", r"ControlSet\Control\Session Manager", ""),
                ("SYSTEM", r"ControlSet\Control\Session Manager", "None"),
                ("SOFTWARE", r"Vendor\Product", ""),
            }
        ),
    )
    by_item = {fact["item"]: fact for fact in facts["registry"]}
    assert list(by_item) == sorted(by_item, key=str.lower)
    value = by_item[r"SYSTEM\ControlSet\Control\Session Manager:BootExecute"]
    assert (value["type"], value["data"]) == ("REG_MULTI_SZ", ["autocheck autochk *"])
    assert value["source"]["path"] == r"SYSTEM\ControlSet001\Control\Session Manager"
    assert by_item[r"SYSTEM\ControlSet\Control\Session Manager:Flags"]["data"] == 5
    assert "absent" not in by_item[r"SYSTEM\ControlSet\Control\Session Manager"]
    assert by_item[r"SYSTEM\ControlSet\Control\Session Manager:None"]["absent"] is True
    assert by_item[r"SOFTWARE\Vendor\Product"]["absent"] is True


def test_a_value_whose_hive_or_key_cannot_be_read_is_a_gap() -> None:
    facts, _ = scan(
        system={r"ControlSet001\Control\Bad": FormatError("regf", "cell damaged")},
        software=None,
        wants=Wants(registry={("SYSTEM", r"ControlSet\Control\Bad", "x"), ("SOFTWARE", "Any", "")}),
    )
    assert "cell damaged" in gaps(facts)[r"/registry/SYSTEM\ControlSet\Control\Bad:x"]
    assert r"/registry/SOFTWARE\Any" in gaps(facts)
    assert facts["registry"] == []
