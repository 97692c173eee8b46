"""Page tables of every machine: valid, large, in transition, prototype, paged out, absent."""

from __future__ import annotations

from typing import Any

import pytest

from parsers.bytesource import BytesSource
from parsers.dump.open import Dump, open_dump
from parsers.dump.paging import X64Paging
from parsers.dump.virtual import VirtualMemory
from parsers.errors import ReadError
from tests.parsers.dump.builder import (
    KDBG,
    MODULE_LIST,
    Machine,
    bitmap_dump,
    full_dump,
    header32,
    header64,
    runs_of,
    server2019,
    summary_dump,
)

VA = 0xFFFFC08BE0000000
MARK = 0x777


def x64(machine: Machine, build: int = 17763, **options: Any) -> Dump:
    return open_dump(BytesSource(bitmap_dump(header64(6, cr3=machine.cr3, build=build), machine.pages, **options)))


@pytest.fixture
def machine() -> Machine:
    machine = server2019()
    machine.page(MARK)[:8] = b"the page"
    return machine


def test_a_page_in_transition_is_still_in_memory(machine: Machine) -> None:
    machine.set_entry(VA, MARK << 12 | 1 << 11 | 0x90)
    assert x64(machine).memory.read(VA, 8) == b"the page"


def test_the_mask_of_the_l1tf_mitigation_is_taken_off_a_transition_entry(machine: Machine) -> None:
    machine.set_entry(VA, 1 << 45 | MARK << 12 | 1 << 11 | 0x80)
    assert x64(machine).memory.read(VA, 8) == b"the page"


def test_a_page_table_in_transition_is_followed_and_its_bit_7_is_no_large_page(machine: Machine) -> None:
    machine.map(VA, MARK)
    page, at, _ = machine.entry(VA, 21)
    table = int.from_bytes(machine.page(page)[at : at + 8], "little") & 0xFFFFFFFFF000
    machine.set_entry(VA, table | 1 << 11 | 1 << 7 | 0x10, 21)
    assert x64(machine).memory.read(VA, 8) == b"the page"


def test_a_page_in_the_page_file_says_so(machine: Machine) -> None:
    machine.set_entry(VA, 0x1234 << 32 | 2 << 12 | 0x80 | 0x14)
    with pytest.raises(ReadError, match=r"paged out \(page file 2\)") as caught:
        x64(machine).memory.read(VA + 0x10, 4)
    assert caught.value.address == VA  # pages are translated whole


@pytest.mark.parametrize("build", [7601, 9600, 14393, 16299])
@pytest.mark.parametrize("number", [0, 1])
def test_before_build_17134_page_files_are_numbered_in_other_bits(machine: Machine, build: int, number: int) -> None:
    machine.set_entry(VA, 0x1234 << 32 | 0x80 | number << 1)
    with pytest.raises(ReadError, match=rf"paged out \(page file {number}\)"):
        x64(machine, build=build).memory.read(VA, 4)


def test_demand_zero_and_empty_entries_are_not_present(machine: Machine) -> None:
    machine.set_entry(VA, 0x80)
    with pytest.raises(ReadError, match=r"not present \(demand zero\)"):
        x64(machine).memory.read(VA, 4)
    machine.set_entry(VA, 0)
    with pytest.raises(ReadError, match="not present"):
        x64(machine).memory.read(VA, 4)


def test_a_prototype_entry_is_followed_to_the_shared_page(machine: Machine) -> None:
    shared = 0xFFFF8A0012345678
    machine.set_entry(VA, (shared & 0xFFFFFFFFFFFF) << 16 | 1 << 10)
    for entry in (MARK << 12 | 0x63, MARK << 12 | 1 << 11 | 0x90):
        machine.put(shared, entry.to_bytes(8, "little"))
        assert x64(machine).memory.read(VA, 8) == b"the page"
    machine.put(shared, (0x55 << 32 | 0x94).to_bytes(8, "little"))
    with pytest.raises(ReadError, match="paged out"):
        x64(machine).memory.read(VA, 8)
    machine.put(shared, (0x7F << 16 | 1 << 10).to_bytes(8, "little"))
    with pytest.raises(ReadError, match=r"not present \(in a file on the disk\)"):
        x64(machine).memory.read(VA, 8)


