"""Which record holds the registers at the fault, bug check by bug check, as Microsoft's pages say."""

from __future__ import annotations

import struct

import pytest

from tests.forensics.crash.machines import (
    DRIVER_BASE,
    NT,
    POOL,
    RSP,
    STACK_TOP,
    context_x64,
    crash_of,
    server2019,
    trap_frame,
)

PLACE = DRIVER_BASE + 0x2222
TOUCHED = 0xFFFFC08B00001000
#: code -> (parameter that points to a CONTEXT, parameter that points to an EXCEPTION_RECORD or 0)
CONTEXTS = {
    0x7E: (4, 3), 0x3B: (3, 0), 0x23: (3, 2), 0x24: (3, 2), 0x26: (3, 2), 0x27: (3, 2), 0x9B: (3, 2), 0x12C: (3, 2),
    0x108: (3, 2), 0x3D: (2, 1), 0x10F: (2, 1), 0x135: (2, 0), 0x149: (3, 2), 0x18D: (4, 3), 0x1AA: (3, 4),
    0x1AB: (3, 0),
}  # fmt: skip
#: code -> parameter that points to a trap frame
TRAP_FRAMES = {0x8E: 3, 0xBE: 3, 0xFC: 3, 0x139: 2, 0x151: 2, 0x2B: 1, 0x30: 3, 0x7F: 2}
#: code -> (parameter with the instruction's address, parameter with the address touched or 0)
SEARCHED = {
    0x0A: (4, 1), 0xD1: (4, 1), 0xD4: (4, 1), 0x50: (3, 1), 0xCC: (3, 1), 0xCD: (3, 1), 0xD5: (3, 1), 0xD6: (3, 1),
    0x1E: (2, 0),
}  # fmt: skip


def parameters(**values: int) -> tuple[int, int, int, int]:
    found = [0, 0, 0, 0]
    for name, value in values.items():
        found[int(name[1:]) - 1] = value
    return found[0], found[1], found[2], found[3]


def exception_record(code: int, address: int, *information: int) -> bytes:
    data = struct.pack("<IIQQI4x", code, 0, 0, address, len(information)) + struct.pack("<15Q", *[0] * 15)
    return data[:0x20] + struct.pack(f"<{len(information)}Q", *information) + data[0x20 + 8 * len(information) :]


@pytest.mark.parametrize("code", sorted(CONTEXTS))
def test_the_context_and_the_record_that_parameters_point_to_are_read(code: int) -> None:
    context, record = CONTEXTS[code]
    machine = server2019()
    machine.put(POOL, context_x64(PLACE, RSP + 0x100, rdi=0x77))
    machine.put(POOL + 0x1000, exception_record(0xC0000005, PLACE, 0, TOUCHED))
    given = {f"p{context}": POOL, **({f"p{record}": POOL + 0x1000} if record else {})}
    crash = crash_of(machine, code, parameters(**given))
    assert crash["context"]["where"] == f"CONTEXT at parameter {context}, {POOL:#x}"
    assert (crash["context"]["fault"], crash["context"]["registers"]["rdi"]) == (True, "0x77")
    assert ("exception" in crash["context"]) == bool(record)
    if record:
        assert crash["context"]["exception"]["information"] == ["0x0", f"{TOUCHED:#x}"]
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "high")


@pytest.mark.parametrize("code", sorted(TRAP_FRAMES))
def test_the_trap_frame_that_a_parameter_points_to_is_read(code: int) -> None:
    number = TRAP_FRAMES[code]
    machine = server2019()
    # Not on the stack of the crash: only the parameter leads there.
    machine.put(POOL, trap_frame(PLACE, RSP + 0x300, rcx=0x77))
    given = {f"p{number}": POOL, **({"p1": 8} if code == 0x7F else {})}
    crash = crash_of(machine, code, parameters(**given))
    assert crash["context"]["where"] == f"trap frame at parameter {number}, {POOL:#x}"
    assert (crash["context"]["ip"], crash["context"]["registers"]["rcx"]) == (f"{PLACE:#x}", "0x77")
    assert crash["culprit"]["module"] == "vmstorfl.sys"


