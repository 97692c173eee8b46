"""Faults of x86: page tables with and without PAE, and where the instruction pointer lies, without a function table."""

from __future__ import annotations

import struct

import pytest

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from tests.parsers.dump.builder import Machine, Module, bitmap_dump, header32

KDBG, LIST, NT, DRIVER = 0x82B4AC30, 0x82B6B810, 0x82A1A000, 0x8D0F0000
RECORD, CONTEXT, STACK = 0x8D200000, 0x8D201000, 0x8D1F1C00
PLACE = DRIVER + 0x1000
#: mov [edx + 0x10], eax
STORE = bytes.fromhex("894210")
WILD = 0xA1234030
PAGE = WILD + 0x10 & -0x1000
#: An export at RVA 0x1100: mov eax, [esp+4]; je +5; mov ecx, 0x11223344; test eax, eax; ret
EXPORT = 0x1100
CODE = bytes.fromhex("8b442404 7405 b944332211 85c0 c3".replace(" ", ""))


def image() -> bytes:
    """A driver with code up to RVA 0x4000 and one export, as it lies in memory."""
    data = bytearray(0x5000)
    data[:2], data[0x3C] = b"MZ", 0x80
    struct.pack_into("<4sHHIIIHH", data, 0x80, b"PE\0\0", 0x14C, 2, 0x55667788, 0, 0, 0xE0, 0x2102)
    struct.pack_into("<H", data, 0x98, 0x10B)
    struct.pack_into("<II", data, 0x98 + 32, 0x1000, 0x200)
    struct.pack_into("<II", data, 0x98 + 56, 0x5000, 0x400)
    struct.pack_into("<I", data, 0x98 + 92, 16)
    struct.pack_into("<II", data, 0x98 + 96, 0x4000, 0x80)
    for at, name, begin, size, kind in (
        (0, b".text", 0x1000, 0x3000, 0x60000020),
        (1, b".rdata", 0x4000, 0x1000, 0x40000040),
    ):
        struct.pack_into("<8sIIII12xI", data, 0x178 + 40 * at, name, size, begin, size, 0x400, kind)
    struct.pack_into("<IIHHIIIIIII", data, 0x4000, 0, 0, 0, 0, 0x4060, 1, 1, 1, 0x4030, 0x4034, 0x4038)
    struct.pack_into("<IIH", data, 0x4030, EXPORT, 0x4050, 0)
    data[0x4050:0x4056] = b"OddDo\0"
    data[0x4060:0x4068] = b"odd.sys\0"
    data[0x1000 : 0x1000 + len(STORE)] = STORE
    data[EXPORT : EXPORT + len(CODE)] = CODE
    return bytes(data)


def machine_x86(kind: str) -> Machine:
    machine = Machine(kind, cr3=0x1AA000 if kind == "x86" else 0x1AA020)
    modules = [Module("ntoskrnl.exe", NT, 0x412000, 0, 0x3C1234), Module("odd.sys", DRIVER, 0x5000, 0x55667788, 0x99)]
    machine.put_modules(LIST, 0x85000100, modules, 0x85100000)
    machine.put_kdbg(KDBG, {0x18: (8, 0xFFFFFFFF00000000 | NT), 0x48: (8, 0xFFFFFFFF00000000 | LIST)}, 0x340)
    machine.put(DRIVER, image())
    machine.put(STACK, bytes(0x400))
    return machine


def crash_x86(
    machine: Machine, kind: int, address: int, *, eip: int = PLACE, code: int = 0xC0000005, edx: int = WILD
) -> CrashDict:
    record = struct.pack("<IIIII", code, 0, 0, eip, 2) + struct.pack("<II", kind, address)
    machine.put(RECORD, record.ljust(0x50, b"\0"))
    context = bytearray(0x2CC)
    struct.pack_into("<I", context, 0, 0x1003F)
    struct.pack_into("<I", context, 0xA8, edx)
    struct.pack_into("<5I", context, 0xB8, eip, 8, 0x10246, STACK + 0x10, 0x10)
    machine.put(CONTEXT, bytes(context))
    header = header32(5, cr3=machine.cr3, pae=int(machine.kind == "pae"), kdbg=KDBG, modules=LIST, esp=STACK)
    struct.pack_into("<5I", header, 0x28, 0x7E, code, eip, RECORD, CONTEXT)
    return analyse(BytesSource(bitmap_dump(header, machine.pages)), path="x86.dmp", diagnostics=Diagnostics())


def accused(crash: CrashDict) -> tuple[str, str | None, str]:
    culprit = crash["culprit"]
    return culprit["kind"], culprit["module"], culprit["confidence"]


# -- page tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "bit"), [("x86", 28), ("pae", 34)])
def test_a_page_table_entry_with_one_bit_set_is_told(kind: str, bit: int) -> None:
    machine = machine_x86(kind)
    machine.set_entry(PAGE, 1 << bit)
    crash = crash_x86(machine, 1, WILD + 0x10)
    assert accused(crash) == ("hardware", None, "low")
    assert crash["flipped_bits"][0]["bit"] == bit


