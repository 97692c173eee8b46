"""Bug checks that accuse the machine, not its software: what their parameters and records say.

Sources: Microsoft's pages of 0x124, 0x1A, 0x7A, 0x77 (MicrosoftDocs/windows-driver-docs, CC BY 4.0); the UEFI
specification, appendix N (common platform error record); Intel SDM volume 3B, chapter "machine-check architecture".
"""

from __future__ import annotations

from forensics.crash.evidence import Evidence
from forensics.crash.ntstatus import describe_status

__all__ = ["STORAGE_STATUS", "machine_check_words", "one_bit", "storage_words", "whea_words"]

#: I/O status codes that say that the storage failed.
STORAGE_STATUS = frozenset({0xC000000E, 0xC000009C, 0xC000009D, 0xC000016A, 0xC0000185, 0xC00000B5})

_WHEA_SOURCE = {
    0: "machine check", 1: "corrected machine check", 2: "corrected platform error", 3: "non-maskable interrupt",
    4: "PCI Express", 5: "generic hardware error", 6: "initialisation error", 7: "boot error",
}  # fmt: skip
_WHEA_SECTION = {
    "9876ccad-47b4-4bdb-b65e-16f193c4f3db": "processor",
    "dc3ea0b0-a144-4797-b95b-53fa242b6e1d": "processor",
    "8a1e1d01-42f9-4557-9c33-565e5cc3f7e8": "machine check bank",
    "a5bc1114-6f64-4ede-b863-3e83ed7c83b1": "memory",
    "d995e954-bbc1-430f-ad91-b44dcb3c6f35": "PCI Express",
    "e71254e7-c1b9-4940-ab76-909703a4320f": "non-maskable interrupt",
    "e19e3d16-bc11-11e4-9caa-c2051d5d46b0": "ARM processor",
}
_MAX_SECTIONS = 16


def one_bit(value: int) -> int | None:
    """Return the number of the only set bit, None when there is not exactly one."""
    return value.bit_length() - 1 if value > 0 and value & (value - 1) == 0 else None


def machine_check_words(status: int) -> str:
    """Say what an MCi_STATUS means, in short."""
    code = status & 0xFFFF
    if code & 0xFF80 == 0x0080:
        part = "memory controller"
    elif code & 0xFFF0 == 0x0010:
        part = "address translation (TLB)"
    elif code & 0xFF00 == 0x0100:
        part = "cache"
    elif code & 0xF800 == 0x0800:
        part = "bus or interconnect"
    elif code == 0x0400:
        part = "internal timer"
    elif code == 0x0005:
        part = "internal parity"
    else:
        part = "processor-internal"
    how = "uncorrected" if status >> 61 & 1 else "corrected"
    return f"MCi_STATUS {status:#x}: {how} error of the kind {part} (code {code:#x})"


def _guid(raw: bytes) -> str:
    first, second, third = (int.from_bytes(raw[a:b], "little") for a, b in ((0, 4), (4, 6), (6, 8)))
    return f"{first:08x}-{second:04x}-{third:04x}-{raw[8:10].hex()}-{raw[10:16].hex()}"


def whea_words(evidence: Evidence) -> list[str]:
    """Say what a 0x124 tells: the source, the record's sections, the machine check status."""
    source, address, high, low = evidence.parameters
    words = [f"parameter 1 is {source:#x}: error source {_WHEA_SOURCE.get(source, 'of another kind')}"]
    head = evidence.bytes_at(address, 0x80) if address else None
    if head is not None and head[:4] == b"CPER":
        count = min(int.from_bytes(head[0x0A:0x0C], "little"), _MAX_SECTIONS)
        names = []
        for index in range(count):
            section = evidence.bytes_at(address + 0x80 + index * 0x48, 0x48)
            if section is None:
                break
            names.append(_WHEA_SECTION.get(_guid(section[0x10:0x20]), "other"))
        words.append(
            f"the error record at {address:#x} (parameter 2) has sections: {', '.join(names) or 'none readable'}"
        )
    if source == 0 and (high or low):
        words.append(machine_check_words((high & 0xFFFFFFFF) << 32 | (low & 0xFFFFFFFF)))
    return words


def storage_words(evidence: Evidence) -> str | None:
    """Return a sentence when a paging error's status accuses the storage; None otherwise."""
    numbers = {0x7A: (2,), 0x77: (1, 2)}.get(evidence.code, ())
    for number in numbers:
        value = evidence.parameters[number - 1]
        if value & 0xFFFFFFFF in STORAGE_STATUS:
            return f"parameter {number}, the status of the failed read, is {describe_status(value)}"
    return None