def test_prototype_entries_that_lead_nowhere_or_in_a_circle_end(machine: Machine) -> None:
    machine.set_entry(VA, 0xFFFFFFFF0000 << 16 | 1 << 10)
    with pytest.raises(ReadError, match="not present"):
        x64(machine).memory.read(VA, 8)
    machine.set_entry(VA, (VA & 0xFFFFFFFFFFFF) << 16 | 1 << 10)
    with pytest.raises(ReadError):
        x64(machine).memory.read(VA, 8)


def test_an_absent_page_table_is_told_from_an_absent_page(machine: Machine) -> None:
    machine.map(VA, 0x9999)
    with pytest.raises(ReadError, match=r"not in the dump \(physical address 0x9999000\)"):
        x64(machine).memory.read(VA, 8)
    machine.set_entry(VA, 0x9999 << 12 | 0x63, 21)
    with pytest.raises(ReadError, match="page table not in the dump"):
        x64(machine).memory.read(VA, 8)


def test_addresses_that_are_not_canonical_are_not_present(machine: Machine) -> None:
    with pytest.raises(ReadError, match="not a canonical address"):
        x64(machine).memory.read(0x0000900000000000, 1)
    with pytest.raises(ReadError, match="no such address"):
        x64(machine).memory.read(1 << 64, 1)
    with pytest.raises(ReadError):
        x64(machine).memory.read((1 << 64) - 2, 4)


def test_a_read_over_pages_gives_what_is_there_or_names_the_first_missing_byte(machine: Machine) -> None:
    machine.map(VA, MARK)
    machine.page(MARK)[0xFF8:] = b"the end."
    dump = x64(machine)
    assert dump.memory.read_available(VA + 0xFF8, 0x40) == b"the end."
    assert dump.memory.is_readable(VA + 0xFFF)
    assert not dump.memory.is_readable(VA + 0xFFF, 2)
    with pytest.raises(ReadError) as caught:
        dump.memory.read(VA + 0xFF8, 0x40)
    assert caught.value.address == VA + 0x1000


def test_five_levels_are_found_out_by_what_translates() -> None:
    machine = server2019("x64-5")
    machine.page(MARK)[:8] = b"the page"
    high = 0xFF11000012340000
    machine.map(high, MARK)
    dump = x64(machine)
    memory: Any = dump.memory
    assert memory.paging.levels == 5
    assert len(dump.modules()) == 4
    assert dump.memory.read(high, 8) == b"the page"


@pytest.mark.parametrize(
    ("entry", "shift", "expected"),
    [
        (MARK << 12 | 0x63, 12, (12, True, True, True)),
        (MARK << 12 | 0x61, 12, (12, True, False, True)),
        (1 << 63 | MARK << 12 | 0x63, 12, (12, True, True, False)),
        (0x200000 | 0xE3, 21, (21, True, True, True)),
        (1 << 63 | 0x40000000 | 0xE1, 30, (30, True, False, False)),
        (1 << 37, 12, (12, False, False, False)),
        (0, 30, (30, False, False, False)),
    ],
)
def test_the_deciding_entry_tells_what_an_address_allows(
    machine: Machine, entry: int, shift: int, expected: tuple[int, bool, bool, bool]
) -> None:
    machine.set_entry(VA, entry, shift)
    memory = x64(machine).memory
    assert isinstance(memory, VirtualMemory)
    assert isinstance(memory.paging, X64Paging)
    mapping = memory.paging.mapping(VA)
    assert mapping.entry == entry
    assert mapping[1:] == expected


def test_an_address_that_is_none_has_no_deciding_entry(machine: Machine) -> None:
    memory = x64(machine).memory
    assert isinstance(memory, VirtualMemory)
    assert isinstance(memory.paging, X64Paging)
    with pytest.raises(ReadError, match="not a canonical address"):
        memory.paging.mapping(0x8000000000000000)


AP_READ_ONLY, PXN = 1 << 7, 1 << 53


@pytest.mark.parametrize(
    ("entry", "shift", "expected"),
    [
        (MARK << 12 | 0x403, 12, (12, True, True, True)),
        (MARK << 12 | 0x403 | AP_READ_ONLY, 12, (12, True, False, True)),
        # Read-only until the first write: the processor (DBM) or Windows may write all the same.
        (1 << 51 | MARK << 12 | 0x403 | AP_READ_ONLY, 12, (12, True, True, True)),
        (1 << 55 | MARK << 12 | 0x403 | AP_READ_ONLY, 12, (12, True, True, True)),
        (PXN | MARK << 12 | 0x403, 12, (12, True, True, False)),
        (PXN | 0x600000 | 0x401 | AP_READ_ONLY, 21, (21, True, False, False)),
        (0x40000000 | 0x401, 30, (30, True, True, True)),
        (MARK << 12 | 0x401, 12, (12, False, False, False)),  # the reserved form
        (1 << 37, 12, (12, False, False, False)),
        (0, 39, (39, False, False, False)),
    ],
)
def test_the_deciding_entry_of_arm64_tells_what_an_address_allows(
    entry: int, shift: int, expected: tuple[int, bool, bool, bool]
) -> None:
    machine = server2019("arm64")
    address = VA if shift != 39 else 0xFFFFC18BE0000000
    machine.set_entry(address, entry, shift)
    assert mapping_of(machine, header64(6, cr3=machine.cr3 | 1, machine=0xAA64, build=22000), address) == (
        entry,
        *expected,
    )


