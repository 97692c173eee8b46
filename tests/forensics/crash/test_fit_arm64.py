"""Faults of ARM64: what page tables, single bits, the trap's own reason and the instruction pointer say of them."""

from __future__ import annotations

import struct

import pytest

from forensics.facts import CrashDict
from tests.forensics.crash.arm64 import (
    DRIVER,
    NT,
    PLACE,
    RECORDS,
    RSP,
    context_arm64,
    crash_arm64,
    machine_arm64,
    trap_frame_arm64,
)
from tests.parsers.dump.builder import Machine

WILD = 0xFFFFA00112340030
TOUCHED = WILD + 0x10
PAGE = TOUCHED & -0x1000
FRAME = RSP + 0x200 & -16
POOL = 0xFFFFC08BDF000000
#: Writes by default: a translation fault at level 3.
WRITE, READ, PERMISSION = 0x96000047, 0x96000007, 0x9600004F


def fault(machine: Machine, *, pointer: int = WILD, esr: int = WRITE, kind: int = 1, **changes: int) -> CrashDict:
    """0xD1 at the driver's store, told by a trap frame on the stack."""
    touched = pointer + 0x10
    machine.put(
        FRAME, trap_frame_arm64(PLACE, FRAME + 0x160, **{"esr": esr, "fault": touched, "x2": pointer, **changes})
    )
    return crash_arm64(machine, 0xD1, (touched, 2, kind, PLACE))


def accused(crash: CrashDict) -> tuple[str, str | None, str]:
    culprit = crash["culprit"]
    return culprit["kind"], culprit["module"], culprit["confidence"]


# -- page tables ----------------------------------------------------------------------------------------------------


def test_a_page_table_entry_with_one_bit_set_is_told() -> None:
    machine = machine_arm64()
    machine.set_entry(PAGE, 1 << 37)
    crash = fault(machine)
    assert accused(crash) == ("hardware", None, "low")
    assert "exactly one bit is set (37)" in crash["culprit"]["because"][0]
    assert crash["flipped_bits"][0]["bit"] == 37


def test_an_entry_that_one_bit_would_make_a_page_is_told() -> None:
    machine = machine_arm64()
    machine.set_entry(PAGE, 0x210 << 12 | 0x401)
    crash = fault(machine)
    assert accused(crash) == ("hardware", None, "low")
    assert "of the form that the architecture reserves; with bit 1 it maps page 0x210" in crash["culprit"]["because"][0]
    machine.set_entry(PAGE, 0x9999999 << 12 | 0x401)
    assert accused(fault(machine))[1] == "odd.sys"


def test_a_page_that_is_not_there_explains_the_fault() -> None:
    crash = fault(machine_arm64())
    assert accused(crash) == ("driver", "odd.sys", "high")
    assert f"the page tables say of {PAGE:#x}: not present" in crash["fit"]["agrees"]


@pytest.mark.parametrize(("flags", "allowed"), [(0x483, False), (1 << 55 | 0x483, True)])
def test_a_page_that_must_not_be_written_explains_a_write(flags: int, allowed: bool) -> None:
    machine = machine_arm64()
    machine.set_entry(PAGE, 0x210 << 12 | flags)
    fit = fault(machine, esr=PERMISSION)["fit"]
    assert any("do not allow it to be written" in line for line in fit["agrees"]) is not allowed
    assert any("allow it to be written: it was mapped after" in line for line in fit["doubts"]) is allowed


def test_a_page_beyond_the_memory_by_one_bit_is_told() -> None:
    machine = machine_arm64()
    machine.set_entry(PAGE, 1 << 40 | 0x210 << 12 | 0x403)
    crash = fault(machine)
    assert accused(crash) == ("hardware", None, "low")
    assert "without bit 40 it names page 0x210" in crash["culprit"]["because"][0]
    # Devices lie below 4 GiB, beside the memory of a small machine.
    machine.set_entry(PAGE, 1 << 31 | 0x210 << 12 | 0x403)
    assert accused(fault(machine))[1] == "odd.sys"


# -- pointers -------------------------------------------------------------------------------------------------------


