r"""Services and drivers as registered: the subkeys of `Services` in the current control set.

`start` is what Windows would do on the hardware of the last boot: the subkey `StartOverride` holds, under the number
of a hardware configuration, a start type to use instead. That the value's name is the `Id` of the configuration is
inferred (it was `0` beside `Id` 0 on every Windows 8.1 and 10 machine looked at); `start_raw` is the value `Start`.

Source of the numbers: MicrosoftDocs/windows-driver-docs: inf-addservice-directive.md; ImagePath absent means
`System32\drivers\<name>.sys` (seen: Ntfs has none on Windows 10).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from forensics.collect.hardware import current_hardware
from forensics.collect.machine import Found, Machine
from forensics.collect.volume import RegistryKey
from forensics.facts import Facts, ServiceFact, path_of, source
from parsers.errors import FormatError, StopcodeError
from parsers.limits import MAX_SERVICES

__all__ = ["DRIVER_TYPES", "collect", "image_file"]

_Read = TypeVar("_Read")
_Word = TypeVar("_Word", bound=str)
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
            machine.gap(facts, "/services", f"not every service can be read: {error.message}")
            machine.diagnostics.error(
                "services.list-damaged",
                f"{len(found)} services were read, others cannot be: {error.message}",
                source=f"SYSTEM\\{path}",
            )
            break
        if child is None:
            break
        if len(found) >= MAX_SERVICES:
            machine.gap(facts, "/services", f"only the first {MAX_SERVICES} services were read")
            break
        try:
            service = _service(machine, facts, child, f"SYSTEM\\{path}\\{child.name}", hardware)
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


class _Values:
    """The values of one service key; one that cannot be read is the gap of its fields, the others are told."""

    def __init__(self, machine: Machine, facts: Facts, key: RegistryKey) -> None:
        self._machine = machine
        self._facts = facts
        self._item = path_of("services", key.name)
        self._source = source("key", key.name)
        self._values = {value.name.lower(): value for value in key.values()}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def _get(self, convert: Callable[[Found], _Read | None], name: str, fields: tuple[str, ...]) -> _Read | None:
        """Return what a value tells, or None when it is not there or damaged; `fields` are what it gives."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return convert(Found(value, self._source))
        except StopcodeError as error:
            self._machine.gaps(self._facts, self._item, fields, error.message)
            return None

    def text(self, name: str, *fields: str) -> str | None:
        """Return a text that is not empty, or None."""
        return self._get(Found.text, name, fields)

    def texts(self, name: str, *fields: str) -> list[str]:
        """Return a list of texts."""
        return self._get(Found.strings, name, fields) or []

    def number(self, name: str, *fields: str) -> int | None:
        """Return a number, or None."""
        return self._get(Found.number, name, fields)

    def word(self, words: Mapping[int, _Word], name: str, *fields: str) -> _Word | None:
        """Return the word for a number, or None."""

        def read(found: Found) -> _Word:
            number = found.number()
            word = words.get(number)
            if word is None:
                raise FormatError("regf", f"the value {found.value.name} is {number}, which means nothing")
            return word

        return self._get(read, name, fields)


def _service(machine: Machine, facts: Facts, key: RegistryKey, path: str, hardware: int | None) -> ServiceFact:
    values = _Values(machine, facts, key)
    number = values.number("type", "type")
    kind = _TYPE.get(number & ~_INTERACTIVE, "other") if number is not None else None
    raw = values.word(_START, "start", "start", "start_raw")
    override = _override(key, hardware)
    if number is not None and "start" not in values:
        # No service of the real hives has the one without the other.
        machine.gaps(facts, path_of("services", key.name), ("start", "start_raw"), "it has a type and no start type")
    image_path = values.text("imagepath", "image", "image_path")
    image = None
    if image_path is not None:
        image = image_file(image_path).rpartition("\\")[2].lower()
    elif kind in DRIVER_TYPES and not machine.knows_gap(path_of("services", key.name, "image_path")):
        image = f"{key.name.lower()}.sys"
    fields: dict[str, Any] = {
        "name": key.name,
        # Some services of Windows keep theirs as a list of one.
        "display": next(iter(values.texts("displayname", "display")), None),
        "type": kind,
        "start": override or raw,
        "start_raw": raw,
        "start_override": True if override is not None else None,
        "error_control": values.word(_ERROR_CONTROL, "errorcontrol", "error_control"),
        "image": image,
        "image_path": image_path,
        "group": values.text("group", "group"),
        "tag": values.number("tag", "tag"),
        "depends_on": values.texts("dependonservice", "depends_on") or None,
        "account": values.text("objectname", "account"),
        "source": source("key", path, offset=key.offset),
    }
    service: Any = {name: value for name, value in fields.items() if value is not None}
    made: ServiceFact = service
    return made


def _override(key: RegistryKey, hardware: int | None) -> StartWord | None:
    if hardware is None:
        return None
    override = key.subkey("StartOverride")
    value = override.value(str(hardware)) if override is not None else None
    data = value.decoded() if value is not None else None
    return _START.get(data) if isinstance(data, int) else None
