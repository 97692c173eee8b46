"""Version resources, held against pefile."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import pe_layouts as layouts
from parsers.bytesource import BytesSource, FileSource
from parsers.errors import FormatError, StopcodeError
from parsers.limits import MAX_VERSION_NODES, MAX_VERSION_RESOURCE
from parsers.pe import DIRECTORY_RESOURCE, PeImage
from parsers.pe_version import read_version
from parsers.version import Version
from tests.parsers.fixture_files import all_fetched, compile_dll, compile_resource, fetched

SCRIPT = """
1 VERSIONINFO
FILEVERSION 10,0,17763,1911
PRODUCTVERSION 10,0,17763,65535
FILEFLAGSMASK 0x3f
FILEFLAGS 0x9
{
  BLOCK "StringFileInfo" {
    BLOCK "040704B0" { VALUE "FileDescription", "falsche Tabelle" VALUE "CompanyName", "Müller & Söhne" }
    BLOCK "040904B0" {
      VALUE "CompanyName", "Fabrikam"
      VALUE "Odd", "x"
      VALUE "FileDescription", "Virtual Machine Storage Filter"
      VALUE "FileVersion", "10.0.17763.1911 (WinBuild.160101.0800)"
      VALUE "Empty", ""
      VALUE "OriginalFilename", "vmstorfl.sys"
    }
  }
  BLOCK "VarFileInfo" { VALUE "Translation", 0x409, 1200 }
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("version")
    return compile_dll(folder, "v", "int f(void) { return 1; }", extra=(compile_resource(folder, SCRIPT),))


def hold_against_pefile(path: Path) -> bool:
    peer = pefile.PE(str(path), fast_load=True)
    peer.parse_data_directories(directories=[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_RESOURCE"]])
    with FileSource(path) as source:
        found = read_version(source)
        assert source.bytes_read <= 0x3000
        assert source.requests <= 6
    fixed = getattr(peer, "VS_FIXEDFILEINFO", None)
    assert (found is None) == (not fixed), path
    if found is None:
        return False
    row = fixed[0]
    parts = [row.FileVersionMS, row.FileVersionLS, row.ProductVersionMS, row.ProductVersionLS]
    assert found.file_version == Version.unpack(parts[0] << 32 | parts[1])
    assert found.product_version == Version.unpack(parts[2] << 32 | parts[3])
    assert found.offset == row.get_file_offset()
    layout = layouts.VS_FIXEDFILEINFO.parse(path.read_bytes()[found.offset :])
    assert found.file_version == Version.unpack(layout.dwFileVersionMS << 32 | layout.dwFileVersionLS)
    tables = [
        {key.decode(): value.decode() for key, value in table.entries.items()}
        for info in peer.FileInfo
        for block in info
        if block.Key == b"StringFileInfo"
        for table in block.StringTable
    ]
    assert found.strings in tables
    peer.close()
    return True


@pytest.mark.wheels
def test_versions_of_real_files_agree_with_pefile() -> None:
    fetched("WinDivert64.sys")
    assert sum(hold_against_pefile(path) for path in all_fetched()) >= 7


@pytest.mark.peer("x86_64-w64-mingw32-windres")
def test_a_built_version_resource_gives_what_the_script_says(built: Path) -> None:
    assert hold_against_pefile(built)
    found = read_version(BytesSource(built.read_bytes()))
    assert found is not None
    assert str(found.file_version) == "10.0.17763.1911"
    assert str(found.product_version) == "10.0.17763.65535"
    assert found.flags == 9
    assert found.language == 0x409
    assert found.strings == {
        "CompanyName": "Fabrikam",
        "Odd": "x",
        "FileDescription": "Virtual Machine Storage Filter",
        "FileVersion": "10.0.17763.1911 (WinBuild.160101.0800)",
        "Empty": "",
        "OriginalFilename": "vmstorfl.sys",
    }


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_a_file_without_resources_has_no_version(tmp_path: Path) -> None:
    path = compile_dll(tmp_path, "plain", "int f(void) { return 1; }")
    assert read_version(BytesSource(path.read_bytes())) is None


@pytest.mark.peer("x86_64-w64-mingw32-windres")
def test_a_broken_signature_is_an_error_and_no_version(built: Path) -> None:
    data = bytearray(built.read_bytes())
    found = read_version(BytesSource(data))
    assert found is not None
    data[found.offset] ^= 1
    with pytest.raises(FormatError, match="signature"):
        read_version(BytesSource(data))


@pytest.mark.peer("x86_64-w64-mingw32-windres")
@pytest.mark.parametrize(("start", "length"), [(0, 0x10), (0, 0x400), (0x18, 0x10), (0x18, 0x400), (0x30, 0x20)])
def test_zeros_where_the_resources_should_stand_are_damage_and_no_missing_version(
    built: Path, start: int, length: int
) -> None:
    data = bytearray(built.read_bytes())
    section = next(section for section in PeImage(BytesSource(data)).sections if section.name == ".rsrc")
    data[section.raw_offset + start : section.raw_offset + start + length] = bytes(length)
    with pytest.raises(FormatError, match="resource"):
        read_version(BytesSource(data))


@pytest.mark.peer("x86_64-w64-mingw32-windres")
def test_a_section_of_resources_that_the_header_does_not_name_is_damage(built: Path) -> None:
    data = bytearray(built.read_bytes())
    image = PeImage(BytesSource(data))
    directory = image.nt_offset + 0x18 + (0x70 if image.is_64 else 0x60) + DIRECTORY_RESOURCE * 8
    data[directory : directory + 8] = bytes(8)
    with pytest.raises(FormatError, match="names no resource directory"):
        read_version(BytesSource(data))


@pytest.mark.peer("x86_64-w64-mingw32-windres")
def test_a_resource_longer_than_the_limit_is_damage(built: Path) -> None:
    data = bytearray(built.read_bytes())
    image = PeImage(BytesSource(data))
    found = read_version(BytesSource(data))
    assert found is not None
    start = data.index("VS_VERSION_INFO".encode("utf-16-le")) - 6
    section = next(section for section in image.sections if section.name == ".rsrc")
    rva = (start - section.raw_offset + section.rva).to_bytes(4, "little")
    entry = data.index(rva, section.raw_offset)
    data[entry + 4 : entry + 8] = (MAX_VERSION_RESOURCE + 1).to_bytes(4, "little")
    with pytest.raises(FormatError, match="out of range"):
        read_version(BytesSource(data))


@pytest.mark.peer("x86_64-w64-mingw32-windres")
def test_more_strings_than_the_limit_are_left_out(tmp_path: Path) -> None:
    many = "".join(f'VALUE "k{i}", "v"\n' for i in range(MAX_VERSION_NODES + 50))
    text = SCRIPT.replace('VALUE "Odd", "x"', many)
    path = compile_dll(tmp_path, "many", "int f(void) { return 1; }", extra=(compile_resource(tmp_path, text),))
    found = read_version(BytesSource(path.read_bytes()))
    assert found is not None
    assert len(found.strings) == MAX_VERSION_NODES


@pytest.mark.fuzz
@pytest.mark.peer("x86_64-w64-mingw32-windres")
@given(st.data())
def test_a_changed_resource_gives_a_version_none_or_an_error(built: Path, data: st.DataObject) -> None:
    changed = bytearray(built.read_bytes())
    start = changed.index("VS_VERSION_INFO".encode("utf-16-le")) - 0x80
    for _change in range(data.draw(st.integers(1, 10))):
        changed[data.draw(st.integers(start, start + 0x400))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StopcodeError):
        read_version(BytesSource(changed))
