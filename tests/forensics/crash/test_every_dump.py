"""One machine out of every dump type of every architecture: the same modules, registers, process, thread and stack."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource, FileSource
from parsers.diagnostics import Diagnostics
from parsers.dump.open import open_dump
from parsers.errors import StopcodeError
from parsers.limits import MAX_MEMORY_RUNS
from tests.forensics.crash.kinds import ARCHITECTURES, TYPES, make, write

#: WinDbg's own types are of 64-bit machines only.
CASES = [(kind, name) for kind in ARCHITECTURES for name in TYPES if TYPES[name] < 8 or kind not in ("x86", "pae")]
NAMES = {1: "full", 2: "kernel-summary", 3: "header-only", 4: "triage", 5: "bitmap-full", 6: "bitmap-kernel",
         8: "rdmp-kernel", 9: "rdmp-kernel-user", 10: "rdmp-complete"}  # fmt: skip
every_dump = pytest.mark.parametrize(("kind", "name"), CASES)


def crash_of(data: bytes) -> tuple[CrashDict, Diagnostics]:
    diagnostics = Diagnostics()
    return analyse(BytesSource(data), path="MEMORY.DMP", diagnostics=diagnostics), diagnostics


@every_dump
def test_the_same_machine_comes_out(kind: str, name: str) -> None:
    made = make(kind)
    crash, diagnostics = crash_of(write(made, name))
    assert [item.code for item in diagnostics.items if item.severity != "info"] == []
    assert (crash["dump"]["kind"], crash["dump"]["type"], crash["dump"]["complete"]) == (
        NAMES[TYPES[name]], TYPES[name], True,
    )  # fmt: skip
    assert crash["machine"] == {"x64-5": "x64", "pae": "x86"}.get(kind, kind)
    ip, sp = made.layout.nt + 0x27234, made.stack_pointer
    assert (crash["context"]["ip"], crash["context"]["sp"]) == (hex(ip), hex(sp))
    day = "2021-02-10" if made.machine.pointer == 8 else "2011-05-30"
    assert (crash["time"][:10], crash["uptime_s"], crash["processors"]) == (day, 3.747, 2)
    if name == "3":
        assert crash["modules"] == []
        assert "process" not in crash
        assert crash["culprit"]["because"] == ["the dump is its header alone"]
        return
    assert [module["name"] for module in crash["modules"]] == ["ntoskrnl.exe", "storport.sys", "vmstorfl.sys"]
    assert [module["checksum"] for module in crash["modules"]] == ["0x9a1234", "0x7a7a7", "0x1f0a2"]
    assert [driver["name"] for driver in crash["unloaded"]] == ["old.sys"]
    assert crash["process"] == "svchost.exe"
    assert crash["thread"] == hex(made.layout.thread)
    assert crash["build"] == made.layout.build + 1
    assert [(frame["module"], frame["offset"]) for frame in crash["stack"]] == made.stack


@every_dump
@pytest.mark.parametrize("part", [0.35, 0.8])
def test_a_cut_one_gives_what_is_there_and_says_that_it_is_cut(kind: str, name: str, part: float) -> None:
    made = make(kind)
    data = write(made, name)
    crash, diagnostics = crash_of(data[: int(len(data) * part)])
    assert crash["dump"]["complete"] is False
    assert crash["bugcheck"]["code_raw"] == ("0xd1" if made.machine.pointer == 8 else "0x8e")
    if name == "4k" and part == 0.8:
        return
    assert {"dump.truncated", "dump.body-unreadable"} & {item.code for item in diagnostics.items}


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("name", ["1", "4k", "6"])
def test_an_encrypted_one_gives_its_header_alone(kind: str, name: str) -> None:
    data = bytearray(write(make(kind), name))
    place = 0x1050 if data[4:8] == b"DU64" else 0x8A0
    data[place : place + 4] = (0x108).to_bytes(4, "little")
    crash, diagnostics = crash_of(bytes(data))
    assert crash["dump"]["traits"] == ["encrypted"]
    if data[4:8] == b"DU64":
        assert crash["culprit"]["because"] == ["the dump is encrypted: only its header can be read"]
        assert "decrypts it" in crash["culprit"]["against"][-1]
    assert crash["modules"] == []
    assert "dump.encrypted" in {item.code for item in diagnostics.items}
    data[place : place + 4] = b"PAGE"
    assert len(crash_of(bytes(data))[0]["modules"]) == 3


@pytest.mark.parametrize(
    ("attributes", "trait"),
    [(0x40, "active"), (0x80, "early boot"), (0x200, "decrypted"), (0x1, "crash in hibernation")],
)
def test_what_the_header_says_of_the_dump_is_told_in_words(attributes: int, trait: str) -> None:
    crash, _ = crash_of(write(make("x64"), "6", attributes=attributes))
    assert crash["dump"]["traits"] == [trait]


@pytest.mark.parametrize("kind", ["x64", "arm64", "x86"])
@pytest.mark.parametrize("packer", ["zip", "gz", "xz"])
def test_a_packed_one_says_what_the_bare_one_says(kind: str, packer: str) -> None:
    data = write(make(kind), "6")
    if packer == "zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("readme.txt", "not a dump, and longer than eight bytes")
            archive.writestr("MEMORY.DMP", data)
        packed = stream.getvalue()
    else:
        packed = gzip.compress(data) if packer == "gz" else lzma.compress(data)
    bare, opened = crash_of(data)[0], crash_of(packed)[0]
    assert opened["dump"].pop("archive") == packer
    opened["dump"].pop("member", None)
    assert opened == bare


@pytest.mark.parametrize("name", ["2", "5", "6", "8", "9", "10"])
def test_every_page_comes_out_with_holes_and_more_runs_than_a_header_holds(name: str) -> None:
    made = make("x64")
    dump = open_dump(BytesSource(write(made, name)))
    assert dump.physical is not None
    numbers = list(dump.physical.page_numbers())
    runs = sum(number - 1 not in made.machine.pages for number in numbers)
    assert 43 < runs < MAX_MEMORY_RUNS
    assert numbers == sorted(made.machine.pages)
    assert all(dump.physical.page(number) == bytes(made.machine.pages[number]) for number in numbers)


def test_a_small_live_dump_without_a_list_of_unloaded_drivers_is_a_live_report_and_whole() -> None:
    # As the debugger tells of one in public (0x141 of build 15063: "does not contain unloaded driver list").
    data = bytearray(write(make("x64"), "4k"))
    struct.pack_into("<I", data, 0x1050, 0x18)
    struct.pack_into("<I", data, 0x38, 0x141)
    struct.pack_into("<I", data, 0x2018, 0)
    crash, diagnostics = crash_of(bytes(data))
    assert (crash["live"], crash["latest"], crash["dump"]["traits"]) == (True, False, ["live"])
    assert crash["unloaded"] == []
    assert crash["dump"]["complete"] is True
    assert crash["process"] == "svchost.exe"
    assert [item.code for item in diagnostics.items if item.severity != "info"] == []


@given(
    st.sampled_from(CASES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=40),
    st.floats(0, 1),
)
def test_any_change_to_any_dump_gives_a_result_or_an_error_of_ours(
    case: tuple[str, str], changes: list[tuple[float, int]], part: float
) -> None:
    data = bytearray(dump_of(*case))
    for at, value in changes:
        # Half of the changes go to the headers and tables.
        place = int(at * (len(data) if value % 2 else min(len(data), 0x3000)))
        data[place] = value
    with suppress(StopcodeError):
        crash_of(bytes(data[: int(len(data) * part)] if part < 0.5 else data))


@cache
def dump_of(kind: str, name: str) -> bytes:
    return write(make(kind), name)


@pytest.mark.parametrize("kind", ["x64", "arm64"])
@pytest.mark.parametrize("row", [0xA8, 0xB0])
def test_longer_rows_of_a_small_dumps_driver_list_are_found_out(kind: str, row: int) -> None:
    made = make(kind)
    for number, module in enumerate(made.machine.modules):
        module.timestamp = 0x5DB70000 + number
    crash, diagnostics = crash_of(write(made, "4", row=row))
    assert [(module["name"], module["base"], module["timestamp"]) for module in crash["modules"]] == [
        (module.name, hex(module.base), hex(module.timestamp)) for module in made.machine.modules
    ]
    assert "dump.driver-rows" in {item.code for item in diagnostics.items}


@pytest.mark.parametrize("name", ["1", "5", "6", "8", "9", "10"])
def test_kdmp_parser_finds_the_same_pages_and_translates_alike(tmp_path: Path, name: str) -> None:
    kdmp_parser = pytest.importorskip("kdmp_parser")
    made = make("x64")
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(write(made, name))
    dump, judge = open_dump(FileSource(path)), kdmp_parser.KernelDumpParser(path)
    assert dump.physical is not None
    for number, page in made.machine.pages.items():
        assert dump.physical.page(number) == bytes(judge.read_physical_page(number << 12)) == bytes(page)
    for va in (made.layout.nt + 0x8000, made.layout.prcb, made.layout.thread, made.stack_pointer):
        assert dump.memory.read(va, 16) == bytes(judge.read_virtual_page(va & ~0xFFF))[va & 0xFFF : (va & 0xFFF) + 16]
