r"""Services and drivers as registered: the subkeys of `Services` in the current control set.

`start` is what Windows would do on the hardware of the last boot: the subkey `StartOverride` holds, under the number
of a hardware configuration, a start type to use instead. That the value's name is the `Id` of the configuration is
inferred (it was `0` beside `Id` 0 on every Windows 8.1 and 10 machine looked at); `start_raw` is the value `Start`.

Source of the numbers: MicrosoftDocs/windows-driver-docs: inf-addservice-directive.md; ImagePath absent means
`System32\drivers\<name>.sys` (seen: Ntfs has none on Windows 10).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from forensics.collect.hardware import current_hardware
from forensics.collect.machine import Machine, clip
from forensics.facts import Facts, ServiceFact, path_of, source
from parsers.errors import StopcodeError
from parsers.limits import MAX_SERVICES

if TYPE_CHECKING:
    from parsers.registry.hive import Key, Value

__all__ = ["DRIVER_TYPES", "collect", "image_file"]

StartWord = Literal["boot", "system", "auto", "demand", "disabled"]
_START: dict[int, StartWord] = {0: "boot", 1: "system", 2: "auto", 3: "demand", 4: "disabled"}
_ERROR_CONTROL: dict[int, Literal["ignore", "normal", "severe", "critical"]] = {
    0: "ignore",
    1: "normal",
    2: "severe",
    3: "critical",
}
_TYPE = {
    0x01: "kernel-driver",
    0x02: "file-system-driver",
    0x04: "adapter",
    0x08: "recognizer",
    0x10: "own-process",
    0x20: "share-process",
    0x50: "user-own-process",
    0x60: "user-share-process",
    0xD0: "user-own-process",
    0xE0: "user-share-process",
}
#: Types whose image runs in the kernel.
DRIVER_TYPES = frozenset({"kernel-driver", "file-system-driver", "recognizer"})
_INTERACTIVE = 0x100
_WITH_ARGUMENTS = re.compile(r"(.+?\.(?:exe|sys|dll|com))(?:\s|$)", re.IGNORECASE)


def image_file(image_path: str) -> str:
    """Return the file of an ImagePath, without quotes and arguments."""
    text = image_path.strip()
    if text.startswith('"'):
        return text[1:].partition('"')[0].strip()
    match = _WITH_ARGUMENTS.match(text)
    return match.group(1) if match else text


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/services`, sorted by name."""
    path = machine.current("Services")
    key = machine.key("SYSTEM", path)
    if key is None:
        machine.gap(facts, "/services", f"the SYSTEM hive holds no {path}")
        return
    hardware = _hardware_id(machine)
    found: dict[str, ServiceFact] = {}
    keys = key.subkeys()
    while True:
        try:
            child = next(keys, None)
        except StopcodeError as error:
            machine.gap(facts, "/services", f"the list of services is damaged: {error.message}")
            machine.diagnostics.error(
                "services.list-damaged",
                f"{len(found)} services were read, the rest of the list is damaged: {error.message}",
                source=f"SYSTEM\\{path}",
            )
            break
        if child is None:
            break
        if len(found) >= MAX_SERVICES:
            machine.gap(facts, "/services", f"only the first {MAX_SERVICES} services were read")
            break
        try:
            service = _service(child, f"SYSTEM\\{path}\\{child.name}", hardware)
        except StopcodeError as error:
            service = {"name": child.name, "source": source("key", f"SYSTEM\\{path}\\{child.name}")}
            machine.gap(facts, path_of("services", child.name), f"the service's key is damaged: {error.message}")
            machine.diagnostics.warning(
                "services.key-damaged",
                f"The key of service {child.name} is damaged: {error.message}",
                source=f"SYSTEM\\{path}\\{child.name}",
            )
        found.setdefault(child.name.lower(), service)
    facts["services"] = [found[name] for name in sorted(found)]


def _hardware_id(machine: Machine) -> int | None:
    try:
        hardware = current_hardware(machine)
    except StopcodeError as error:
        machine.diagnostics.warning(
            "services.no-hardware",
            f"The hardware of the last boot is not known, so StartOverride counts for no service: {error.message}",
            source=r"SYSTEM\HardwareConfig",
        )
        return None
    return hardware.id if hardware is not None else None


def _service(key: Key, path: str, hardware: int | None) -> ServiceFact:
    values = {value.name.lower(): value for value in key.values()}
    service: dict[str, Any] = {"name": key.name}
    _put(service, "display", _text(values.get("displayname")))
    number = _number(values.get("type"))
    kind = _TYPE.get(number & ~_INTERACTIVE, "other") if number is not None else None
    _put(service, "type", kind)
    raw = _START.get(_number(values.get("start"), -1))
    override = _override(key, hardware)
    _put(service, "start", override or raw)
    _put(service, "start_raw", raw)
    if override is not None:
        service["start_override"] = True
    _put(service, "error_control", _ERROR_CONTROL.get(_number(values.get("errorcontrol"), -1)))
    image_path = _text(values.get("imagepath"))
    if image_path is not None:
        service["image"] = image_file(image_path).rpartition("\\")[2].lower()
        service["image_path"] = image_path
    elif kind in DRIVER_TYPES:
        service["image"] = f"{key.name.lower()}.sys"
    _put(service, "group", _text(values.get("group")))
    _put(service, "tag", _number(values.get("tag")))
    depends = values.get("dependonservice")
    if depends is not None:
        listed = depends.decoded()
        if isinstance(listed, list) and any(listed):
            service["depends_on"] = [name for name in (clip(item) for item in listed) if name]
    _put(service, "account", _text(values.get("objectname")))
    service["source"] = source("key", path, offset=key.offset)
    return service  # type: ignore[return-value]  # built field by field; a test holds it against the shape


def _put(service: dict[str, Any], field: str, value: str | int | None) -> None:
    if value is not None:
        service[field] = value


def _text(value: Value | None) -> str | None:
    if value is None:
        return None
    data = value.decoded()
    return (clip(data) or None) if isinstance(data, str) else None


def _number(value: Value | None, default: int | None = None) -> Any:
    """Return a number (an int, or `default`)."""
    data = value.decoded() if value is not None else None
    return data if isinstance(data, int) else default


def _override(key: Key, hardware: int | None) -> StartWord | None:
    if hardware is None:
        return None
    override = key.subkey("StartOverride")
    value = override.value(str(hardware)) if override is not None else None
    return _START.get(_number(value, -1))
