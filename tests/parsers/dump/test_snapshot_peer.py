"""Dumps with physical pages, judged by kdmp-parser."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parsers.bytesource import BytesSource, FileSource
from parsers.dump.context import X64_GENERAL, X64Context
from parsers.dump.open import Dump, open_dump
from parsers.errors import ReadError
from tests.parsers.dump.builder import (
    DRIVER_BASE,
    KDBG,
    MODULE_LIST,
    MODULES,
    NT,
    PRCB,
    PROCESS,
    RSP,
    STACK_TOP,
    THREAD,
    Machine,
    bitmap_dump,
    full_dump,
    header64,
    runs_of,
    server2019,
    write_x64,
)

kdmp_parser = pytest.importorskip("kdmp_parser")

KINDS = {
    1: "full",
    5: "bitmap-full",
    6: "bitmap-kernel",
    8: "rdmp-kernel",
    9: "rdmp-kernel-user",
    0xA: "rdmp-complete",
}
every_type = pytest.mark.parametrize("dump_type", KINDS)
LARGE, HUGE, ABSENT = 0xFFFFF90000200000, 0xFFFFF90040000000, 0xFFFFF90080000000


@pytest.fixture(scope="module")
def machine() -> Machine:
    machine = server2019()
    for number in (*range(0x400, 0x410), 0x600, 0x40000, 0x40001, 0xBFFFF):
        machine.page(number)[:] = random.Random(number).randbytes(0x1000)
    machine.set_entry(LARGE, 0x400000 | 0xE3, 21)
    machine.set_entry(HUGE, 0x40000000 | 0xE3, 30)
    machine.map(LARGE + 0x10000000, 0xBFFFF)
    machine.set_entry(ABSENT, 0)
    return machine


@pytest.fixture(scope="module")
def written(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    folder = tmp_path_factory.mktemp("dumps")

    def give(dump_type: int) -> Path:
        path = folder / f"type{dump_type}.dmp"
        if not path.exists():
            path.write_bytes(write_x64(machine, dump_type))
        return path

    return give


def both(path: Path) -> tuple[Dump, Any]:
    return open_dump(FileSource(path)), kdmp_parser.KernelDumpParser(path)


@every_type
def test_both_readers_agree_on_bug_check_and_context(written: Callable[[int], Path], dump_type: int) -> None:
    dump, judge = both(written(dump_type))
    assert dump.kind == KINDS[dump_type]
    assert dump.complete
    assert dump.diagnostics.items == []
    header = judge.header
    assert dump.header.bug_check_code == header.BugCheckCode
    assert dump.header.bug_check_parameters == tuple(header.BugCheckCodeParameter)
    assert dump.header.directory_table_base == header.DirectoryTableBase
    assert dump.header.minor_version == header.MinorVersion
    assert dump.header.machine_image_type == header.MachineImageType
    assert dump.header.number_processors == header.NumberProcessors
    assert dump.header.kd_debugger_data_block == header.KdDebuggerDataBlock
    assert dump.header.ps_loaded_module_list == header.PsLoadedModuleList
    assert dump.header.system_time == header.SystemTime
    assert dump.header.system_up_time == header.SystemUpTime
    assert dump.header.product_type == header.ProductType
    assert dump.header.required_dump_space == header.RequiredDumpSpace
    context = X64Context.parse(dump.context())
    assert context.rip == judge.context.Rip
    assert [context.registers[name] for name in X64_GENERAL] == [
        getattr(judge.context, name.capitalize()) for name in X64_GENERAL
    ]


@every_type
def test_both_readers_find_the_same_physical_pages(
    written: Callable[[int], Path], machine: Machine, dump_type: int
) -> None:
    dump, judge = both(written(dump_type))
    assert dump.physical is not None
    assert list(dump.physical.page_numbers()) == sorted(machine.pages)
    assert dump.physical.pages.count == len(machine.pages)
    for number, page in machine.pages.items():
        assert dump.physical.page(number) == bytes(judge.read_physical_page(number << 12)) == bytes(page)
    for number in (0, 0x1A9, 0x411, 0x3FFFF, 0xBFFFE, 0xC0000, 1 << 30):
        assert judge.read_physical_page(number << 12) is None
        with pytest.raises(ReadError, match="not in the dump"):
            dump.physical.page(number)


@every_type
def test_both_readers_translate_alike(written: Callable[[int], Path], dump_type: int) -> None:
    dump, judge = both(written(dump_type))
    memory: Any = dump.memory
    for address in (
        KDBG, MODULE_LIST + 8, PRCB, THREAD, PROCESS + 0x450, RSP, STACK_TOP - 1,
        LARGE, LARGE + 0x1234, LARGE + 0xF123, HUGE + 0x1FFF, LARGE + 0x10000000,
    ):  # fmt: skip
        assert memory.translate(address) == judge.translate_virtual(address)
        page = judge.read_virtual_page(address & ~0xFFF)
        assert dump.memory.read(address, 1) == bytes(page[address & 0xFFF : (address & 0xFFF) + 1])
    for address in (ABSENT, NT, DRIVER_BASE, 0x1000, 0x7FFFFFFF0000):
        assert judge.translate_virtual(address) is None
        with pytest.raises(ReadError, match="not present"):
            dump.memory.read(address, 1)
    # Translated, but the page is not there: both know the address, neither has the bytes.
    assert memory.translate(HUGE + 0x5000) == judge.translate_virtual(HUGE + 0x5000) == 0x40005000
    assert judge.read_virtual_page(HUGE + 0x5000) is None
    with pytest.raises(ReadError, match="not in the dump"):
        dump.memory.read(HUGE + 0x5000, 1)


def walk_with(judge: Any, head: int) -> list[tuple[str, int, int, int, int]]:
    """Walk the module list with the judge's memory alone."""

    def read(address: int, length: int) -> bytes:
        data = b""
        while len(data) < length:
            at = address + len(data)
            page = judge.read_virtual_page(at & ~0xFFF)
            data += bytes(page)[at & 0xFFF :][: length - len(data)]
        return data

    rows = []
    at = struct.unpack("<Q", read(head, 8))[0]
    while at != head:
        record = read(at, 0xA0)
        length, buffer = struct.unpack_from("<H6xQ", record, 0x58)
        base, size = struct.unpack_from("<Q8xI", record, 0x30)
        checksum, stamp = struct.unpack_from("<I", record, 0x78)[0], struct.unpack_from("<I", record, 0x9C)[0]
        rows.append((read(buffer, length).decode("utf-16-le"), base, size, stamp, checksum))
        at = struct.unpack_from("<Q", record)[0]
    return rows


