r"""How the machine would start: firmware, the boot configuration's default entry, and the options set in it.

What a store does not say is no fact: options are those that stand in the default entry or that it inherits. A disk
without any volume that a firmware boots from (a data disk with a Windows copied onto it, a lone volume) has no store to
judge, and its places are gaps.

Sources of the meaning of elements: Geoff Chappell, "BCD Elements"; MicrosoftDocs/windows-driver-docs, "BCDEdit /set".
"""

from __future__ import annotations

from typing import Final, Literal

from forensics.collect.machine import Machine
from forensics.collect.volume import BootStore
from forensics.facts import Facts, Source, source
from parsers.bcd import BcdDevice, BcdObject, BcdStore, Element
from parsers.errors import ReadError, StopcodeError

__all__ = ["FIELDS", "collect"]

#: What only the default entry tells.
_BEHIND: Final = ("default_device", "hypervisor_launch", "option", "recovery_sequence", "safe_mode")
#: What this collector fills, below `/boot`.
FIELDS: Final = ("bcd", "firmware", *_BEHIND)
_OS_DEVICE: Final = 0x21000001
_RECOVERY_SEQUENCE, _RECOVERY_ENABLED = 0x14000008, 0x16000009
_SAFE_BOOT, _HYPERVISOR = 0x25000080, 0x250000F0
#: Options that decide whether and how a machine starts, or what it leaves when it stops, by bcdedit's names.
_OPTIONS: Final = {
    0x12000030: "loadoptions",
    0x15000007: "truncatememory",
    0x1500004B: "integrityservices",
    0x16000009: "recoveryenabled",
    0x16000010: "bootdebug",
    0x16000020: "bootems",
    0x16000048: "nointegritychecks",
    0x16000049: "testsigning",
    0x22000011: "kernel",
    0x22000012: "hal",
    0x25000020: "nx",
    0x25000031: "removememory",
    0x25000061: "numproc",
    0x25000080: "safeboot",
    0x250000C1: "driverloadfailurepolicy",
    0x250000E0: "bootstatuspolicy",
    0x250000F0: "hypervisorlaunchtype",
    0x26000022: "winpe",
    0x26000024: "nocrashautoreboot",
    0x26000025: "lastknowngood",
    0x26000060: "onecpu",
    0x26000090: "bootlog",
    0x260000A0: "debug",
    0x260000B0: "ems",
    0x260000E1: "disableelamdrivers",
}
_WORDS: Final = {
    "nx": ("optin", "optout", "alwaysoff", "alwayson"),
    "safeboot": ("minimal", "network", "dsrepair"),
    "hypervisorlaunchtype": ("off", "auto"),
    "bootstatuspolicy": ("displayallfailures", "ignoreallfailures", "ignoreshutdownfailures", "ignorebootfailures"),
}


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/boot/firmware`, `/boot/bcd`, `/boot/default_device`, `/boot/option` and what follows from them."""
    stores = machine.windows.boot_stores()
    if stores is None:
        machine.gaps(facts, "/boot", FIELDS, "not collected: no volume that a firmware boots from is in the image")
        return
    section = facts["boot"]
    sources = section.setdefault("sources", {})
    unread = next((store for store in stores if not store.firmware), None)
    readable = [store for store in stores if store.firmware]
    if unread is not None:
        machine.gaps(facts, "/boot", FIELDS, f"{unread.volume} cannot be read: {unread.problem}")
        return
    if not readable:
        section["bcd"] = "missing"
        reason = "no boot configuration store is where the firmware's boot manager looks"
        machine.gaps(facts, "/boot", ("firmware", *_BEHIND), reason)
        return
    if len(readable) > 1:
        told = " and ".join(f"{store.path} on {store.volume}" for store in readable)
        machine.gaps(facts, "/boot", FIELDS, f"the disk holds {told}: which of them starts it depends on the firmware")
        return
    chosen = readable[0]
    section["firmware"] = "uefi" if chosen.firmware == "uefi" else "bios"
    sources["firmware"] = _source(chosen)
    sources["bcd"] = _source(chosen)
    if chosen.store is None:
        section["bcd"] = "damaged"
        machine.gaps(facts, "/boot", _BEHIND, f"the boot configuration cannot be read: {chosen.problem}")
        machine.diagnostics.error(
            "boot.store-unreadable",
            f"The boot configuration store {chosen.path} on {chosen.volume} cannot be read: {chosen.problem}",
            hint="Windows does not start from it; bcdboot on a copy of the disk writes it anew",
            source=chosen.path,
        )
        return
    _read(machine, facts, chosen, chosen.store)


def _read(machine: Machine, facts: Facts, place: BootStore, store: BcdStore) -> None:
    section = facts["boot"]
    try:
        loader = store.default_entry()
    except ReadError as error:
        section.get("sources", {}).pop("bcd", None)
        reason = f"the boot configuration cannot be read: {error.message}"
        machine.gaps(facts, "/boot", ("bcd", *_BEHIND), reason)
        return
    except StopcodeError as error:
        section["bcd"] = "damaged"
        machine.gaps(facts, "/boot", _BEHIND, error.message)
        machine.diagnostics.error(
            "boot.no-default-entry",
            f"The boot configuration store {place.path} names no entry to start: {error.message}",
            hint="the boot manager stops with 0xC0000034, 0xC000000F or 0xC0000225",
            source=place.path,
        )
        return
    section["bcd"] = "ok"
    _device(machine, facts, place, store, loader)
    _options(machine, facts, place, store, loader)


def _device(machine: Machine, facts: Facts, place: BootStore, store: BcdStore, loader: BcdObject) -> None:
    section = facts["boot"]
    try:
        found = store.find(loader, _OS_DEVICE)
    except StopcodeError as error:
        machine.gap(facts, "/boot/default_device", error.message)
        return
    where = _source(place, loader, _OS_DEVICE)
    if found is None:
        section["default_device"] = "missing"
    elif not isinstance(found, BcdDevice) or not found.identity:
        kind = found.kind if isinstance(found, BcdDevice) else "other"
        machine.gap(facts, "/boot/default_device", f"the default entry's device is no partition but of kind {kind!r}")
        return
    else:
        place_of = _place(machine, found)
        if place_of is None:
            reason = "what a store calls the volume of this Windows is not known (a dynamic volume, or a lone one)"
            machine.gap(facts, "/boot/default_device", reason)
            return
        section["default_device"] = place_of
    section["sources"]["default_device"] = where


def _place(machine: Machine, device: BcdDevice) -> Literal["ok", "other", "unknown"] | None:
    """Return where a device is; None where it is none of the known partitions and this Windows is on no known one."""
    if machine.windows.identity and device.identity == machine.windows.identity:
        return "ok"
    if device.identity in machine.windows.partitions:
        return "other"
    return "unknown" if machine.windows.identity else None


def _options(machine: Machine, facts: Facts, place: BootStore, store: BcdStore, loader: BcdObject) -> None:
    section = facts["boot"]
    options: list[str] = []
    damaged = False
    held: dict[int, Element | None] = {}
    for number, name in _OPTIONS.items():
        try:
            value = held[number] = store.find(loader, number)
        except StopcodeError:
            damaged = True
            continue
        if value is not None and not isinstance(value, BcdDevice):
            options.append(f"{name}={_word(name, value)}")
    section["option"] = sorted(options)
    if damaged:
        machine.gap(facts, "/boot/option", "an element of the default entry is damaged")
    for field, number in (("safe_mode", _SAFE_BOOT), ("hypervisor_launch", _HYPERVISOR)):
        if number not in held:
            machine.gap(facts, f"/boot/{field}", "an element of the default entry is damaged")
    if _SAFE_BOOT in held:
        # Its presence alone starts safe mode: the value 0 is the minimal one.
        section["safe_mode"] = held[_SAFE_BOOT] is not None
    launch = held.get(_HYPERVISOR)
    if isinstance(launch, int) and launch in (0, 1):
        section["hypervisor_launch"] = "auto" if launch else "off"
    try:
        sequence = store.find(loader, _RECOVERY_SEQUENCE)
        enabled = store.find(loader, _RECOVERY_ENABLED)
    except StopcodeError as error:
        machine.gap(facts, "/boot/recovery_sequence", error.message)
    else:
        if sequence and enabled is None:
            # What holds without the element is not documented.
            machine.gap(facts, "/boot/recovery_sequence", "the default entry does not say whether recovery is enabled")
        else:
            section["recovery_sequence"] = bool(sequence) and bool(enabled)
    for field in ("option", "safe_mode", "recovery_sequence", "hypervisor_launch"):
        if field in section:
            section["sources"][field] = _source(place, loader)


def _word(name: str, value: str | int | bool | list[str] | list[int]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        words = _WORDS.get(name, ())
        return words[value] if value < len(words) else str(value)
    return value if isinstance(value, str) else " ".join(map(str, value))


def _source(place: BootStore, owner: BcdObject | None = None, number: int = 0) -> Source:
    detail = place.volume if owner is None else f"{place.volume}: {owner.id}"
    if number:
        detail += f" element {number:08x}"
    return source("file" if owner is None else "key", place.path, detail=detail)
