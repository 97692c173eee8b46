r"""The boot configuration store (BCD): what a registry hive of this kind says of starting up.

A store is a hive with the key `Objects`: below it one key an object (`{GUID}`), in it `Description` (value Type) and
`Elements\<8 hex digits>` (value Element). An element's number tells its format: bits 24 to 27 are 1 device, 2 text,
3 object, 4 list of objects, 5 number, 6 yes or no, 7 list of numbers.

Sources: Geoff Chappell, "BCD Elements" and "BCD Objects" (geoffchappell.com/notes/windows/boot); the device element:
`winsiderss/phnt: ntbcd.h`; seen in two real stores (a Windows 10 machine and setup media), whose numbers are 1 to 8
bytes long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from construct import Bytes, Int32ul, Struct

from parsers.errors import FormatError, StopcodeError
from parsers.limits import MAX_BCD_ELEMENTS, MAX_BCD_INHERITED, MAX_BCD_OBJECTS
from parsers.registry import Hive, Key

__all__ = ["BOOTMGR", "BcdDevice", "BcdObject", "BcdStore", "Element"]

#: The object of the boot manager.
BOOTMGR: Final = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
_INHERIT: Final = 0x14000006
_DEFAULT: Final = 0x23000003
_DEVICE, _TEXT, _OBJECT, _OBJECTS, _NUMBER, _FLAG, _NUMBERS = range(1, 8)

#: What every device begins with, behind the 16 bytes of the GUID of its options; `size` counts from `type`.
_DEVICE_HEAD = Struct("type" / Int32ul, "flags" / Int32ul, "size" / Int32ul, "reserved" / Int32ul)
#: A device that is a partition; a padding of 16 bytes follows.
_PARTITION = Struct(
    *_DEVICE_HEAD.subcons,
    "partition" / Bytes(16),
    "local_type" / Int32ul,
    "style" / Int32ul,
    "disk" / Bytes(16),
)
_TYPE_AT: Final = 16
_IS_PARTITION: Final = 6
_STYLES: Final = {0: "gpt", 1: "mbr"}
_DEVICES: Final = {0: "disk", 2: "partition (old form)", 5: "boot", 6: "partition", 7: "vmbus", 8: "locate"}


@dataclass(frozen=True, slots=True)
class BcdDevice:
    """A device that an element names.

    Attributes:
        kind: "partition", "boot" (the one that the store was read from), "disk" (a RAM disk or a file too), …
        style: "gpt" or "mbr" of a partition, else "".
        partition: of a GPT partition its GUID (16 bytes, as on the disk); of an MBR one its byte offset (little endian,
            8 bytes, then 8 of zero).
        disk: the disk's GUID, or its signature in the first 4 bytes.

    """

    kind: str
    style: str = ""
    partition: bytes = b""
    disk: bytes = b""

    @property
    def identity(self) -> bytes:
        r"""What `SYSTEM\MountedDevices` calls this partition; b"" of anything else."""
        if self.style == "gpt":
            return b"DMIO:ID:" + self.partition
        return self.disk[:4] + self.partition[:8] if self.style == "mbr" else b""


Element = BcdDevice | str | int | bool | list[str] | list[int]


@dataclass(frozen=True, slots=True)
class BcdObject:
    """One object of a store.

    Attributes:
        id: its GUID as the key has it, lower case, with braces.
        type: its Type; 0 when there is none.
        elements: by number.
        damaged: numbers of elements that are there and cannot be read.

    """

    id: str
    type: int
    elements: dict[int, Element]
    damaged: frozenset[int]


class BcdStore:
    """A boot configuration store.

    Args:
        hive: the opened hive.

    Attributes:
        objects: by GUID (lower case, with braces).
        damaged: why an object that is there cannot be read, by GUID.

    Raises:
        FormatError: the hive holds no objects, or the list of them is damaged.

    """

    def __init__(self, hive: Hive) -> None:
        top = hive.open_key("Objects")
        if top is None:
            raise FormatError("BCD", "the hive holds no boot configuration: it has no key Objects")
        self.objects: dict[str, BcdObject] = {}
        self.damaged: dict[str, str] = {}
        for count, key in enumerate(top.subkeys()):
            if count >= MAX_BCD_OBJECTS:
                raise FormatError("BCD", "too many objects", expected=f"at most {MAX_BCD_OBJECTS}")
            try:
                self.objects[key.name.lower()] = _read_object(key)
            except StopcodeError as error:
                self.damaged[key.name.lower()] = error.message

    def default_entry(self) -> BcdObject:
        """Return the object that starts when nobody chooses.

        Raises:
            FormatError: the store names none that is there; the boot manager would stop.

        """
        manager = self._named(BOOTMGR, "the boot manager's object")
        named = self.find(manager, _DEFAULT)
        if not isinstance(named, str):
            raise FormatError("BCD", "the boot manager's object names no default entry")
        return self._named(named.lower(), "the default entry")

    def _named(self, name: str, what: str) -> BcdObject:
        if name in self.damaged:
            raise FormatError("BCD", f"{what} {name} is damaged ({self.damaged[name]})")
        found = self.objects.get(name)
        if found is None:
            raise FormatError("BCD", f"{what} {name} is not there")
        return found

    def find(self, owner: BcdObject, number: int) -> Element | None:
        """Return an element of an object, its own or one that it inherits; None when there is none.

        Raises:
            FormatError: the element is there and damaged.

        """
        for held in self._line(owner):
            if number in held.damaged:
                raise FormatError("BCD", f"the element {number:08x} of {held.id} is damaged")
            if number in held.elements:
                return held.elements[number]
        return None

    def _line(self, owner: BcdObject) -> Iterator[BcdObject]:
        """Yield an object and those that it inherits from, nearest first, each once."""
        seen: set[str] = set()
        waiting = [owner]
        while waiting and len(seen) < MAX_BCD_INHERITED:
            held = waiting.pop(0)
            if held.id in seen:
                continue
            seen.add(held.id)
            yield held
            named = held.elements.get(_INHERIT)
            if isinstance(named, list):
                above = (self.objects.get(str(name).lower()) for name in named)
                waiting[:0] = [item for item in above if item is not None]


def _read_object(key: Key) -> BcdObject:
    kind = 0
    elements: dict[int, Element] = {}
    damaged: set[int] = set()
    description = key.subkey("Description")
    value = description.value("Type") if description is not None else None
    if value is not None:
        kind = int.from_bytes(value.data[:4], "little")
    below = key.subkey("Elements")
    for count, item in enumerate(below.subkeys() if below is not None else ()):
        if count >= MAX_BCD_ELEMENTS:
            raise FormatError("BCD", "too many elements", expected=f"at most {MAX_BCD_ELEMENTS} an object")
        try:
            number = int(item.name, 16)
        except ValueError:
            continue
        try:
            held = item.value("Element")
            if held is not None:
                elements[number] = _decode(number, held.data, held.decoded())
        except StopcodeError:
            damaged.add(number)
    return BcdObject(key.name.lower(), kind, elements, frozenset(damaged))


def _decode(number: int, data: bytes, decoded: int | str | list[str] | bytes) -> Element:
    """Return an element by the format in its number.

    Raises:
        FormatError: the bytes are of another format.

    """
    form = number >> 24 & 0xF
    if form == _DEVICE:
        return _device(data)
    if form in (_TEXT, _OBJECT) and isinstance(decoded, str):
        return decoded
    if form == _OBJECTS and isinstance(decoded, list):
        return decoded
    if form == _NUMBER and 0 < len(data) <= 8:
        return int.from_bytes(data, "little")
    if form == _FLAG and data:
        return data[0] != 0
    if form == _NUMBERS and len(data) % 8 == 0:
        return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    raise FormatError("BCD", f"the element {number:08x} is not of the format that its number tells")


def _device(data: bytes) -> BcdDevice:
    if len(data) < _TYPE_AT + _DEVICE_HEAD.sizeof():
        raise FormatError("BCD", "a device element is too short", expected="at least 32 bytes", found=len(data))
    kind = _DEVICE_HEAD.parse(data[_TYPE_AT:]).type
    if kind != _IS_PARTITION:
        return BcdDevice(_DEVICES.get(kind, "other"))
    if len(data) < _TYPE_AT + _PARTITION.sizeof():
        raise FormatError("BCD", "a partition's element is too short", expected="at least 88 bytes", found=len(data))
    found = _PARTITION.parse(data[_TYPE_AT:])
    return BcdDevice("partition", _STYLES.get(found.style, ""), found.partition, found.disk)
