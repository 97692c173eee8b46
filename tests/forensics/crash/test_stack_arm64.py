"""ARM64 stacks: code of a real file, stopped in an emulator deep in its calls, and told as a crash."""

from __future__ import annotations

import struct

import pytest

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from tests.parsers.dump.builder import (
    KDBG,
    MODULE_LIST,
    NT,
    Module,
    bitmap_dump,
    header64,
    server2019,
)
from tests.parsers.dump.builder import Machine as Memory
from tests.parsers.fixture_files import fetched
from tests.parsers.unwind.emulator_arm64 import STACK, STACK_SIZE, Machine, Point, Program

pytestmark = pytest.mark.wheels
DEPTH = 4


@pytest.fixture(scope="module")
def stopped() -> tuple[Program, Point, bytes]:
    """A program, the first point with DEPTH calls below it in a body, and the top of its stack."""
    program = Program(fetched("objectify.cp312-win_arm64"))
    machine = Machine(program, 3)
    found: list[tuple[Point, bytes]] = []

    def judge(point: Point) -> None:
        inside = program.base <= point.shadow[-1].ret < program.base + program.size
        if not found and len(point.shadow) > DEPTH and inside:
            found.append((point, machine.read(STACK + STACK_SIZE - 0x14000, 0x5000)))

    for rva in program.functions():
        if found:
            break
        machine.run(rva, judge)
    point, stack = found[0]
    return program, point, stack


def crash(stopped: tuple[Program, Point, bytes], *, table: bool) -> CrashDict:
    program, point, stack = stopped
    memory: Memory = server2019("arm64")
    memory.put_modules(
        MODULE_LIST,
        0xFFFFC08BDC0011F0,
        [
            Module("ntoskrnl.exe", NT, 0xAB6000, 0x5DB7AEB3, 0x9A1234),
            Module("objectify.sys", program.base, program.size, 0x1111, 0x2222),
        ],
        0xFFFFC08BDC100F20,
    )
    for index in range(2):
        memory.put(0xFFFFC08BDC0011F0 + 0x100 * index + 0x10, bytes(12))
    memory.put(program.base, program.image if table else bytes(0x1000) + program.image[0x1000:0x5000])
    memory.put(STACK + STACK_SIZE - 0x14000, stack)
    context = bytearray(0x390)
    struct.pack_into("<II", context, 0, 0x400007, 0x80000144)
    struct.pack_into("<31QQQ", context, 8, *point.x, point.sp, point.pc)
    header = header64(5, cr3=memory.cr3, machine=0xAA64, code=0x1C8, kdbg=KDBG, context=bytes(context))
    data = bitmap_dump(header, memory.pages, signature=b"FDMP")
    return analyse(BytesSource(data), path="a.dmp", diagnostics=Diagnostics())


def frames(found: CrashDict) -> list[tuple[int, int]]:
    return [(int(frame["ip"], 16), int(frame["sp"], 16)) for frame in found["stack"]]


def test_unwind_data_in_memory_gives_every_caller_with_its_stack_pointer(
    stopped: tuple[Program, Point, bytes],
) -> None:
    found = crash(stopped, table=True)
    _program, point, _stack = stopped
    truth = [(point.pc, point.sp)] + [(one.ret, one.sp) for one in reversed(point.shadow)]
    assert frames(found)[:DEPTH] == truth[:DEPTH]
    assert {frame["method"] for frame in found["stack"][1:DEPTH]} == {"exact"}
    assert {frame["image"] for frame in found["stack"][1:DEPTH]} == {"dump"}


def test_without_unwind_data_the_chain_of_frame_pointers_is_followed(stopped: tuple[Program, Point, bytes]) -> None:
    found = crash(stopped, table=False)
    _program, point, _stack = stopped
    returns = {one.ret for one in point.shadow}
    assert all(frame["method"] == "exact-chain" for frame in found["stack"][1:])
    assert {ip for ip, _sp in frames(found)[1:]} <= returns
