"""The machine as its dump tells it: processor, firmware, board, memory; serial numbers only when asked for."""

from __future__ import annotations

from typing import Any

from parsers.dump.cpuid import read_processor_values
from parsers.dump.open import Dump
from parsers.dump.smbios import read_smbios
from parsers.errors import ReadError

__all__ = ["machine_facts"]


def machine_facts(dump: Dump, *, serials: bool = False) -> dict[str, Any]:
    """Return what the secondary data tells of the hardware; empty when the dump holds none of it.

    Args:
        dump: the dump.
        serials: give serial numbers, asset tags and the UUID too: they identify the machine.

    """
    found: dict[str, Any] = {}
    try:
        values = read_processor_values(dump.source, dump.secondary())
        smbios = read_smbios(dump.source, dump.secondary())
    except ReadError:
        return found
    processor = {
        key: values[name]
        for key, name in (
            ("name", "ProcessorNameString"),
            ("identifier", "Identifier"),
            ("vendor", "VendorIdentifier"),
            ("mhz", "~MHz"),
        )
        if values.get(name)
    }
    if processor:
        found["processor"] = processor
    if smbios is None:
        return found
    for name, part in (("bios", smbios.bios), ("system", smbios.system), ("board", smbios.board)):
        if part:
            found[name] = part
    if smbios.memory:
        found["memory"] = smbios.memory
    if smbios.fingerprint:
        found["fingerprint"] = smbios.fingerprint
    if serials and smbios.serials:
        found["serials"] = smbios.serials
    return found
