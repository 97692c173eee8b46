"""Hives that samples write, judged by hivex and dissect.regf."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from dissect.regf import RegistryHive
from hypothesis import given
from hypothesis import strategies as st

from samples.bcd import bcd_store
from samples.family import FAMILY
from samples.hive import Key, binary, expand, multi, qword, sz, write_hive
from samples.registry_software import software_hive
from samples.registry_system import system_hive

MACHINE = FAMILY[0].machine
TIME = 132600000000000000


def _read(data: bytes) -> RegistryHive:
    return RegistryHive(io.BytesIO(data))


def _get(hive: Path, key: str, value: str) -> str:
    return subprocess.run(["hivexget", hive, key, value], check=True, capture_output=True, text=True).stdout.strip()


def test_values_of_every_type_are_read_back_by_dissect() -> None:
    root = Key()
    data = bytes(range(256)) * 300
    root.set("a\\b", {"sz": "text", "n": 7, "q": qword(1 << 40), "e": expand("%x%"), "": "unnamed"})
    root.set("a\\b", {"m": multi(["x", "yy"]), "large": binary(data), "umlaut ä": sz("ß"), "wide ☃": sz("a ☃ b")})
    key = _read(write_hive(root, "ROOT", time=TIME)).open("a\\b")
    found = {value.name: value.value for value in key.values()}
    assert found["sz"] == "text"
    assert found["n"] == 7
    assert found["q"] == 1 << 40
    assert found["e"] == "%x%"
    assert found["m"] == ["x", "yy"]
    assert found["large"] == data
    assert found["umlaut ä"] == "ß"
    assert found["wide ☃"] == "a ☃ b"


def test_more_keys_than_one_list_holds_are_all_found() -> None:
    root = Key()
    for number in range(1300):
        root.set(f"many\\key{number}", {"n": number})
    hive = _read(write_hive(root, "ROOT", time=TIME))
    assert len(list(hive.open("many").subkeys())) == 1300
    assert hive.open("many\\key1299").value("n").value == 1299


@given(st.dictionaries(st.text("abcXYZ09 äß☃", min_size=1, max_size=40), st.binary(max_size=40_000), max_size=12))
def test_any_tree_comes_back_as_it_was_written(values: dict[str, bytes]) -> None:
    root = Key()
    for number, (name, data) in enumerate(values.items()):
        root.at(f"k{number}").values[name] = binary(data)
    hive = _read(write_hive(root, "ROOT", time=TIME))
    for number, (name, data) in enumerate(values.items()):
        assert [(value.name, value.value) for value in hive.open(f"k{number}").values()] == [(name, data)]


@pytest.mark.peer("hivexget")
def test_hivex_reads_the_machines_hives(tmp_path: Path) -> None:
    for name, data in (
        ("SYSTEM", system_hive(MACHINE)),
        ("SOFTWARE", software_hive(MACHINE)),
        ("BCD", bcd_store(MACHINE)),
    ):
        (tmp_path / name).write_bytes(data)
    system, software = tmp_path / "SYSTEM", tmp_path / "SOFTWARE"
    services = "ControlSet001\\Services"
    assert _get(system, "ControlSet001\\Control\\ComputerName\\ComputerName", "ComputerName") == "WS2019-APP01"
    assert _get(system, f"{services}\\storflt", "ImagePath") == "System32\\drivers\\vmstorfl.sys"
    assert _get(system, f"{services}\\storflt", "Group") == "Extended Base"
    assert _get(software, "Microsoft\\Windows NT\\CurrentVersion", "CurrentBuildNumber") == "17763"
    assert _get(software, "Microsoft\\Windows NT\\CurrentVersion", "UBR") == "1757"
    loader = "Objects\\{d8f5c1b2-ff0e-11e9-8a4b-e8b1fc2f3a10}\\Elements\\12000002"
    assert _get(tmp_path / "BCD", loader, "Element") == "\\Windows\\system32\\winload.exe"


def test_the_same_machine_gives_the_same_hive() -> None:
    assert system_hive(MACHINE) == system_hive(MACHINE)


def test_unequal_sequence_numbers_make_a_dirty_hive_with_a_right_checksum() -> None:
    data = system_hive(MACHINE, sequence=(88, 87))
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, 512, 4)]
    assert words[1:3] == [88, 87]
    checksum = 0
    for word in words[:127]:
        checksum ^= word
    assert words[127] == checksum
