"""Bug checks that accuse the machine, not its software: what their parameters and records say.

Sources: Microsoft's pages of 0x124, 0x1A, 0x7A, 0x77 (MicrosoftDocs/windows-driver-docs, CC BY 4.0); the UEFI
specification, appendix N (common platform error record); Intel SDM volume 3B, chapter "machine-check architecture".
"""

from __future__ import annotations

from forensics.crash.evidence import Evidence
from forensics.crash.ntstatus import describe_status
from parsers.dump.context import ExceptionRecord
from parsers.dump.smbios import read_smbios
from parsers.dump.whea import WheaRecord, WheaSection, machine_check, parse_record
from parsers.errors import FormatError, ReadError

__all__ = [
    "STORAGE_STATUS", "accused_part", "machine_check_words", "one_bit", "storage_words", "whea_record", "whea_words",
]  # fmt: skip

#: I/O status codes that say that the storage failed.
STORAGE_STATUS = frozenset({0xC000000E, 0xC000009C, 0xC000009D, 0xC000016A, 0xC0000185, 0xC00000B5})

_IN_PAGE_ERROR = 0xC0000006

#: 0x124, parameter 1: what reported the error (its page in Microsoft's documentation).
WHEA_SOURCES = {
    0: "machine check", 1: "corrected machine check", 2: "corrected platform error", 3: "non-maskable interrupt",
    4: "PCI Express", 5: "generic hardware error", 6: "initialisation error", 7: "boot error",
    0x10: "a device's driver",
}  # fmt: skip


def one_bit(value: int) -> int | None:
    """Return the number of the only set bit, None when there is not exactly one."""
    return value.bit_length() - 1 if value > 0 and value & (value - 1) == 0 else None


#: What fails when a bank of machine checks, or a section, names a part.
_ACCUSED = {
    "memory controller": "memory", "memory": "memory", "cache": "the processor", "TLB": "the processor",
    "internal timer": "the processor", "internal parity": "the processor", "processor": "the processor",
    "bus or interconnect": "the processor, or what connects it", "PCI Express": "a device on PCI Express",
    "ARM processor": "the processor",
}  # fmt: skip


def machine_check_words(status: int) -> str:
    """Say what an MCi_STATUS means, in short."""
    check = machine_check(status)
    how = "uncorrected" if check.uncorrected else "corrected"
    return f"MCi_STATUS {status:#x}: {how} error of the kind {check.part} (code {check.code:#x})"


def whea_record(evidence: Evidence) -> WheaRecord | None:
    """Return the record that parameter 2 of 0x124 points to, None when it is not in the dump."""
    address = evidence.parameters[1]
    if evidence.code != 0x124 or not address:
        return None

    def read(offset: int, length: int) -> bytes:
        return evidence.attempt(evidence.memory.read_available, address + offset, length) or b""

    try:
        return parse_record(read)
    except FormatError:
        return None


def whea_words(evidence: Evidence, record: WheaRecord | None) -> list[str]:
    """Say what a 0x124 tells: the source, the record's sections, the machine check status."""
    source, address, high, low = evidence.parameters
    words = [f"parameter 1 is {source:#x}: error source {WHEA_SOURCES.get(source, 'of another kind')}"]
    if record is not None:
        names = ", ".join(section.kind for section in record.sections) or "none readable"
        words.append(f"the error record at {address:#x} (parameter 2) is {record.severity} and has sections: {names}")
        words += [_section_words(section) for section in record.sections if section.fields or section.fru]
        words += _slots(evidence, record)
    elif address:
        words.append(f"the error record at {address:#x} (parameter 2) is not in the dump")
    if source == 0 and (high or low):
        words.append(machine_check_words((high & 0xFFFFFFFF) << 32 | (low & 0xFFFFFFFF)))
    accused = accused_part(evidence, record)
    if accused is not None:
        words.append(f"what failed is {accused}, by the record")
    return words


def _slots(evidence: Evidence, record: WheaRecord) -> list[str]:
    """Name the memory modules that the record accuses by the firmware's own table of them (SMBIOS, type 17)."""
    handles = {section.fields.get("module_handle") for section in record.sections if section.kind == "memory"}
    try:
        smbios = read_smbios(evidence.dump.source, evidence.dump.secondary()) if handles else None
    except ReadError:
        return []
    found = []
    for module in smbios.memory if smbios is not None else []:
        if module["handle"] in handles:
            named = " ".join(str(module[key]) for key in ("slot", "bank", "manufacturer", "part") if module.get(key))
            found.append(f"module handle {module['handle']:#x} is {named} (SMBIOS in the dump)")
    return found


def accused_part(evidence: Evidence, record: WheaRecord | None) -> str | None:
    """Return what a hardware error accuses ("memory", "the processor" …), None when it does not say."""
    sections = sorted(record.sections, key=lambda section: not section.primary) if record is not None else []
    for section in sections:
        if section.kind == "machine check":
            return _ACCUSED.get(str(section.fields.get("error", "")))
        if section.kind in ("memory", "PCI Express"):
            return _ACCUSED[section.kind]
    source, _address, high, low = evidence.parameters
    if source == 0 and (high or low):
        return _ACCUSED.get(machine_check((high & 0xFFFFFFFF) << 32 | (low & 0xFFFFFFFF)).part)
    return next((_ACCUSED[section.kind] for section in sections if section.kind in _ACCUSED), None)


def _section_words(section: WheaSection) -> str:
    fields = dict(section.fields)
    parts = []
    if section.kind == "PCI Express" and "bus" in fields:
        place = ":".join(f"{int(fields.pop(name)):02x}" for name in ("bus", "device"))
        parts.append(f"device {int(fields.pop('segment')):04x}:{place}.{fields.pop('function')}")
        vendor, device = int(fields.pop("vendor")), int(fields.pop("device_id"))
        parts.append(f"PCI\\VEN_{vendor:04X}&DEV_{device:04X}")
        fields.pop("class")
    for name, value in fields.items():
        shown = f"{value:#x}" if isinstance(value, int) and name in _HEX else f"{value}"
        parts.append(f"{name.replace('_', ' ')} {shown}")
    if section.fru:
        parts.append(f"part {section.fru}")
    return f"section {section.kind}: {', '.join(parts)}"


#: Fields of sections that people know in hexadecimal.
_HEX = frozenset({"address", "status", "misc", "instruction", "module_handle", "card_handle"})


def storage_words(evidence: Evidence, record: tuple[int, ExceptionRecord] | None) -> str | None:
    """Return a sentence when a paging error's status accuses the storage; None otherwise.

    An exception of a page that could not be read (0xC0000006) carries the status of the failed read as its third value.
    """
    numbers = {0x7A: (2,), 0x77: (1, 2)}.get(evidence.code, ())
    for number in numbers:
        value = evidence.parameters[number - 1]
        if value & 0xFFFFFFFF in STORAGE_STATUS:
            return f"parameter {number}, the status of the failed read, is {describe_status(value)}"
    if record is not None and record[1].code == _IN_PAGE_ERROR and len(record[1].information) >= 3:
        value = record[1].information[2]
        if value & 0xFFFFFFFF in STORAGE_STATUS:
            return (
                f"the exception is {describe_status(_IN_PAGE_ERROR)}, and the status of the failed read in its record "
                f"at {record[0]:#x} is {describe_status(value)}"
            )
    return None