@pytest.mark.parametrize("code", sorted(SEARCHED))
def test_the_trap_frame_of_the_instruction_that_a_parameter_names_is_found_on_the_stack(code: int) -> None:
    ip, touched = SEARCHED[code]
    machine = server2019()
    machine.put(RSP + 0x20, trap_frame(NT + 0x5000, RSP + 0x20 + 0x190, fault=0x1234))
    machine.put(RSP + 0x1C0, trap_frame(PLACE, RSP + 0x1C0 + 0x190, fault=TOUCHED))
    given = {f"p{ip}": PLACE, **({f"p{touched}": TOUCHED} if touched else {})}
    crash = crash_of(machine, code, parameters(**given))
    assert (crash["context"]["origin"], crash["context"]["address"]) == ("trap-frame", f"{RSP + 0x1C0:#x}")
    assert crash["context"]["fault_address"] == f"{TOUCHED:#x}"


def test_the_exception_dispatchers_context_on_the_stack_serves_where_no_trap_frame_has_the_place() -> None:
    machine = server2019()
    machine.put(STACK_TOP - 0x600, context_x64(NT + 0x5000, STACK_TOP - 0x80, rdi=0x11))
    machine.put(STACK_TOP - 0xC00, context_x64(PLACE, STACK_TOP - 0x80, rdi=0x77))
    crash = crash_of(machine, 0x1E, (0xFFFFFFFFC0000005, PLACE, 0, 0x10), context=context_x64(NT, STACK_TOP - 0x1000))
    assert crash["context"]["where"] == f"CONTEXT found on the stack at {STACK_TOP - 0xC00:#x}"
    assert crash["context"]["registers"]["rdi"] == "0x77"
    assert crash["context"]["checks"][0].startswith("its instruction pointer is the address in parameter 2")


def test_a_store_exception_points_to_a_pair_of_pointers() -> None:
    machine = server2019()
    machine.put(POOL, struct.pack("<QQ", POOL + 0x1000, POOL + 0x2000))
    machine.put(POOL + 0x1000, exception_record(0xC0000006, PLACE, 0, TOUCHED, 0xC000009C))
    machine.put(POOL + 0x2000, context_x64(NT + 0x2222, RSP + 0x100, rdi=0x77))
    crash = crash_of(machine, 0x154, (POOL + 0x5000, POOL, 2, 0))
    assert (crash["context"]["ip"], crash["context"]["registers"]["rdi"]) == (f"{NT + 0x2222:#x}", "0x77")
    assert crash["context"]["exception"]["code"].startswith("0xc0000006 STATUS_IN_PAGE_ERROR")
    assert crash["culprit"]["module"] is None
    assert any("0xc000009c STATUS_DEVICE_DATA_ERROR" in line for line in crash["culprit"]["because"])


def test_the_hung_processor_of_0x102_is_that_of_parameter_2() -> None:
    machine = server2019()
    hung = 0xFFFFF80110A01180 - 0x100000
    machine.put(hung + 0x7000, context_x64(DRIVER_BASE + 0x4321, STACK_TOP - 0x200))
    crash = crash_of(machine, 0x102, (0x500, hung, 0, 0))
    assert "hung processor" in crash["context"]["where"]
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "medium")


def test_a_trap_frame_that_only_its_looks_speak_for_is_no_proof_against_a_driver() -> None:
    machine = server2019()
    machine.put(RSP + 0x1C0, trap_frame(PLACE, RSP + 0x1C0 + 0x190))
    culprit = crash_of(machine, 0x7F, (0xD, 0, 0, 0))["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("vmstorfl.sys", "medium")
    assert any("no parameter names the instruction" in line for line in culprit["against"])


def test_an_illegal_parameter_leads_nowhere() -> None:
    for code, (context, record) in CONTEXTS.items():
        given = {f"p{context}": 0x1234, **({f"p{record}": 0x5678} if record else {})}
        assert crash_of(server2019(), code, parameters(**given))["context"]["fault"] is False
