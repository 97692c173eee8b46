"""The interrupt level that a bug check names, held against CR8 and the flags of the fault."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from forensics.facts import CrashDict
from tests.forensics.crash.machines import DRIVER_BASE, PRCB, RSP, crash_of, server2019, trap_frame

PLACE = DRIVER_BASE + 0x1000
WILD = 0xFFFFA00112340000
FRAME = RSP + 0x200 & -16


def fault(*, irql: int, cr8: int, flags: int = 0x10246) -> Any:
    machine = server2019()
    # mov qword ptr [rdx], rax
    machine.put(PLACE, bytes.fromhex("488902").ljust(0x20, b"\x90"))
    machine.put(PRCB + 0x100 + 0xA0, struct.pack("<Q", cr8))
    frame = bytearray(trap_frame(PLACE, FRAME + 0x190, fault=WILD, rdx=WILD))
    struct.pack_into("<I", frame, 0x178, flags)
    machine.put(FRAME, bytes(frame))
    crash: CrashDict = crash_of(machine, 0xD1, (WILD, irql, 1, PLACE))
    assert crash["context"]["origin"] == "trap-frame"
    return crash["fit"]


def test_cr8_that_is_the_level_reported_speaks_for_the_place() -> None:
    assert fault(irql=2, cr8=2)["agrees"][-1] == (
        "CR8 of the processor's block is 2 too: the interrupt level that parameter 2 gives"
    )


@pytest.mark.parametrize(("irql", "cr8"), [(2, 0), (2, 15), (0xFF, 0)])
def test_another_level_in_cr8_is_held_against_nobody(irql: int, cr8: int) -> None:
    fit = fault(irql=irql, cr8=cr8)
    assert not any("CR8" in line for line in fit["agrees"] + fit["doubts"] + fit["misfits"])
    assert fit["verdict"] == "fits"


@pytest.mark.parametrize(("flags", "doubted"), [(0x10246, True), (0x10046, False)])
def test_a_level_at_which_the_pager_works_is_doubted_unless_interrupts_were_disabled(flags: int, doubted: bool) -> None:
    fit = fault(irql=0, cr8=0, flags=flags)
    assert any(line.endswith("below 2 the pager would have been asked") for line in fit["doubts"]) is doubted
    assert (
        any("interrupts were disabled at the fault (EFlags 0x10046)" in line for line in fit["agrees"]) is not doubted
    )