def test_a_pointer_one_high_bit_from_memory_is_low() -> None:
    machine = machine_arm64()
    machine.put(POOL, bytes(0x100))
    crash = fault(machine, pointer=POOL ^ 1 << 38)
    assert accused(crash) == ("hardware", None, "low")
    assert crash["flipped_bits"][0]["bit"] == 38


@pytest.mark.parametrize("bit", [50, 54, 61])
def test_a_bit_above_the_address_may_be_a_failed_signature_and_accuses_nobody(bit: int) -> None:
    machine = machine_arm64()
    machine.put(POOL, bytes(0x100))
    crash = fault(machine, pointer=POOL ^ 1 << bit)
    assert accused(crash)[1] == "odd.sys"
    assert "flipped_bits" not in crash


# -- what the trap says ---------------------------------------------------------------------------------------------


def test_what_the_processor_says_of_the_access_is_told() -> None:
    fit = fault(machine_arm64())["fit"]
    assert fit["agrees"][-1] == "Esr of the trap frame reports the same kind of access (write) at the same address"
    fit = fault(machine_arm64(), esr=READ)["fit"]
    assert any("reports another kind of access (write)" in line for line in fit["doubts"])


@pytest.mark.parametrize("status", [0x18, 0x1D])
def test_a_parity_error_that_the_processor_reports_accuses_the_machine(status: int) -> None:
    crash = fault(machine_arm64(), esr=0x96000040 | status)
    assert accused(crash) == ("hardware", None, "medium")
    assert "parity or ECC error" in crash["culprit"]["because"][0]
    against = crash["culprit"]["against"]
    assert any(line.startswith("what fits: str x1") for line in against)
    assert not any("a driver that wrote over a pointer" in line for line in against)


def test_an_access_that_a_device_refused_is_not_held_against_the_page_tables() -> None:
    machine = machine_arm64()
    machine.set_entry(PAGE, 0x210 << 12 | 0x403)
    fit = fault(machine, esr=0x96000050)["fit"]
    assert any("external abort" in line and "a device, the bus" in line for line in fit["doubts"])
    assert not any("page tables in the dump map" in line for line in fit["doubts"])


def test_a_frame_with_another_address_may_be_older() -> None:
    fit = fault(machine_arm64(), fault=0x1234)["fit"]
    assert any("fault address (0x1234) is not the one" in line for line in fit["doubts"])


@pytest.mark.parametrize(("spsr", "agrees"), [(0x60000004, False), (0x60000084, True)])
def test_a_low_irql_is_doubted_unless_interrupts_were_disabled(spsr: int, agrees: bool) -> None:
    machine = machine_arm64()
    machine.put(FRAME, trap_frame_arm64(PLACE, FRAME + 0x160, fault=TOUCHED, x2=WILD, spsr=spsr))
    fit = crash_arm64(machine, 0xD1, (TOUCHED, 1, 1, PLACE))["fit"]
    assert any("interrupts were disabled at the fault (SPSR" in line for line in fit["agrees"]) is agrees
    assert any(line.endswith("below 2 the pager would have been asked") for line in fit["doubts"]) is not agrees


# -- the instruction pointer ----------------------------------------------------------------------------------------

#: Functions of the driver by RVA: 0x2000 calls 0x2100; 0x2400 is another; the rest is nobody's.
CALLER, CALLED, OTHER, SITE = 0x2000, 0x2100, 0x2400, 0x2014


def with_functions(machine: Machine) -> Machine:
    """A function table of packed words, each of a function of 0x40 bytes."""
    machine.put(RECORDS + 0x110, struct.pack("<QI", DRIVER + 0x5000, 24))
    word = 1 | 0x40 // 4 << 2 | 3 << 21 | 2 << 23
    rows = b"".join(struct.pack("<II", begin, word) for begin in (CALLER, CALLED, OTHER))
    machine.put(DRIVER + 0x5000, rows)
    machine.put(DRIVER + 0x2000, b"\x1f\x20\x03\xd5" * 0x200)
    machine.put(DRIVER + SITE - 4, struct.pack("<I", 0x94000000 | (CALLED - (SITE - 4)) >> 2 & 0x3FFFFFF))
    return machine


