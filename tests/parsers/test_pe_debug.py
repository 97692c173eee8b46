"""The debug directory, held against pefile and the construct layouts."""

from __future__ import annotations

import struct
from pathlib import Path

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import pe_layouts as layouts
from parsers.bytesource import BytesSource, FileSource
from parsers.limits import MAX_PDB_NAME, MAX_PE_DEBUG_ENTRIES
from parsers.pe import DIRECTORY_DEBUG, PeImage
from parsers.pe_debug import CodeView, codeview_of
from tests.parsers.fixture_files import all_fetched, fetched

GUID = bytes.fromhex("ee506144 21e0 0948 99c4 bce7828e1528".replace(" ", ""))


def image(entries: list[tuple[int, bytes]], *, rva: bool = True, count: int | None = None) -> bytes:
    """A PE image of one section with a debug directory: (type, data) each."""
    table = bytearray()
    data = bytearray()
    start = 0x1000 + 28 * len(entries)
    for kind, content in entries:
        place = start + len(data)
        table += struct.pack("<IIHHIIII", 0, 0, 0, 0, kind, len(content), place if rva else 0, place - 0x1000 + 0x400)
        data += content
    body = bytes(table + data)
    head = bytearray(0x400)
    head[:2], head[0x3C:0x40] = b"MZ", struct.pack("<I", 0x40)
    head[0x40:0x44] = b"PE\0\0"
    struct.pack_into("<HHIIIHH", head, 0x44, 0x8664, 1, 0x1111, 0, 0, 0xF0, 0x22)
    struct.pack_into("<H", head, 0x58, 0x20B)
    struct.pack_into("<I", head, 0x58 + 0x20, 0x1000)
    struct.pack_into("<II", head, 0x58 + 0x38, 0x100000, 0x400)
    struct.pack_into("<I", head, 0x58 + 0x6C, 16)
    size = 28 * (len(entries) if count is None else count)
    struct.pack_into("<II", head, 0x58 + 0x70 + 8 * DIRECTORY_DEBUG, 0x1000, size)
    struct.pack_into("<8sIIII", head, 0x148, b".rdata", len(body), 0x1000, len(body), 0x400)
    return bytes(head) + body


def rsds(path: bytes, age: int = 1) -> bytes:
    return b"RSDS" + GUID + struct.pack("<I", age) + path


def found_in(data: bytes) -> CodeView | None:
    return codeview_of(PeImage(BytesSource(data)))


def hold_against_pefile(path: Path) -> bool:
    peer = pefile.PE(str(path), fast_load=True)
    peer.parse_data_directories(directories=[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_DEBUG"]])
    theirs = [
        item.entry
        for item in getattr(peer, "DIRECTORY_ENTRY_DEBUG", [])
        if item.entry is not None and item.entry.name == "CV_INFO_PDB70"
    ]
    with FileSource(path) as source:
        ours = codeview_of(PeImage(source))
        assert source.bytes_read <= 0x2000
    if not theirs:
        assert ours is None
        return False
    assert ours is not None
    assert ours.age == theirs[0].Age
    assert ours.key == theirs[0].Signature_String
    assert ours.path == theirs[0].PdbFileName.rstrip(b"\0").decode()
    peer.close()
    return True


@pytest.mark.wheels
def test_real_images_name_the_symbol_file_that_pefile_finds() -> None:
    fetched("attach_amd64.dll")
    assert sum(hold_against_pefile(path) for path in all_fetched()) >= 10


@pytest.mark.wheels
def test_an_image_as_the_loader_maps_it_names_the_same_file() -> None:
    path = fetched("attach_amd64.dll")
    mapped = pefile.PE(str(path)).get_memory_mapped_image()
    found = codeview_of(PeImage(BytesSource(mapped), layout="memory"))
    assert found == codeview_of(PeImage(FileSource(path)))
    assert found is not None
    assert found.name == "attach_amd64.pdb"


@pytest.mark.wheels
def test_the_construct_layouts_read_the_same() -> None:
    pe = PeImage(FileSource(fetched("attach_amd64.dll")))
    rva, size = pe.data_directory(DIRECTORY_DEBUG)
    table = pe.read_rva(rva, size)
    rows = [layouts.IMAGE_DEBUG_DIRECTORY.parse(table[at:]) for at in range(0, size, 28)]
    [row] = [row for row in rows if row.Type == 2]
    record = layouts.CV_INFO_PDB70.parse(pe.read_rva(row.AddressOfRawData, row.SizeOfData))
    guid = f"{record.Data1:08X}{record.Data2:04X}{record.Data3:04X}{record.Data4.hex().upper()}"
    assert codeview_of(pe) == (guid, record.Age, record.PdbFileName)


def test_the_folder_on_a_symbol_server_is_the_guid_and_the_age_in_hex() -> None:
    found = found_in(image([(2, rsds(b"C:\\b\\ntkrnlmp.pdb\0", 26))]))
    assert found is not None
    assert found.name == "ntkrnlmp.pdb"
    assert found.key == "446150EEE021480999C4BCE7828E15281A"


def test_entries_of_other_kinds_are_stepped_over() -> None:
    found = found_in(image([(4, b"x" * 40), (2, b"NB10" + bytes(40)), (2, rsds(b"a.pdb\0")), (2, rsds(b"b.pdb\0"))]))
    assert found is not None
    assert found.name == "a.pdb"


def test_data_outside_of_every_section_is_read_by_its_place_in_the_file() -> None:
    found = found_in(image([(2, rsds(b"old.pdb\0"))], rva=False))
    assert found is not None
    assert found.name == "old.pdb"


@pytest.mark.parametrize("entries", [[], [(2, b"RSDS")], [(2, rsds(b"\0"))], [(2, rsds(b""))], [(9, rsds(b"a\0"))]])
def test_what_names_no_file_is_no_answer(entries: list[tuple[int, bytes]]) -> None:
    assert found_in(image(entries)) is None


def test_no_more_entries_than_the_limit_are_looked_at() -> None:
    others = [(4, b"x" * 30)] * MAX_PE_DEBUG_ENTRIES
    assert found_in(image([*others[:-1], (2, rsds(b"a.pdb\0"))])) is not None
    assert found_in(image([*others, (2, rsds(b"a.pdb\0"))])) is None


def test_a_path_without_an_end_is_cut_at_the_limit() -> None:
    found = found_in(image([(2, rsds(b"a" * 5000))]))
    assert found is not None
    assert len(found.path) == MAX_PDB_NAME


@given(st.binary(max_size=200), st.integers(0, 1 << 32), st.booleans())
def test_any_bytes_in_the_directory_give_an_answer_or_none(data: bytes, count: int, rva: bool) -> None:
    made = bytearray(image([(2, rsds(b"a.pdb\0")), (2, b"")], rva=rva, count=min(count, (1 << 32) // 28 - 1)))
    made[0x400 : 0x400 + len(data)] = data
    found_in(bytes(made))
