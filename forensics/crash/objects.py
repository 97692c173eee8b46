r"""Kernel objects that bug check parameters name: IRP -> device -> driver -> module.

DEVICE_OBJECT, DRIVER_OBJECT, IRP and IO_STACK_LOCATION are public in the WDK and have not moved from Windows 7 to 11
(x64 and ARM64: `volatilityfoundation/volatility: plugins/overlays/windows`, used on a real dump of build 19041; x86:
`ntdiff/headers: Win7_SP1/x86`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from forensics.crash.evidence import Evidence
from parsers.dump.modules import LoadedModule, read_unicode_string
from parsers.errors import ReadError

__all__ = [
    "Device", "PendingIrp", "PowerIrp", "device_stack_down", "instance_path", "power_irps", "read_device",
    "read_driver", "read_irp", "read_name", "read_text",
]  # fmt: skip


class _Layout(NamedTuple):
    """Offsets, in bytes, of the fields that are read."""

    device_driver: int
    device_extension: int
    extension_node: int
    extension_attached: int
    node_instance: int
    driver_start: int
    driver_name: int
    irp_count: int
    irp_size: int
    location_device: int
    location_size: int


#: By the size of a pointer.
_LAYOUTS = {
    8: _Layout(0x08, 0x138, 0x28, 0x30, 0x28, 0x18, 0x38, 0x42, 0xD0, 0x28, 0x48),
    4: _Layout(0x08, 0xB0, 0x14, 0x18, 0x14, 0x0C, 0x1C, 0x22, 0x70, 0x14, 0x24),
}
_DEVICE_TYPE = 3
_DRIVER_TYPE = 4
_IRP_TYPE = 6
#: Devices in one stack; real ones have fewer than ten.
_MAX_STACK = 32
#: Characters of a name that a parameter points to.
_MAX_NAME = 260
#: Power IRPs on the way; the list of a real dump had 15.
_MAX_POWER_IRPS = 256


@dataclass(frozen=True, slots=True)
class Device:
    r"""A device object.

    Attributes:
        address: of the DEVICE_OBJECT.
        driver: name of its driver object ("\\Driver\\disk"), "" when it cannot be read.
        module: the image that the driver object names, None when it is not loaded or cannot be read.

    """

    address: int
    driver: str
    module: LoadedModule | None


@dataclass(frozen=True, slots=True)
class PendingIrp:
    """An IRP and the location where it waits.

    Attributes:
        address: of the IRP.
        current: CurrentLocation, 1 = the lowest; above `stack_count`: not sent, or completed; 0: all used up.
        stack_count: StackCount.
        major: MajorFunction of the current location, None when it has none.
        minor: MinorFunction.
        device: the device that holds it.

    """

    address: int
    current: int
    stack_count: int
    major: int | None
    minor: int | None
    device: Device | None


def _layout(evidence: Evidence) -> _Layout:
    return _LAYOUTS[evidence.dump.pointer_size]


def _string_at(evidence: Evidence, address: int) -> str:
    """Return the text of a UNICODE_STRING, "" when it cannot be read."""
    try:
        buffer = evidence.memory.pointer(address + evidence.dump.pointer_size)
        return read_unicode_string(evidence.memory, buffer, evidence.memory.u16(address)) if buffer else ""
    except ReadError:
        return ""


def read_device(evidence: Evidence, address: int) -> Device | None:
    """Read a DEVICE_OBJECT; None when there is none at the address."""
    try:
        if not address or evidence.memory.u16(address) != _DEVICE_TYPE:
            return None
        driver = read_driver(evidence, evidence.memory.pointer(address + _layout(evidence).device_driver))
    except ReadError:
        return None
    return None if driver is None else Device(address, driver.driver, driver.module)


def read_driver(evidence: Evidence, address: int) -> Device | None:
    """Read a DRIVER_OBJECT, as a device of which only the driver is known; None when there is none at the address."""
    layout = _layout(evidence)
    try:
        if not address or evidence.memory.u16(address) != _DRIVER_TYPE:
            return None
    except ReadError:
        return None
    start = evidence.word(address + layout.driver_start)
    name = _string_at(evidence, address + layout.driver_name)
    return Device(address, name, evidence.modules.at(start) if start else None)


def read_name(evidence: Evidence, address: int) -> str:
    """Return the text at an address: a UNICODE_STRING's, else UTF-16, else ASCII up to its zero; "" when it is none.

    Bug checks point to names in each of these forms, and their pages do not say in which.
    """
    size = evidence.dump.pointer_size
    head = evidence.bytes_at(address, 2 * size) if address else None
    texts = []
    if head is not None:
        length, room = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
        if 0 < length <= room and length % 2 == 0:
            with suppress(ReadError):
                texts.append(read_unicode_string(evidence.memory, int.from_bytes(head[size:], "little"), length))
    raw = evidence.attempt(evidence.memory.read_available, address, 4 * _MAX_NAME) or b""
    texts.append(raw[: len(raw) & -2].decode("utf-16-le", "replace").partition("\0")[0])
    texts.append(raw.partition(b"\0")[0].decode("latin-1"))
    return next((text for text in texts if 1 < len(text) <= _MAX_NAME and text.isascii() and text.isprintable()), "")


def read_text(evidence: Evidence, address: int) -> str:
    """Return the printable ASCII text at an address, without its last line's end; "" when there is none."""
    raw = evidence.attempt(evidence.memory.read_available, address, _MAX_NAME) if address else None
    text = (raw or b"").partition(b"\0")[0].decode("latin-1").strip()
    return text if text.isascii() and text.isprintable() else ""


