"""The firmware's table of the machine (SMBIOS), as mssmbios.sys adds it to a dump's secondary data.

The blob: u8 method, u8 major, u8 minor, u8 revision, u32 length, the structure table. Serial numbers, asset tags and
the UUID identify a person's machine: they are left out unless asked for; `fingerprint` tells machines apart without
them. Source: DMTF DSP0134 (System Management BIOS reference specification), structure types 0, 1, 2 and 17.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from parsers.bytesource import ByteSource
from parsers.dump.secondary import SecondaryBlob
from parsers.limits import MAX_SMBIOS_STRUCTURES, MAX_SMBIOS_TABLE

__all__ = ["Smbios", "Structure", "read_smbios", "structures"]

_TAG = "bc5c008f-1e3a-44d7-988d-86f6884c6758"
_HEADER = 8
_BIOS, _SYSTEM, _BOARD, _MEMORY, _END = 0, 1, 2, 17, 127
#: What firmware writes where nobody filled a text in.
_NOTHING = frozenset({
    "", "to be filled by o.e.m.", "default string", "not specified", "system manufacturer", "system product name",
    "system version", "none", "n/a", "unknown", "0", "invalid",
})  # fmt: skip


class Structure(NamedTuple):
    """One structure.

    Attributes:
        type: its number.
        handle: names it for others (a memory error names its module so).
        data: the formatted area, its header included.
        strings: the texts behind it; the first is number 1.

    """

    type: int
    handle: int
    data: bytes
    strings: tuple[str, ...]

    def text(self, offset: int) -> str:
        """Return the text whose number stands at an offset, "" when none does."""
        number = self.data[offset] if offset < len(self.data) else 0
        return self.strings[number - 1].strip() if 0 < number <= len(self.strings) else ""

    def number(self, offset: int, size: int) -> int | None:
        """Return the unsigned integer at an offset, None behind the structure's end."""
        part = self.data[offset : offset + size]
        return int.from_bytes(part, "little") if len(part) == size else None


class Smbios(NamedTuple):
    """What the table tells.

    Attributes:
        version: of the table's format.
        bios: vendor, version, date.
        system: manufacturer, product, version.
        board: manufacturer, product, version.
        memory: modules in use: slot, bank, size_mb, speed, manufacturer, part, handle.
        serials: serial numbers, asset tags and the UUID by where they stand; for those who ask.
        fingerprint: 16 hex digits that are the same for one machine and tell nothing of it; "" when the table holds no
            number to make it of.

    """

    version: str
    bios: dict[str, str]
    system: dict[str, str]
    board: dict[str, str]
    memory: list[dict[str, str | int]]
    serials: dict[str, str]
    fingerprint: str


def structures(table: bytes) -> Iterator[Structure]:
    """Yield the structures of a table; ends where it breaks."""
    at = 0
    for _structure in range(MAX_SMBIOS_STRUCTURES):
        if at + 4 > len(table):
            return
        length = table[at + 1]
        if length < 4 or at + length > len(table):
            return
        end = table.find(b"\0\0", at + length)
        if end < 0:
            return
        raw = table[at + length : end]
        # Latin-1 gives every byte a sign; firmware is not bound to ASCII.
        texts = tuple(part.decode("latin-1") for part in raw.split(b"\0")) if raw else ()
        made = Structure(table[at], int.from_bytes(table[at + 2 : at + 4], "little"), table[at : at + length], texts)
        yield made
        if made.type == _END:
            return
        at = end + 2


def read_smbios(source: ByteSource, blobs: Sequence[SecondaryBlob]) -> Smbios | None:
    """Return what the dump's copy of the table tells, None when there is none.

    Raises:
        ReadError: the place cannot be read.

    """
    for blob in blobs:
        if blob.tag != _TAG or blob.size <= _HEADER:
            continue
        data = source.read_at(blob.offset, min(blob.size, MAX_SMBIOS_TABLE))
        length = int.from_bytes(data[4:8], "little")
        return _read(f"{data[1]}.{data[2]}", data[_HEADER : _HEADER + length])
    return None


def _texts(structure: Structure, **places: int) -> dict[str, str]:
    found = {name: structure.text(offset) for name, offset in places.items()}
    return {name: text for name, text in found.items() if text.lower() not in _NOTHING}


def _read(version: str, table: bytes) -> Smbios:
    bios: dict[str, str] = {}
    system: dict[str, str] = {}
    board: dict[str, str] = {}
    memory: list[dict[str, str | int]] = []
    serials: dict[str, str] = {}
    for one in structures(table):
        if one.type == _BIOS:
            bios = bios or _texts(one, vendor=4, version=5, date=8)
        elif one.type == _SYSTEM:
            system = system or _texts(one, manufacturer=4, product=5, version=6)
            serials |= {f"system {name}": text for name, text in _texts(one, serial=7).items()}
            uuid = one.data[8:24]
            if len(uuid) == 16 and uuid.strip(b"\0") and uuid.strip(b"\xff"):
                serials["system uuid"] = uuid.hex()
        elif one.type == _BOARD:
            board = board or _texts(one, manufacturer=4, product=5, version=6)
            serials |= {f"board {name}": text for name, text in _texts(one, serial=7, asset=8).items()}
        elif one.type == _MEMORY:
            _take_memory(one, memory, serials)
    # Memory is exchanged; the board and its system stay.
    own = [name for name in sorted(serials) if not name.startswith("memory")]
    raw = "\n".join(f"{name}={serials[name]}" for name in own)
    fingerprint = hashlib.sha256(raw.encode()).hexdigest()[:16] if own else ""
    return Smbios(version, bios, system, board, memory, serials, fingerprint)


def _take_memory(one: Structure, memory: list[dict[str, str | int]], serials: dict[str, str]) -> None:
    size = one.number(0x0C, 2)
    # 0: nothing in the slot; 0xFFFF: not known; 0x7FFF: the size stands at 0x1C, in MiB.
    if not size or size == 0xFFFF:
        return
    megabytes = (one.number(0x1C, 4) or 0) & 0x7FFFFFFF if size == 0x7FFF else size & 0x7FFF
    if size & 0x8000 and size != 0x7FFF:
        megabytes //= 1024
    row: dict[str, str | int] = {"handle": one.handle, "size_mb": megabytes}
    row |= _texts(one, slot=0x10, bank=0x11, manufacturer=0x17, part=0x1A)
    speed = one.number(0x15, 2)
    configured = one.number(0x20, 2)
    if speed and speed != 0xFFFF:
        row["speed"] = speed
    if configured and configured != 0xFFFF:
        row["configured_speed"] = configured
    memory.append(row)
    serials |= {f"memory {one.handle:#x} {name}": text for name, text in _texts(one, serial=0x18, asset=0x19).items()}
