"""Keys of a hive, and the lists that hold them together.

Damage stays where it is: a list that has a damaged entry gives its sound ones first and raises at the end, so that a
caller has everything that can be read and knows that it is not all. A key is believed only when it names as its parent
the key whose list it stands in, and stands there once: that makes the tree a tree, and a walk finite.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from parsers.errors import FormatError, StopcodeError, TruncatedError
from parsers.limits import MAX_HIVE_DEPTH
from parsers.registry.cells import NO_CELL
from parsers.registry.values import Value, decode_name

if TYPE_CHECKING:
    from parsers.registry.hive import Hive

__all__ = ["Key", "name_hash"]

_NODE = struct.Struct("<2sHQIIIIIIIIIIIIIIIHH")
_ONE_BYTE_NAME: Final = 0x20
#: Bytes of a name that are read together with the record; few names are longer.
_SHORT_NAME: Final = 64
_Made = TypeVar("_Made", "Key", Value)


def name_hash(name: str) -> int:
    """Return the hash that an `lh` list keeps for a name: h = h * 37 + upper-case character, modulo 2^32."""
    total = 0
    for character in name.upper():
        total = (total * 37 + ord(character)) & 0xFFFFFFFF
    return total


class Key:
    """One key.

    Attributes:
        name: its name.
        last_written: FILETIME of its last change.
        offset: file offset of its record (the `nk` signature).

    Raises:
        FormatError: the record is damaged.

    """

    __slots__ = (
        "_cell",
        "_depth",
        "_hive",
        "_subkey_count",
        "_subkey_list",
        "_value_count",
        "_value_list",
        "last_written",
        "name",
        "offset",
    )

    def __init__(self, hive: Hive, cell: int, parent: Key | None) -> None:
        cells = hive.cells
        offset, length, record = cells.begin(cell, _NODE.size, _SHORT_NAME, "a key")
        fields = _NODE.unpack_from(record)
        if fields[0] != b"nk":
            raise FormatError("regf", "not a key", offset=offset, expected="nk", found=fields[0].hex())
        name_length = fields[18]
        if name_length > length - _NODE.size:
            raise FormatError("regf", "a key's name is longer than its cell", offset=offset, found=name_length)
        self._cell: int = cell
        self._depth: int = 0 if parent is None else parent._depth + 1
        if parent is not None:
            if fields[4] != parent._cell:
                raise FormatError(
                    "regf",
                    "a key names another parent than the key that lists it",
                    offset=offset,
                    expected=f"{parent._cell:#x}",
                    found=f"{fields[4]:#x}",
                )
            if cell == hive.root_cell or self._depth > MAX_HIVE_DEPTH:
                raise FormatError("regf", "a key stands below itself, or too deep", offset=offset)
        name = record[_NODE.size : _NODE.size + name_length]
        if name_length > _SHORT_NAME:
            name = cells.read(offset + _NODE.size, name_length)
        self.name = decode_name(name, bool(fields[1] & _ONE_BYTE_NAME))
        self.last_written: int = fields[2]
        self.offset = offset
        self._hive = hive
        self._subkey_count: int = fields[5]
        self._subkey_list: int = fields[7]
        self._value_count: int = fields[9]
        self._value_list: int = fields[10]

    def subkeys(self) -> Iterator[Key]:
        """Yield the keys below, as the list has them (sorted by name).

        Raises:
            FormatError: behind the sound ones, when the list or some of its keys are damaged.
            ReadError: a place cannot be read.

        """
        cells = (cell for cell, _kept in self._listed())
        return self._sound(cells, lambda cell: Key(self._hive, cell, self), "keys below")

    def values(self) -> Iterator[Value]:
        """Yield the values, as the list has them.

        Raises:
            FormatError: behind the sound ones, when the list or some of its values are damaged.
            ReadError: a place cannot be read.

        """
        hive = self._hive
        return self._sound(self._value_cells(), lambda cell: Value(hive.cells, cell, hive.minor_version), "values")

    def _sound(self, found: Iterator[int], make: Callable[[int], _Made], what: str) -> Iterator[_Made]:
        damaged = 0
        first: StopcodeError | None = None
        try:
            for cell in found:
                try:
                    made = make(cell)
                except StopcodeError as error:
                    damaged, first = damaged + 1, first or error
                    continue
                yield made
        except StopcodeError as error:
            # The list itself: nothing more can come.
            damaged, first = damaged + 1, first or error
        if first is not None:
            raise FormatError(
                "regf", f"of the {what} {self.name or 'a key'}, {damaged} cannot be read: {first}", offset=self.offset
            ) from first

    def subkey(self, name: str) -> Key | None:
        """Return a key below by its name, or None when it is not there; case does not matter.

        Windows looks at the hash before it looks at the name: a key that is listed with the hash of another name is
        there for whoever reads the list, and not for whoever asks for it. Which of the two was meant nobody knows.

        Raises:
            FormatError: it was not found, and the list or some of its keys are damaged; it is listed with the hash of
                another name.
            ReadError: a place cannot be read.

        """
        wanted = name.lower()
        # Where a list keeps hashes or hints, most keys need not be read.
        plain = name.isascii()
        first: StopcodeError | None = None
        hashed, hint = name_hash(name), wanted[:4]
        found = (cell for cell, kept in self._listed() if not plain or _may_be(kept, hashed, hint))
        while True:
            try:
                cell = next(found, None)
                if cell is None:
                    break
                key = Key(self._hive, cell, self)
            except StopcodeError as error:
                first = first or error
                continue
            if key.name.lower() == wanted:
                return key
        if first is not None:
            raise FormatError(
                "regf", f"the key {name} was not found, but keys beside it cannot be read: {first}", offset=self.offset
            ) from first
        if plain and wanted in self._misfiled():
            raise FormatError(
                "regf", f"the key {name} is listed with the hash of another name: Windows does not find it",
                offset=self.offset,
            )  # fmt: skip
        return None

    def _misfiled(self) -> frozenset[str]:
        """Return the lower-case names that the list keeps with the hash or hint of another; reckoned once a list."""
        known = self._hive.misfiled.get(self._cell)
        if known is None:
            found = set()
            for cell, kept in self._listed():
                try:
                    name = Key(self._hive, cell, self).name.lower()
                except StopcodeError:
                    # Whoever lists the keys is told.
                    continue
                if name.isascii() and not _may_be(kept, name_hash(name), name[:4]):
                    found.add(name)
            known = self._hive.misfiled[self._cell] = frozenset(found)
        return known

    def value(self, name: str) -> Value | None:
        """Return a value by its name, or None when it is not there; case does not matter.

        Raises:
            FormatError: it was not found, and the list or some of its values are damaged.
            ReadError: a place cannot be read.

        """
        wanted = name.lower()
        for value in self.values():
            if value.name.lower() == wanted:
                return value
        return None

    def _value_cells(self) -> Iterator[int]:
        count = self._value_count
        if count == 0:
            return
        cells = self._hive.cells
        offset, _length = cells.locate(self._value_list, count * 4, "a list of values")
        data = cells.read(offset, count * 4)
        seen: set[int] = set()
        for (cell,) in struct.iter_unpack("<I", data[: len(data) & ~3]):
            if cell in seen:
                raise FormatError("regf", "a value stands twice in the list of its key", offset=offset)
            seen.add(cell)
            yield cell
        if len(data) < count * 4:
            raise TruncatedError("regf", "a list of values ends too early", offset=offset)

    def _listed(self) -> Iterator[tuple[int, int | bytes | None]]:
        """Yield the cells of the keys below, each with what the list keeps of its name."""
        if self._subkey_count == 0:
            return
        if self._subkey_list == NO_CELL:
            raise FormatError("regf", "a key has keys below and no list of them", offset=self.offset)
        seen: set[int] = set()
        lists = [self._subkey_list]
        outer = self._list(self._subkey_list)
        if outer[0] == b"ri":
            lists = [cell for (cell,) in struct.iter_unpack("<I", outer[1])]
            if len(set(lists)) != len(lists):
                raise FormatError("regf", "a list of keys stands twice in the list of lists", offset=self.offset)
        total = 0
        for number, cell in enumerate(lists):
            signature, data = outer if outer[0] != b"ri" and number == 0 else self._list(cell)
            if signature == b"ri":
                raise FormatError("regf", "a list of lists stands in a list of lists", offset=self.offset)
            for key, kept in _elements(signature, data):
                total += 1
                if key in seen:
                    raise FormatError("regf", "a key stands twice in the list of its parent", offset=self.offset)
                seen.add(key)
                yield key, kept
        if total != self._subkey_count:
            raise FormatError(
                "regf", "the list of keys has another length", offset=self.offset, expected=self._subkey_count,
                found=total,
            )  # fmt: skip

    def _list(self, cell: int) -> tuple[bytes, bytes]:
        """Return a list's signature and its elements."""
        cells = self._hive.cells
        offset, length = cells.locate(cell, 4, "a list of keys")
        head = cells.read(offset, 4)
        signature = head[:2]
        each = 8 if signature in (b"lf", b"lh") else 4
        if signature not in (b"lf", b"lh", b"li", b"ri"):
            raise FormatError("regf", "not a list of keys", offset=offset, found=signature.hex())
        wanted = int.from_bytes(head[2:4], "little") * each
        if wanted > length - 4:
            raise FormatError("regf", "a list of keys is longer than its cell", offset=offset, found=wanted)
        data = cells.read(offset + 4, wanted)
        if len(data) < wanted:
            raise TruncatedError("regf", "a list of keys ends too early", offset=offset)
        return signature, data


def _elements(signature: bytes, data: bytes) -> Iterator[tuple[int, int | bytes | None]]:
    """Yield cells, each with the hash (`lh`) or the first four characters (`lf`) of its name; with None in an `li`."""
    if signature == b"li":
        for (cell,) in struct.iter_unpack("<I", data):
            yield cell, None
    elif signature == b"lh":
        yield from struct.iter_unpack("<II", data)
    else:
        yield from struct.iter_unpack("<I4s", data)


def _may_be(kept: int | bytes | None, hashed: int, hint: str) -> bool:
    """Tell whether what a list keeps of a name fits the name looked for."""
    if isinstance(kept, int):
        return kept == hashed
    # The hint is empty when the name has characters of two bytes.
    return kept is None or kept[:1] == b"\0" or kept.rstrip(b"\0").decode("latin-1").lower() == hint