def device_stack_down(evidence: Evidence, address: int) -> list[Device]:
    """Return the devices below one (AttachedTo), the nearest first, down to the physical device object."""
    found: list[Device] = []
    seen = {address}
    layout = _layout(evidence)
    for _device in range(_MAX_STACK):
        extension = evidence.word(address + layout.device_extension)
        below = evidence.word(extension + layout.extension_attached) if extension else None
        if not below or below in seen:
            break
        device = read_device(evidence, below)
        if device is None:
            break
        seen.add(below)
        found.append(device)
        address = below
    return found


def instance_path(evidence: Evidence, address: int) -> str:
    r"""Return the instance path of a physical device object ("SCSI\\Disk&Ven…"), "" when it cannot be read."""
    layout = _layout(evidence)
    extension = evidence.word(address + layout.device_extension)
    node = evidence.word(extension + layout.extension_node) if extension else None
    return _string_at(evidence, node + layout.node_instance) if node else ""


def read_irp(evidence: Evidence, address: int) -> PendingIrp | None:
    """Read an IRP; None when there is none at the address. Where every location is used up, the lowest one is told."""
    layout = _layout(evidence)
    head = evidence.bytes_at(address, layout.irp_size) if address else None
    if head is None or int.from_bytes(head[:2], "little") != _IRP_TYPE:
        return None
    count, current = head[layout.irp_count], head[layout.irp_count + 1]
    if not 0 <= current <= count:
        return PendingIrp(address, current, count, None, None, None)
    place = address + layout.irp_size + max(current - 1, 0) * layout.location_size
    location = evidence.bytes_at(place, layout.location_size)
    if location is None:
        return PendingIrp(address, current, count, None, None, None)
    at = layout.location_device
    device = read_device(evidence, int.from_bytes(location[at : at + evidence.dump.pointer_size], "little"))
    return PendingIrp(address, current, count, location[0], location[1], device)


class PowerIrp(NamedTuple):
    """An entry of the kernel's list of power IRPs on the way.

    Attributes:
        irp: its address.
        device: the physical device object that it is for; None when the dump does not hold that part of the entry.
        sent: when it was sent, in 100 ns units since boot; None likewise.

    """

    irp: int
    device: int | None
    sent: int | None


def power_irps(evidence: Evidence, triage: int) -> Iterator[PowerIrp]:
    """Give the power IRPs on the way, as far as the dump holds the kernel's list of them.

    Args:
        evidence: the dump.
        triage: TRIAGE_9F_POWER (parameter 3 of 0x9F): u16 0x8000, at 8 the head of the list of power IRPs.

    An entry is LIST_ENTRY, then IRP, physical device, top device, current device, time sent; measured on a real dump
    of build 19041, where it gives exactly the watchdog's 300 seconds.

    """
    head = evidence.bytes_at(triage, 0x10) if triage and evidence.dump.pointer_size == 8 else None
    if head is None or int.from_bytes(head[:2], "little") != 0x8000:
        return
    first = int.from_bytes(head[8:16], "little")
    at = evidence.word(first) if first else None
    for _entry in range(_MAX_POWER_IRPS):
        if not at or at == first:
            return
        # Small dumps hold some entries only in part.
        entry = evidence.bytes_at(at, 0x18)
        if entry is None:
            return
        yield PowerIrp(int.from_bytes(entry[0x10:0x18], "little"), evidence.word(at + 0x18), evidence.word(at + 0x30))
        at = int.from_bytes(entry[:8], "little")
