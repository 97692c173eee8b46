"""Real Windows binaries on an NTFS disk, under System32\\drivers: their versions as a scan tells them, beside pefile's.

Some stand under the names of drivers that a real SYSTEM hive starts, so that file and service must meet by name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pefile
import pytest

from stopcode.scan import scan
from tests.parsers.fixture_files import all_fetched, fetched
from tests.truth.composed import DRIVERS, MACHINES, content, make_disk

pytestmark = [pytest.mark.realdata, pytest.mark.wheels, pytest.mark.peer("mkntfs", "wimlib-imagex")]

_LARGEST = 4 << 20
_IMAGES = (".sys", ".dll", ".pyd", ".exe")
#: Name on the disk, which a service of the hive names -> whose bytes stand there.
TAKEN = {"vmstorfl.sys": "WinDivert64.sys", "storvsc.sys": "pywintypes312.dll", "vmbus.sys": "msvcp140"}


def fixtures() -> dict[str, Path]:
    """Name on the disk -> file; Windows takes any PE image for a driver's file, whatever it ends in."""
    fetched_files = [path for path in all_fetched() if path.is_file() and path.suffix in _IMAGES]
    files = [path for path in fetched_files if path.stat().st_size <= _LARGEST]
    named = {path.name if path.suffix == ".sys" else path.name.replace(".", "_") + ".sys": path for path in files}
    return named | {name: fetched(member) for name, member in TAKEN.items()}


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory, unpacked: Callable[[str], Path]) -> Any:
    files = content(MACHINES["win81"], unpacked)
    files |= {f"{DRIVERS}/{name}": path for name, path in fixtures().items()}
    return scan(str(make_disk(tmp_path_factory.mktemp("drivers") / "disk.img", files)))["facts"]


def by_pefile(path: Path) -> dict[str, Any]:
    """What pefile tells of an image, in our words."""
    image = pefile.PE(str(path), fast_load=True)
    image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_RESOURCE"]])
    told: dict[str, Any] = {
        "timestamp": f"{image.FILE_HEADER.TimeDateStamp:#x}",
        "checksum": f"{image.OPTIONAL_HEADER.CheckSum:#x}",
        "size_of_image": image.OPTIONAL_HEADER.SizeOfImage,
        "machine": {0x8664: "x64", 0x14C: "x86", 0xAA64: "arm64"}[image.FILE_HEADER.Machine],
    }
    for fixed in getattr(image, "VS_FIXEDFILEINFO", [])[:1]:
        for field, high, low in (
            ("version", fixed.FileVersionMS, fixed.FileVersionLS),
            ("product_version", fixed.ProductVersionMS, fixed.ProductVersionLS),
        ):
            told[field] = ".".join(map(str, struct.unpack(">4H", struct.pack(">II", high, low))))
    texts: dict[str, str] = {}
    for information in getattr(image, "FileInfo", []):
        for entry in information:
            for table in getattr(entry, "StringTable", []):
                texts |= {key.decode(): value.decode() for key, value in table.entries.items()}
    for key, field in (("CompanyName", "company"), ("FileDescription", "description"),
                       ("OriginalFilename", "original_name")):  # fmt: skip
        if texts.get(key, "").strip():
            told[field] = texts[key].strip()
    return told


def test_the_table_of_fixtures_holds_the_driver_and_enough_others() -> None:
    names = fixtures()
    assert "WinDivert64.sys" in names
    assert len(names) >= 15


def test_every_real_binary_has_the_version_that_pefile_reads(facts: Any) -> None:
    drivers = {driver["file"]: driver for driver in facts["drivers"]}
    with_version = 0
    for name, path in fixtures().items():
        driver = drivers[name.lower()]
        told = by_pefile(path)
        assert {field: driver.get(field) for field in told} == told, name
        assert driver["size"] == path.stat().st_size
        assert driver["missing"] is False
        if "version" not in told:
            assert "version" not in driver
        with_version += "version" in told
    assert with_version >= 8


@pytest.mark.parametrize(
    ("file", "service", "start"),
    [("vmstorfl.sys", "storflt", "boot"), ("storvsc.sys", "storvsc", "boot"), ("vmbus.sys", "vmbus", "boot")],
)
def test_a_real_file_meets_the_real_service_that_names_it(facts: Any, file: str, service: str, start: str) -> None:
    [driver] = [driver for driver in facts["drivers"] if driver["file"] == file]
    assert (driver["service"].lower(), driver["start_raw"]) == (service, start)


def test_a_driver_that_no_service_of_the_hive_names_stands_alone(facts: Any) -> None:
    [driver] = [driver for driver in facts["drivers"] if driver["file"] == "windivert64.sys"]
    assert "service" not in driver
    assert driver["path"] == "\\Windows\\System32\\drivers\\WinDivert64.sys"


def test_drivers_of_the_hive_whose_files_are_not_there_are_missing(facts: Any) -> None:
    missing = {driver["file"] for driver in facts["drivers"] if driver["missing"]}
    assert {"disk.sys", "ntfs.sys", "wdf01000.sys"} <= missing
    assert not missing & {name.lower() for name in fixtures()}
    assert "disk.sys" in facts["boot"]["driver_missing"]
