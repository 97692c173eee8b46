"""Trap frames of ARM64 and x86: named by a parameter, searched on the stack, met while a stack is walked."""

from __future__ import annotations

import struct

import pytest

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from tests.forensics.crash import x86
from tests.forensics.crash.arm64 import (
    NT,
    PLACE,
    RECORDS,
    RSP,
    context_arm64,
    crash_arm64,
    machine_arm64,
    trap_frame_arm64,
)
from tests.forensics.crash.machines import STACK_TOP
from tests.parsers.dump.builder import (
    Machine,
    Module,
    header32,
    triage_dump32,
)

WILD = 0xFFFFA00112340040
FRAME = RSP + 0x200 & -16
FASTFAIL = 0xF200F003


def frame(**changes: int) -> bytes:
    whole = {"pc": PLACE, "sp": FRAME + 0x160, "fault": WILD + 0x10, "x2": WILD, "x18": 0x18, "lr": NT + 0x1404}
    return trap_frame_arm64(**{**whole, **changes})


def test_the_trap_frame_with_the_named_instruction_is_found_on_an_arm64_stack() -> None:
    machine = machine_arm64()
    # An older one of the same place below: the address that was touched decides.
    machine.put(FRAME, frame())
    machine.put(FRAME - 0x170, frame(fault=0x1000))
    crash = crash_arm64(machine, 0xD1, (WILD + 0x10, 2, 1, PLACE))
    context = crash["context"]
    assert (context["origin"], context["address"], context["fault"]) == ("trap-frame", f"{FRAME:#x}", True)
    assert (context["ip"], context["sp"]) == (f"{PLACE:#x}", f"{FRAME + 0x160:#x}")
    assert (context["registers"]["x2"], context["registers"]["x18"]) == (f"{WILD:#x}", "0x18")
    assert "x19" not in context["registers"]
    assert context["fault_address"] == f"{WILD + 0x10:#x}"
    assert context["esr"] == {"value": "0x96000047", "means": "data abort, translation fault at level 3, a write"}
    assert any(check.startswith("Pc of the trap frame is the instruction") for check in context["checks"])
    assert (
        "Esr of the trap frame (0x96000047) tells why: data abort, translation fault at level 3, a write"
        in context["checks"]
    )
    assert crash["fit"]["verdict"] == "fits"
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("odd.sys", "high")


@pytest.mark.parametrize(
    "broken",
    [
        {"spsr": 0x60000000},  # of user mode
        {"spsr": 0x60000014},  # of AArch32
        {"spsr": 0x64000004},  # a reserved bit
        {"sp": FRAME + 0x158},  # not on a 16-byte boundary
        {"sp": 0x7FFFE0001000},  # of user mode
        {"active": 2},  # a system call's
        {"active": 0x81},
        {"esr": 0x92000047},  # a data abort from user mode
        {"pc": PLACE + 4},
    ],
    ids=str,
)
def test_what_cannot_be_the_trap_frame_is_not_believed(broken: dict[str, int]) -> None:
    machine = machine_arm64()
    machine.put(FRAME, frame(**broken))
    crash = crash_arm64(machine, 0xD1, (WILD + 0x10, 2, 1, PLACE))
    assert crash["context"]["fault"] is False
    assert any("registers at the fault are not in the dump" in gap for gap in crash["gaps"])


def test_a_trap_frame_that_a_parameter_names_is_read() -> None:
    machine = machine_arm64()
    machine.put(FRAME, frame(esr=FASTFAIL))
    context = crash_arm64(machine, 0x139, (2, FRAME, 0, 0))["context"]
    assert context["where"] == f"trap frame at parameter 2, {FRAME:#x}"
    assert context["registers"]["lr"] == f"{NT + 0x1404:#x}"


