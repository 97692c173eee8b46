"""What a page-table entry allows, by a processor that walks it: unicorn's MMU reads, writes and fetches through it."""

from __future__ import annotations

from itertools import product

import pytest
import unicorn
from unicorn import x86_const as ux

from parsers.bytesource import BytesSource
from parsers.dump.open import open_dump
from parsers.dump.virtual import VirtualMemory
from tests.parsers.dump.builder import KDBG, NT, Machine, bitmap_dump, header32, header64, server2019

MARK, LARGE = 0x777, 0x800
#: mov eax, [ecx]; mov [ecx], eax; jmp ecx (of x64 the same bytes take rcx).
ACCESSES = {"read": b"\x8b\x01", "write": b"\x89\x01", "execute": b"\xff\xe1"}
_WRITABLE, _NX = 2, 1 << 63
#: Places whose tables hold nothing else.
PLACE = {"x64": 0xFFFFC18BE0000000, "pae": 0xA6000000, "x86": 0xA6000000}
CODE = {"x64": NT + 0x1000, "pae": 0x82A1B000, "x86": 0x82A1B000}


def refused(machine: Machine, how: str) -> bool:
    """Let the processor make one access in kernel mode; tell whether it raised a page fault."""
    kind, code, place = machine.kind, CODE[machine.kind], PLACE[machine.kind]
    machine.put(code, ACCESSES[how])
    uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64 if kind == "x64" else unicorn.UC_MODE_32)
    uc.ctl_set_tlb_mode(unicorn.UC_TLB_CPU)
    for number, page in machine.pages.items():
        uc.mem_map(number << 12, 0x1000)
        uc.mem_write(number << 12, bytes(page))
    # EFER: NXE, and long mode on x64. CR4: PAE, PSE. CR0: paging, write protection of the kernel too.
    uc.msr_write(0xC0000080, 1 << 11 | (0x500 if kind == "x64" else 0))
    uc.reg_write(ux.UC_X86_REG_CR4, (0 if kind == "x86" else 1 << 5) | 1 << 4)
    uc.reg_write(ux.UC_X86_REG_CR3, machine.cr3)
    uc.reg_write(ux.UC_X86_REG_CR0, 0x80010011)
    uc.reg_write(ux.UC_X86_REG_RCX if kind == "x64" else ux.UC_X86_REG_ECX, place)
    raised: list[int] = []
    uc.hook_add(unicorn.UC_HOOK_INTR, lambda emulator, number, _data: (raised.append(number), emulator.emu_stop()))
    uc.emu_start(code, code + 0x10, count=2 if how == "execute" else 1)
    assert raised in ([], [14])
    return bool(raised)


def machine_of(kind: str) -> Machine:
    if kind == "x64":
        machine = server2019()
    else:
        machine = Machine(kind, cr3=0x1AA000 if kind == "x86" else 0x1AA020)
        machine.put_kdbg(0x82B4AC30, {0x18: (8, 0xFFFFFFFF82A1A000)}, 0x340)
    for number in (MARK, LARGE):
        machine.page(number)[:] = b"\x90" * 0x1000
    return machine


def told(machine: Machine) -> dict[str, bool]:
    """What the reader says that the processor must refuse."""
    if machine.kind == "x64":
        header = header64(5, cr3=machine.cr3, kdbg=KDBG)
    else:
        header = header32(5, cr3=machine.cr3, pae=int(machine.kind == "pae"), kdbg=0x82B4AC30, modules=0)
    memory = open_dump(BytesSource(bitmap_dump(header, machine.pages))).memory
    assert isinstance(memory, VirtualMemory)
    found = memory.paging.mapping(PLACE[machine.kind])
    return {"read": not found.valid, "write": not found.writable, "execute": not found.executable}


def entries(kind: str) -> list[tuple[int, int]]:
    """Pairs of (rights of the page's table, entry of the page): each allowed and not, and some that are not valid."""
    no_execute = (0,) if kind == "x86" else (0, _NX)
    pairs = [
        (upper_write | upper_nx, MARK << 12 | 0x61 | write | nx)
        for upper_write, upper_nx, write, nx in product((0, _WRITABLE), no_execute, (0, _WRITABLE), no_execute)
    ]
    return [*pairs, (_WRITABLE, 0), (_WRITABLE, 1 << 28), (_WRITABLE, MARK << 12 | 0x862)]


@pytest.mark.parametrize(("kind", "upper", "entry"), [(kind, *pair) for kind in PLACE for pair in entries(kind)])
def test_the_processor_refuses_what_the_deciding_entry_does_not_allow(kind: str, upper: int, entry: int) -> None:
    machine, place = machine_of(kind), PLACE[kind]
    machine.set_entry(place, entry)
    directory = 22 if kind == "x86" else 21
    page, at, width = machine.entry(place, directory)
    table = int.from_bytes(machine.page(page)[at : at + width], "little") & 0x000FFFFFFFFFF000 & (1 << 8 * width) - 1
    machine.set_entry(place, table | 0x21 | upper, directory)
    assert {how: refused(machine, how) for how in ACCESSES} == told(machine)


@pytest.mark.parametrize("write", [0, _WRITABLE])
@pytest.mark.parametrize("kind", PLACE)
def test_a_large_page_has_the_rights_of_its_own_entry(kind: str, write: int) -> None:
    machine = machine_of(kind)
    machine.set_entry(PLACE[kind], LARGE << 12 | 0xE1 | write, 22 if kind == "x86" else 21)
    assert {how: refused(machine, how) for how in ACCESSES} == told(machine)
    assert told(machine)["write"] is not bool(write)
