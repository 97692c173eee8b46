"""Write event logs (EVTX): chunks of binary XML, each kind of event a template that its records fill.

Layout: libyal/libevtx, documentation/Windows XML Event Log (EVTX).asciidoc. The libraries evtx and dissect.eventlog
judge it.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Element", "Record", "Slot", "write_log"]

_CHUNK = 0x10000
_FIRST_RECORD = 0x200
_NAMESPACE = "http://schemas.microsoft.com/win/2004/08/events/event"
#: Value types.
STRING, UINT8, UINT16, UINT32, UINT64, BOOLEAN, BINARY, GUID, FILETIME, HEX32, HEX64 = (
    0x01, 0x04, 0x06, 0x08, 0x0A, 0x0D, 0x0E, 0x0F, 0x11, 0x14, 0x15,
)  # fmt: skip
_PACK = {UINT8: "<B", UINT16: "<H", UINT32: "<I", UINT64: "<Q", BOOLEAN: "<I", FILETIME: "<Q", HEX32: "<I", HEX64: "<Q"}


@dataclass(frozen=True)
class Slot:
    """A place in a template: the number of the value that goes there, and its type."""

    index: int
    type: int


@dataclass(frozen=True)
class Element:
    """One XML element of a template.

    Attributes:
        name: of the element.
        attributes: names with texts or slots.
        content: elements, or one text or slot.

    """

    name: str
    attributes: tuple[tuple[str, str | Slot], ...] = ()
    content: tuple[Element | str | Slot, ...] = ()


@dataclass(frozen=True)
class Record:
    """One event.

    Attributes:
        time: FILETIME.
        template: its XML.
        values: (type, value) in the order of the slots.

    """

    time: int
    template: Element
    values: Sequence[tuple[int, int | str | bytes]]


def _value(kind: int, value: int | str | bytes) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-16-le")
    return value if isinstance(value, bytes) else struct.pack(_PACK[kind], value)


def _hash(name: str) -> int:
    value = 0
    for character in name:
        value = (value * 65599 + ord(character)) & 0xFFFFFFFF
    return value


class _Chunk:
    """One chunk: records, and the names and templates they share."""

    def __init__(self, first: int) -> None:
        self.data = bytearray(_FIRST_RECORD)
        self.first = self.next = first
        self.last_record = _FIRST_RECORD
        self.names: dict[str, int] = {}
        self.templates: dict[Element, int] = {}
        self.name_table = [0] * 64
        self.template_table = [0] * 32

    # -- binary XML -------------------------------------------------------------------------------------------

    def _name(self, name: str) -> None:
        """Write the place of a name, and the name itself behind it when it is new in this chunk."""
        known = self.names.get(name)
        here = len(self.data) + 4
        self.data += struct.pack("<I", known or here)
        if known is None:
            value = _hash(name)
            self.data += struct.pack("<IHH", self.name_table[value % 64], value & 0xFFFF, len(name))
            self.data += name.encode("utf-16-le") + b"\0\0"
            self.name_table[value % 64] = self.names[name] = here

    def _text(self, part: str | Slot) -> None:
        if isinstance(part, Slot):
            self.data += struct.pack("<BHB", 0x0E, part.index, part.type)
        else:
            self.data += struct.pack("<BBH", 0x05, 0x01, len(part)) + part.encode("utf-16-le")

    def _element(self, element: Element) -> None:
        self.data += struct.pack("<BHI", 0x41 if element.attributes else 0x01, 0xFFFF, 0)
        start = len(self.data)
        self._name(element.name)
        if element.attributes:
            self.data += bytes(4)
            attributes = len(self.data)
            for number, (name, part) in enumerate(element.attributes):
                self.data.append(0x06 if number == len(element.attributes) - 1 else 0x46)
                self._name(name)
                self._text(part)
            struct.pack_into("<I", self.data, attributes - 4, len(self.data) - attributes)
        if element.content:
            self.data.append(0x02)
            for child in element.content:
                if isinstance(child, Element):
                    self._element(child)
                else:
                    self._text(child)
            self.data.append(0x04)
        else:
            self.data.append(0x03)
        struct.pack_into("<I", self.data, start - 4, len(self.data) - start)

    def _template(self, template: Element) -> None:
        """Write a template instance: the template's place, and itself when it is new in this chunk."""
        guid = hashlib.sha256(repr(template).encode()).digest()[:16]
        number = int.from_bytes(guid[:4], "little")
        known = self.templates.get(template)
        here = len(self.data) + 10
        self.data += struct.pack("<BBII", 0x0C, 1, number, known or here)
        if known is None:
            self.data += struct.pack("<I16sI", self.template_table[number % 32], guid, 0)
            self.template_table[number % 32] = self.templates[template] = here
            start = len(self.data)
            self.data += b"\x0f\x01\x01\0"
            self._element(template)
            self.data.append(0)
            struct.pack_into("<I", self.data, start - 4, len(self.data) - start)

    # -- records ----------------------------------------------------------------------------------------------

    def add(self, record: Record) -> bool:
        """Add a record; return False, and leave the chunk as it was, when there is no room."""
        state = len(self.data), dict(self.names), dict(self.templates), self.name_table[:], self.template_table[:]
        start = len(self.data)
        self.data += struct.pack("<IIQQ", 0x2A2A, 0, self.next, record.time) + b"\x0f\x01\x01\0"
        self._template(record.template)
        packed = [(kind, _value(kind, value)) for kind, value in record.values]
        self.data += struct.pack("<I", len(packed))
        self.data += b"".join(struct.pack("<HBB", len(data), kind, 0) for kind, data in packed)
        self.data += b"".join(data for _, data in packed) + b"\0"
        self.data += bytes(-(len(self.data) - start + 4) % 8)
        size = len(self.data) - start + 4
        self.data += struct.pack("<I", size)
        struct.pack_into("<I", self.data, start + 4, size)
        if len(self.data) > _CHUNK:
            length, self.names, self.templates, self.name_table, self.template_table = state
            del self.data[length:]
            return False
        self.last_record = start
        self.next += 1
        return True

    def finish(self) -> bytes:
        """Return the whole chunk."""
        free = len(self.data)
        data = self.data.ljust(_CHUNK, b"\0")
        last = self.next - 1
        struct.pack_into(
            "<8sQQQQIIII", data, 0, b"ElfChnk\0", self.first, last, self.first, last, 128, self.last_record, free,
            zlib.crc32(data[_FIRST_RECORD:free]),
        )  # fmt: skip
        struct.pack_into("<64I32I", data, 128, *self.name_table, *self.template_table)
        struct.pack_into("<II", data, 120, 1, zlib.crc32(data[128:512], zlib.crc32(data[:120])))
        return bytes(data)


def write_log(records: Sequence[Record], *, first: int = 1, dirty: bool = False) -> bytes:
    """Return a log of these events, numbered from `first`; `dirty`: it was not closed, as on a machine that died."""
    chunks = [_Chunk(first)]
    for record in records:
        if not chunks[-1].add(record):
            chunks.append(_Chunk(chunks[-1].next))
            if not chunks[-1].add(record):
                raise ValueError("a record is larger than a chunk")
    header = bytearray(4096)
    struct.pack_into(
        "<8sQQQIHHHH", header, 0, b"ElfFile\0", 0, len(chunks) - 1, chunks[-1].next, 128, 1, 3, 4096, len(chunks)
    )
    struct.pack_into("<II", header, 120, 1 if dirty else 0, zlib.crc32(header[:120]))
    return bytes(header) + b"".join(chunk.finish() for chunk in chunks)
