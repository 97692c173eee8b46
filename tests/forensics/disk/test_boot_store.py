"""Stores that cannot be had are not taken for damaged ones."""

from __future__ import annotations

from typing import Any

from forensics.disk.boot_store import BootVolume, read_stores
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.errors import ReadError


class Gone:
    """A file that no byte can be read of: a server that refuses, a bad sector."""

    size = 0x8000

    def read_at(self, offset: int, length: int) -> bytes:
        raise ReadError("the server refuses")


class Tree:
    def __init__(self, file: Any) -> None:
        self.file = file

    def stat(self, path: str) -> Any:
        return object() if path == "\\Boot\\BCD" else None

    def open(self, path: str) -> Any:
        return self.file


def test_a_store_that_cannot_be_had_makes_its_volume_unread_and_one_that_is_no_hive_is_damaged() -> None:
    found = []
    for file in (Gone(), BytesSource(b"no hive".ljust(0x8000, b"\1"))):
        tree: Any = Tree(file)
        [store] = read_stores([BootVolume("volume 0", "bios", tree)], Diagnostics())
        assert store.store is None
        found.append((store.firmware, store.path, "the server refuses" in store.problem))
    assert found == [("", "", True), ("bios", "\\Boot\\BCD", False)]