@every_type
def test_the_module_list_is_that_of_the_judge_and_of_the_builder(
    written: Callable[[int], Path], dump_type: int
) -> None:
    dump, judge = both(written(dump_type))
    rows = [(m.name, m.base, m.size_of_image, m.timestamp, m.checksum) for m in dump.modules()]
    assert rows == walk_with(judge, judge.header.PsLoadedModuleList)
    assert rows == [(m.name, m.base, m.size, m.timestamp, m.checksum) for m in MODULES]
    assert [m.path for m in dump.modules()] == [m.path for m in MODULES]
    assert dump.modules()[2].exception_table == MODULES[2].base + 0x3000


@pytest.mark.parametrize("dump_type", [*KINDS, 2])
def test_the_crashing_processor_thread_and_process_are_found(machine: Machine, dump_type: int) -> None:
    dump = open_dump(BytesSource(write_x64(machine, dump_type)))
    assert dump.kdbg is not None
    assert dump.kdbg.kern_base == NT
    assert dump.prcb_address == PRCB
    assert dump.thread_address == THREAD
    assert dump.prcb is not None
    assert dump.prcb[0x24] == 1
    assert dump.process_name() == "svchost.exe"
    assert dump.current_stack_range() == (STACK_TOP - 0x6000, STACK_TOP)
    assert [(d.name, d.start, d.time) for d in dump.unloaded()] == [
        ("old.sys", 0xFFFFF80131000000, 0x1D6FF001),
        ("dump_diskdump", 0xFFFFF80130000000, 0x1D6FF000),
    ]
    assert dump.stack() is None
    assert dump.reported_build is None


