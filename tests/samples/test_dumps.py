"""The crashed machine's dumps: kdmp-parser judges the files, the emulator's own calls the stack."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.crash.analyse import analyse
from parsers.bytesource import FileSource
from parsers.diagnostics import Diagnostics
from samples.crash import BAD_ADDRESS
from samples.drivers import Driver, build
from samples.dumps import write_benchmark_dumps, write_dump
from samples.kernel import context
from samples.memory import PAGE
from samples.story import ACTORS, CrashedMachine, crash_machine

kdmp_parser = pytest.importorskip("kdmp_parser")
pytestmark = pytest.mark.peer("x86_64-w64-mingw32-gcc")
DRIVERS = {
    "ntoskrnl.exe": Driver("ntoskrnl.exe", "10.0.17763.1757", source="ntoskrnl"),
    "hal.dll": Driver("hal.dll", "10.0.17763.1"),
    "Wdf01000.sys": Driver("Wdf01000.sys", "1.27.17763.1", source="Wdf01000"),
    "vmstorfl.sys": Driver("vmstorfl.sys", "10.0.17763.771", source="vmstorfl"),
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> CrashedMachine:
    folder = tmp_path_factory.mktemp("drivers")
    for name, driver in DRIVERS.items():
        build(driver, folder / name)
    booted = datetime(2021, 3, 10, 2, 14, 5, tzinfo=UTC)
    files = [folder / name for name in DRIVERS]
    return crash_machine(files, DRIVERS, booted=booted, lived=timedelta(seconds=21.5), in_memory=tuple(ACTORS))


def _written(machine: CrashedMachine, folder: Path, kind: int) -> Path:
    path = folder / f"{kind}.dmp"
    write_dump(path, machine.dump, machine.memory, kind)
    return path


@pytest.mark.parametrize("kind", [5, 6])
def test_kdmp_parser_agrees_on_bug_check_context_and_every_page(
    machine: CrashedMachine, tmp_path: Path, kind: int
) -> None:
    parser = kdmp_parser.KernelDumpParser(_written(machine, tmp_path, kind))
    assert parser.type.value == kind
    assert parser.directory_table_base == machine.memory.root << 12
    assert parser.header.BugCheckCode == 0x7E
    assert tuple(parser.header.BugCheckCodeParameter) == machine.stop.parameters
    assert (parser.header.SystemTime, parser.header.SystemUpTime) == (machine.dump.time, machine.dump.uptime)
    registers = machine.run.registers
    assert (parser.context.Rip, parser.context.Rsp, parser.context.Rcx) == (
        registers["rip"], registers["rsp"], 0x7E,
    )  # fmt: skip
    for number, page in machine.memory.pages.items():
        assert bytes(parser.read_physical_page(number * PAGE)) == bytes(page)


def test_kdmp_parser_translates_the_addresses_of_the_stack(machine: CrashedMachine, tmp_path: Path) -> None:
    parser = kdmp_parser.KernelDumpParser(_written(machine, tmp_path, 6))
    rsp = machine.run.registers["rsp"]
    page = bytes(parser.read_virtual_page(rsp & ~(PAGE - 1)))
    back = struct.unpack_from("<Q", page, rsp % PAGE)[0]
    assert back in range(ACTORS["ntoskrnl.exe"], ACTORS["ntoskrnl.exe"] + 0x9C8000)


def test_the_record_and_context_that_the_parameters_name_are_those_of_the_fault(machine: CrashedMachine) -> None:
    code, ip, record, at = machine.stop.parameters
    assert code == 0xFFFFFFFFC0000005
    assert ip == machine.run.fault
    low = record & ~(PAGE - 1)
    page = machine.memory.physical(low)
    assert page is not None
    raw = bytes(machine.memory.pages[page])[record - low :]
    assert struct.unpack_from("<I4x8xQI4xQQ", raw) == (0xC0000005, ip, 2, 0, BAD_ADDRESS)
    stack = machine.run.stack
    kept = stack[at - 0xFFFFE48CD1B2A000 :][:0x4D0]
    assert struct.unpack_from("<Q", kept, 0xF8)[0] == ip
    assert struct.unpack_from("<Q", kept, 0x98)[0] == machine.run.frames[0][1]
    assert kept[0x34:0x38] == kept[0x118:0x11C]


def test_our_analysis_finds_the_calls_that_the_emulator_made(machine: CrashedMachine, tmp_path: Path) -> None:
    path = _written(machine, tmp_path, 6)
    crash = analyse(FileSource(path), path="MEMORY.DMP", images=None, diagnostics=Diagnostics())
    found = [(int(frame["ip"], 16), int(frame["sp"], 16)) for frame in crash["stack"]]
    assert found == machine.run.frames
    assert len(found) == 12
    assert {frame["confidence"] for frame in crash["stack"]} == {"exact"}
    assert crash["culprit"]["module"] == "vmstorfl.sys"
    assert crash["culprit"]["confidence"] == "medium"
    assert crash["uptime_s"] == 21.5


def test_unwinding_from_the_bug_check_leads_through_the_page_fault_to_the_same_calls(
    machine: CrashedMachine, tmp_path: Path
) -> None:
    path = _written(machine, tmp_path, 6)
    crash = analyse(FileSource(path), path="MEMORY.DMP", images=None, diagnostics=Diagnostics())
    own: Any = crash["bugcheck_stack"]
    through = [int(frame["ip"], 16) for frame in own]
    assert machine.run.fault in through
    assert through[through.index(machine.run.fault) :] == [ip for ip, _ in machine.run.frames]


def test_a_deferred_call_that_took_too_long_is_found_behind_the_interrupts_own_frames(
    machine: CrashedMachine, tmp_path: Path
) -> None:
    # The same stack as the watchdog finds it: the kernel's frames, the interrupt's machine frame, the call below it.
    path = _written(machine, tmp_path, 6)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 0x38, 0x133)
    struct.pack_into("<4Q", data, 0x40, 0, 0x501, 0x500, 0)
    path.write_bytes(data)
    crash = analyse(FileSource(path), path="MEMORY.DMP", images=None, diagnostics=Diagnostics())
    through = [int(frame["ip"], 16) for frame in crash["stack"]]
    assert through[through.index(machine.run.fault) :] == [ip for ip, _ in machine.run.frames]
    assert {frame["confidence"] for frame in crash["stack"]} == {"exact"}
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "medium")
    assert any("Wdf01000.sys" in line for line in crash["culprit"]["others"])


def test_benchmark_dumps_are_large_and_read_by_kdmp_parser(tmp_path: Path) -> None:
    dumps = write_benchmark_dumps(tmp_path)
    assert set(dumps) == {"full", "bitmap"}
    for name, kind in (("full", 1), ("bitmap", 5)):
        assert dumps[name].stat().st_size > 40_000_000
        parser = kdmp_parser.KernelDumpParser(dumps[name])
        assert parser.type.value == kind
        assert parser.header.BugCheckCode == 0x7E


def test_context_holds_every_register_where_kdmp_parser_reads_it(machine: CrashedMachine, tmp_path: Path) -> None:
    registers = machine.run.registers | {"r12": 0x1234567890ABCDEF, "rdi": 0xFFFF9A0F00000001}
    path = tmp_path / "context.dmp"
    write_dump(path, replace(machine.dump, context=context(registers)), machine.memory, 6)
    found = kdmp_parser.KernelDumpParser(path).context
    assert (found.R12, found.Rdi) == (registers["r12"], registers["rdi"])
