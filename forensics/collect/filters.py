r"""Class filters: drivers that Windows puts above or below every device of a class.

A name in `UpperFilters` or `LowerFilters` is a service's name. One whose service key, or file, is not there, or that
is disabled, keeps *every* device of the class from starting; for disks and volumes that is stop code 0x7B.

Source: MicrosoftDocs/windows-driver-docs (device filter driver ordering); the classes' GUIDs and usual filters were
read in real hives. Filters that a driver package declares (`Control\Class\{guid}\Filters`, Windows 10 1903 and later)
are not values and are not told here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from forensics.collect.machine import Machine
from forensics.facts import DriverFact, Facts, FilterFact, ServiceFact, path_of
from parsers.errors import StopcodeError

__all__ = ["STORAGE_CLASSES", "collect"]

#: Setup classes between the kernel and its boot volume, by GUID.
STORAGE_CLASSES = {
    "{4d36e967-e325-11ce-bfc1-08002be10318}": "DiskDrive",
    "{4d36e97b-e325-11ce-bfc1-08002be10318}": "SCSIAdapter",
    "{4d36e96a-e325-11ce-bfc1-08002be10318}": "hdc",
    "{71a27cdd-812a-11d0-bec7-08002be2092f}": "Volume",
}
_SIDES: tuple[tuple[Literal["upper", "lower"], str], ...] = (("upper", "UpperFilters"), ("lower", "LowerFilters"))
_MAX_CLASSES = 1024


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/filters`, sorted by class, side and place in the list."""
    root = machine.current(r"Control\Class")
    if machine.key("SYSTEM", root) is None:
        machine.gap(facts, "/filters", f"the SYSTEM hive holds no {root}")
        return
    services = {service["name"].lower(): service for service in facts["services"]}
    drivers = {name.lower(): driver for driver in facts["drivers"] for name in _service_names(driver)}
    found: list[FilterFact] = []
    for guid, name in _classes(machine, root):
        for side, value_name in _SIDES:
            try:
                value = machine.value("SYSTEM", f"{root}\\{guid}", value_name)
                names = value.strings() if value is not None else []
            except StopcodeError as error:
                machine.gap(facts, "/filters", f"{value_name} of class {name} cannot be read: {error.message}")
                continue
            if value is None:
                continue
            taken: set[str] = set()
            for position, filter_name in enumerate(names):
                item = f"{name}:{side}:{filter_name}"
                if item.lower() in taken:
                    item += f"#{position}"
                taken.add(item.lower())
                fact: FilterFact = {
                    "item": item,
                    "class_name": name,
                    "class_guid": guid,
                    "side": side,
                    "name": filter_name,
                    "position": position,
                    "source": value.source,
                }
                _judge(machine, facts, fact, services.get(filter_name.lower()), drivers.get(filter_name.lower()))
                found.append(fact)
    found.sort(key=lambda item: (item["class_name"].lower(), item["side"], item["position"]))
    facts["filters"] = found


def _service_names(driver: DriverFact) -> list[str]:
    return driver.get("services") or ([driver["service"]] if "service" in driver else [])


def _classes(machine: Machine, root: str) -> Iterator[tuple[str, str]]:
    """Yield (GUID, name) of the storage classes and of those that rules want."""
    wanted = {name.lower() for name in machine.wants.filter_classes}
    yield from STORAGE_CLASSES.items()
    wanted -= set(STORAGE_CLASSES) | {name.lower() for name in STORAGE_CLASSES.values()}
    key = machine.key("SYSTEM", root) if wanted else None
    if key is None:
        return
    for number, child in enumerate(key.subkeys()):
        guid = child.name.lower()
        if number >= _MAX_CLASSES:
            return
        if guid in STORAGE_CLASSES:
            continue
        value = machine.value("SYSTEM", f"{root}\\{child.name}", "Class")
        name = (value.text() if value is not None else None) or guid
        if guid in wanted or name.lower() in wanted:
            yield guid, name


def _judge(
    machine: Machine, facts: Facts, fact: FilterFact, service: ServiceFact | None, driver: DriverFact | None
) -> None:
    """Say whether a service and a file stand behind the name."""
    orphan = path_of("filters", fact["item"], "orphan")
    if service is None:
        if machine.knows_gap("/services"):
            machine.gap(facts, orphan, "the services cannot be read")
            return
        fact["orphan"] = True
        fact["reason"] = f"there is no service {fact['name']}"
        return
    if machine.knows_gap(path_of("services", service["name"])):
        machine.gap(facts, orphan, f"the key of service {service['name']} is damaged")
        return
    if service.get("start_raw") == "disabled":
        fact["orphan"] = True
        fact["reason"] = f"the service {service['name']} is disabled"
    elif driver is not None and driver.get("missing"):
        fact["orphan"] = True
        fact["reason"] = f"the file of service {service['name']} is not there: {driver.get('path', driver['file'])}"
    elif driver is None or "missing" not in driver:
        machine.gap(facts, orphan, f"it is not known whether the file of service {service['name']} is there")
    else:
        fact["orphan"] = False
