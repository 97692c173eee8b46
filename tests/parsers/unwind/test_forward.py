"""The forward epilog search against emulated programs and a real dump's published stack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import unicorn
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import FileSource
from parsers.errors import ReadError
from parsers.limits import MAX_FORWARD_INSTRUCTIONS
from parsers.unwind.forward import ForwardSearch
from parsers.unwind.registers import Registers
from tests.parsers.fixture_files import fetched
from tests.parsers.unwind.emulator import STACK, STACK_SIZE, Machine, Point, sample
from tests.parsers.unwind.program import Program

#: What a triage dump keeps of the code from a return address on.
KEPT = 0x100

#: `rizinorg/rizin: test/db/formats/dmp/dmp`, test "Triage Dump Debug x64": (SP, module, offset) of frames 1 to 35.
GOLDEN = [
    (0xFFFF850429890EF0, "nt", 0x40F4E1), (0xFFFF850429890F30, "nt", 0x3CC052), (0xFFFF850429890FA0, "nt", 0x3FE942),
    (0xFFFF850429890FD0, "nt", 0x32BF97), (0xFFFF8504298916F0, "nt", 0x32AB86), (0xFFFF850429891DB0, "nt", 0x407BAC),
    (0xFFFF850429891F90, "nt", 0x4031F5), (0xFFFF850429892120, "amdppm", 0x334C),
    (0xFFFF850429892150, "amdppm", 0x313F), (0xFFFF850429892180, "amdppm", 0x3234),
    (0xFFFF8504298921B0, "amdppm", 0x20E8F), (0xFFFF850429892210, "amdppm", 0x283F6),
    (0xFFFF850429892340, "amdppm", 0x1F852), (0xFFFF850429892380, "wdf01000", 0x7C027),
    (0xFFFF8504298923D0, "wdf01000", 0x16F81), (0xFFFF850429892410, "wdf01000", 0x7B227),
    (0xFFFF850429892460, "wdf01000", 0x79E21), (0xFFFF8504298924A0, "wdf01000", 0x799DA),
    (0xFFFF850429892530, "wdf01000", 0x7B6B1), (0xFFFF8504298925A0, "wdf01000", 0x7B47A),
    (0xFFFF850429892630, "wdf01000", 0x8299E), (0xFFFF850429892660, "wdf01000", 0xCC5F),
    (0xFFFF8504298926D0, "wdf01000", 0xA866), (0xFFFF850429892730, "nt", 0x252F55),
    (0xFFFF850429892770, "nt", 0x7548A6), (0xFFFF8504298927B0, "nt", 0x2E0D1E), (0xFFFF850429892820, "nt", 0x36AB7C),
    (0xFFFF8504298928B0, "nt", 0x723760), (0xFFFF850429892940, "nt", 0x72362F), (0xFFFF850429892990, "nt", 0x726BDD),
    (0xFFFF850429892A60, "nt", 0x7BDF0C), (0xFFFF850429892AB0, "nt", 0x36C2EC), (0xFFFF850429892B70, "nt", 0x225975),
    (0xFFFF850429892C10, "nt", 0x317E25), (0xFFFF850429892C60, "nt", 0x3FD0D8),
]  # fmt: skip


def outcomes(path: Path, functions: int, kept: int) -> tuple[int, int, list[str]]:
    """(searched, solved, wrong) over the return addresses of an emulated program."""
    program = Program(path)
    machine = Machine(program, 5)
    searched = solved = 0
    wrong: list[str] = []
    done: set[int] = set()
    start = 0

    class Memory:
        def read(self, va: int, n: int) -> bytes:
            try:
                return machine.read(va, n)
            except unicorn.UcError as error:
                raise ReadError("not mapped", address=va) from error

    def read_code(va: int, n: int) -> bytes:
        at = va - program.base
        if not start <= va < start + kept or not 0 <= at < program.size:
            return b""
        return program.image[at : at + min(n, start + kept - va)]

    def accept(word: int) -> bool:
        return any(program.base + low <= word < program.base + high for low, high in program.code)

    search = ForwardSearch(Memory(), read_code, low=STACK, high=STACK + STACK_SIZE, accept=accept)

    def compare(point: Point) -> None:
        nonlocal searched, solved, start
        if not point.whole:
            return
        for inner, frame in zip(reversed(point.shadow[1:]), reversed(point.shadow[:-1]), strict=True):
            row = program.row_at(inner.ret - 1 - program.base)
            if inner.ret in done or row is None or not accept(frame.ret):
                continue
            done.add(inner.ret)
            searched += 1
            start = inner.ret
            found = search.caller(Registers(inner.ret, {"rsp": inner.rsp + 8, **inner.saved}), interrupted=False)
            if found is None:
                continue
            solved += 1
            if (found.rip, found.rsp) != (frame.ret, frame.rsp + 8):
                wrong.append(f"{inner.ret - program.base:#x}: {found.rip:#x}, not {frame.ret:#x}")
            for name, value in frame.saved.items():
                if found.gprs.get(name, value) != value:
                    wrong.append(f"{inner.ret - program.base:#x}: {name} {found.gprs[name]:#x}, not {value:#x}")

    for row in sample(program.functions(), functions, 5):
        machine.run(row.begin, compare)
    return searched, solved, wrong


@pytest.mark.wheels
@pytest.mark.parametrize("name", ["WinDivert64.sys", "etree", "pywintypes312"])
def test_the_search_never_gives_a_wrong_caller(name: str) -> None:
    searched, solved, wrong = outcomes(fetched(name), 40, KEPT)
    assert wrong == []
    assert solved >= searched // 4


@pytest.mark.realdata
def test_the_published_stack_of_a_real_triage_dump_is_found_frame_by_frame(
    unpacked: Callable[[str], Path],
) -> None:
    from parsers.dump.open import open_dump

    with FileSource(unpacked("dumps/triage_x64.dmp")) as source:
        dump = open_dump(source)
        modules = {module.name.lower().partition(".")[0]: module for module in dump.modules()}
        modules["nt"] = modules.get("ntoskrnl") or modules["nt"]
        low, size = dump.stack() or (0, 0)

        def read_code(va: int, n: int) -> bytes:
            while n:
                try:
                    return dump.memory.read(va, n)
                except ReadError:
                    n -= 1
            return b""

        def accept(word: int) -> bool:
            return any(module.base + 0x1000 <= word < module.end for module in modules.values())

        search = ForwardSearch(dump.memory, read_code, low=low, high=low + size, accept=accept)
        right = wrong = 0
        for i, (sp, module, offset) in enumerate(GOLDEN[:-1]):
            if i + 1 == 8:
                continue  # the faulting frame: no return address
            found = search.caller(Registers(modules[module].base + offset, {"rsp": sp}), interrupted=False)
            following = GOLDEN[i + 1]
            if i + 1 == 7 or found is None:
                continue  # frame 7 is the fault stub, where this search is not to be asked
            if (found.rip, found.rsp) == (modules[following[1]].base + following[2], following[0]):
                right += 1
            else:
                wrong += 1
        assert wrong == 0
        assert right >= 20


class Nothing:
    def read(self, va: int, n: int) -> bytes:
        return bytes(n)


@pytest.mark.fuzz
@given(st.binary(min_size=1, max_size=200), st.booleans())
def test_any_code_gives_a_caller_or_none(code: bytes, interrupted: bool) -> None:
    def read_code(va: int, n: int) -> bytes:
        return code[va - 0x1000 :][:n] if va >= 0x1000 else b""

    search = ForwardSearch(Nothing(), read_code, low=0x8000, high=0x9000, accept=lambda word: True)
    found = search.caller(Registers(0x1000, {"rsp": 0x8100, "rbp": 0x8200}), interrupted=interrupted)
    assert found is None or 0x8100 < found.rsp <= 0x9000


def test_an_epilog_behind_a_call_and_a_branch_leads_to_the_caller() -> None:
    # test al, al; je +5; call; add rsp, 28h; pop rbx; ret
    code = b"\x84\xc0\x74\x05\xe8\x00\x00\x00\x00\x48\x83\xc4\x28\x5b\xc3"

    class Words:
        def read(self, va: int, n: int) -> bytes:
            return (va + 1).to_bytes(8, "little")

    search = ForwardSearch(
        Words(), lambda va, n: code[va - 0x1000 :][:n], low=0x8000, high=0x9000, accept=lambda word: True
    )
    found = search.caller(Registers(0x1000, {"rsp": 0x8100, "rbx": 1, "rdi": 2}), interrupted=False)
    assert found is not None
    assert (found.rip, found.rsp) == (0x8131, 0x8138)
    assert found.gprs == {"rbx": 0x8129, "rdi": 2, "rsp": 0x8138}


def test_ways_with_different_stacks_give_no_answer() -> None:
    # je +6; add rsp, 28h; nop; ret | add rsp, 38h; ret
    code = b"\x74\x06\x48\x83\xc4\x28\x90\xc3\x48\x83\xc4\x38\xc3"
    search = ForwardSearch(
        Nothing(), lambda va, n: code[va - 0x1000 :][:n], low=0x8000, high=0x9000, accept=lambda word: True
    )
    assert search.caller(Registers(0x1000, {"rsp": 0x8100}), interrupted=False) is None


def test_a_way_longer_than_the_limit_gives_no_answer() -> None:
    for count, solved in ((100, True), (MAX_FORWARD_INSTRUCTIONS + 10, False)):
        code = b"\x90" * count + b"\xc3"

        def read_code(va: int, n: int, code: bytes = code) -> bytes:
            return code[va - 0x1000 :][:n]

        search = ForwardSearch(Nothing(), read_code, low=0x8000, high=0x9000, accept=lambda word: True)
        assert (search.caller(Registers(0x1000, {"rsp": 0x8100}), interrupted=False) is not None) == solved


def test_a_register_saved_on_the_way_comes_back_and_a_changed_word_does_not() -> None:
    # mov [rsp+40h], rdi; mov [rsp+48h], rax; xor edi, edi; mov rdi, [rsp+40h]; mov rbx, [rsp+48h]; ret
    code = b"\x48\x89\x7c\x24\x40\x48\x89\x44\x24\x48\x31\xff\x48\x8b\x7c\x24\x40\x48\x8b\x5c\x24\x48\xc3"
    search = ForwardSearch(
        Nothing(), lambda va, n: code[va - 0x1000 :][:n], low=0x8000, high=0x9000, accept=lambda word: True
    )
    found = search.caller(Registers(0x1000, {"rsp": 0x8100, "rdi": 5, "rbx": 6}), interrupted=False)
    assert found is not None
    assert found.gprs == {"rdi": 5, "rsp": 0x8108}