@pytest.mark.parametrize(("bit", "expected"), [(62, (True, False, True)), (59, (True, True, False))])
def test_a_table_of_arm64_forbids_for_all_that_lies_below_it(bit: int, expected: tuple[bool, bool, bool]) -> None:
    machine = server2019("arm64")
    machine.map(VA, MARK)
    page, at, _ = machine.entry(VA, 21)
    table = int.from_bytes(machine.page(page)[at : at + 8], "little")
    machine.set_entry(VA, table | 1 << bit, 21)
    header = header64(6, cr3=machine.cr3 | 1, machine=0xAA64, build=22000)
    assert mapping_of(machine, header, VA)[2:] == expected


@pytest.mark.parametrize(
    ("kind", "entry", "shift", "expected"),
    [
        ("pae", MARK << 12 | 0x63, 12, (12, True, True, True)),
        ("pae", MARK << 12 | 0x61, 12, (12, True, False, True)),
        ("pae", 1 << 63 | MARK << 12 | 0x63, 12, (12, True, True, False)),
        ("pae", 1 << 63 | 0x600000 | 0xE1, 21, (21, True, False, False)),
        ("pae", 1 << 35, 12, (12, False, False, False)),
        ("pae", 0, 30, (30, False, False, False)),
        ("x86", MARK << 12 | 0x63, 12, (12, True, True, True)),
        ("x86", MARK << 12 | 0x61, 12, (12, True, False, True)),
        ("x86", 0x400000 | 0xE1, 22, (22, True, False, True)),
        ("x86", 1 << 28, 12, (12, False, False, False)),
        ("x86", 0, 22, (22, False, False, False)),
    ],
)
def test_the_deciding_entry_of_x86_tells_what_an_address_allows(
    kind: str, entry: int, shift: int, expected: tuple[int, bool, bool, bool]
) -> None:
    machine = windows7_x86(kind)
    address = 0x40000000 if shift == 30 else 0xA6000000
    machine.set_entry(address, entry, shift)
    header = header32(5, cr3=machine.cr3, pae=int(kind == "pae"), kdbg=KDBG32, modules=LIST32)
    assert mapping_of(machine, header, address) == (entry, *expected)


def mapping_of(machine: Machine, header: bytearray, address: int) -> tuple[int, int, bool, bool, bool]:
    memory = open_dump(BytesSource(bitmap_dump(header, machine.pages))).memory
    assert isinstance(memory, VirtualMemory)
    return tuple(memory.paging.mapping(address))


@pytest.mark.parametrize("kind", ["x86", "pae"])
def test_an_address_beyond_32_bits_has_no_deciding_entry_on_x86(kind: str) -> None:
    machine = windows7_x86(kind)
    header = header32(5, cr3=machine.cr3, pae=int(kind == "pae"), kdbg=KDBG32, modules=LIST32)
    with pytest.raises(ReadError, match="not a 32-bit address"):
        mapping_of(machine, header, 1 << 32)


def test_arm64_pages_and_blocks() -> None:
    machine = server2019("arm64")
    machine.page(MARK)[:8] = b"the page"
    machine.set_entry(VA, MARK << 12 | 1 << 11)
    machine.set_entry(VA + 0x200000, 0x600000 | 0x401, 21)
    machine.set_entry(VA + 0x1000, MARK << 12 | 0x401)
    header = header64(6, cr3=machine.cr3 | 1 | 0x12 << 48, machine=0xAA64, build=22000)
    dump = open_dump(BytesSource(bitmap_dump(header, machine.pages)))
    assert dump.machine == "arm64"
    assert dump.modules()[0].name == "ntoskrnl.exe"
    assert dump.memory.read(VA, 8) == b"the page"
    assert dump.memory.read(VA + 0x200000 + 0x177000, 8) == b"the page"
    with pytest.raises(ReadError, match="reserved form"):
        dump.memory.read(VA + 0x1000, 8)


