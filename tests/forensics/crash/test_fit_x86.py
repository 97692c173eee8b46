"""Faults of x86: page tables with and without PAE, and where the instruction pointer lies, without a function table."""

from __future__ import annotations

import struct

import pytest

from forensics.facts import CrashDict
from tests.forensics.crash.x86 import DRIVER, EXPORT, PAGE, PLACE, STACK, WILD, crash_x86, machine_x86


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