@pytest.mark.parametrize(
    ("code", "parameters", "changes", "found"),
    [
        (0x139, (2, 0, 0, 0), {"esr": FASTFAIL}, True),
        (0x139, (2, 0, 0, 0), {"esr": 0xF200F000}, False),  # a breakpoint of another kind
        (0xBE, (WILD + 0x10, 0, 0, 0), {"esr": 0x9600004F}, True),
        (0xBE, (WILD + 0x10, 0, 0, 0), {"esr": 0x9600000F}, False),  # a read
        (0xBE, (WILD + 0x18, 0, 0, 0), {"esr": 0x9600004F}, False),
        (0xFC, (WILD, 0, 0, 0), {"esr": 0x8600000F, "pc": WILD, "fault": WILD}, True),
        (0xFC, (WILD, 0, 0, 0), {"esr": 0x9600000F, "pc": WILD, "fault": WILD}, False),
    ],
)
def test_without_a_named_instruction_the_reason_must_be_the_bug_check_s(
    code: int, parameters: tuple[int, int, int, int], changes: dict[str, int], found: bool
) -> None:
    machine = machine_arm64()
    machine.put(FRAME, frame(**changes))
    assert crash_arm64(machine, code, parameters)["context"]["fault"] is found


def test_a_chain_of_frame_pointers_goes_through_a_trap_frame() -> None:
    machine = machine_arm64()
    top = FRAME + 0x170
    machine.put(FRAME, frame(fp=top))
    machine.put(top, struct.pack("<QQ", 0, NT + 0x1804))
    # The call's own pair leads into the frame: its Fp and Pc stand there as another pair would.
    machine.put(RSP + 0x40 & -16, struct.pack("<QQ", FRAME + 0x140, NT + 0x1304))
    crash = crash_arm64(machine, 0x1C8, (0, 0, 0, 0), fp=RSP + 0x40 & -16)
    assert [(frame["ip"], frame["sp"], frame["method"]) for frame in crash["stack"][1:]] == [
        (f"{NT + 0x1304:#x}", f"{(RSP + 0x40 & -16) + 0x10:#x}", "exact-chain"),
        (f"{PLACE:#x}", f"{FRAME + 0x160:#x}", "exact-chain"),
        (f"{NT + 0x1804:#x}", f"{top + 0x10:#x}", "exact-chain"),
    ]


@pytest.mark.parametrize(
    ("flags", "cpsr", "found"), [(0x400007, 0x4, True), (0x100007, 0x4, False), (0x400007, 0, False)]
)
def test_the_dispatcher_s_context_serves_where_no_trap_frame_has_the_place(flags: int, cpsr: int, found: bool) -> None:
    machine = machine_arm64()
    record = bytearray(context_arm64(PLACE, FRAME + 0x400, x2=WILD, x19=0x1919))
    struct.pack_into("<II", record, 0, flags, cpsr)
    machine.put(FRAME - 0x200, bytes(record))
    context = crash_arm64(machine, 0x1E, (0xFFFFFFFFC0000005, PLACE, 1, WILD + 0x10))["context"]
    assert context["fault"] is found
    if found:
        assert context["where"] == f"CONTEXT found on the stack at {FRAME - 0x200:#x}"
        assert context["registers"]["x19"] == "0x1919"