def test_arm64_pages_that_are_not_in_memory_say_why() -> None:
    machine = server2019("arm64")
    machine.set_entry(VA, 0x1234 << 32 | 2 << 12 | 0x84)
    machine.set_entry(VA + 0x1000, 0x80)
    machine.set_entry(VA + 0x2000, 0)
    header = header64(6, cr3=machine.cr3, machine=0xAA64, build=22000)
    memory = open_dump(BytesSource(bitmap_dump(header, machine.pages))).memory
    for place, why in (
        (0, r"paged out \(page file 2\)"),
        (0x1000, r"not present \(demand zero\)"),
        (0x2000, "not present$"),
    ):
        with pytest.raises(ReadError, match=why):
            memory.read(VA + place, 4)


def test_a_prototype_entry_of_arm64_is_followed_to_the_shared_page() -> None:
    machine, shared = server2019("arm64"), 0xFFFF8A0012345678
    machine.page(MARK)[:8] = b"the page"
    machine.set_entry(VA, (shared & 0xFFFFFFFFFFFF) << 16 | 1 << 10)
    header = header64(6, cr3=machine.cr3, machine=0xAA64, build=22000)
    for entry in (MARK << 12 | 0x403, MARK << 12 | 1 << 11 | 0x90):
        machine.put(shared, entry.to_bytes(8, "little"))
        assert open_dump(BytesSource(bitmap_dump(header, machine.pages))).memory.read(VA, 8) == b"the page"


KDBG32, LIST32, BASE32 = 0x82B4AC30, 0x82B6B810, 0x82A1A000


def windows7_x86(kind: str) -> Machine:
    from tests.parsers.dump.builder import Module

    machine = Machine(kind, cr3=0x1AA000 if kind == "x86" else 0x1AA020)
    modules = [Module("ntoskrnl.exe", BASE32, 0x412000, 0, 0x3C1234), Module("driver.sys", 0x8D0F0000, 0x9000, 0, 0x99)]
    machine.put_modules(LIST32, 0x85000100, modules, 0x85100000)
    machine.put_kdbg(KDBG32, {0x18: (8, 0xFFFFFFFF00000000 | BASE32), 0x48: (8, 0xFFFFFFFF00000000 | LIST32)}, 0x340)
    header = bytearray(0x400)
    header[:2], header[0x3C] = b"MZ", 0x80
    header[0x80:0x84] = b"PE\0\0"
    header[0x88:0x8C] = (0x4CE78A09).to_bytes(4, "little")
    header[0xD8:0xDC] = (0xABCDE).to_bytes(4, "little")
    machine.put(0x8D0F0000, bytes(header))
    machine.page(MARK)[:8] = b"the page"
    machine.map(0x86000000, MARK)
    return machine


@pytest.mark.parametrize("kind", ["x86", "pae"])
@pytest.mark.parametrize("claimed", ["right", "wrong"])
@pytest.mark.parametrize("dump_type", [1, 2, 5])
def test_x86_with_and_without_pae_whatever_the_header_says(kind: str, claimed: str, dump_type: int) -> None:
    machine = windows7_x86(kind)
    large = 0x600000 if kind == "pae" else 0x400000
    machine.set_entry(0xC0000000, large | 0xE3, 21 if kind == "pae" else 22)
    pae = (kind == "pae") == (claimed == "right")
    runs = runs_of(machine.pages)
    header = header32(dump_type, cr3=machine.cr3, pae=int(pae), kdbg=KDBG32, modules=LIST32, runs=runs)
    write = {1: full_dump, 2: summary_dump, 5: bitmap_dump}[dump_type]
    dump = open_dump(BytesSource(write(header, machine.pages)))
    assert (dump.machine, dump.pointer_size, dump.complete) == ("x86", 4, True)
    assert dump.diagnostics.items == []
    assert dump.header.bug_check_code == 0x8E
    assert dump.header.bug_check_parameters == (0xC0000005, 0x82A41234, 0x8D0F1B20, 0)
    assert (dump.header.system_up_time, dump.header.system_time) == (0x23BC1E9, 0x01CC1E72A3B4C5D6)
    assert dump.kdbg is not None
    assert dump.kdbg.kern_base == BASE32
    assert dump.kdbg.value("PsLoadedModuleList") == LIST32
    assert [(m.name, m.base, m.size_of_image) for m in dump.modules()] == [
        ("ntoskrnl.exe", BASE32, 0x412000),
        ("driver.sys", 0x8D0F0000, 0x9000),
    ]
    # The driver's header page is in the dump and is believed; the kernel's is not.
    assert (dump.modules()[1].timestamp, dump.modules()[1].checksum) == (0x4CE78A09, 0xABCDE)
    assert (dump.modules()[0].timestamp, dump.modules()[0].checksum) == (0, 0x3C1234)
    assert dump.memory.read(0x86000000, 8) == b"the page"
    assert dump.memory.read(0xC0000000 + MARK * 0x1000 - large, 8) == b"the page"
    with pytest.raises(ReadError, match="not present"):
        dump.memory.read(0x10000, 1)
    assert len(dump.context()) == 0x2CC


