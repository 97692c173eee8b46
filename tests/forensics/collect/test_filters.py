from __future__ import annotations

import pytest

from forensics.facts import Wants
from parsers.errors import FormatError
from tests.forensics.world import gaps, named, pe_file, scan

DISK = r"ControlSet001\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}"
KEYBOARD = r"ControlSet001\Control\Class\{4d36e96b-e325-11ce-bfc1-08002be10318}"
SERVICES = "ControlSet001\\Services\\"
DRIVERS = r"\Windows\System32\drivers"


def test_filters_are_told_with_class_side_and_place() -> None:
    facts, _ = scan(
        system={
            DISK: {"Class": "DiskDrive", "UpperFilters": ["partmgr", "prl_strg"], "LowerFilters": ["EhStorClass"]},
            SERVICES + "partmgr": {"Type": 1, "Start": 0},
            SERVICES + "EhStorClass": {"Type": 1, "Start": 0},
        },
        files={rf"{DRIVERS}\partmgr.sys": pe_file(), rf"{DRIVERS}\ehstorclass.sys": pe_file()},
    )
    assert [(item["item"], item["position"], item["orphan"]) for item in facts["filters"]] == [
        ("DiskDrive:lower:EhStorClass", 0, False),
        ("DiskDrive:upper:partmgr", 0, False),
        ("DiskDrive:upper:prl_strg", 1, True),
    ]
    orphan = named(facts["filters"], "prl_strg", "name")
    assert orphan["reason"] == "there is no service prl_strg"
    assert orphan["source"]["detail"] == "UpperFilters"


def test_a_filter_is_an_orphan_when_its_file_is_not_there_or_it_is_disabled() -> None:
    facts, _ = scan(
        system={
            DISK: {"UpperFilters": ["gone", "off"]},
            SERVICES + "gone": {"Type": 1, "Start": 0},
            SERVICES + "off": {"Type": 1, "Start": 4},
        },
        files={rf"{DRIVERS}\off.sys": pe_file()},
    )
    assert "gone.sys" in named(facts["filters"], "gone", "name")["reason"]
    assert "disabled" in named(facts["filters"], "off", "name")["reason"]


def test_names_compare_without_regard_to_case() -> None:
    facts, _ = scan(
        system={DISK: {"UpperFilters": ["PartMgr"]}, SERVICES + "partmgr": {"Type": 1, "Start": 0}},
        files={rf"{DRIVERS}\PARTMGR.SYS": pe_file()},
    )
    assert facts["filters"][0]["orphan"] is False


def test_a_filter_whose_service_is_unreadable_is_unknown_not_an_orphan() -> None:
    facts, _ = scan(
        system={
            DISK: {"UpperFilters": ["bad", "far"]},
            SERVICES + "bad": FormatError("regf", "cell damaged"),
            SERVICES + "far": {"Type": 1, "Start": 0, "ImagePath": r"D:\far.sys"},
        }
    )
    assert not any("orphan" in item for item in facts["filters"])
    assert {"/filters/DiskDrive:upper:bad/orphan", "/filters/DiskDrive:upper:far/orphan"} <= set(gaps(facts))


@pytest.mark.parametrize("asked", ["Keyboard", "{4D36E96B-E325-11CE-BFC1-08002BE10318}"])
def test_a_class_that_a_rule_asks_for_is_read_too(asked: str) -> None:
    world = {KEYBOARD: {"Class": "Keyboard", "UpperFilters": ["kbdclass"]}}
    assert scan(system=world)[0]["filters"] == []
    facts, _ = scan(system=world, wants=Wants(filter_classes={asked}))
    assert [item["item"] for item in facts["filters"]] == ["Keyboard:upper:kbdclass"]


def test_a_name_listed_twice_has_two_items() -> None:
    facts, _ = scan(system={DISK: {"UpperFilters": ["x", "X", ""]}})
    assert [item["item"] for item in facts["filters"]] == ["DiskDrive:upper:x", "DiskDrive:upper:X#1"]


def test_a_damaged_class_key_is_a_gap() -> None:
    facts, _ = scan(system={DISK: FormatError("regf", "cell damaged")})
    assert "cell damaged" in gaps(facts)["/filters"]
