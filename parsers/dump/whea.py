"""Hardware error records (WHEA_ERROR_RECORD): the UEFI common platform error record that bug check 0x124 points to.

Sections are decoded as far as the record is there: processor, machine check bank (Microsoft's own), memory, PCI
Express. Sources: UEFI specification, appendix N; `torvalds/linux: include/linux/cper.h` (the same layouts); the section
types and Microsoft's machine check section after `can1357/selene: resources/sdk/nt`; MCi_STATUS: Intel SDM volume 3B,
chapter "machine-check architecture" (AMD's low 16 bits agree). Held against records that people published.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from parsers.dump.secondary import guid_text
from parsers.errors import FormatError
from parsers.limits import MAX_WHEA_RECORD, MAX_WHEA_SECTIONS

__all__ = ["MachineCheck", "WheaRecord", "WheaSection", "machine_check", "parse_record"]

_HEADER = 0x80
_DESCRIPTOR = 0x48
_SEVERITY = {0: "recoverable", 1: "fatal", 2: "corrected", 3: "informational"}
#: What a processor reports as the kind of its error (processor generic section).
_PROCESSOR_ERROR = {1: "cache", 2: "TLB", 4: "bus", 8: "micro-architectural"}
_MEMORY_ERROR = {
    1: "no error", 2: "single-bit ECC", 3: "multi-bit ECC", 4: "single-symbol ChipKill ECC",
    5: "multi-symbol ChipKill ECC", 6: "master abort", 7: "target abort", 8: "parity", 9: "watchdog timeout",
    10: "invalid address", 11: "mirror broken", 12: "memory sparing", 13: "scrub corrected", 14: "scrub uncorrected",
    15: "physical memory map-out",
}  # fmt: skip
_PORT = {
    0: "endpoint", 1: "legacy endpoint", 4: "root port", 5: "upstream switch port", 6: "downstream switch port",
    7: "PCI Express to PCI bridge", 8: "PCI to PCI Express bridge", 9: "root complex endpoint", 10: "event collector",
}  # fmt: skip


class MachineCheck(NamedTuple):
    """What an MCi_STATUS says.

    Attributes:
        status: the register.
        part: "memory controller", "cache", "TLB", "bus or interconnect", "internal timer", "internal parity" or
            "processor".
        uncorrected: bit 61.
        address_valid: bit 58: the bank's address register holds the place.
        code: the low 16 bits.

    """

    status: int
    part: str
    uncorrected: bool
    address_valid: bool
    code: int


class WheaSection(NamedTuple):
    """One section.

    Attributes:
        kind: "processor", "machine check", "memory", "PCI Express", "NMI", "ARM processor" or "other".
        type: its GUID.
        primary: it names the error; others add to it.
        fru: text that the platform gives for the part to replace, "" when none.
        fields: what was decoded, by name; only what the section marks as valid and the record still holds.

    """

    kind: str
    type: str
    primary: bool
    fru: str
    fields: dict[str, int | str]


class WheaRecord(NamedTuple):
    """One record.

    Attributes:
        severity: "fatal", "recoverable", "corrected", "informational" or "unknown".
        length: as the record says.
        sections: in the record's order.
        simulated: the error was injected by a test tool.
        previous: it happened in an earlier run of the machine.

    """

    severity: str
    length: int
    sections: tuple[WheaSection, ...]
    simulated: bool
    previous: bool


def machine_check(status: int) -> MachineCheck:
    """Decode an MCi_STATUS."""
    code = status & 0xFFFF
    # Bit 12 of compound codes only tells of corrected error filtering.
    plain = code & ~0x1000 if code & 0xEFFF >= 0x10 else code
    if plain & 0xFF80 == 0x0080:
        part = "memory controller"
    elif plain & 0xFFF0 == 0x0010:
        part = "TLB"
    elif plain & 0xFF00 == 0x0100:
        part = "cache"
    elif plain & 0xF800 == 0x0800:
        part = "bus or interconnect"
    elif code == 0x0400:
        part = "internal timer"
    elif code == 0x0005:
        part = "internal parity"
    else:
        part = "processor"
    return MachineCheck(status, part, bool(status >> 61 & 1), bool(status >> 58 & 1), code)


class _Bytes:
    """Fields of one section; None behind its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def number(self, offset: int, size: int) -> int | None:
        part = self.data[offset : offset + size]
        return int.from_bytes(part, "little") if len(part) == size else None

    def text(self, offset: int, size: int) -> str:
        raw = self.data[offset : offset + size].partition(b"\0")[0]
        return "".join(chr(byte) for byte in raw if 0x20 <= byte < 0x7F).strip()


def _take(section: _Bytes, valid: int, rows: tuple[tuple[int, str, int, int], ...]) -> dict[str, int | str]:
    """Return the fields of (validation bit, name, offset, size) rows that are marked valid; bit -1 always is."""
    found: dict[str, int | str] = {}
    for bit, name, offset, size in rows:
        value = section.number(offset, size)
        if value is not None and (bit < 0 or valid >> bit & 1):
            found[name] = value
    return found