def x86(machine: Machine, build: int = 7601) -> Dump:
    pae = int(machine.kind == "pae")
    header = header32(5, cr3=machine.cr3, pae=pae, kdbg=KDBG32, modules=LIST32, build=build)
    return open_dump(BytesSource(bitmap_dump(header, machine.pages)))


@pytest.mark.parametrize("kind", ["x86", "pae"])
def test_x86_pages_in_transition_and_in_the_page_file(kind: str) -> None:
    machine, high = windows7_x86(kind), 32 if kind == "pae" else 12
    machine.set_entry(0x86000000, MARK << 12 | 1 << 11 | 0x80)
    machine.set_entry(0x86001000, 0x1234 << high | 1 << 1 | 0x80)
    machine.set_entry(0x86002000, 0x80)
    machine.set_entry(0x86003000, 0)
    memory = x86(machine).memory
    assert memory.read(0x86000000, 8) == b"the page"
    for va, why in (
        (0x86001000, r"paged out \(page file 1\)"),
        (0x86002000, r"not present \(demand zero\)"),
        (0x86003000, "not present$"),
    ):
        with pytest.raises(ReadError, match=why):
            memory.read(va, 4)


def test_a_prototype_entry_of_pae_is_followed_and_one_without_pae_is_told() -> None:
    machine, shared = windows7_x86("pae"), 0x8A012348
    machine.set_entry(0x86000000, shared << 32 | 1 << 10)
    for entry in (MARK << 12 | 0x63, MARK << 12 | 1 << 11 | 0x80):
        machine.put(shared, entry.to_bytes(8, "little"))
        assert x86(machine).memory.read(0x86000000, 8) == b"the page"
    machine.put(shared, (0x55 << 32 | 0x82).to_bytes(8, "little"))
    with pytest.raises(ReadError, match=r"paged out \(page file 1\)"):
        x86(machine).memory.read(0x86000000, 8)
    machine.set_entry(0x86000000, 0x86000000 << 32 | 1 << 10)
    with pytest.raises(ReadError):
        x86(machine).memory.read(0x86000000, 8)
    plain = windows7_x86("x86")
    plain.set_entry(0x86000000, 0x1234 << 12 | 1 << 10)
    with pytest.raises(ReadError, match=r"not present \(prototype entry\)"):
        x86(plain).memory.read(0x86000000, 8)


@pytest.mark.parametrize("options", [{"machine": 0x200}, {"machine": 0x1234}, {"cr3": 0x4547415045474150}])
def test_a_machine_whose_page_tables_are_not_walked_still_gives_its_pages(
    machine: Machine, options: dict[str, int]
) -> None:
    header = header64(6, **{"cr3": machine.cr3, **options})
    dump = open_dump(BytesSource(bitmap_dump(header, machine.pages)))
    assert "dump.no-translation" in {item.code for item in dump.diagnostics.items}
    assert dump.physical is not None
    assert dump.physical.read(MARK << 12, 8) == b"the page"
    assert dump.modules() == []
    with pytest.raises(ReadError, match="page table not in the dump"):
        dump.memory.read(KDBG, 4)


def test_page_tables_that_lead_nowhere_are_told(machine: Machine) -> None:
    dump = open_dump(BytesSource(bitmap_dump(header64(6, cr3=0x5000), machine.pages)))
    assert [item.code for item in dump.diagnostics.items] == ["dump.kernel-not-mapped"]
    assert dump.modules() == []
    with pytest.raises(ReadError, match="page table not in the dump"):
        dump.memory.read(KDBG, 4)
    with pytest.raises(ReadError, match="page table not in the dump"):
        dump.memory.read(MODULE_LIST, 4)
