"""Files that CompactOS compressed, on a volume: placed there as Windows places them, read as if they were plain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.collect import Machine, collect
from forensics.disk import open_image
from forensics.disk.files import NtfsFiles
from forensics.facts import Wants
from parsers.bytesource import FileSource
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, ReadError, UnsupportedError
from parsers.ntfs import NtfsVolume
from samples.hive import Key, write_hive
from tests.forensics.disk.ntfs_disks import mbr_disk, ntfs_volume, run, software
from tests.forensics.world import named, pe_file
from tests.parsers.libwim import reparse_point, wof_stream

pytestmark = pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp")

DRIVERS = "/Windows/System32/drivers"
NAMES = {0: "four.sys", 1: "lzx.sys", 2: "eight.sys", 3: "sixteen.sys"}
Place = Callable[..., None]


def driver(form: int) -> bytes:
    """A driver of many chunks."""
    return (pe_file((10, 0, 17763, 700 + form)) + b"filler %d " % form * 20_000)[:100_000]


def place(volume: Path, name: str, size: int, stream: bytes | None, point: bytes) -> None:
    """Make a file what WOF makes of it: zeros, the stream beside them, the reparse point."""
    part = volume.with_suffix(".part")
    part.write_bytes(bytes(size))
    run("ntfscp", "-f", "-q", volume, part, name)
    if stream is not None:
        part.write_bytes(stream)
        run("ntfscp", "-f", "-q", "-N", "WofCompressedData", volume, part, name)
    part.write_bytes(point)
    run("ntfscp", "-f", "-q", "-a", "0xC0", volume, part, name)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = Key()
    top.set("Select", {"Current": 1, "Default": 1})
    for name in NAMES.values():
        top.set(
            f"ControlSet001\\Services\\{name[:-4]}",
            {"Start": 0, "Type": 1, "ImagePath": f"System32\\drivers\\{name}"},
        )
    files: dict[str, bytes | Path] = {
        "Windows/System32/config/SYSTEM": write_hive(top, "ROOT", time=132_000_000_000_000_000),
        "Windows/System32/config/SOFTWARE": software("17763"),
        "Windows/System32/ntoskrnl.exe": pe_file((10, 0, 17763, 1)),
        f"{DRIVERS[1:]}/plain.sys": b"MZ",
    }
    made = ntfs_volume(tmp_path_factory.mktemp("wof") / "v.img", files, mib=24)
    for form, name in NAMES.items():
        data = driver(form)
        place(made, f"{DRIVERS}/{name}", len(data), wof_stream(data, form), reparse_point(form))
    place(made, "/no-stream.sys", 5_000, None, reparse_point(0))
    place(made, "/wimboot.sys", 5_000, None, reparse_point(0, provider=1))
    place(made, "/damaged.sys", 5_000, b"\xff" * 2_000, reparse_point(1))
    place(made, "/cut.sys", 50_000, b"\xff", reparse_point(0))
    return made


@pytest.mark.parametrize("form", sorted(NAMES))
def test_a_compressed_file_reads_as_what_it_was(volume: Path, form: int) -> None:
    files = NtfsFiles(NtfsVolume(FileSource(volume)))
    path = f"{DRIVERS}/{NAMES[form]}"
    source, entry = files.open(path), files.stat(path)
    assert entry is not None
    assert source.size == entry.size == 100_000
    assert source.read_at(0, 200_000) == driver(form)


def test_what_cannot_be_unpacked_is_an_error_that_says_why_and_never_zeros(volume: Path) -> None:
    files = NtfsFiles(NtfsVolume(FileSource(volume)))
    with pytest.raises(FormatError, match="WofCompressedData"):
        files.open("\\no-stream.sys")
    with pytest.raises(UnsupportedError, match=r"wimboot\.sys: .*WIM archive"):
        files.open("\\wimboot.sys")
    with pytest.raises(FormatError, match="table of chunks"):
        files.open("\\cut.sys")
    with pytest.raises(ReadError, match="damaged"):
        files.open("\\damaged.sys").read_at(0, 10)


def test_a_scan_gives_the_versions_of_compressed_drivers(volume: Path) -> None:
    diagnostics = Diagnostics()
    disk = mbr_disk(volume.with_suffix(".disk"), [volume])
    with open_image(disk, diagnostics) as image:
        facts = collect(Machine(image.windows, Wants(), diagnostics))
    for form, name in NAMES.items():
        found = named(facts["drivers"], name, "file")
        assert (found["version"], found["missing"]) == (f"10.0.17763.{700 + form}", False)
