r"""Boot configuration stores: two real ones, stores that we write, and damage."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bcd import BOOTMGR, BcdDevice, BcdStore
from parsers.bytesource import BytesSource, FileSource
from parsers.errors import FormatError, StopcodeError
from parsers.limits import MAX_BCD_ELEMENTS, MAX_BCD_INHERITED, MAX_BCD_OBJECTS
from parsers.registry import Hive
from samples.hive import Key, Value, binary, multi, sz, write_hive

Give = Callable[[str], Path]
LOADER = "{11111111-2222-3333-4444-555555555555}"


def written(objects: Mapping[str, Mapping[str, Value]]) -> BcdStore:
    root = Key(time=0)
    root.set("Objects", {})
    for name, elements in objects.items():
        root.set(f"Objects\\{name}\\Description", {"Type": 0x10200003})
        for number, value in elements.items():
            root.set(f"Objects\\{name}\\Elements\\{number}", {"Element": value})
    return BcdStore(Hive(BytesSource(write_hive(root, "BCD", time=0))))


@pytest.mark.realdata
def test_the_store_of_a_real_uefi_machine(unpacked: Give) -> None:
    store = BcdStore(Hive(FileSource(unpacked("hives/bcd/BCD-regipy"))))
    assert not store.damaged
    loader = store.default_entry()
    # bcdedit's words for these elements; the GUIDs read from the element's bytes by hand.
    assert loader.type == 0x10200003
    assert store.find(loader, 0x12000002) == "\\Windows\\system32\\winload.efi"
    assert store.find(loader, 0x12000004) == "Windows 10"
    assert store.find(loader, 0x16000009) is True
    device = store.find(loader, 0x21000001)
    assert isinstance(device, BcdDevice)
    assert (device.kind, device.style) == ("partition", "gpt")
    assert UUID(bytes_le=device.partition) == UUID("8e0f2c38-e4ea-47ba-b7fc-9d8c74dccf0b")
    assert UUID(bytes_le=device.disk) == UUID("0b2394a9-095e-487d-8d48-719ecd4d78ca")
    assert store.find(store.objects[BOOTMGR], 0x25000004) == 30
    # Inherited: {bootloadersettings} -> {globalsettings} -> {dbgsettings}: debugtype 4 is "local".
    assert store.find(loader, 0x15000011) == 4


@pytest.mark.realdata
def test_numbers_of_a_real_template_are_shorter_than_eight_bytes(unpacked: Give) -> None:
    store = BcdStore(Hive(FileSource(unpacked("hives/bcd/BCD-ez"))))
    loader = store.default_entry()
    assert store.find(loader, 0x12000004) == "Windows Setup"
    assert store.find(loader, 0x15000014) == 115200
    assert store.find(loader, 0x26000022) is True
    device = store.find(loader, 0x21000001)
    assert isinstance(device, BcdDevice)
    assert (device.kind, device.identity) == ("disk", b"")
    boots = store.find(store.objects["{b2721d73-1db4-4c62-bf78-c548a880142d}"], 0x11000001)
    assert isinstance(boots, BcdDevice)
    assert boots.kind == "boot"


def test_a_partition_of_an_mbr_disk_is_known_by_signature_and_offset() -> None:
    element = struct.pack("<16xIIII16sII16s16x", 6, 0, 0x48, 0, struct.pack("<Q8x", 0x1F500000), 0, 1,
                          struct.pack("<I12x", 0xCAFEBABE))  # fmt: skip
    store = written({LOADER: {"21000001": binary(element)}})
    device = store.find(store.objects[LOADER], 0x21000001)
    assert isinstance(device, BcdDevice)
    # The 12 bytes that MountedDevices would hold.
    assert device.identity == bytes.fromhex("bebafeca 0000501f00000000")


def test_an_object_that_inherits_from_itself_ends() -> None:
    other = "{22222222-2222-3333-4444-555555555555}"
    store = written({LOADER: {"14000006": multi([other])}, other: {"14000006": multi([LOADER, other])}})
    assert store.find(store.objects[LOADER], 0x16000009) is None


def test_the_own_element_counts_before_the_inherited_one() -> None:
    other = "{22222222-2222-3333-4444-555555555555}"
    store = written({
        LOADER: {"14000006": multi([other]), "16000049": binary(b"\0")},
        other: {"16000049": binary(b"\1"), "16000048": binary(b"\1")},
    })  # fmt: skip
    assert store.find(store.objects[LOADER], 0x16000049) is False
    assert store.find(store.objects[LOADER], 0x16000048) is True


def test_only_so_many_objects_are_asked_for_an_inherited_element() -> None:
    names = [f"{{{number:08x}-2222-3333-4444-555555555555}}" for number in range(MAX_BCD_INHERITED + 1)]
    chain: dict[str, dict[str, Value]] = {
        name: {"14000006": multi([below])} for name, below in itertools.pairwise(names)
    }
    chain[names[-1]] = {"16000049": binary(b"\1")}
    store = written(chain)
    assert store.find(store.objects[names[0]], 0x16000049) is None
    assert store.find(store.objects[names[1]], 0x16000049) is True


def test_too_many_objects_or_elements_are_refused() -> None:
    many = {f"{{{number:08x}-2222-3333-4444-555555555555}}": {} for number in range(MAX_BCD_OBJECTS + 1)}
    with pytest.raises(FormatError, match="too many objects"):
        written(many)
    store = written({LOADER: {f"{number:08x}": sz("") for number in range(MAX_BCD_ELEMENTS + 1)}})
    assert "too many elements" in store.damaged[LOADER]


def test_an_element_of_the_wrong_format_is_damage_and_not_absence() -> None:
    store = written({LOADER: {"21000001": binary(b"\6" * 20), "16000049": sz("yes"), "25000004": binary(bytes(9))}})
    for number in (0x21000001, 0x25000004):
        with pytest.raises(FormatError, match=f"{number:08x}"):
            store.find(store.objects[LOADER], number)


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ({}, "boot manager's object .* not there"),
        ({BOOTMGR: {}}, "names no default entry"),
        ({BOOTMGR: {"23000003": sz(LOADER)}}, "default entry .* not there"),
    ],
)
def test_a_store_that_starts_nothing_says_why(objects: dict[str, dict[str, Value]], told: str) -> None:
    with pytest.raises(FormatError, match=told):
        written(objects).default_entry()


def test_a_hive_without_objects_is_no_store() -> None:
    with pytest.raises(FormatError, match="no boot configuration"):
        BcdStore(Hive(BytesSource(write_hive(Key(time=0), "x", time=0))))


@pytest.mark.fuzz
@given(st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=16))
def test_any_damage_gives_a_store_or_an_error_of_ours(at: int, noise: bytes) -> None:
    root = Key(time=0)
    root.set(f"Objects\\{BOOTMGR}\\Elements\\23000003", {"Element": sz(LOADER)})
    root.set(f"Objects\\{LOADER}\\Elements\\21000001", {"Element": binary(bytes(88))})
    data = bytearray(write_hive(root, "BCD", time=0))
    place = at % len(data)
    data[place : place + len(noise)] = noise[: len(data) - place]
    try:
        store = BcdStore(Hive(BytesSource(data)))
        entry = store.default_entry()
        store.find(entry, 0x21000001)
    except StopcodeError:
        pass
