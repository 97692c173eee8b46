"""Symbol files of the analyst: a real PDB of Microsoft's linker, and LLVM's readers as the judges."""

from __future__ import annotations

import builtins
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.crash.analyse import analyse
from forensics.crash.image_folder import FolderImages
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource, FileSource
from parsers.diagnostics import Diagnostics
from parsers.errors import InputNotFoundError, UnsupportedError
from parsers.pe import PeImage
from parsers.pe_debug import CodeView, codeview_of
from tests.forensics.crash.chain import NAMES, RECORDS
from tests.forensics.crash.machines import DRIVER_BASE, POOL, STACK_TOP, context_x64, server2019, write_x64
from tests.parsers.dump.builder import MODULE_LIST, NT, Module
from tests.parsers.fixture_files import fetched

pytest.importorskip("symbolic", reason="the library symbolic is not installed (it does not exist for Windows)")

from forensics.crash import symbol_files
from forensics.crash.symbol_files import SymbolFolder

pytestmark = pytest.mark.wheels
DLL, PDB = "attach_amd64.dll", "attach_amd64.pdb"


def code_of(path: Path) -> CodeView:
    found = codeview_of(PeImage(FileSource(path)))
    assert found is not None
    return found


@pytest.fixture
def code() -> CodeView:
    return code_of(fetched(DLL))


def served(folder: Path, code: CodeView) -> Path:
    """Lay the PDB out as a symbol server does."""
    place = folder / code.name / code.key / code.name
    place.parent.mkdir(parents=True)
    shutil.copyfile(fetched(PDB), place)
    return folder


@pytest.mark.parametrize("layout", ["server", "loose", "lower"])
def test_exports_have_the_names_that_the_images_own_table_gives_them(
    tmp_path: Path, code: CodeView, layout: str
) -> None:
    if layout == "loose":
        shutil.copyfile(fetched(PDB), tmp_path / code.name)
    elif layout == "lower":
        served(tmp_path, CodeView(code.guid.lower(), code.age, code.name))
    else:
        served(tmp_path, code)
    symbols = SymbolFolder(tmp_path)
    exports = pefile.PE(str(fetched(DLL))).DIRECTORY_ENTRY_EXPORT.symbols
    assert len(exports) == 4
    for export in exports:
        for inside in (0, 5):
            found = symbols.name_at(code, export.address + inside)
            assert found is not None
            assert found.name.partition("(")[0] == export.name.decode()
            assert found.rva == export.address


