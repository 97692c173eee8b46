from __future__ import annotations

import struct
from dataclasses import dataclass
from fnmatch import fnmatch

import pytest

from forensics.crash.images import DiskImages, ImageLayers
from parsers.bytesource import ByteSource, BytesSource
from parsers.dump.modules import LoadedModule
from parsers.errors import ReadError

DRIVERS = "\\Windows\\System32\\drivers\\"
STORE = "\\Windows\\System32\\DriverStore\\FileRepository\\"


def pe(timestamp: int, size: int, checksum: int) -> bytes:
    """The smallest image: headers without sections."""
    data = bytearray(0x200)
    data[:2] = b"MZ"
    struct.pack_into("<I", data, 0x3C, 0x40)
    data[0x40:0x44] = b"PE\0\0"
    struct.pack_into("<HHIIIHH", data, 0x44, 0x8664, 0, timestamp, 0, 0, 0xF0, 0x22)
    struct.pack_into("<H", data, 0x58, 0x20B)
    struct.pack_into("<II", data, 0x58 + 0x20, 0x1000, 0x200)
    struct.pack_into("<III", data, 0x58 + 0x38, size, 0x200, checksum)
    return bytes(data)


@dataclass
class Entry:
    path: str


class Tree:
    def __init__(self, files: dict[str, bytes | None]) -> None:
        self.files = {path.lower(): data for path, data in files.items()}
        self.names = {path.lower(): path for path in files}
        self.opened: list[str] = []

    def stat(self, path: str) -> Entry | None:
        return Entry(self.names[path.lower()]) if path.lower() in self.files else None

    def open(self, path: str) -> ByteSource:
        self.opened.append(path)
        data = self.files[path.lower()]
        if data is None:
            raise ReadError("a bad sector")
        return BytesSource(data)

    def glob(self, pattern: str) -> list[Entry]:
        return [Entry(self.names[path]) for path in self.files if fnmatch(path, pattern.lower())]


class Windows:
    root = "\\Windows"

    def __init__(self, files: dict[str, bytes | None]) -> None:
        self.files = Tree(files)

    def resolve(self, image_path: str) -> str | None:
        lower = image_path.lower()
        if lower.startswith("\\systemroot\\"):
            return "\\Windows" + image_path[len("\\systemroot") :]
        if lower.startswith("\\??\\c:"):
            return image_path[6:]
        return None


def module(name: str, path: str = "", *, stamp: int = 0x1111, size: int = 0x3000, checksum: int = 0x77) -> LoadedModule:
    return LoadedModule(name, path, 0xFFFFF80000000000, size, stamp, checksum)


def test_the_same_stamp_size_and_checksum_is_the_same_build() -> None:
    images = DiskImages(Windows({DRIVERS + "x.sys": pe(0x1111, 0x3000, 0x77)}))
    found = images.find(module("X.SYS", "\\SystemRoot\\System32\\drivers\\X.SYS"))
    assert found.status == "same"
    assert found.image is not None
    assert found.path == DRIVERS + "X.SYS"


@pytest.mark.parametrize("odd", [(0x2222, 0x3000, 0x77), (0x1111, 0x4000, 0x77), (0x1111, 0x3000, 0x78)])
def test_another_stamp_size_or_checksum_is_another_build_without_a_version(odd: tuple[int, int, int]) -> None:
    found = DiskImages(Windows({DRIVERS + "x.sys": pe(*odd)})).find(module("x.sys"))
    assert (found.status, found.version, found.image) == ("different", None, None)


def test_a_checksum_that_one_side_lacks_does_not_matter() -> None:
    images = DiskImages(Windows({DRIVERS + "x.sys": pe(0x1111, 0x3000, 0)}))
    assert images.find(module("x.sys")).status == "same"
    assert images.find(module("x.sys", checksum=0)).status == "same"


def test_a_module_whose_stamp_is_unknown_is_not_compared() -> None:
    images = DiskImages(Windows({DRIVERS + "x.sys": pe(0, 0x3000, 0)}))
    assert images.find(module("x.sys", stamp=0, checksum=0)).status == "not-checked"


def test_a_file_that_is_not_there_is_missing() -> None:
    assert DiskImages(Windows({})).find(module("x.sys", "\\SystemRoot\\System32\\drivers\\x.sys")).status == "missing"


