"""Walk a whole hive, so that tests can count and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from parsers.bytesource import FileSource
from parsers.errors import StopcodeError
from parsers.registry import Hive, Key, Value

Give = Callable[[str], Path]


def open_hive(path: Path) -> Hive:
    return Hive(FileSource(path))


def every_key(top: Key, path: str = "") -> Iterator[tuple[str, Key]]:
    """Yield each key with its path; damaged keys raise."""
    yield path, top
    for key in top.subkeys():
        yield from every_key(key, f"{path}\\{key.name}")


def sound(found: Iterator[Key] | Iterator[Value]) -> tuple[list[Key | Value], list[StopcodeError]]:
    """Return what an iterator gives before it raises, and what it raises."""
    given: list[Key | Value] = []
    try:
        for item in found:
            given.append(item)
    except StopcodeError as error:
        return given, [error]
    return given, []


def survey(hive: Hive) -> tuple[int, int, int]:
    """Count keys, values and places of damage; every value's data are read."""
    keys = values = damage = 0
    stack = [hive.root]
    while stack:
        key = stack.pop()
        keys += 1
        below, errors = sound(key.subkeys())
        stack += [item for item in below if isinstance(item, Key)]
        held, more = sound(key.values())
        values += len(held)
        damage += len(errors) + len(more)
        for value in held:
            assert isinstance(value, Value)
            try:
                value.decoded()
            except StopcodeError:
                damage += 1
    return keys, values, damage
