"""Hives of real machines: the counts that five other readers agree on, hivex and dissect.regf beside ours."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
from dissect.regf import regf

from parsers.bytesource import FileSource
from parsers.errors import FormatError, TruncatedError
from parsers.registry import Hive, Key
from tests.parsers.registry.walk import Give, every_key, open_hive, sound, survey

pytestmark = pytest.mark.realdata

#: From the data's own list of facts: keys and values before replay.
COUNTS = {
    "hives/win7/SYSTEM": (30_756, 73_456),
    "hives/win81/SYSTEM": (20_015, 49_779),
    "hives/win10-1903/SYSTEM": (43_211, 90_307),
    "hives/win10-dirty/SYSTEM_B": (33_123, 74_957),
    "hives/bcd/BCD-regipy": (132, 103),
    "hives/bcd/BCD-ez": (66, 46),
    "hives/amcache/amcache-plaso-win7.hve": (2_105, 17_539),
    "hives/amcache/amcache-plaso-win10.hve": (207, 4_188),
    "hives/amcache/amcache-velociraptor.hve": (122, 1_843),
}
SEQUENCES = {
    "hives/win7/SYSTEM": (13_983, 13_983, False),
    "hives/win81/SYSTEM": (205, 204, True),
    "hives/win10-1903/SYSTEM": (4_317, 4_316, True),
    "hives/win10-dirty/SYSTEM_B": (1_622, 1_621, True),
    "hives/corrupt-xp/SYSTEM": (731, 731, False),
    "hives/dirty-ntuser/NTUSER.DAT": (567, 566, True),
    "hives/dirty-new/NewDirtyHive": (3, 2, True),
    "hives/dirty-old/OldDirtyHive": (5, 4, True),
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_key_and_value_of_a_sound_hive_is_read(unpacked: Give, name: str) -> None:
    assert survey(open_hive(unpacked(name))) == (*COUNTS[name], 0)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_hive_is_dirty_exactly_when_its_sequence_numbers_differ(unpacked: Give, name: str) -> None:
    hive = open_hive(unpacked(name))
    assert (hive.primary_sequence, hive.secondary_sequence, hive.dirty) == SEQUENCES[name]
    assert hive.header_valid


def test_a_wrong_checksum_of_the_header_makes_a_hive_dirty_but_does_not_hide_it(unpacked: Give) -> None:
    hive = open_hive(unpacked("hives/bad-baseblock/BadBaseBlockHive"))
    assert not hive.header_valid
    assert hive.dirty


def test_services_and_host_name_of_each_windows_are_those_known(unpacked: Give) -> None:
    facts = {
        "hives/win7/SYSTEM": (467, "WKS-WIN732BITA"),
        "hives/win81/SYSTEM": (469, "SENSEI"),
        "hives/win10-1903/SYSTEM": (737, "DESKTOP-2KGM189"),
        "hives/win10-dirty/SYSTEM_B": (655, "DESKTOP-PM6C56D"),
    }
    for name, (services, host) in facts.items():
        hive = open_hive(unpacked(name))
        listed = hive.open_key(r"controlset001\SERVICES")
        computer = hive.open_key(r"ControlSet001\Control\ComputerName\ComputerName")
        assert listed is not None
        assert computer is not None
        assert len(list(listed.subkeys())) == services
        value = computer.value("computername")
        assert value is not None
        assert (value.type_name, value.decoded()) == ("REG_SZ", host)


def test_the_driver_of_the_flagship_stands_under_its_service_key(unpacked: Give) -> None:
    hive = open_hive(unpacked("hives/win10-1903/SYSTEM"))
    key = hive.open_key(r"ControlSet001\Services\storflt")
    assert key is not None
    found = {value.name: value.decoded() for value in key.values()}
    assert (found["ImagePath"], found["Start"], found["Type"]) == ("System32\\drivers\\vmstorfl.sys", 0, 1)
    assert hive.open_key(r"ControlSet001\Services\vmstorfl") is None


def test_a_control_set_is_listed_without_reading_the_rest_of_the_hive(unpacked: Give) -> None:
    source = FileSource(unpacked("hives/win7/SYSTEM"))
    services = Hive(source).open_key(r"ControlSet001\Services")
    assert services is not None
    assert sum(len(list(key.values())) for key in services.subkeys()) == 3_550
    assert source.bytes_read < source.size / 10


@pytest.mark.peer("hivexml")
@pytest.mark.parametrize("name", ["hives/win81/SYSTEM", "hives/amcache/amcache-plaso-win7.hve", "hives/bcd/BCD-regipy"])
def test_hivex_reads_the_same_keys_values_types_times_and_offsets(unpacked: Give, name: str) -> None:
    path = unpacked(name)
    printed = subprocess.run(["hivexml", path], capture_output=True, check=True).stdout
    top = xml.fromstring(printed).find("node")
    assert top is not None
    compared = 0
    stack: list[tuple[Key, xml.Element]] = [(open_hive(path).root, top)]
    while stack:
        key, node = stack.pop()
        assert key.name == node.get("name")
        assert _cell(node) == key.offset - 4
        values = list(key.values())
        theirs = node.findall("value")
        for value, other in zip(values, theirs, strict=True):
            compared += 1
            # hivex gives no place for values without a type.
            assert _cell(other) in (value.offset - 4, None)
            assert value.name == other.get("key", "")
            if other.get("type") in ("int32", "int64"):
                assert value.decoded() == int(other.get("value", "")) % (1 << 64 if value.type == 11 else 1 << 32)
            elif other.get("type") in ("string", "expand") and other.get("encoding") is None:
                assert value.decoded() == other.get("value")
            elif other.get("type") == "string-list":
                texts = [item.text or "" for item in other.findall("string")]
                # hivex keeps the empty text that ends the list, where there is one.
                assert value.decoded() in (texts, texts[:-1])
        below = list(key.subkeys())
        stack += zip(below, node.findall("node"), strict=True)
    assert compared == COUNTS[name][1]


def _cell(element: xml.Element) -> int | None:
    run = element.find("byte_runs/byte_run")
    return int(run.get("file_offset", "0")) if run is not None else None


@pytest.mark.parametrize("name", ["hives/bcd/BCD-ez", "hives/amcache/amcache-plaso-win7.hve", "hives/win81/SYSTEM"])
def test_dissect_reads_the_same_bytes_of_every_value(unpacked: Give, name: str) -> None:
    path = unpacked(name)
    compared = 0
    with path.open("rb") as file:
        theirs = regf.RegistryHive(file)
        for place, key in every_key(open_hive(path).root):
            if not place.startswith(("\\ControlSet001\\Services", "\\Root", "\\Objects", "\\Select")):
                continue
            for value, other in zip(key.values(), theirs.open(place).values(), strict=True):
                size = other.size & 0x7FFFFFFF
                assert (value.name, value.type, value.data) == (
                    "" if other.name == "(Default)" else other.name, other.type, other.data[:size],
                )  # fmt: skip
                compared += 1
    assert compared > 40


def test_every_hash_in_a_real_list_is_the_one_that_lookups_reckon_with(unpacked: Give) -> None:
    # Lookups skip keys whose hash differs; were the hash reckoned wrongly, keys would vanish.
    for name in ("hives/win10-1903/SYSTEM", "hives/win7/SYSTEM", "hives/corrupt-xp/SYSTEM"):
        hive = open_hive(unpacked(name))
        services = hive.open_key(r"ControlSet001\Services")
        assert services is not None
        below, _ = sound(services.subkeys())
        for key in below:
            assert isinstance(key, Key)
            found = services.subkey(key.name.swapcase())
            assert found is not None
            assert found.offset == key.offset


def test_damage_of_one_key_leaves_the_keys_beside_it(unpacked: Give) -> None:
    hive = open_hive(unpacked("hives/corrupt-xp/SYSTEM"))
    services = hive.open_key(r"ControlSet001\Services")
    assert services is not None
    below, errors = sound(services.subkeys())
    # 258 are listed; the ones that lie in overwritten cells are told in one error behind the others.
    damaged = int(str(errors[0]).partition(", ")[2].partition(" ")[0])
    assert len(below) + damaged == 258
    assert len(below) > 150
    computer = hive.open_key(r"ControlSet001\Control\ComputerName\ComputerName")
    assert computer is not None
    name = computer.value("ComputerName")
    assert name is not None
    assert name.decoded() == "GINEVRA"


def test_an_unreadable_control_set_is_an_error_and_not_an_empty_one(unpacked: Give) -> None:
    hive = open_hive(unpacked("hives/corrupt-xp/SYSTEM"))
    damaged = hive.open_key("ControlSet003")
    assert damaged is not None
    with pytest.raises(FormatError, match="free"):
        list(damaged.subkeys())
    with pytest.raises(FormatError, match="not found"):
        hive.open_key(r"ControlSet003\Services")


@pytest.mark.parametrize("name", ["hives/truncated/TruncatedHive", "hives/truncated/TruncatedDirtyHive"])
def test_a_cut_hive_gives_what_is_left_and_says_what_is_not(unpacked: Give, name: str) -> None:
    hive = open_hive(unpacked(name))
    assert hive.truncated == 479_232
    below, _ = sound(hive.root.subkeys())
    assert [key.name for key in below] == ["key_with_many_subkeys"]
    with pytest.raises(FormatError, match="behind the end"):
        list(below[0].subkeys())  # type: ignore[union-attr]


@pytest.mark.parametrize("log", ["hives/win10-dirty/SYSTEM_B.LOG1", "hives/dirty-old/OldDirtyHive.LOG1"])
def test_a_transaction_log_is_not_taken_for_a_hive(unpacked: Give, log: str) -> None:
    with pytest.raises(FormatError, match="log"):
        open_hive(unpacked(log))


def test_a_zeroed_or_an_empty_hive_is_called_that(tmp_path: Path, unpacked: Give) -> None:
    place = tmp_path / "SYSTEM"
    place.write_bytes(bytes(65_536))
    with pytest.raises(FormatError, match="zeros"):
        open_hive(place)
    place.write_bytes(b"")
    with pytest.raises(FormatError, match="empty"):
        open_hive(place)
    place.write_bytes(unpacked("hives/bcd/BCD-ez").read_bytes()[:4096])
    with pytest.raises(TruncatedError):
        open_hive(place)
