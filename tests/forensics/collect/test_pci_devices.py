"""A PCI Express error of a dump on a disk: the device is named as the disk's own registry knows it."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from forensics.collect import pci_devices
from tests.forensics.crash.machines import POOL
from tests.forensics.world import scan
from tests.parsers.dump.builder import server2019, write_x64
from tests.parsers.dump.test_whea import PCIE, record

ENUM = "ControlSet001\\Enum\\PCI\\"
KIND = ENUM + "VEN_144D&DEV_A808&SUBSYS_A801144D&REV_00"
HERE = KIND + "\\4&10c00a19&0&00D8"


def dump() -> bytes:
    """0x124 with a record of the device 144D:A808 at bus 3, device 0, function 1."""
    body = struct.pack("<QIIHHIHH3sBBHBBHB", 0xF, 0, 0x101, 0, 0, 0, 0x144D, 0xA808, b"\2\x08\1", 1, 0, 0, 3, 0, 0, 0)
    machine = server2019()
    machine.put(POOL, record((PCIE, body.ljust(0xD0, b"\0"))))
    return write_x64(machine, 5, code=0x124, parameters=(4, POOL, 0, 0))


def crash(keys: dict[str, Any]) -> Any:
    facts, _ = scan(system=keys, files={r"\Windows\MEMORY.DMP": dump()})
    return facts["crashes"][0]


def told(found: Any) -> str:
    return "\n".join(found["culprit"]["because"])


@pytest.mark.parametrize(
    "location", ["@System32\\drivers\\pci.sys,#65536;PCI bus %1, device %2, function %3;(3,0,1)",
                 "PCI bus 3, device 0, function 1"],
)  # fmt: skip
def test_the_device_at_the_place_is_named_with_its_driver(location: str) -> None:
    found = crash({
        HERE: {
            "DeviceDesc": "@oem7.inf,%nvme%;Samsung NVMe Controller", "Service": "secnvme",
            "LocationInformation": location,
        },
        KIND + "\\4&1&0&00E0": {"DeviceDesc": "Another of the kind", "LocationInformation": "(4,0,0)"},
    })  # fmt: skip
    [section] = found["hardware_error"]["sections"]
    assert section["known_as"] == [
        {"name": "Samsung NVMe Controller", "service": "secnvme", "key": HERE, "at_this_place": True}
    ]
    assert f"the disk knows it as Samsung NVMe Controller, driver secnvme (SYSTEM\\{HERE})" in told(found)
    assert found["culprit"]["kind"] == "hardware"


def test_without_the_place_every_device_of_the_kind_is_told() -> None:
    found = crash({HERE: {"FriendlyName": "One"}, KIND + "\\5": {"DeviceDesc": "Two", "Service": "b"}})
    assert "a device of that kind as One" in told(found)
    assert "a device of that kind as Two, driver b" in told(found)


@pytest.mark.parametrize("keys", [{}, {ENUM + "VEN_8086&DEV_A808\\1": {"DeviceDesc": "Other"}}, {HERE: {"Service": 7}}])
def test_a_device_that_the_disk_does_not_know_adds_little(keys: dict[str, Any]) -> None:
    found = crash(keys)
    assert "PCI\\VEN_144D&DEV_A808" in told(found)
    assert "Other" not in told(found)
    assert "driver" not in told(found).rpartition("the disk knows")[2]


def test_no_more_devices_than_the_limit_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pci_devices, "MAX_PCI_DEVICES", 2)
    first = {f"{ENUM}VEN_0000&DEV_000{number}\\1": {"Service": "a"} for number in range(2)}
    assert "the disk knows" not in told(crash({**first, HERE: {"Service": "secnvme"}}))


def test_a_hive_that_cannot_be_read_leaves_the_crash_as_it_is() -> None:
    facts, _ = scan(system=None, files={r"\Windows\MEMORY.DMP": dump()})
    assert "PCI\\VEN_144D&DEV_A808" in told(facts["crashes"][0])