@pytest.mark.peer("llvm-pdbutil")
@pytest.mark.parametrize("name", ["attach_amd64", "attach_x86"])
def test_every_function_that_llvm_lists_is_found_at_its_place(tmp_path: Path, name: str) -> None:
    pdb, dll = fetched(f"{name}.pdb"), fetched(f"{name}.dll")
    shutil.copyfile(pdb, tmp_path / pdb.name)
    listed = subprocess.run(["llvm-pdbutil", "dump", "-symbols", pdb], capture_output=True, text=True, check=True)
    functions = re.findall(
        r"S_[GL]PROC32 \[size = \d+\] `(.*)`\n.*addr = (\d+):(\d+), code size = (\d+)", listed.stdout
    )
    assert len(functions) > 90
    sections = pefile.PE(str(dll)).sections
    symbols, code = SymbolFolder(tmp_path), code_of(dll)
    for function, section, offset, size in functions:
        rva = sections[int(section) - 1].VirtualAddress + int(offset)
        for inside in {0, int(size) // 2, int(size) - 1}:
            found = symbols.name_at(code, rva + inside)
            assert found is not None
            assert found.rva == rva
            # C's decoration by one more underscore is left out.
            assert found.name.startswith(function.removeprefix("_")) or found.name.startswith(function)


@pytest.mark.peer("llvm-symbolizer")
def test_lines_and_inlined_functions_are_those_of_llvm_symbolizer(tmp_path: Path, code: CodeView) -> None:
    for name in (DLL, PDB):
        shutil.copyfile(fetched(name), tmp_path / name)
    symbols = SymbolFolder(tmp_path)
    rows = PeImage(FileSource(fetched(DLL))).pdata
    places = [(row.begin + row.end) // 2 for row in (rows.row(at) for at in range(len(rows)))]
    asked = [f"{place:#x}" for place in places]
    command = ["llvm-symbolizer", f"--obj={tmp_path / DLL}", "--relative-address", "--inlines", *asked]
    answers = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split("\n\n")
    assert len(answers) == len(places) > 80
    lines = alike = 0
    for place, answer in zip(places, answers, strict=True):
        found = symbols.name_at(code, place)
        parts = answer.splitlines()
        if found is None or not found.line or "??:0:0" in parts:
            continue  # functions without lines of their own
        path, line, _column = parts[1].rsplit(":", 2)
        same = found.line == f"{path.replace(chr(92), '/').rpartition('/')[2]}:{line}"
        if found.inlined:
            # The two disagree on where the pieces of an inlined function end: LLVM 14 sees fewer of them.
            assert len(parts) // 2 <= len(found.inlined) + 1
            alike += same and len(parts) // 2 == len(found.inlined) + 1
        else:
            assert same
            assert len(parts) == 2
            lines += 1
    assert lines > 50
    assert alike >= 5


def test_the_pdb_of_another_build_is_never_used(tmp_path: Path, code: CodeView) -> None:
    shutil.copyfile(fetched(PDB), tmp_path / code.name)
    symbols = SymbolFolder(tmp_path)
    assert symbols.status(code) == "same"
    for other in (code._replace(age=2), code._replace(age=0), code._replace(guid="0" * 32)):
        assert symbols.status(other) == "different"
        assert symbols.name_at(other, 0x1500) is None


@pytest.mark.parametrize("content", [b"", b"no PDB", b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0" + b"\xff" * 4000])
def test_a_damaged_pdb_names_nothing_and_stops_nothing(tmp_path: Path, code: CodeView, content: bytes) -> None:
    (tmp_path / code.name).write_bytes(content)
    assert SymbolFolder(tmp_path).status(code) == "unreadable"
    assert SymbolFolder(tmp_path).name_at(code, 0x1500) is None


@given(st.integers(0, 900_000), st.binary(min_size=1, max_size=64))
def test_any_bytes_in_a_pdb_give_an_answer_or_none(
    tmp_path_factory: pytest.TempPathFactory, at: int, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    raw = bytearray(fetched(PDB).read_bytes())
    raw[at : at + len(data)] = data
    (folder / PDB).write_bytes(raw)
    SymbolFolder(folder).name_at(code_of(fetched(DLL)), 0x1500)
    shutil.rmtree(folder)


@pytest.mark.parametrize("path", ["", "..", "a\0b.pdb", "C:x.pdb", "x" * 400, "../x.pdb", "..\\..\\x.pdb"])
def test_hostile_names_find_nothing_outside_of_the_folder(tmp_path: Path, code: CodeView, path: str) -> None:
    (tmp_path / "below").mkdir()
    shutil.copyfile(fetched(PDB), tmp_path / "x.pdb")
    assert SymbolFolder(tmp_path / "below").status(code._replace(path=path)) == "missing"


def test_no_more_files_than_the_limit_stay_open(
    tmp_path: Path, code: CodeView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbol_files, "_MAX_OPEN", 2)
    symbols = SymbolFolder(served(tmp_path, code))
    for age in range(2, 6):
        symbols.status(code._replace(age=age))
        assert symbols.status(code) == "same"
        assert len(symbols._open) <= 2


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        SymbolFolder(tmp_path / "nowhere")


@pytest.mark.parametrize(("system", "words"), [("linux", "pip install"), ("win32", "does not exist for it")])
def test_a_missing_library_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, words: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "symbolic":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(UnsupportedError) as raised:
        SymbolFolder(tmp_path)
    assert words in f"{raised.value.message} {raised.value.hint}"


# -- a whole crash ---------------------------------------------------------------------------------------------------


def crash_in_the_dll(images: Path | None, symbols: Path, *, in_memory: bool) -> tuple[CrashDict, Diagnostics]:
    """Crash at the first instruction of PrintDebugInfo, called from AttachAndRunPythonCode.

    At a function's first instruction the word at Rsp is the return address: the stack needs no more than that.
    """
    pe = pefile.PE(str(fetched(DLL)))
    header = pe.OPTIONAL_HEADER
    exports = {item.name.decode(): item.address for item in pe.DIRECTORY_ENTRY_EXPORT.symbols}
    machine = server2019()
    modules = [
        Module("ntoskrnl.exe", NT, 0x800000, 0x5000, 0x6000),
        Module(DLL, DRIVER_BASE, header.SizeOfImage, pe.FILE_HEADER.TimeDateStamp, header.CheckSum),
    ]
    machine.put_modules(MODULE_LIST, RECORDS, modules, NAMES)
    table = header.DATA_DIRECTORY[3]
    machine.put(RECORDS + 0x100 + 0x10, struct.pack("<QI", DRIVER_BASE + table.VirtualAddress, table.Size))
    if in_memory:
        machine.put(DRIVER_BASE, pe.get_memory_mapped_image())
    rsp = STACK_TOP - 0x1008
    machine.put(rsp, struct.pack("<Q", DRIVER_BASE + exports["AttachAndRunPythonCode"] + 0x40).ljust(0x1008, b"\0"))
    rip = DRIVER_BASE + exports["PrintDebugInfo"]
    machine.put(POOL, context_x64(rip, rsp))
    data = write_x64(machine, 5, code=0x3B, parameters=(0xC0000005, rip, POOL, 0))
    diagnostics = Diagnostics()
    found = analyse(
        BytesSource(data),
        path="MEMORY.DMP",
        images=FolderImages(images) if images is not None else None,
        symbols=SymbolFolder(symbols),
        diagnostics=diagnostics,
    )
    return found, diagnostics


@pytest.mark.parametrize("in_memory", [True, False])
def test_frames_are_named_from_the_pdb_that_memory_or_the_file_names(
    tmp_path: Path, code: CodeView, in_memory: bool
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    shutil.copyfile(fetched(DLL), images / DLL)
    found, _ = crash_in_the_dll(None if in_memory else images, served(tmp_path / "symbols", code), in_memory=in_memory)
    first, second = found["stack"][:2]
    assert first["symbol"] == "attach_amd64!PrintDebugInfo()+0x0"
    assert first["line"].startswith("attach.cpp:")
    assert second["symbol"] == "attach_amd64!AttachAndRunPythonCode(char const*, int*)+0x40"
    assert second["line"].startswith("attach.cpp:")


def test_a_stack_without_its_pdb_says_which_one_it_would_be(tmp_path: Path, code: CodeView) -> None:
    found, diagnostics = crash_in_the_dll(None, tmp_path, in_memory=True)
    [told] = [item for item in diagnostics.items if item.code == "symbols.missing"]
    assert f"{PDB}/{code.key}/{PDB} is not there" in told.message
    # The export's name is still known.
    assert found["stack"][0]["symbol"] == "attach_amd64!PrintDebugInfo+0x0"
    assert "line" not in found["stack"][0]


def test_a_module_whose_pdb_nobody_names_is_told(tmp_path: Path) -> None:
    _found, diagnostics = crash_in_the_dll(None, tmp_path, in_memory=False)
    [told] = [item for item in diagnostics.items if item.code == "symbols.missing"]
    assert f"{DLL}: neither the dump nor a file tells which PDB belongs to it" in told.message