def _processor_generic(section: _Bytes) -> dict[str, int | str]:
    valid = section.number(0, 8) or 0
    found = _take(section, valid, (
        (2, "error_type", 0x0A, 1), (3, "operation", 0x0B, 1), (5, "level", 0x0D, 1), (8, "processor", 0x98, 8),
        (9, "address", 0xA0, 8), (12, "instruction", 0xB8, 8),
    ))  # fmt: skip
    kind = found.pop("error_type", None)
    if isinstance(kind, int) and kind in _PROCESSOR_ERROR:
        found["error"] = _PROCESSOR_ERROR[kind]
    brand = section.text(0x18, 128) if valid >> 7 & 1 else ""
    return {**found, **({"brand": brand} if brand else {})}


def _x86_processor(section: _Bytes) -> dict[str, int | str]:
    return _take(section, section.number(0, 8) or 0, ((0, "processor", 0x08, 8),))


def _machine_check_bank(section: _Bytes) -> dict[str, int | str]:
    found = _take(section, 0, (
        (-1, "processor", 0x10, 4), (-1, "bank", 0x24, 4), (-1, "status", 0x28, 8), (-1, "address", 0x30, 8),
        (-1, "misc", 0x38, 8), (-1, "apic_id", 0x44, 4),
    ))  # fmt: skip
    status = found.get("status")
    if isinstance(status, int):
        check = machine_check(status)
        found["error"] = check.part
        if not check.address_valid:
            found.pop("address", None)
    return found


def _memory(section: _Bytes) -> dict[str, int | str]:
    found = _take(section, section.number(0, 8) or 0, (
        (1, "address", 0x10, 8), (3, "node", 0x20, 2), (4, "card", 0x22, 2), (5, "module", 0x24, 2),
        (6, "bank", 0x26, 2), (7, "device", 0x28, 2), (8, "row", 0x2A, 2), (9, "column", 0x2C, 2),
        (10, "bit", 0x2E, 2), (14, "error_type", 0x48, 1), (15, "rank", 0x4A, 2), (16, "card_handle", 0x4C, 2),
        (17, "module_handle", 0x4E, 2),
    ))  # fmt: skip
    kind = found.pop("error_type", None)
    if isinstance(kind, int) and kind in _MEMORY_ERROR:
        found["error"] = _MEMORY_ERROR[kind]
    return found


def _pci_express(section: _Bytes) -> dict[str, int | str]:
    valid = section.number(0, 8) or 0
    found: dict[str, int | str] = {}
    port = section.number(0x08, 4)
    if valid & 1 and port in _PORT:
        found["port"] = _PORT[port]
    if valid >> 3 & 1 and len(section.data) >= 0x25:
        vendor, device = struct.unpack_from("<HH", section.data, 0x18)
        function, slot, segment, bus = struct.unpack_from("<BBHB", section.data, 0x1F)
        found |= {"vendor": vendor, "device_id": device, "class": section.number(0x1C, 3) or 0}
        found |= {"segment": segment, "bus": bus, "device": slot, "function": function}
    return found


_SECTIONS: dict[str, tuple[str, Callable[[_Bytes], dict[str, int | str]]]] = {
    "9876ccad-47b4-4bdb-b65e-16f193c4f3db": ("processor", _processor_generic),
    "dc3ea0b0-a144-4797-b95b-53fa242b6e1d": ("processor", _x86_processor),
    "8a1e1d01-42f9-4557-9c33-565e5cc3f7e8": ("machine check", _machine_check_bank),
    "a5bc1114-6f64-4ede-b863-3e83ed7c83b1": ("memory", _memory),
    "d995e954-bbc1-430f-ad91-b44dcb3c6f35": ("PCI Express", _pci_express),
    "e71254e7-c1b9-4940-ab76-909703a4320f": ("NMI", lambda section: {}),
    "e19e3d16-bc11-11e4-9caa-c2051d5d46b0": ("ARM processor", lambda section: {}),
}


def parse_record(read: Callable[[int, int], bytes]) -> WheaRecord:
    """Read a record.

    Args:
        read: gives up to n bytes at an offset from the record's first; fewer, or none, where they are not there.

    Raises:
        FormatError: no record, or its header is not whole.

    """
    head = read(0, _HEADER)
    if len(head) < _HEADER or head[:4] != b"CPER":
        raise FormatError("WHEA_ERROR_RECORD", "not one", offset=0, expected="CPER", found=head[:4])
    count, severity = struct.unpack_from("<HI", head, 0x0A)
    length = min(struct.unpack_from("<I", head, 0x14)[0], MAX_WHEA_RECORD)
    flags = struct.unpack_from("<I", head, 0x68)[0]
    sections = []
    for index in range(min(count, MAX_WHEA_SECTIONS)):
        raw = read(_HEADER + index * _DESCRIPTOR, _DESCRIPTOR)
        if len(raw) < _DESCRIPTOR:
            break
        sections.append(_section(read, raw, length))
    return WheaRecord(_SEVERITY.get(severity, "unknown"), length, tuple(sections), bool(flags & 4), bool(flags & 2))


def _section(read: Callable[[int, int], bytes], raw: bytes, length: int) -> WheaSection:
    offset, size = struct.unpack_from("<II", raw)
    flags = struct.unpack_from("<I", raw, 0x0C)[0]
    type_ = guid_text(raw[0x10:0x20])
    fru = _Bytes(raw).text(0x34, 20) if raw[0x0A] & 2 else ""
    kind, decode = _SECTIONS.get(type_, ("other", lambda section: {}))
    there = max(0, min(size, length - offset))
    return WheaSection(kind, type_, bool(flags & 1), fru, decode(_Bytes(read(offset, there) if there else b"")))
