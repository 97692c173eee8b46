"""What a boot configuration store makes of `/boot`: stores written here, places that cannot be read."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest

from forensics.collect import Machine, collect
from forensics.collect.boot_config import FIELDS
from forensics.disk.boot_store import BootStore
from forensics.facts import Facts, Wants
from parsers.bcd import BOOTMGR, BcdStore
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.errors import ReadError
from parsers.registry import Hive
from samples.hive import Key, Value, binary, multi, sz, write_hive
from tests.forensics.world import FakeWindows, gaps

LOADER = "{11111111-2222-3333-4444-555555555555}"
SETTINGS = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}"
WINDOWS = UUID("b7c8f2a9-3f64-4de0-93b1-6e5d4c3b2a31").bytes_le
OTHER = UUID("8a2b1d64-0b5f-4b1e-8f53-2c1a7f6e9d21").bytes_le
YES, NO = binary(b"\1"), binary(b"\0")


def partition(guid: bytes) -> Value:
    return binary(struct.pack("<16xIIII16sII16s16x", 6, 0, 0x48, 0, guid, 0, 0, bytes(16)))


def number(value: int) -> Value:
    return binary(struct.pack("<Q", value))


def store_of(loader: Mapping[str, Value], manager: Mapping[str, Value] | None = None) -> BcdStore:
    root = Key(time=0)
    root.set("Objects", {})
    elements = {"14000006": multi([SETTINGS]), **loader}
    for name, held in (
        (BOOTMGR, {"23000003": sz(LOADER)} if manager is None else manager),
        (LOADER, elements),
        (SETTINGS, {"16000020": NO}),
    ):
        root.set(f"Objects\\{name}\\Description", {"Type": 0x10200003})
        for which, value in held.items():
            root.set(f"Objects\\{name}\\Elements\\{which}", {"Element": value})
    return BcdStore(Hive(BytesSource(write_hive(root, "BCD", time=0))))


class Machines(FakeWindows):
    identity = b"DMIO:ID:" + WINDOWS
    partitions = (identity, b"DMIO:ID:" + OTHER)
    stores: Sequence[BootStore] | None = None

    def boot_stores(self) -> Any:
        return self.stores


def boot(*stores: BootStore) -> tuple[dict[str, Any], dict[str, str], Diagnostics]:
    windows = Machines({}, {}, {})
    windows.stores = stores
    diagnostics = Diagnostics()
    machine = Machine(windows, Wants(), diagnostics)  # type: ignore[arg-type]
    facts: Facts = collect(machine, only=frozenset({"boot_config"}))
    return dict(facts["boot"]), gaps(facts), diagnostics


def uefi(store: BcdStore | None, problem: str = "") -> BootStore:
    return BootStore("volume 1", "\\EFI\\Microsoft\\Boot\\BCD", "uefi", store, problem)


def test_a_machine_that_starts_says_from_where_and_how() -> None:
    found, missing, _ = boot(uefi(store_of({"21000001": partition(WINDOWS), "16000009": NO, "250000f0": number(1)})))
    assert (found["firmware"], found["bcd"], found["default_device"]) == ("uefi", "ok", "ok")
    assert found["option"] == ["bootems=no", "hypervisorlaunchtype=auto", "recoveryenabled=no"]
    assert (found["safe_mode"], found["recovery_sequence"], found["hypervisor_launch"]) == (False, False, "auto")
    assert not any(path.startswith("/boot/") and path[6:] in FIELDS for path in missing)
    assert found["sources"]["default_device"]["path"] == "\\EFI\\Microsoft\\Boot\\BCD"
    assert "21000001" in found["sources"]["default_device"]["detail"]


def test_a_default_entry_on_another_partition_or_another_disk_is_told() -> None:
    assert boot(uefi(store_of({"21000001": partition(OTHER)})))[0]["default_device"] == "other"
    assert boot(uefi(store_of({"21000001": partition(b"\7" * 16)})))[0]["default_device"] == "unknown"
    assert boot(uefi(store_of({})))[0]["default_device"] == "missing"


def test_nothing_is_said_of_a_windows_whose_volume_has_no_known_name_in_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Machines, "identity", b"")
    found, missing, _ = boot(uefi(store_of({"21000001": partition(WINDOWS[::-1])})))
    assert "default_device" not in found
    assert "not known" in missing["/boot/default_device"]
    assert boot(uefi(store_of({"21000001": partition(OTHER)})))[0]["default_device"] == "other"


def test_the_device_that_the_store_was_read_from_is_not_taken_for_a_partition() -> None:
    device = binary(struct.pack("<16xIIII56x", 5, 0, 0x48, 0))
    found, missing, _ = boot(uefi(store_of({"21000001": device})))
    assert "default_device" not in found
    assert "'boot'" in missing["/boot/default_device"]


def test_safe_mode_is_the_presence_of_its_element() -> None:
    found, _, _ = boot(uefi(store_of({"25000080": number(0)})))
    assert found["safe_mode"] is True
    assert "safeboot=minimal" in found["option"]


def test_recovery_needs_a_sequence_and_its_switch() -> None:
    sequence = multi([LOADER])
    assert boot(uefi(store_of({"14000008": sequence, "16000009": YES})))[0]["recovery_sequence"] is True
    assert boot(uefi(store_of({"14000008": sequence, "16000009": NO})))[0]["recovery_sequence"] is False
    found, missing, _ = boot(uefi(store_of({"14000008": sequence})))
    assert "recovery_sequence" not in found
    assert "/boot/recovery_sequence" in missing


def test_a_damaged_option_is_a_gap() -> None:
    found, missing, _ = boot(uefi(store_of({"25000080": binary(bytes(9)), "16000049": YES})))
    assert "testsigning=yes" in found["option"]
    assert {"/boot/safe_mode", "/boot/option"} <= missing.keys()
    assert "safe_mode" not in found


def test_a_store_that_cannot_be_read_is_damaged_and_told() -> None:
    found, missing, said = boot(uefi(None, "not a registry hive"))
    assert (found["bcd"], found["firmware"]) == ("damaged", "uefi")
    assert "not a registry hive" in missing["/boot/default_device"]
    assert [item.code for item in said.items] == ["boot.store-unreadable"]


def test_a_store_without_a_default_entry_is_damaged_and_told() -> None:
    found, missing, said = boot(uefi(store_of({}, manager={})))
    assert found["bcd"] == "damaged"
    assert "default entry" in missing["/boot/option"]
    assert [item.code for item in said.items] == ["boot.no-default-entry"]


def test_no_store_where_the_firmware_looks_is_missing() -> None:
    found, missing, _ = boot()
    assert found["bcd"] == "missing"
    assert "firmware" not in found
    assert "/boot/firmware" in missing


def test_a_boot_volume_that_cannot_be_read_proves_nothing() -> None:
    found, missing, _ = boot(BootStore("volume 1", "", "", None, "its file system (exFAT) is not read"))
    assert not {"bcd", "firmware"} & found.keys()
    assert {f"/boot/{field}" for field in FIELDS} <= missing.keys()


def test_two_stores_are_not_guessed_between() -> None:
    store = store_of({})
    found, missing, _ = boot(uefi(store), BootStore("volume 0", "\\Boot\\BCD", "bios", store))
    assert not set(FIELDS) & found.keys()
    assert "depends on the firmware" in missing["/boot/firmware"]


def test_an_image_without_a_boot_volume_has_gaps() -> None:
    windows = Machines({}, {}, {})
    machine = Machine(windows, Wants(), Diagnostics())  # type: ignore[arg-type]
    facts = collect(machine, only=frozenset({"boot_config"}))
    assert {f"/boot/{field}" for field in FIELDS} <= gaps(facts).keys()


def test_a_store_that_cannot_be_read_any_more_is_unknown_and_not_damaged() -> None:
    found, missing, said = boot(uefi(Gone()))  # type: ignore[arg-type]  # it stands for one
    assert "bcd" not in {*found, *found["sources"]}
    assert all("the server refuses" in missing[f"/boot/{field}"] for field in FIELDS if field != "firmware")
    assert not said.items


class Gone:
    def default_entry(self) -> Any:
        raise ReadError("the server refuses")
