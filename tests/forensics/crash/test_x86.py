"""A 32-bit small dump: trap frame, frame-pointer chain, verdict."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from tests.parsers.dump.builder import Module, header32, triage_dump32

KDBG, LIST, BASE, ESP = 0x82B4AC30, 0x82B6B810, 0x82A1A000, 0x8D0F1C00
DRIVER = 0x8D0F0000
TRAP = 0x8D0F1B20


def _crash(
    *,
    broken: bool = False,
    mark: int = 0xBADB0D00,
    selector: int = 0x8,
    ebp: int | None = None,
    code: tuple[int, int, int, int, int] | None = None,
    more: Sequence[tuple[int, bytes]] = (),
) -> CrashDict:
    block = bytearray(0x340)
    block[0x10:0x20] = struct.pack("<4sIQ", b"KDBG", 0x340, 0xFFFFFFFF00000000 | BASE)
    modules = [
        Module("ntoskrnl.exe", BASE, 0x412000, 0x4CE78A09, 0x3C1234, "\\SystemRoot\\system32\\ntkrnlpa.exe"),
        Module("driver.sys", DRIVER, 0x1B00, 0x55667788, 0x99),
    ]
    stack = bytearray(0x400)
    struct.pack_into("<II", stack, 0x10, ESP + 0x40, DRIVER + 0x1300)
    struct.pack_into("<II", stack, 0x40, ESP + 0x80, BASE + 0x5555)
    struct.pack_into("<II", stack, 0x80, 0, 0)
    trap = bytearray(ESP - TRAP)
    struct.pack_into("<I", trap, 0x08, mark)
    struct.pack_into("<II", trap, 0x5C, 0x1234, ESP + 0x10 if ebp is None else ebp)
    # The caller's call: E8 rel32 right before the first return address.
    call = b"\x90\x90\x90\xe8" + struct.pack("<i", -0x80)
    struct.pack_into("<III", trap, 0x68, DRIVER + 0x1234, selector, 0x10246)
    data = bytearray(
        triage_dump32(
            header32(4, cr3=0x185000, pae=1, kdbg=KDBG, modules=LIST, esp=ESP),
            stack=(ESP, bytes(stack)),
            kdbg=bytes(block),
            modules=modules,
            unloaded=[],
            blocks=[(TRAP, bytes(trap)), (DRIVER + 0x1300 - 8, call), *more],
        )
    )
    # The bug check is 0x8E with the trap frame in parameter 3; its own context lies in the kernel.
    struct.pack_into("<I", data, 0x320 + 0xB8, BASE + 0x27234)
    if code is not None:
        struct.pack_into("<5I", data, 0x28, *code)
    if broken:
        second_name = struct.unpack_from("<I", data, struct.unpack_from("<I", data, 0x1000 + 12 * 4)[0] + 0x4C)[0]
        struct.pack_into("<I", data, 0x1000 + 16 * 4, second_name)
    return analyse(BytesSource(bytes(data)), path="x86.dmp", diagnostics=Diagnostics())


def test_a_32_bit_trap_frame_gives_place_and_chain() -> None:
    crash = _crash()
    assert crash["machine"] == "x86"
    assert crash["context"]["where"] == f"trap frame at parameter 3, {TRAP:#x}"
    assert crash["context"]["registers"]["ebx"] == "0x1234"
    assert [(frame["module"], frame["offset"]) for frame in crash["stack"]] == [
        ("driver.sys", "0x1234"),
        ("driver.sys", "0x1300"),
        ("ntkrnlpa.exe", "0x5555"),
    ]
    assert [frame["confidence"] for frame in crash["stack"]] == ["exact", "likely", "likely"]
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("driver.sys", "high")


def test_a_break_in_the_chain_is_bridged_by_a_word_with_a_call_before_it() -> None:
    crash = _crash(ebp=0x1234)
    found = [(frame["module"], frame["offset"], frame["method"], frame["confidence"]) for frame in crash["stack"]]
    assert found == [
        ("driver.sys", "0x1234", "trap", "exact"),
        ("driver.sys", "0x1300", "scan-call", "guess"),
        ("ntkrnlpa.exe", "0x5555", "exact-chain", "guess"),
    ]


def test_a_trap_frame_without_its_mark_and_selector_is_not_believed() -> None:
    assert _crash(mark=0)["context"]["fault"] is True
    crash = _crash(mark=0, selector=0)
    assert crash["context"]["fault"] is False
    assert any("registers at the fault are not in the dump" in gap for gap in crash["gaps"])


def test_the_name_that_the_kernel_wrote_is_heeded() -> None:
    culprit = _crash(broken=True, mark=0, selector=0)["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("driver.sys", "medium")
    assert "the kernel itself named driver.sys" in culprit["because"][0]


def test_the_objects_of_a_32_bit_machine_lead_from_a_blocked_irp_to_its_driver() -> None:
    irp, upper, lower, driver, text = 0x85000000, 0x85001000, 0x85002000, 0x85003000, 0x85004000
    body = bytearray(0x70 + 3 * 0x24)
    struct.pack_into("<HH", body, 0, 6, len(body))
    body[0x22], body[0x23] = 3, 2
    body[0x70 + 0x24] = 0x16
    struct.pack_into("<I", body, 0x70 + 0x24 + 0x14, upper)
    blocks = [(irp, bytes(body))]
    for address, below in ((upper, lower), (lower, 0)):
        device = bytearray(0xB8)
        struct.pack_into("<HHII", device, 0, 3, 0xB8, 1, driver)
        struct.pack_into("<I", device, 0xB0, address + 0x200)
        blocks += [(address, bytes(device)), (address + 0x200, struct.pack("<HHI16xII", 13, 0, address, below, 0))]
    name = "\\Driver\\disk".encode("utf-16-le")
    record = bytearray(0xA8)
    struct.pack_into("<HH", record, 0, 4, 0xA8)
    struct.pack_into("<II", record, 0x0C, DRIVER, 0x1B00)
    struct.pack_into("<HHI", record, 0x1C, len(name), len(name), text)
    crash = _crash(code=(0x9F, 3, lower, 0, irp), more=[*blocks, (driver, bytes(record)), (text, name)])
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("driver.sys", "medium")
    assert "waits at location 2 of 3" in crash["culprit"]["because"][0]
    assert "\\Driver\\disk, loaded as driver.sys" in crash["culprit"]["because"][1]