def test_a_stack_pointer_on_the_dpc_stack_finds_its_processor(machine: Machine) -> None:
    other = Machine(pages={number: bytearray(page) for number, page in machine.pages.items()}, next_page=0x500)
    top = 0xFFFFE50180007000
    other.put(PRCB + 0x2E50, top.to_bytes(8, "little"))
    header = header64(6, cr3=other.cr3, context=bytes(0x98) + (top - 0x120).to_bytes(8, "little"))
    dump = open_dump(BytesSource(bitmap_dump(header, other.pages)))
    assert dump.prcb_address == PRCB
    assert dump.current_stack_range() == (top - 0x1000, top)


def test_the_old_summary_layout_is_read_and_the_newer_one_in_a_dump_of_type_2_too(machine: Machine) -> None:
    old = open_dump(BytesSource(write_x64(machine, 2)))
    assert (old.kind, old.complete, old.diagnostics.items) == ("kernel-summary", True, [])
    assert [m.name for m in old.modules()] == [m.name for m in MODULES]
    newer = open_dump(BytesSource(bitmap_dump(header64(2, cr3=machine.cr3), machine.pages)))
    assert newer.complete
    assert [m.name for m in newer.modules()] == [m.name for m in MODULES]


def test_pages_of_a_bitmap_dump_are_read_when_touched_only(written: Callable[[int], Path]) -> None:
    source = FileSource(written(6))
    dump = open_dump(source)
    assert source.bytes_read < 0x2000 + 0x38 + 0xC0000 // 8 + 0x1000 * 12
    before = source.bytes_read
    dump.modules()
    assert source.bytes_read - before < 0x1000 * 20
    assert source.bytes_read < source.size


def scattered(with_table: bool) -> tuple[Dump, list[int]]:
    """A full dump of 62 runs, 42 of which fit the header; the kernel's own table holds them all, or is absent."""
    kernel = server2019()
    far = [0x1000 + 2 * index for index in range(60)]
    for number in far:
        kernel.page(number)[:] = number.to_bytes(2, "little") * 0x800
    table = 0xFFFFC08BDD000000
    kernel.put(NT + 0xC80000 + 0x4010, (table if with_table else 0).to_bytes(8, "little"))
    kernel.put(table, bytes(0x800))
    runs = runs_of(kernel.pages)
    assert len(runs) == 62
    rows = b"".join(struct.pack("<QQ", *run) for run in runs)
    kernel.put(table, struct.pack("<IIQ", len(runs), 0, len(kernel.pages)) + rows)
    header = header64(1, cr3=kernel.cr3, runs=runs)
    return open_dump(BytesSource(full_dump(header, kernel.pages))), far


def test_runs_beyond_the_headers_buffer_come_from_the_kernels_own_table() -> None:
    dump, far = scattered(True)
    assert dump.diagnostics.items == []
    assert dump.physical is not None
    for number in far:
        assert dump.physical.page(number) == number.to_bytes(2, "little") * 0x800


def test_without_that_table_the_runs_of_the_header_are_read_and_the_rest_is_told() -> None:
    dump, far = scattered(False)
    assert [item.code for item in dump.diagnostics.items] == ["dump.runs-cut"]
    assert dump.physical is not None
    assert dump.physical.page(far[39])[:2] == far[39].to_bytes(2, "little")
    with pytest.raises(ReadError, match="not in the dump"):
        dump.physical.page(far[40])
