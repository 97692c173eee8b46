"""Write registry hives: a tree of keys becomes one regf file, the same bytes for the same tree.

Layout: libyal/libregf, documentation/Windows NT Registry File (REGF) format.asciidoc. hivex and dissect.regf judge it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Key", "Value", "binary", "dword", "expand", "multi", "qword", "sz", "write_hive"]

#: Windows splits longer lists of keys over several, and longer data over several cells.
_KEYS_A_LIST = 500
_DATA_A_CELL = 16344
_NONE = 0xFFFFFFFF


@dataclass(frozen=True)
class Value:
    """One value: its registry type number and its bytes."""

    type: int
    data: bytes


@dataclass
class Key:
    """One key.

    Attributes:
        values: by name; "" is the unnamed one.
        keys: by name.
        time: FILETIME of the last change; 0: the time of the key above.

    """

    values: dict[str, Value] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    time: int = 0

    def at(self, path: str) -> Key:
        """Return the key at a path below, made where it is not there."""
        key = self
        for part in filter(None, path.split("\\")):
            found = next((name for name in key.keys if name.lower() == part.lower()), part)
            key = key.keys.setdefault(found, Key())
        return key

    def set(self, path: str, values: Mapping[str, Value | int | str], *, time: int = 0) -> Key:
        """Set values of the key at a path; plain numbers become REG_DWORD, plain text REG_SZ."""
        key = self.at(path)
        for name, value in values.items():
            key.values[name] = (
                dword(value) if isinstance(value, int) else sz(value) if isinstance(value, str) else value
            )
        if time:
            key.time = time
        return key


def _utf16(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


def sz(text: str) -> Value:
    """REG_SZ."""
    return Value(1, _utf16(text))


def expand(text: str) -> Value:
    """REG_EXPAND_SZ."""
    return Value(2, _utf16(text))


def binary(data: bytes) -> Value:
    """REG_BINARY."""
    return Value(3, data)


def dword(number: int) -> Value:
    """REG_DWORD."""
    return Value(4, struct.pack("<I", number & 0xFFFFFFFF))


def multi(texts: Iterable[str]) -> Value:
    """REG_MULTI_SZ."""
    return Value(7, b"".join(map(_utf16, texts)) + b"\0\0")


def qword(number: int) -> Value:
    """REG_QWORD."""
    return Value(11, struct.pack("<Q", number))


class _Bins:
    """The hive bins data: cells are put one behind the other, none across the end of its bin."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.at = 0  # where the next cell goes
        self.end = 0  # end of the open bin

    def put(self, content: bytes) -> int:
        """Add a cell in use; return its offset."""
        size = (len(content) + 4 + 7) & ~7
        if self.at + size > self.end:
            self.close()
            start, length = len(self.data), (size + 0x20 + 0xFFF) & ~0xFFF
            self.data += struct.pack("<4sII20x", b"hbin", start, length) + bytes(length - 0x20)
            self.at, self.end = start + 0x20, start + length
        offset = self.at
        self.data[offset : offset + 4 + len(content)] = struct.pack("<i", -size) + content
        self.at += size
        return offset

    def close(self) -> None:
        """Make the rest of the open bin a free cell."""
        if self.at < self.end:
            struct.pack_into("<i", self.data, self.at, self.end - self.at)
            self.at = self.end


def _name(name: str) -> tuple[bytes, bool]:
    """Return a name's bytes and whether they are one byte a character."""
    try:
        return name.encode("latin-1"), True
    except UnicodeEncodeError:
        return name.encode("utf-16-le"), False


def _hash(name: str) -> int:
    value = 0
    for character in name.upper():
        value = (value * 37 + ord(character)) & 0xFFFFFFFF
    return value


def _data(bins: _Bins, data: bytes) -> int:
    if len(data) <= _DATA_A_CELL:
        return bins.put(data)
    parts = [bins.put(data[at : at + _DATA_A_CELL]) for at in range(0, len(data), _DATA_A_CELL)]
    table = bins.put(struct.pack(f"<{len(parts)}I", *parts))
    return bins.put(struct.pack("<2sHI", b"db", len(parts), table))


def _values(bins: _Bins, key: Key) -> int:
    offsets = []
    for name, value in key.values.items():
        raw, narrow = _name(name)
        if len(value.data) <= 4:
            size, place = len(value.data) | 0x80000000, int.from_bytes(value.data.ljust(4, b"\0"), "little")
        else:
            size, place = len(value.data), _data(bins, value.data)
        offsets.append(
            bins.put(struct.pack("<2sHIIIHH", b"vk", len(raw), size, place, value.type, int(narrow), 0) + raw)
        )
    return bins.put(struct.pack(f"<{len(offsets)}I", *offsets)) if offsets else _NONE


