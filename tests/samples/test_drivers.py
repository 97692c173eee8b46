"""Driver files that samples build, judged by pefile."""

from __future__ import annotations

from pathlib import Path

import pefile
import pytest

from samples.drivers import Driver, build, symbols

pytestmark = [pytest.mark.peer("x86_64-w64-mingw32-gcc"), pytest.mark.peer("x86_64-w64-mingw32-windres")]
FILTER = Driver("vmstorfl.sys", "10.0.17763.771", source="vmstorfl")


def test_a_driver_is_a_sound_pe_file_with_version_exports_and_unwind_data(tmp_path: Path) -> None:
    path = tmp_path / "vmstorfl.sys"
    build(FILTER, path)
    image = pefile.PE(str(path))
    fixed = image.VS_FIXEDFILEINFO[0]
    assert (fixed.FileVersionMS, fixed.FileVersionLS) == (10 << 16, 17763 << 16 | 771)
    tables = [table for table in image.FileInfo[0] if hasattr(table, "StringTable")]
    strings = tables[0].StringTable[0].entries
    assert strings[b"FileVersion"] == b"10.0.17763.771 (WinBuild.160101.0800)"
    assert strings[b"OriginalFilename"] == b"vmstorfl.sys"
    assert image.verify_checksum()
    assert image.OPTIONAL_HEADER.CheckSum
    assert image.OPTIONAL_HEADER.Subsystem == 1
    assert image.FILE_HEADER.TimeDateStamp == FILTER.timestamp
    assert image.DIRECTORY_ENTRY_EXPORT.name == b"vmstorfl.sys"
    assert len(image.DIRECTORY_ENTRY_EXCEPTION) >= 3


def test_two_builds_give_the_same_bytes_and_another_version_another_stamp(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    build(FILTER, one)
    build(FILTER, two, tmp_path / "cache")
    build(Driver("vmstorfl.sys", "10.0.17763.1911", source="vmstorfl"), other)
    assert one.read_bytes() == two.read_bytes()
    assert pefile.PE(str(other)).FILE_HEADER.TimeDateStamp != pefile.PE(str(one)).FILE_HEADER.TimeDateStamp


def test_a_build_from_the_cache_is_the_build(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(FILTER, tmp_path / name, tmp_path / "cache")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_symbols_name_static_functions_that_the_file_itself_does_not(tmp_path: Path) -> None:
    found = symbols(FILTER)
    path = tmp_path / "vmstorfl.sys"
    build(FILTER, path)
    exported = {symbol.name.decode() for symbol in pefile.PE(str(path)).DIRECTORY_ENTRY_EXPORT.symbols}
    assert "ForwardToTarget" in found
    assert exported == {"DriverEntry", "EvtIoInternalDeviceControl"}
    assert not pefile.PE(str(path)).FILE_HEADER.NumberOfSymbols
