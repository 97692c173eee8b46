"""Dynamic disks that Windows Server 2003 R2 and 2008 R2 made: their partition tables and databases.

`data/ldm.tar.xz` holds these sectors of the disks in libldm's tests (https://github.com/mdbooth/libldm,
test/data/ldm-data.tar.xz, GPL-3.0 and LGPL-3.0 as libldm is), without boot code and without the volumes. Each member is
called by its disk and its first sector.
"""

from __future__ import annotations

import tarfile
from functools import cache
from pathlib import Path

SECTORS = 102_400
#: The disk group of each Windows.
GROUPS = {"2003r2": "03c0c4fc-8b6f-402b-9431-4be2e5823b1c", "2008r2": "06495a84-fbfd-11e1-8cf9-52540061f5db"}


class DynamicImage:
    """A disk of 50 MiB, of which only some stretches are not zeros."""

    def __init__(self, stretches: dict[int, bytes]) -> None:
        self._stretches = {at: bytearray(data) for at, data in stretches.items()}

    @property
    def size(self) -> int:
        return SECTORS * 512

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if offset < 0 or length <= 0:
            return b""
        found = bytearray(length)
        for at, data in self._stretches.items():
            low, high = max(at, offset), min(at + len(data), offset + length)
            if low < high:
                found[low - offset : high - offset] = data[low - at : high - at]
        return bytes(found)

    def put(self, offset: int, data: bytes) -> None:
        """Write over what stands at a place; it must be in one of the stretches, or lie in none."""
        for at, held in self._stretches.items():
            if at <= offset < at + len(held):
                held[offset - at : offset - at + len(data)] = data
                return
        self._stretches[offset] = bytearray(data)

    def replace(self, old: bytes, new: bytes) -> None:
        """Replace bytes of the database that stand there once."""
        found = [(at, data) for at, data in self._stretches.items() if old in data]
        assert len(found) == 1
        assert len(old) == len(new)
        at, data = found[0]
        assert data.count(old) == 1
        self.put(at + data.index(old), new)

    def find(self, word: bytes) -> int:
        """Return where on the disk a word stands first."""
        return min(at + data.index(word) for at, data in self._stretches.items() if word in data)

    def write(self, place: Path) -> Path:
        with place.open("wb") as file:
            file.truncate(self.size)
            for at, data in self._stretches.items():
                file.seek(at)
                file.write(data)
        return place


@cache
def _stretches() -> dict[str, dict[int, bytes]]:
    made: dict[str, dict[int, bytes]] = {}
    with tarfile.open(Path(__file__).with_name("data") / "ldm.tar.xz") as archive:
        for member in archive:
            name, _, first = member.name.partition("@")
            file = archive.extractfile(member)
            assert file is not None
            made.setdefault(name, {})[int(first) * 512] = file.read()
    return made


def names() -> list[str]:
    """Return the names of all disks: Windows, kind of its volume, number."""
    return sorted(_stretches())


def dynamic_disk(name: str) -> DynamicImage:
    """Return a disk; every call gives one that nobody has written over."""
    return DynamicImage(_stretches()[name])


def on_one_disk(image: DynamicImage) -> DynamicImage:
    """Put both parts of Volume2 of 2003r2-spanned-2 on that disk, each half as large, as when it was extended there."""

    def number(value: int) -> bytes:
        return value.to_bytes(8, "big")

    size, half = bytes.fromhex("03017800"), bytes.fromhex("0300bc00")
    start = 96256
    component, first, second = bytes.fromhex("02042d"), bytes.fromhex("020409"), bytes.fromhex("020406")
    image.replace(number(0) + number(0) + size + component + first, number(0) + number(0) + half + component + first)
    image.replace(
        number(0) + number(start) + size + component + second,
        number(start // 2) + number(start // 2) + half + component + first,
    )
    image.replace(bytes.fromhex("0302f00000000000 07fad18ad4"), bytes.fromhex("0301780000000000 07fad18ad4"))
    return image