def _list(bins: _Bins, keys: Sequence[tuple[str, int]]) -> int:
    if not keys:
        return _NONE
    lists = []
    for at in range(0, len(keys), _KEYS_A_LIST):
        part = keys[at : at + _KEYS_A_LIST]
        body = b"".join(struct.pack("<II", offset, _hash(name)) for name, offset in part)
        lists.append(bins.put(struct.pack("<2sH", b"lh", len(part)) + body))
    if len(lists) == 1:
        return lists[0]
    return bins.put(struct.pack(f"<2sH{len(lists)}I", b"ri", len(lists), *lists))


def _longest(names: Iterable[str]) -> int:
    return max((2 * len(name) for name in names), default=0)


def _key(bins: _Bins, name: str, key: Key, parent: int, security: int, time: int) -> int:
    """Write a key and everything below; return its offset."""
    raw, _narrow = _name(name)
    offset = bins.put(bytes(0x4C) + raw)
    _fill(bins, offset, name, key, parent, security, time)
    return offset


def _fill(bins: _Bins, offset: int, name: str, key: Key, parent: int, security: int, time: int) -> None:
    """Write what hangs on a key whose cell is there, and then its record."""
    raw, narrow = _name(name)
    time = key.time or time
    # Windows keeps each list sorted by the upper-case name.
    below = sorted(key.keys.items(), key=lambda item: item[0].upper())
    keys = [(child, _key(bins, child, item, offset, security, time)) for child, item in below]
    flags = (0x0C if not parent else 0) | (0x20 if narrow else 0)
    record = struct.pack(
        "<2sHQIIIIIIIIIIIIIIIHH", b"nk", flags, time, 0, parent, len(keys), 0, _list(bins, keys), _NONE,
        len(key.values), _values(bins, key), security, _NONE, _longest(key.keys), 0, _longest(key.values),
        max((len(value.data) for value in key.values.values()), default=0), 0, len(raw), 0,
    )  # fmt: skip
    bins.data[offset + 4 : offset + 4 + len(record)] = record


#: A self-relative descriptor: owner and group Administrators, full control for SYSTEM and Administrators.
_ADMINISTRATORS = bytes.fromhex("01020000000000052000000020020000")
_SYSTEM = bytes.fromhex("010100000000000512000000")


def _descriptor() -> bytes:
    entries = b"".join(struct.pack("<BBHI", 0, 2, 8 + len(sid), 0x000F003F) + sid for sid in (_ADMINISTRATORS, _SYSTEM))
    acl = struct.pack("<BBHHH", 2, 0, 8 + len(entries), 2, 0) + entries
    owner = 0x14 + len(acl)
    group = owner + len(_ADMINISTRATORS)
    return struct.pack("<BBHIIII", 1, 0, 0x8004, owner, group, 0, 0x14) + acl + _ADMINISTRATORS + _ADMINISTRATORS


def _count(key: Key) -> int:
    return 1 + sum(_count(child) for child in key.keys.values())


def write_hive(root: Key, name: str, *, time: int, file_name: str = "", sequence: tuple[int, int] = (1, 1)) -> bytes:
    r"""Return the hive of a tree.

    Args:
        root: the topmost key.
        name: its name ("ROOT" in SYSTEM and SOFTWARE, "NewStoreRoot" in a BCD).
        time: FILETIME for keys that have none.
        file_name: tail of the path that stands in the base block (`\SystemRoot\System32\Config\SYSTEM`).
        sequence: primary and secondary sequence number; unequal numbers make it a dirty hive.

    """
    bins = _Bins()
    descriptor = _descriptor()
    # The root's cell comes first; what it needs of the security cell is its offset, which is known only behind it.
    raw, _narrow = _name(name)
    security = 0x20 + ((0x4C + len(raw) + 4 + 7) & ~7)
    offset = bins.put(bytes(0x4C) + raw)
    placed = bins.put(struct.pack("<2sHIIII", b"sk", 0, security, security, _count(root), len(descriptor)) + descriptor)
    if placed != security:
        raise AssertionError("the security cell is not where it was said to be")
    _fill(bins, offset, name, root, 0, security, time)
    bins.close()
    struct.pack_into("<Q", bins.data, 0x14, time)
    base = bytearray(4096)
    struct.pack_into("<4sIIQIIIIIII", base, 0, b"regf", *sequence, 0, 1, 5, 0, 1, offset, len(bins.data), 1)
    tail = file_name[-31:].encode("utf-16-le")
    base[0x30 : 0x30 + len(tail)] = tail
    checksum = 0
    for word in struct.unpack("<127I", base[:508]):
        checksum ^= word
    struct.pack_into("<I", base, 508, {0: 1, _NONE: _NONE - 1}.get(checksum, checksum))
    return bytes(base + bins.data)
