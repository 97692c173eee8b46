"""Addresses and page-table entries that are one bit away from sound ones.

One wrong bit is what failing memory leaves; a wrong value of software seldom looks so. Because many addresses have a
mapped neighbour in their low bits, only bits count that no arithmetic of a driver is likely to change alone: those that
break the canonical form, and those far above the size of a pool's used part, when exactly one of them leads to a sound
place.

The canonical form is asked of x64 alone: ARM64 may ignore an address's top byte, and a failed check of a signed pointer
sets a bit there on purpose. Pointers of x86 are not asked at all: its address space is so full that every other wrong
pointer would have a mapped neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from forensics.crash.access import Access
from forensics.crash.evidence import Evidence
from forensics.crash.hardware import one_bit
from parsers.dump.memory import NOT_PRESENT, PAGED_OUT
from parsers.dump.paging import Arm64Paging, Mapping, Paging, X64Paging
from parsers.dump.virtual import VirtualMemory
from parsers.errors import ReadError

__all__ = ["FlippedPointer", "PageWords", "flipped_pointer", "is_canonical", "page_table_words"]

_MASK = (1 << 64) - 1
_KERNEL = 0xFFFF_8000_0000_0000
#: Below this a pointer is null with an offset: a mistake of software.
_NEAR_NULL = 0x10000
#: Bits of a canonical kernel address that are tried: 8 GiB and more away. Nearer by, a stale pointer into the same
#: pool, or to what was mapped for a request, has mapped neighbours too, and often exactly one.
_HIGH_BITS = range(33, 47)
#: Below this page number (4 GiB) devices lie among the memory of every machine.
_DEVICES = 0x100000
#: An ARM64 page's entry: valid; the number of the bit that makes it a page; accessed.
_ARM64_VALID, _ARM64_PAGE_BIT, _ARM64_ACCESSED = 1, 1, 1 << 10


@dataclass(frozen=True, slots=True)
class FlippedPointer:
    """An address with one wrong bit."""

    text: str
    sure: Literal["medium", "low"]
    bit: int


@dataclass(slots=True)
class PageWords:
    """What the page tables say of the address of a fault.

    Attributes:
        agrees: sentences that explain the fault.
        doubts: sentences that do not.
        maps: they map it, with the right to the access.
        flipped: the deciding entry has one wrong bit.

    """

    agrees: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    maps: bool = False
    flipped: FlippedPointer | None = None


def is_canonical(address: int, levels: int = 4) -> bool:
    """Tell whether the upper bits of a 64-bit address repeat its highest used one."""
    return address >> (47 if levels == 4 else 56) in (0, 0x1FFFF if levels == 4 else 0xFF)


def _levels(evidence: Evidence) -> int:
    memory = evidence.memory
    return memory.paging.levels if isinstance(memory, VirtualMemory) and isinstance(memory.paging, X64Paging) else 4


def _is_sound(evidence: Evidence, address: int) -> bool:
    """Tell whether something is known to lie at an address: bytes of the dump, or a loaded module."""
    return evidence.memory.is_readable(address) or evidence.modules.at(address) is not None


def flipped_pointer(evidence: Evidence, address: int, access: Access) -> FlippedPointer | None:
    """Return the single bit that leads from the address of a fault to a sound place, where only one does.

    Args:
        evidence: the dump.
        address: what was touched.
        access: the access that computed it: an index, or a second register, means arithmetic, where a wrong high bit
            is more likely a wrong length.

    """
    if address < _NEAR_NULL or len(access.registers) != 1 or evidence.dump.machine == "x86":
        return None
    if evidence.dump.machine == "x64" and not is_canonical(address, _levels(evidence)):
        return _canonical_again(evidence, address)
    if address < _KERNEL or evidence.modules.at(address) is not None:
        return None
    sound = [bit for bit in _HIGH_BITS if _is_sound(evidence, address ^ 1 << bit)]
    if len(sound) != 1:
        return None
    right = address ^ 1 << sound[0]
    text = (
        f"the pointer {address:#x} is one bit ({sound[0]}) from {evidence.modules.label(right)}, where there is "
        "memory, and no other single high bit leads to any"
    )
    return FlippedPointer(text, "low", sound[0])


def _canonical_again(evidence: Evidence, address: int) -> FlippedPointer | None:
    if _levels(evidence) != 4:
        return None
    for bit in range(47, 64):
        right = address ^ 1 << bit
        if not is_canonical(right):
            continue
        sound = _is_sound(evidence, right)
        # In the user half a small number above 2^48 looks alike: only memory that is really there counts.
        if not sound and right < _KERNEL:
            return None
        what = "where there is memory" if sound else "a canonical address of the kernel"
        text = (
            f"the pointer {address:#x} is no canonical address and one bit ({bit}) from "
            f"{evidence.modules.label(right)}, {what}"
        )
        return FlippedPointer(text, "medium" if sound and right >= _KERNEL else "low", bit)
    return None


def page_table_words(evidence: Evidence, address: int, kind: str | None) -> PageWords:
    """Say what the page tables in the dump make of an address."""
    words = PageWords()
    memory = evidence.memory
    if not isinstance(memory, VirtualMemory):
        return words
    try:
        mapping = memory.paging.mapping(address)
    except ReadError:
        return words
    if not mapping.valid:
        words.flipped = _flipped_entry(memory.paging, mapping, address)
        if words.flipped is None:
            words.agrees += _why_absent(evidence, address)
        return words
    words.flipped = _beyond_memory(mapping, memory.paging, address)
    if words.flipped is not None:
        return words
    refused = (kind == "write" and not mapping.writable) or (kind == "execute" and not mapping.executable)
    if refused:
        words.agrees.append(f"the page tables map {address:#x} and do not allow it to be {_done(kind)}")
        return words
    words.maps = True
    words.doubts.append(
        f"the page tables in the dump map {address:#x}{'' if kind is None else f' and allow it to be {_done(kind)}'}: "
        "it was mapped after the fault, or the processor used an old or wrong entry"
    )
    return words


def _done(kind: str | None) -> str:
    return {"write": "written", "execute": "executed"}.get(kind or "", "read")


def _why_absent(evidence: Evidence, address: int) -> list[str]:
    try:
        evidence.memory.read(address, 1)
    except ReadError as error:
        reason = next((one for one in (PAGED_OUT, NOT_PRESENT) if one in error.message), None)
        if reason is not None:
            return [f"the page tables say of {error.message}"]
    return []


def _flipped_entry(paging: Paging, mapping: Mapping, address: int) -> FlippedPointer | None:
    entry = mapping.entry
    bit = one_bit(entry)
    if isinstance(paging, Arm64Paging) and mapping.shift == 12 and entry & 3 == _ARM64_VALID:
        return _reserved_form(paging, entry, address)
    # Protection and software bits (1 to 11) stand alone in sound entries.
    if bit is None or bit < 12:
        return None
    text = (
        f"the page-table entry of {address:#x} is {entry:#x}: exactly one bit is set ({bit}), in an entry that is else "
        "empty"
    )
    # What else the entries of x86 and ARM64 may hold when they are not valid is not all published.
    return FlippedPointer(text, "medium" if isinstance(paging, X64Paging) else "low", bit)


def _reserved_form(paging: Paging, entry: int, address: int) -> FlippedPointer | None:
    """A page's entry of ARM64 that is valid and lacks bit 1: no system writes that, and one bit makes it sound."""
    number = (entry & paging.FRAME) >> 12
    if not entry & _ARM64_ACCESSED or not number or (paging.limit is not None and number >= paging.limit):
        return None
    text = (
        f"the page-table entry of {address:#x} is {entry:#x}: valid, and of the form that the architecture reserves; "
        f"with bit 1 it maps page {number:#x}"
    )
    return FlippedPointer(text, "low", _ARM64_PAGE_BIT)


def _beyond_memory(mapping: Mapping, paging: Paging, address: int) -> FlippedPointer | None:
    """Look for a page number that names memory beyond the machine's by one bit.

    A valid entry that causes a fault and names no memory: only where the bits above the machine's memory are one.
    """
    limit = paging.limit
    if limit is None or mapping.shift != 12:
        return None
    number = (mapping.entry & paging.FRAME) >> 12
    if number < _DEVICES:
        return None
    above = number >> limit.bit_length() << limit.bit_length()
    bit = one_bit(above)
    if bit is None or (number ^ above) >= limit:
        return None
    text = (
        f"the page-table entry of {address:#x} ({mapping.entry:#x}) names page {number:#x}, beyond the machine's "
        f"memory; without bit {bit + 12} it names page {number ^ above:#x}"
    )
    return FlippedPointer(text, "low", bit + 12)