def with_table(machine: Machine, codes: bytes) -> None:
    """Give the kernel a function at RVA 0x10000 with these unwind codes."""
    machine.put(RECORDS + 0x10, struct.pack("<QI", NT + 0x5000, 8))
    machine.put(NT + 0x5000, struct.pack("<II", 0x10000, 0x6000))
    codes += b"\xe4" * (-len(codes) % 4)
    machine.put(NT + 0x6000, struct.pack("<I", 0x100 // 4 | len(codes) // 4 << 27) + codes)
    machine.put(NT + 0x10000, bytes(0x100))


def test_unwinding_leads_through_the_kernel_s_trap_to_the_fault() -> None:
    machine = machine_arm64()
    # sub sp, sp, #0x40; stp x19, x20, [sp, #0x10]: the frame lies above.
    with_table(machine, b"\xc8\x02\x04\xe8")
    machine.put((RSP & -16) + 0x10, struct.pack("<QQ", 0x1919, 0x2020))
    machine.put((RSP & -16) + 0x40, frame())
    crash = crash_arm64(machine, 0xD1, (WILD + 0x10, 2, 1, 0), pc=NT + 0x10080)
    context = crash["context"]
    assert context["where"] == "trap frame that unwinding from the bug check call leads to"
    assert (context["ip"], context["registers"]["x2"]) == (f"{PLACE:#x}", f"{WILD:#x}")
    assert (context["registers"]["x19"], context["registers"]["x20"]) == ("0x1919", "0x2020")
    assert crash["culprit"]["module"] == "odd.sys"


def test_registers_that_the_frame_does_not_hold_come_from_the_way_to_it() -> None:
    machine = machine_arm64()
    with_table(machine, b"\xc8\x02\x04\xe8")
    machine.put((RSP & -16) + 0x10, struct.pack("<QQ", 0x1919, 0x2020))
    machine.put((RSP & -16) + 0x40, frame())
    context = crash_arm64(machine, 0xD1, (WILD + 0x10, 2, 1, PLACE), pc=NT + 0x10080)["context"]
    assert context["origin"] == "trap-frame"
    assert context["registers"]["x20"] == "0x2020"
    assert context["checks"][-1] == "unwinding from the bug check call leads to the same place"


@pytest.mark.parametrize("code", [b"\xe8", b"\xe9"])
def test_a_frame_that_leads_to_user_mode_ends_the_stack(code: bytes) -> None:
    machine = machine_arm64()
    with_table(machine, b"\x04" + code)
    user = trap_frame_arm64(0x7FF612340000, 0x1000FF00, spsr=0x60000000, active=2)
    machine.put((RSP & -16) + 0x40, user if code == b"\xe8" else struct.pack("<QQ", 0x1000FF00, 0x7FF612340000))
    # A pair that must not be followed.
    machine.put(STACK_TOP - 0x100, struct.pack("<QQ", 0, NT + 0x1304))
    crash = crash_arm64(machine, 0x1C8, (0, 0, 0, 0), pc=NT + 0x10080, fp=STACK_TOP - 0x100)
    assert len(crash["stack"]) == 1


# -- x86 ------------------------------------------------------------------------------------------------------------

NT32, DRIVER32, ESP = 0x82A1A000, 0x8D0F0000, 0x8D1F1C00


def crash_x86(
    build: int, *, mark: int = 0xBADB0D00, selector: int = 8, flags: int = 0x10246, record: bytes = b""
) -> CrashDict:
    trap = bytearray(0x74)
    struct.pack_into("<I", trap, 8, mark)
    struct.pack_into("<III", trap, 0x38 if build >= 9600 else 0x3C, 0xDD, 0xCC, 0xAA)
    struct.pack_into("<III", trap, 0x68, DRIVER32 + 0x1000, selector, flags)
    stack = bytearray(0x400)
    stack[0x124 : 0x124 + len(trap)] = trap
    stack[0x54 : 0x54 + len(record)] = record
    block = bytearray(0x340)
    block[0x10:0x20] = struct.pack("<4sIQ", b"KDBG", 0x340, 0xFFFFFFFF00000000 | NT32)
    data = bytearray(
        triage_dump32(
            header32(4, cr3=0x185000, pae=1, kdbg=0x82B4AC30, modules=0x82B6B810, esp=ESP, build=build),
            stack=(ESP, bytes(stack)),
            kdbg=bytes(block),
            modules=[
                Module("ntoskrnl.exe", NT32, 0x412000, 0x4CE78A09, 0x3C1234, "\\SystemRoot\\ntkrnlpa.exe"),
                Module("odd.sys", DRIVER32, 0x7000, 0x55667788, 0x99),
            ],
            unloaded=[],
            blocks=[(DRIVER32 + 0x1000, bytes.fromhex("8901").ljust(0x40, b"\0"))],
        )
    )
    struct.pack_into("<5I", data, 0x28, 0xD1, 0xCC, 2, 1, DRIVER32 + 0x1000)
    struct.pack_into("<I", data, 0x320 + 0xB8, NT32 + 0x27234)
    return analyse(BytesSource(bytes(data)), path="x86.dmp", diagnostics=Diagnostics())


@pytest.mark.parametrize("build", [7601, 9600, 19041])
def test_the_trap_frame_with_the_named_instruction_is_found_on_an_x86_stack(build: int) -> None:
    crash = crash_x86(build)
    context = crash["context"]
    assert (context["origin"], context["address"]) == ("trap-frame", f"{ESP + 0x124:#x}")
    assert {name: context["registers"][name] for name in ("eax", "ecx", "edx", "esp")} == {
        "eax": "0xaa",
        "ecx": "0xcc",
        "edx": "0xdd",
        "esp": f"{ESP + 0x124 + 0x74:#x}",
    }
    assert context["checks"][-1] == "the trap frame carries the kernel's mark (0xbadb0d00)"
    # mov [ecx], eax: the registers are the right ones, for the address is the one reported.
    assert crash["fit"]["verdict"] == "fits"
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("odd.sys", "high")


@pytest.mark.parametrize("broken", [{"mark": 0}, {"flags": 0x10244}, {"flags": 0xFFFFFFFF}], ids=str)
def test_an_x86_record_without_mark_or_flags_is_not_found(broken: dict[str, int]) -> None:
    # A CONTEXT on the stack has Eip, SegCs and EFlags side by side too.
    assert crash_x86(7601, **broken)["context"]["fault"] is False


@pytest.mark.parametrize(("mark", "copy", "told"), [(0xBADB0D00, 0, True), (0, 0, False), (0xBADB0D00, 4, False)])
def test_a_chain_of_ebp_goes_through_a_trap_frame(mark: int, copy: int, told: bool) -> None:
    machine = x86.machine_x86("pae")
    trap, after = x86.STACK + 0x100, x86.STACK + 0x200
    interrupted = x86.DRIVER + 0x2030
    frame = bytearray(0x74)
    struct.pack_into("<III", frame, 0, after, interrupted + copy, mark)
    struct.pack_into("<I", frame, 0x60, after)
    struct.pack_into("<III", frame, 0x68, interrupted, 8, 0x10246)
    machine.put(trap, bytes(frame))
    machine.put(after, struct.pack("<II", 0, x86.DRIVER + 0x3005))
    # A call before the last return address; none before the place that was interrupted.
    machine.put(x86.DRIVER + 0x3000, b"\xe8\0\0\0\0")
    machine.put(x86.DRIVER + 0x2000, b"\x90" * 0x60)
    stack = x86.crash_x86(machine, 1, x86.WILD + 0x10, ebp=trap)["stack"][1:]
    if told:
        assert [(frame["ip"], frame["sp"], frame["method"], frame["confidence"]) for frame in stack] == [
            (f"{interrupted:#x}", f"{trap + 0x74:#x}", "exact-chain", "likely"),
            (f"{x86.DRIVER + 0x3005:#x}", f"{after + 8:#x}", "exact-chain", "likely"),
        ]
    else:
        assert f"{interrupted:#x}" not in [frame["ip"] for frame in stack]


@pytest.mark.parametrize(
    ("flags", "selector", "found"), [(0x1003F, 8, True), (0x1003F, 0x1B, False), (0x400007, 8, False)]
)
def test_the_dispatcher_s_context_of_x86_serves_too(flags: int, selector: int, found: bool) -> None:
    record = bytearray(0x2CC)
    struct.pack_into("<I", record, 0, flags)
    struct.pack_into("<I", record, 0xAC, 0xCC)
    struct.pack_into("<5I", record, 0xB8, DRIVER32 + 0x1000, selector, 0x10246, ESP + 0x3F0, 0x10)
    context = crash_x86(7601, mark=0, selector=0, record=bytes(record))["context"]
    assert context["fault"] is found
    if found:
        assert (context["where"], context["registers"]["ecx"]) == (
            f"CONTEXT found on the stack at {ESP + 0x54:#x}",
            "0xcc",
        )
