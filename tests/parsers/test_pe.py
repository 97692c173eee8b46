"""PE headers, sections, exports and function tables, held against pefile and construct."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import pe_layouts as layouts
from parsers.bytesource import BytesSource, FileSource
from parsers.errors import FormatError, ReadError, StopcodeError, TruncatedError
from parsers.limits import MAX_PDATA_ROWS, MAX_PE_EXPORT_NAME, MAX_PE_EXPORTS, MAX_PE_READ
from parsers.pe import MACHINE_AMD64, PeImage
from parsers.pe_pdata import RuntimeFunction, RuntimeFunctions
from tests.parsers.fixture_files import all_fetched, compile_dll, fetched

SOURCE = """
__declspec(dllexport) int first(int x) { return x + 1; }
__declspec(dllexport) int second(int *x) { return x[0] * 3; }
__declspec(dllexport) int data_out = 7;
int zeroed[4096];
__declspec(dllexport) int *where(void) { return zeroed; }
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return compile_dll(tmp_path_factory.mktemp("pe"), "small", SOURCE, "-O1").read_bytes()


def hold_against_pefile(path: Path) -> None:
    peer = pefile.PE(str(path), fast_load=True)
    peer.parse_data_directories(directories=[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_EXPORT"]])
    with FileSource(path) as source:
        image = PeImage(source)
        optional = peer.OPTIONAL_HEADER
        assert (image.machine, image.timestamp) == (peer.FILE_HEADER.Machine, peer.FILE_HEADER.TimeDateStamp)
        assert (image.checksum, image.size_of_image) == (optional.CheckSum, optional.SizeOfImage)
        assert (image.image_base, image.entry_point) == (optional.ImageBase, optional.AddressOfEntryPoint)
        assert [(s.name, s.rva, s.virtual_size, s.raw_offset, s.raw_size) for s in image.sections] == [
            (s.Name.rstrip(b"\0").decode(), s.VirtualAddress, s.Misc_VirtualSize, s.PointerToRawData, s.SizeOfRawData)
            for s in peer.sections
        ]
        for i, entry in enumerate(optional.DATA_DIRECTORY):
            assert image.data_directory(i) == (entry.VirtualAddress, entry.Size)
        assert source.bytes_read <= 0x1000
        symbols = peer.DIRECTORY_ENTRY_EXPORT.symbols if hasattr(peer, "DIRECTORY_ENTRY_EXPORT") else []
        theirs = {(e.name.decode(), e.address) for e in symbols if e.name and not e.forwarder}
        ours = set(image.exports())
        # pefile stops at 8,192 exports.
        assert ours == theirs if len(symbols) < 8192 else ours > theirs
        chosen = random.Random(1)
        for section in peer.sections:
            for _try in range(20):
                rva = section.VirtualAddress + chosen.randrange(
                    max(1, min(section.SizeOfRawData, section.Misc_VirtualSize))
                )
                if section.SizeOfRawData:
                    here, there = image.read_rva(rva, 16), peer.get_data(rva, 16)
                    both = min(len(here), len(there))
                    assert here[:both] == there[:both]
                    assert image.file_offset(rva) == peer.get_offset_from_rva(rva)
    peer.close()


@pytest.mark.wheels
def test_headers_sections_and_exports_of_real_files_agree_with_pefile() -> None:
    fetched("WinDivert64.sys")
    for path in all_fetched():
        hold_against_pefile(path)


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_a_mingw_image_agrees_with_pefile_and_with_the_construct_layouts(tmp_path: Path, small: bytes) -> None:
    path = tmp_path / "small.dll"
    path.write_bytes(small)
    hold_against_pefile(path)
    hold_against_layouts(small)


@pytest.mark.wheels
def test_real_headers_agree_with_the_construct_layouts() -> None:
    for name in ("WinDivert64.sys", "msvcp140", "_psutil_windows"):
        hold_against_layouts(fetched(name).read_bytes())


def hold_against_layouts(data: bytes) -> None:
    image = PeImage(BytesSource(data))
    at = layouts.IMAGE_DOS_HEADER.parse(data).e_lfanew
    headers = layouts.IMAGE_NT_HEADERS.parse(data[at:])
    optional = headers.OptionalHeader
    assert image.nt_offset == at
    assert (image.machine, image.timestamp) == (headers.FileHeader.Machine, headers.FileHeader.TimeDateStamp)
    assert (image.entry_point, image.image_base) == (optional.AddressOfEntryPoint, optional.ImageBase64)
    assert (image.section_alignment, image.size_of_image) == (optional.SectionAlignment, optional.SizeOfImage)
    assert (image.size_of_headers, image.checksum) == (optional.SizeOfHeaders, optional.CheckSum)
    assert image.subsystem == optional.Subsystem
    for i, entry in enumerate(optional.DataDirectory):
        assert image.data_directory(i) == (entry.VirtualAddress, entry.Size)
    table = at + 0x18 + headers.FileHeader.SizeOfOptionalHeader
    for i, section in enumerate(image.sections):
        row = layouts.IMAGE_SECTION_HEADER.parse(data[table + i * 40 :])
        assert (section.rva, section.virtual_size) == (row.VirtualAddress, row.VirtualSize)
        assert (section.raw_offset, section.raw_size) == (row.PointerToRawData, row.SizeOfRawData)
        assert section.characteristics == row.Characteristics
    rva, size = image.data_directory(3)
    raw = image.read_rva(rva, size)
    for i, found in enumerate(image.pdata):
        row = layouts.RUNTIME_FUNCTION.parse(raw[i * 12 :])
        assert found == (row.BeginAddress, row.EndAddress, row.UnwindInfoAddress)


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_zero_filled_data_reads_as_zeros_and_a_gap_not_at_all(small: bytes) -> None:
    image = PeImage(BytesSource(small))
    bss = next(section for section in image.sections if section.name == ".bss")
    assert image.read_rva(bss.rva, 64) == bytes(64)
    assert image.file_offset(bss.rva) is None
    with pytest.raises(ReadError):
        image.read_rva(image.size_of_image + 0x1000, 4)
    with pytest.raises(ReadError):
        image.read_rva(-4, 4)


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_raw_data_behind_a_cut_is_an_error_and_never_zeros(small: bytes) -> None:
    whole = PeImage(BytesSource(small))
    last = max((s for s in whole.sections if s.raw_size), key=lambda s: s.raw_offset)
    cut = PeImage(BytesSource(small[: last.raw_offset + 3]))
    assert cut.read_rva(last.rva, 64) == small[last.raw_offset : last.raw_offset + 3]
    with pytest.raises(ReadError):
        cut.read_rva(last.rva + 8, 4)


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_an_image_mapped_into_memory_gives_what_its_file_gives(small: bytes) -> None:
    file = PeImage(BytesSource(small))
    mapped = bytearray(file.size_of_image)
    mapped[: file.size_of_headers] = small[: file.size_of_headers]
    for section in file.sections:
        data = small[section.raw_offset : section.raw_offset + section.raw_size] if section.raw_offset else b""
        mapped[section.rva : section.rva + len(data)] = data
    memory = PeImage(BytesSource(mapped), layout="memory")
    assert memory.exports() == file.exports()
    assert list(memory.pdata) == list(file.pdata)
    assert memory.machine == MACHINE_AMD64


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_the_nearest_export_names_a_place_inside_a_function(small: bytes) -> None:
    image = PeImage(BytesSource(small))
    by_name = dict(image.exports())
    assert set(by_name) == {"first", "second", "data_out", "where"}
    assert image.nearest_export(by_name["second"] + 2) == ("second", 2)
    assert image.is_executable(by_name["first"])
    assert not image.is_executable(by_name["data_out"])
    assert image.nearest_export(0x10) is None


@pytest.mark.wheels
def test_the_function_table_finds_what_a_walk_over_all_rows_finds() -> None:
    path = fetched("etree")
    with FileSource(path) as source:
        image = PeImage(source)
        rows = list(image.pdata)
        assert rows == sorted(rows)
        chosen = random.Random(2)
        fresh = PeImage(source)
        before = source.bytes_read
        for row in chosen.sample(rows, 5):
            assert fresh.pdata.function_at(row.begin) == row
        assert source.bytes_read - before < len(rows) * 12
        for row, following in itertools.pairwise(rows[:3000]):
            assert image.pdata.function_at(row.begin) == row
            assert image.pdata.function_at(row.end - 1) == row
            if row.end < following.begin:
                assert image.pdata.function_at(row.end) is None


def table(rows: list[tuple[int, int, int]]) -> RuntimeFunctions:
    raw = b"".join(value.to_bytes(4, "little") for row in rows for value in row)

    def read_rva(rva: int, n: int) -> bytes:
        return raw[rva - 0x5000 :][:n]

    return RuntimeFunctions(read_rva, 0x5000, len(raw))


def test_empty_rows_are_stepped_over_wherever_they_stand() -> None:
    real = [(i * 0x20, i * 0x20 + 0x18, 0x9000 + i) for i in range(1, 40)]
    for holes in ([0], [39], [5, 6, 7], list(range(10, 30)), list(range(20, 40))):
        rows: list[tuple[int, int, int]] = []
        for i, row in enumerate([*real, None]):
            rows += [(0, 0, 0)] * (3 if i in holes else 0)
            rows += [row] if row else []
        functions = table(rows)
        for begin, end, unwind in real:
            assert functions.function_at(begin) == RuntimeFunction(begin, end, unwind)
            assert functions.function_at(end - 1) == RuntimeFunction(begin, end, unwind)
            assert functions.function_at(end) is None
        assert len(list(functions)) == len(real)


def test_a_table_of_nothing_but_empty_rows_ends_soon() -> None:
    with pytest.raises(FormatError, match="empty rows"):
        table([(0, 0, 0)] * 20_000).function_at(0x1234)


def test_an_absent_page_of_the_table_costs_only_the_functions_behind_it() -> None:
    rows = [(i * 0x10, i * 0x10 + 0x10, 1) for i in range(1, 3000)]
    raw = b"".join(value.to_bytes(4, "little") for row in rows for value in row)

    def read_rva(rva: int, n: int) -> bytes:
        if rva <= 0x6000 < rva + n or 0x6000 <= rva < 0x7000:
            raise ReadError("absent", address=rva)
        return raw[rva - 0x5000 :][:n]

    functions = RuntimeFunctions(read_rva, 0x5000, len(raw))
    assert functions.function_at(2999 * 0x10) is not None
    with pytest.raises(ReadError):
        functions.function_at((0x1800 // 12) * 0x10)


def test_a_table_is_taken_up_to_its_limit_of_rows() -> None:
    def read_rva(rva: int, n: int) -> bytes:
        return b"\xff" * n

    assert len(RuntimeFunctions(read_rva, 0x5000, 12 * MAX_PDATA_ROWS + 120)) == MAX_PDATA_ROWS


def patched_export(small: bytes, offset: int, value: int) -> PeImage:
    data = bytearray(small)
    image = PeImage(BytesSource(small))
    at = image.file_offset(image.data_directory(0)[0]) or 0
    data[at + offset : at + offset + 4] = value.to_bytes(4, "little")
    return PeImage(BytesSource(data))


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
@pytest.mark.parametrize("offset", [0x14, 0x18])
def test_counts_of_exports_are_held_against_their_limit(small: bytes, offset: int) -> None:
    with pytest.raises(FormatError, match="out of range"):
        patched_export(small, offset, MAX_PE_EXPORTS + 1).exports()
    assert patched_export(small, offset, MAX_PE_EXPORTS + 1).nearest_export(0x1010) is None


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_names_of_exports_are_cut_at_their_limit(small: bytes) -> None:
    image = PeImage(BytesSource(small))
    text = image.section_at(image.exports()[0][1])
    assert text is not None
    names = image.file_offset(image.data_directory(0)[0]) or 0
    table = int.from_bytes(small[names + 0x20 : names + 0x24], "little")
    data = bytearray(small)
    at = image.file_offset(table) or 0
    data[at : at + 4] = text.rva.to_bytes(4, "little")
    data[text.raw_offset : text.raw_offset + text.raw_size] = b"A" * text.raw_size
    assert max(len(name) for name, _rva in PeImage(BytesSource(data)).exports()) <= MAX_PE_EXPORT_NAME


def test_one_read_gives_no_more_than_its_limit() -> None:
    header = bytearray(0x400)
    header[:2], header[0x3C] = b"MZ", 0x40
    header[0x40:0x44] = b"PE\0\0"
    header[0x44:0x48] = b"\x64\x86\x01\x00"
    header[0x54:0x56] = (0xF0).to_bytes(2, "little")
    header[0x58:0x5A] = b"\x0b\x02"
    header[0x148:0x158] = b".bss\0\0\0\0" + (0x40000000).to_bytes(4, "little") + (0x1000).to_bytes(4, "little")
    image = PeImage(BytesSource(header))
    assert image.sections[0].virtual_size == 0x40000000
    assert len(image.read_rva(0x1000, 0x40000000)) == MAX_PE_READ


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (b"MZ" + bytes(10), TruncatedError),
        (b"ZM" + bytes(0x100), FormatError),
        (b"MZ" + bytes(0x3A) + b"\xff\xff\xff\x7f" + bytes(100), FormatError),
        (b"MZ" + bytes(0x3A) + b"\x40\0\0\0" + b"NE\0\0" + bytes(0x200), FormatError),
        (b"MZ" + bytes(0x3A) + b"\x40\0\0\0" + b"PE\0\0" + bytes(8), TruncatedError),
        (b"MZ" + bytes(0x3A) + b"\x40\0\0\0" + b"PE\0\0" + bytes(0x200), FormatError),
    ],
)
def test_what_is_no_image_is_told(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error):
        PeImage(BytesSource(data))


def touch(data: bytes) -> None:
    for layout in ("file", "memory"):
        try:
            image = PeImage(BytesSource(data), layout=layout)  # type: ignore[arg-type]  # both literals
            image.nearest_export(0x1000)
            image.pdata.function_at(0x1010)
            image.read_rva(image.entry_point, 64)
            image.exports()
        except StopcodeError:
            pass


@pytest.mark.fuzz
@given(st.binary(max_size=0x400))
def test_any_bytes_behind_a_dos_header_give_an_image_or_an_error(data: bytes) -> None:
    touch(data)
    touch(b"MZ" + bytes(0x3A) + b"\x40\0\0\0" + b"PE\0\0" + data)


@pytest.mark.fuzz
@pytest.mark.peer("x86_64-w64-mingw32-gcc")
@given(st.data())
def test_a_changed_image_gives_an_image_or_an_error(small: bytes, data: st.DataObject) -> None:
    changed = bytearray(small)
    export = PeImage(BytesSource(small)).file_offset(PeImage(BytesSource(small)).data_directory(0)[0]) or 0
    places = st.integers(0, 0x400) | st.integers(export, export + 0x80) | st.integers(0, len(small) - 1)
    for _change in range(data.draw(st.integers(1, 12))):
        changed[data.draw(places)] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    touch(bytes(changed[: data.draw(st.integers(0, len(changed)))] if data.draw(st.booleans()) else changed))