@pytest.mark.parametrize("data", [None, b"", b"MZ", b"\0" * 0x200])
def test_a_file_that_cannot_be_read_is_unreadable(data: bytes | None) -> None:
    assert DiskImages(Windows({DRIVERS + "x.sys": data})).find(module("x.sys")).status == "unreadable"


def test_a_path_with_a_drive_letter_is_on_the_windows_volume() -> None:
    files: dict[str, bytes | None] = {"\\ProgramData\\Microsoft\\x.sys": pe(0x1111, 0x3000, 0x77)}
    found = DiskImages(Windows(files)).find(module("x.sys", "\\??\\C:\\ProgramData\\Microsoft\\x.sys"))
    assert found.status == "same"


def test_copies_for_dump_and_hibernation_are_the_driver_itself() -> None:
    images = DiskImages(Windows({DRIVERS + "stornvme.sys": pe(0x1111, 0x3000, 0x77)}))
    assert (
        images.find(module("dump_stornvme.sys", "\\SystemRoot\\System32\\drivers\\dump_stornvme.sys")).status == "same"
    )
    assert images.find(module("hiber_stornvme.sys")).status == "same"


def test_the_loaders_names_are_looked_up_under_the_files_names() -> None:
    files: dict[str, bytes | None] = {"\\Windows\\System32\\ntoskrnl.exe": pe(0x1111, 0x3000, 0x77)}
    assert DiskImages(Windows(files)).find(module("ntkrnlmp.exe")).status == "same"


def test_a_base_name_alone_is_found_in_the_driver_store_by_its_stamp() -> None:
    files: dict[str, bytes | None] = {
        STORE + "a.inf_amd64_1\\nv.sys": pe(0x9999, 0x3000, 0x77),
        STORE + "b.inf_amd64_2\\nv.sys": pe(0x1111, 0x3000, 0x77),
    }
    found = DiskImages(Windows(files)).find(module("nv.sys"))
    assert found.status == "same"
    assert found.path == STORE + "b.inf_amd64_2\\nv.sys"


def test_the_build_before_the_update_is_found_in_the_stores_only_when_a_stack_needs_it() -> None:
    old = pe(0x1111, 0x3000, 0x77)
    for place in (
        STORE + "wstorflt.inf_amd64_1\\vmstorfl.sys",
        "\\Windows\\WinSxS\\amd64_wstorflt.inf_31bf3856ad364e35_10.0.17763.771_none_1\\vmstorfl.sys",
        "\\Windows\\WinSxS\\amd64_microsoft-windows-vmstorfl_31bf_1\\vmstorfl.sys",
    ):
        windows = Windows({DRIVERS + "vmstorfl.sys": pe(0x2222, 0x3000, 0x77), place: old})
        images = DiskImages(windows)
        wanted = module("vmstorfl.sys", "\\SystemRoot\\System32\\drivers\\vmstorfl.sys")
        assert images.find(wanted).status == "different"
        found = images.find(wanted, deep=True)
        assert (found.status, found.path) == ("same", place)
        assert images.find(wanted).status == "different"


def test_layers_answer_with_the_first_that_has_the_very_build() -> None:
    disk = DiskImages(Windows({DRIVERS + "x.sys": pe(0x2222, 0x3000, 0x77)}))
    other = DiskImages(Windows({DRIVERS + "x.sys": pe(0x1111, 0x3000, 0x77)}))
    assert ImageLayers(disk, other).find(module("x.sys")).status == "same"
    assert ImageLayers(disk, DiskImages(Windows({}))).find(module("x.sys")).status == "different"
    assert ImageLayers(DiskImages(Windows({}))).find(module("x.sys")).status == "missing"


def test_a_file_is_opened_once_for_several_dumps() -> None:
    windows = Windows({DRIVERS + "x.sys": pe(0x1111, 0x3000, 0x77)})
    images = DiskImages(windows)
    images.find(module("x.sys"))
    images.find(module("x.sys", stamp=0x2222))
    images.find(module("x.sys"))
    assert len(windows.files.opened) == 1


@pytest.mark.parametrize("name", ["", "..\\..\\x.sys", "a*b?.sys", "\0", "x" * 1000])
def test_hostile_names_find_nothing(name: str) -> None:
    assert DiskImages(Windows({})).find(module(name)).status in ("missing", "not-checked")
