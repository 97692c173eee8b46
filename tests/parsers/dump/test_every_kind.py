"""Every dump type of every architecture that has it: the same machine must come out of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsers.bytesource import BytesSource, FileSource
from parsers.dump.open import open_dump
from parsers.errors import ReadError
from tests.parsers.dump.builder import (
    MODULES,
    RSP,
    Machine,
    bitmap_dump,
    context_x64,
    full_dump,
    header64,
    rdmp_dump,
    runs_of,
    server2019,
    summary_dump,
)

VA, MARK, LARGE = 0xFFFFF90000123000, 0x345, 0xFFFFF90040000000


def filled(kind: str) -> Machine:
    machine = server2019(kind)
    machine.page(MARK)[:8] = b"the page"
    machine.map(VA, MARK)
    # A large page, of which the dump holds only this one; and single pages far apart: holes and more than 43 runs.
    machine.set_entry(LARGE, 0x200000 | (0x401 if kind == "arm64" else 0xE3), 21)
    for number in range(0x1000, 0x1000 + 2 * 60, 2):
        machine.page(number)[:4] = number.to_bytes(4, "little")
    machine.page(0x1077)  # kdmp-parser reads whole bytes of the bitmap only
    return machine


def write(machine: Machine, kind: str, dump_type: int, gap: int) -> bytes:
    low_bits = 2 if kind.startswith("x64") else 1
    header = header64(
        dump_type,
        cr3=machine.cr3 | low_bits,
        machine=0xAA64 if kind == "arm64" else 0x8664,
        context=b"" if kind == "arm64" else context_x64(0xFFFFF80111201000, RSP),
        # The header holds 42 runs; a full dump here has no more.
        runs=runs_of(machine.pages) if dump_type == 1 else None,
    )
    if dump_type == 1:
        return full_dump(header, machine.pages)
    if dump_type == 2:
        return summary_dump(header, machine.pages)
    if dump_type in (5, 6):
        return bitmap_dump(header, machine.pages, signature=b"FDMP" if dump_type == 5 else b"SDMP", gap=gap)
    return rdmp_dump(header, machine.pages, complete=dump_type == 0xA, shuffle=dump_type == 9)


@pytest.mark.parametrize("kind", ["x64", "x64-5", "arm64"])
@pytest.mark.parametrize("dump_type", [1, 2, 5, 6, 8, 9, 0xA])
def test_the_same_machine_comes_out_of_every_type(kind: str, dump_type: int) -> None:
    machine = filled(kind)
    if dump_type == 1:
        for number in [page for page in machine.pages if page >= 0x1000 + 2 * 30]:
            del machine.pages[number]
    dump = open_dump(BytesSource(write(machine, kind, dump_type, gap=0)))
    assert dump.complete
    assert dump.machine == kind[:5].removesuffix("-5")
    assert [module.name for module in dump.modules()] == [module.name for module in MODULES]
    assert dump.memory.read(VA, 8) == b"the page"
    assert dump.memory.read(LARGE + (MARK - 0x200) * 0x1000, 8) == b"the page"
    with pytest.raises(ReadError, match="not in the dump"):
        dump.memory.read(LARGE, 8)
    assert dump.physical is not None
    assert list(dump.physical.page_numbers()) == sorted(machine.pages)


@pytest.mark.parametrize("dump_type", [5, 6])
@pytest.mark.parametrize("gap", [0x10, 0x7F8, 0x1238])
def test_pages_that_begin_at_no_page_boundary_of_the_file_are_read(tmp_path: Path, dump_type: int, gap: int) -> None:
    kdmp_parser = pytest.importorskip("kdmp_parser")
    machine = filled("x64")
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(write(machine, "x64", dump_type, gap))
    dump, judge = open_dump(FileSource(path)), kdmp_parser.KernelDumpParser(path)
    assert dump.physical is not None
    for number, page in machine.pages.items():
        assert dump.physical.page(number) == bytes(judge.read_physical_page(number << 12)) == bytes(page)