def at(machine: Machine, pc: int, lr: int) -> CrashDict:
    """0x3B with this pc and lr."""
    machine.put(POOL, context_arm64(pc, RSP & -16, lr=lr))
    return crash_arm64(machine, 0x3B, (0xC000001D, pc, POOL, 0))


@pytest.mark.parametrize("bit", [0, 1, 16, 33, 45])
def test_a_processor_that_went_one_bit_beside_the_call_s_target_is_told(bit: int) -> None:
    crash = at(with_functions(machine_arm64()), DRIVER + CALLED ^ 1 << bit, DRIVER + SITE)
    if bit < 2:
        # A leaf that moves on stays on the boundaries: only the pointer itself tells.
        assert accused(crash) == ("hardware", None, "low")
        assert f"one bit ({bit}) from a boundary of four bytes" in crash["culprit"]["because"][0]
    else:
        assert accused(crash) == ("hardware", None, "medium")
        assert f"(lr) goes to odd.sys+{CALLED:#x}" in crash["culprit"]["because"][0]
        assert crash["flipped_bits"][0]["bit"] == bit


def test_a_signed_return_address_tells_the_call_too() -> None:
    lr = DRIVER + SITE & (1 << 48) - 1 | 0x5A << 56 | 1 << 55
    assert (
        "one bit (33) beside it"
        in at(with_functions(machine_arm64()), DRIVER + CALLED ^ 1 << 33, lr)["fit"]["misfits"][0]
    )


@pytest.mark.parametrize("pc", [CALLED ^ 0x20, CALLER + 0x18, OTHER])
def test_where_the_program_may_have_gone_on_is_no_wrong_turn(pc: int) -> None:
    machine = with_functions(machine_arm64())
    if pc == CALLER + 0x18:
        # The call has returned, and its target is one bit from where the caller goes on.
        machine.put(DRIVER + SITE - 4, struct.pack("<I", 0x94000000 | ((CALLER + 0x1018) - (SITE - 4)) >> 2))
    crash = at(machine, DRIVER + pc, DRIVER + SITE)
    assert crash["fit"]["misfits"] == []


def test_without_a_function_table_nothing_in_the_module_is_a_wrong_turn() -> None:
    machine = with_functions(machine_arm64())
    machine.put(RECORDS + 0x110, bytes(12))
    assert at(machine, DRIVER + CALLED ^ 1 << 13, DRIVER + SITE)["fit"]["misfits"] == []


def test_a_pointer_in_no_module_one_bit_from_a_function_is_told() -> None:
    machine = with_functions(machine_arm64())
    # blr x8: where it went no instruction tells.
    machine.put(DRIVER + SITE - 4, struct.pack("<I", 0xD63F0100))
    crash = at(machine, DRIVER + OTHER ^ 1 << 40, DRIVER + SITE)
    assert accused(crash) == ("hardware", None, "medium")
    assert f"one bit (40) beside odd.sys+{OTHER:#x}, where a function begins; lr is" in crash["culprit"]["because"][0]
    # A failed check of a signed pointer leaves a bit above the address.
    assert at(machine, DRIVER + OTHER ^ 1 << 53, DRIVER + SITE)["fit"]["misfits"] == []


@pytest.mark.parametrize(("rest", "told"), [(1, True), (2, True), (3, False)])
def test_a_pointer_between_boundaries_needs_a_single_bit_or_is_left_open(rest: int, told: bool) -> None:
    crash = at(with_functions(machine_arm64()), DRIVER + OTHER + 4 + rest, NT + 0x1104)
    assert bool(crash["fit"]["misfits"]) is told


@pytest.mark.parametrize(
    ("pc", "fill", "told"),
    [
        (0x2144, b"\0" * 12, True),  # behind a function's end, which the unwind data tell
        (0x2144, b"\x1f\x20\x03\xd5" * 3, False),
        (0x2124, b"\0" * 12, False),  # inside a function
    ],
)
def test_padding_between_functions_is_told(pc: int, fill: bytes, told: bool) -> None:
    machine = with_functions(machine_arm64())
    machine.put(DRIVER + pc, fill)
    crash = at(machine, DRIVER + pc, NT + 0x1104)
    assert any("lies in the padding between functions" in text for text in crash["fit"]["misfits"]) is told
    if told:
        assert accused(crash) == ("hardware", None, "low")