@pytest.mark.parametrize("kind", ["x86", "pae"])
def test_what_the_page_tables_say_explains_the_fault_or_doubts_it(kind: str) -> None:
    machine = machine_x86(kind)
    crash = crash_x86(machine, 1, WILD + 0x10)
    assert accused(crash) == ("driver", "odd.sys", "high")
    assert any("not present" in line for line in crash["fit"]["agrees"])
    machine.set_entry(PAGE, 0x210 << 12 | 0x61)
    fit = crash_x86(machine, 1, WILD + 0x10)["fit"]
    assert any("do not allow it to be written" in line for line in fit["agrees"])
    machine.set_entry(PAGE, 0x210 << 12 | 0x63)
    fit = crash_x86(machine, 1, WILD + 0x10)["fit"]
    assert any("map" in line and "written" in line for line in fit["doubts"])


def test_a_page_beyond_the_memory_by_one_bit_is_told_with_pae() -> None:
    machine = machine_x86("pae")
    machine.set_entry(PAGE, 1 << 34 | 0x210 << 12 | 0x63)
    assert "without bit 34 it names page 0x210" in crash_x86(machine, 1, WILD + 0x10)["culprit"]["because"][0]


@pytest.mark.parametrize("bit", [24, 26, 28])
def test_a_pointer_one_bit_from_memory_proves_nothing_in_so_full_a_space(bit: int) -> None:
    machine = machine_x86("pae")
    machine.put(0x90000000, bytes(0x100))
    pointer = 0x90000000 ^ 1 << bit
    crash = crash_x86(machine, 1, pointer + 0x10, edx=pointer)
    assert accused(crash)[1] == "odd.sys"
    assert "flipped_bits" not in crash


def test_a_protection_fault_of_what_can_cause_none_accuses_the_machine() -> None:
    machine = machine_x86("x86")
    machine.put(PLACE, bytes.fromhex("89c8"))
    crash = crash_x86(machine, 0, 0xFFFFFFFF)
    assert accused(crash) == ("hardware", None, "medium")
    assert "can cause none" in crash["culprit"]["because"][0]


# -- the instruction pointer ----------------------------------------------------------------------------------------


def at(eip: int, *, word: int = 0, code: dict[int, bytes] | None = None) -> CrashDict:
    """An illegal instruction or a breakpoint at this place, with this word at the stack pointer."""
    machine = machine_x86("x86")
    machine.put(STACK + 0x10, struct.pack("<I", word))
    for address, data in (code or {}).items():
        machine.put(address, data)
    return crash_x86(machine, 0, 0, eip=eip, code=0xC000001D)


def call(site: int, target: int) -> dict[int, bytes]:
    """A direct call that ends at `site`."""
    return {site - 5: b"\xe8" + struct.pack("<i", target - site)}


@pytest.mark.parametrize("bit", [18, 25, 30])
def test_a_processor_that_went_one_bit_beside_the_call_s_target_is_told(bit: int) -> None:
    site = DRIVER + 0x2005
    crash = at(DRIVER + EXPORT ^ 1 << bit, word=site, code=call(site, DRIVER + EXPORT))
    assert accused(crash) == ("hardware", None, "medium")
    assert f"([ESP]) goes to odd.sys+{EXPORT:#x}" in crash["culprit"]["because"][0]
    assert crash["flipped_bits"][0]["bit"] == bit


def test_in_the_same_module_a_called_function_may_have_led_on() -> None:
    site = DRIVER + 0x2005
    crash = at(DRIVER + EXPORT ^ 1 << 13, word=site, code=call(site, DRIVER + EXPORT))
    assert crash["fit"]["misfits"] == []


def test_a_pointer_in_no_module_one_bit_from_an_export_is_low() -> None:
    # call eax: where it went no instruction tells.
    crash = at(DRIVER + EXPORT ^ 1 << 25, word=DRIVER + 0x2002, code={DRIVER + 0x2000: b"\xff\xd0"})
    assert accused(crash) == ("hardware", None, "low")
    assert (
        f"one bit (25) beside odd.sys+{EXPORT:#x}, where a function begins; [ESP] is" in crash["culprit"]["because"][0]
    )
    assert at(DRIVER + EXPORT + 4 ^ 1 << 25, word=DRIVER + 0x2002)["fit"]["misfits"] == []


@pytest.mark.parametrize(
    ("offset", "told"),
    [
        (0, False),
        (1, True),
        (2, True),
        (4, False),
        (5, True),
        (6, False),
        (8, True),
        (11, False),
        (12, True),
        (13, False),
    ],
)
def test_the_middle_of_an_exported_instruction_is_told(offset: int, told: bool) -> None:
    crash = at(DRIVER + EXPORT + offset)
    assert any("from the first byte of the export OddDo" in text for text in crash["fit"]["misfits"]) is told
    if told:
        assert accused(crash) == ("hardware", None, "low")


@pytest.mark.parametrize("offset", [14, 15, 0x40])
def test_behind_the_export_s_end_nothing_is_known(offset: int) -> None:
    assert at(DRIVER + EXPORT + offset)["fit"]["misfits"] == []


@pytest.mark.parametrize(
    ("eip", "told"),
    [(0x220A, True), (0x220F, False), (0x2208, False), (0x2207, False)],
)
def test_padding_is_told_only_behind_its_first_byte(eip: int, told: bool) -> None:
    # nop; then int3 from 0x2208 up to the boundary. The first may be one that a program meant.
    crash = at(DRIVER + eip, code={DRIVER + 0x2200: b"\x90" * 8 + b"\xcc" * 8 + b"\x90"})
    assert any("lies in the padding between functions" in text for text in crash["fit"]["misfits"]) is told
