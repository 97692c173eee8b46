r"""Which device of this machine a PCI Express error accuses: `Enum\PCI` of the control set knows its name and driver.

A hardware error record (0x124) gives vendor, device and place (bus, device, function). Windows keeps a key for each
device that it ever saw, `VEN_8086&DEV_A282&SUBSYS_…\instance`, with DeviceDesc and FriendlyName
("@oem1.inf,%name%;Name"), Service, and LocationInformation ("…;PCI bus %1, device %2, function %3;(3,0,0)", before
Windows Vista plain text). Keys of devices that are gone stay: where no place fits, every device of that kind is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from forensics.collect.machine import Machine, clip
from forensics.collect.volume import RegistryKey
from forensics.facts import CrashDict
from parsers.errors import StopcodeError
from parsers.limits import MAX_PCI_DEVICES

__all__ = ["name_pci_devices"]

_ENUM = "Enum\\PCI"
_PLACE = re.compile(r"\((\d+),\s*(\d+),\s*(\d+)\)$|^PCI bus (\d+), device (\d+), function (\d+)$")


class _Device(NamedTuple):
    """One device that Windows knows."""

    name: str
    service: str
    key: str
    place: tuple[int, int, int] | None


def name_pci_devices(machine: Machine, crash: CrashDict) -> None:
    """Add to a crash what the disk knows of the PCI Express devices that its hardware error record names."""
    for section in crash.get("hardware_error", {}).get("sections", []):
        if section.get("kind") != "PCI Express" or not isinstance(section.get("vendor"), int):
            continue
        try:
            found = _devices(machine, section)
        except StopcodeError:
            # The SYSTEM hive was told unreadable where it was opened.
            return
        if not found:
            continue
        section["known_as"] = [
            {"name": device.name, "service": device.service, "key": device.key, "at_this_place": here}
            for device, here in found
        ]
        sentences = [
            f"the disk knows {'it' if here else 'a device of that kind'} as {device.name or 'a device without a name'}"
            + (f", driver {device.service}" if device.service else "")
            + f" (SYSTEM\\{device.key})"
            for device, here in found
        ]
        crash["culprit"]["because"] += sentences


def _devices(machine: Machine, section: Mapping[str, Any]) -> list[tuple[_Device, bool]]:
    """Return the devices of the section's kind, with whether each is at its place; those at the place alone, if any."""
    wanted = (section.get("bus"), section.get("device"), section.get("function"))
    start = f"ven_{section['vendor']:04x}&dev_{section.get('device_id', 0):04x}"
    found = []
    path = machine.current(_ENUM)
    key = machine.key("SYSTEM", path)
    for number, kind in enumerate(key.subkeys() if key is not None else ()):
        if number >= MAX_PCI_DEVICES:
            break
        if kind.name.lower().startswith(start):
            found += [(device, device.place == wanted) for device in _instances(kind, f"{path}\\{kind.name}")]
    here = [item for item in found if item[1]]
    return (here or found)[:4]


def _instances(kind: RegistryKey, path: str) -> Iterator[_Device]:
    for number, instance in enumerate(kind.subkeys()):
        if number >= MAX_PCI_DEVICES:
            return
        name = _text(instance, "FriendlyName") or _text(instance, "DeviceDesc")
        located = _PLACE.search(_text(instance, "LocationInformation", whole=True))
        place = [int(part) for part in located.groups() if part is not None] if located is not None else []
        yield _Device(
            name,
            _text(instance, "Service"),
            f"{path}\\{instance.name}",
            (place[0], place[1], place[2]) if len(place) == 3 else None,
        )


def _text(key: RegistryKey, name: str, *, whole: bool = False) -> str:
    """Return a value's text, without the reference to the file that it stands in; "" when there is none."""
    value = key.value(name)
    try:
        decoded = value.decoded() if value is not None else None
    except StopcodeError:
        return ""
    text = clip(decoded) if isinstance(decoded, str) else ""
    return text if whole or not text.startswith("@") else text.rpartition(";")[2]
