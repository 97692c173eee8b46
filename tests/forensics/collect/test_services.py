from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from forensics.collect.services import image_file
from forensics.facts import ServiceFact
from parsers.errors import FormatError
from parsers.limits import MAX_SERVICES
from tests.forensics.world import FakeKey, gaps, named, scan

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
