from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from forensics.collect.services import image_file
from forensics.facts import ServiceFact
from parsers.errors import FormatError
from parsers.limits import MAX_SERVICES
from tests.forensics.world import Data, FakeKey, gaps, named, scan

SERVICES = "ControlSet001\\Services\\"


def test_a_service_is_told_field_by_field() -> None:
    facts, _ = scan(
        system={
            SERVICES + "Netlogon": {
                "DisplayName": "@%SystemRoot%\\System32\\netlogon.dll,-102",
                "Type": 0x20,
                "Start": 2,
                "ErrorControl": 1,
                "ImagePath": r"%systemroot%\system32\lsass.exe -p",
                "DependOnService": ["LanmanWorkstation", ""],
                "ObjectName": "LocalSystem",
                "Group": "MS_WindowsRemoteValidation",
                "Tag": 7,
            }
        }
    )
    service = named(facts["services"], "Netlogon", "name")
    source = service.pop("source")
    assert service == {
        "name": "Netlogon",
        "display": "@%SystemRoot%\\System32\\netlogon.dll,-102",
        "type": "share-process",
        "start": "auto",
        "start_raw": "auto",
        "error_control": "normal",
        "image": "lsass.exe",
        "image_path": r"%systemroot%\system32\lsass.exe -p",
        "group": "MS_WindowsRemoteValidation",
        "tag": 7,
        "depends_on": ["LanmanWorkstation"],
        "account": "LocalSystem",
    }
    assert source["path"] == r"SYSTEM\ControlSet001\Services\Netlogon"
    assert set(service) <= set(get_type_hints(ServiceFact))


def test_services_are_sorted_by_name_and_keys_without_a_service_are_there_too() -> None:
    facts, _ = scan(system={SERVICES + "b": {"Type": 1, "Start": 3}, SERVICES + "A": {}, SERVICES + "c": {}})
    assert [service["name"] for service in facts["services"]] == ["A", "b", "c"]
    assert "start" not in facts["services"][0]


@pytest.mark.parametrize(("number", "word"), [(0, "boot"), (1, "system"), (2, "auto"), (3, "demand"), (4, "disabled")])
def test_start_types_have_words(number: int, word: str) -> None:
    facts, _ = scan(system={SERVICES + "a": {"Type": 1, "Start": number}})
    assert facts["services"][0]["start"] == word
    assert word in get_args(get_type_hints(ServiceFact)["start"])


def test_numbers_that_mean_nothing_are_left_out() -> None:
    facts, _ = scan(system={SERVICES + "a": {"Type": 0x4000, "Start": 9, "ErrorControl": 77}})
    assert facts["services"][0]["type"] == "other"
    assert not {"start", "start_raw", "error_control"} & set(facts["services"][0])


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"Start": "0"}, {"start", "start_raw"}),
        ({"Start": b"\0\0\0\0"}, {"start", "start_raw"}),
        ({"Start": 0x40}, {"start", "start_raw"}),
        ({"Type": "1"}, {"type"}),
        ({"ErrorControl": 77}, {"error_control"}),
        ({"ImagePath": b"S\0y\0s\0"}, {"image", "image_path"}),
        ({"Group": 5}, {"group"}),
        ({"ObjectName": ["a"]}, {"account"}),
        ({"DependOnService": 3}, {"depends_on"}),
        ({"Tag": "x"}, {"tag"}),
    ],
)
def test_a_value_of_a_type_or_number_that_cannot_be_is_damage_and_not_missing(
    values: dict[str, Data], fields: set[str]
) -> None:
    whole: dict[str, Data] = {"Type": 1, "Start": 0, "ImagePath": "System32\\drivers\\a.sys"}
    facts, _ = scan(system={SERVICES + "a": {**whole, **values}})
    told = {path for path in gaps(facts) if path.startswith("/services/a/")}
    assert told == {f"/services/a/{name}" for name in fields}
    assert not fields & set(named(facts["services"], "a", "name"))


def test_a_service_with_a_type_and_no_start_type_is_damaged() -> None:
    facts, _ = scan(system={SERVICES + "a": {"Type": 1}, SERVICES + "b": {"Other": 1}})
    assert {"/services/a/start", "/services/a/start_raw"} <= set(gaps(facts))
    assert not any(path.startswith("/services/b") for path in gaps(facts))


def test_a_display_name_may_be_a_list_of_one() -> None:
    facts, _ = scan(system={SERVICES + "a": {"DisplayName": ["one", ""]}})
    assert named(facts["services"], "a", "name")["display"] == "one"


def test_an_interactive_service_is_of_its_kind() -> None:
    facts, _ = scan(system={SERVICES + "VMTools": {"Type": 0x110, "Start": 2}})
    assert facts["services"][0]["type"] == "own-process"


def test_a_damaged_service_key_is_a_gap_of_that_service_alone() -> None:
    facts, diagnostics = scan(
        system={SERVICES + "bad": FormatError("regf", "cell damaged"), SERVICES + "good": {"Type": 1, "Start": 0}}
    )
    assert "cell damaged" in gaps(facts)["/services/bad"]
    assert "/services" not in gaps(facts)
    assert named(facts["services"], "good", "name")["start"] == "boot"
    assert "services.key-damaged" in [item.code for item in diagnostics.items]


def test_a_list_of_services_that_breaks_off_keeps_what_was_read() -> None:
    facts, diagnostics = scan(
        system={SERVICES + "first": {"Type": 1, "Start": 0}, SERVICES + "!": FormatError("regf", "list damaged")}
    )
    assert [service["name"] for service in facts["services"]] == ["first"]
    assert "list damaged" in gaps(facts)["/services"]
    assert "services.list-damaged" in [item.code for item in diagnostics.items]


def test_an_endless_list_of_services_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(key: FakeKey) -> object:
        if key.name == "Services":
            number = 0
            while True:
                number += 1
                yield FakeKey(f"s{number}", f"{key.path}\\s{number}")
        yield from key.children.values()

    monkeypatch.setattr(FakeKey, "subkeys", endless)
    facts, _ = scan()
    assert len(facts["services"]) == MAX_SERVICES
    assert "/services" in gaps(facts)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (r"System32\drivers\vmstorfl.sys", r"System32\drivers\vmstorfl.sys"),
        (r'"C:\Program Files\A B\x.exe" -k run', r"C:\Program Files\A B\x.exe"),
        (r"C:\Program Files\A B\x.exe -k run", r"C:\Program Files\A B\x.exe"),
        (r"\??\C:\Temp\odd name.sys", r"\??\C:\Temp\odd name.sys"),
        (r"\SystemRoot\System32\win32k", r"\SystemRoot\System32\win32k"),
        ('"', ""),
        ("", ""),
    ],
)
def test_the_file_of_an_image_path_is_found_without_its_arguments(text: str, file: str) -> None:
    assert image_file(text) == file
