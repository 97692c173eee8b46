"""What an instruction touches, against an emulator that runs the instructions of real drivers with nothing mapped."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from pathlib import Path

import capstone
import pefile
import pytest
import unicorn
from unicorn import x86_const as ux

from forensics.crash.decode import decode
from tests.parsers.fixture_files import fetched

NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16)))
IDS = [getattr(ux, f"UC_X86_REG_{name.upper()}") for name in NAMES]
CODE = 0x140000000


def corpus(path: Path, limit: int, seed: int) -> list[bytes]:
    """Instructions of a file's code, at most three of each mnemonic with each kind of operands."""
    pe = pefile.PE(str(path), fast_load=True)
    code = next(section for section in pe.sections if section.Characteristics & 0x20000000).get_data()
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.detail = True
    decoder.skipdata = True
    kinds: Counter[tuple[object, ...]] = Counter()
    found = []
    for instruction in decoder.disasm(code[:200_000], 0):
        if not instruction.id:
            continue
        key = (instruction.mnemonic, *((operand.type, operand.size) for operand in instruction.operands))
        kinds[key] += 1
        if kinds[key] <= 3:
            found.append(bytes(instruction.bytes))
    random.Random(seed).shuffle(found)
    return found[:limit]


def emulate(data: bytes, registers: dict[str, int]) -> tuple[str, int, int] | None:
    """Run one instruction where only its own page is mapped; return (kind, address, size) of its first fault."""
    uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    uc.mem_map(CODE, 0x1000)
    uc.mem_write(CODE, data)
    for name, number in zip(NAMES, IDS, strict=True):
        uc.reg_write(number, registers[name])
    faults: list[tuple[str, int, int]] = []

    def note(_uc: unicorn.Uc, access: int, address: int, size: int, _value: int, _data: object) -> bool:
        faults.append(("write" if access == unicorn.UC_MEM_WRITE_UNMAPPED else "read", address, size))
        return False

    uc.hook_add(unicorn.UC_HOOK_MEM_READ_UNMAPPED | unicorn.UC_HOOK_MEM_WRITE_UNMAPPED, note)
    with contextlib.suppress(unicorn.UcError):
        uc.emu_start(CODE, CODE + len(data), count=1)
    return faults[0] if faults else None


@pytest.mark.wheels
@pytest.mark.parametrize("name", ["WinDivert64.sys", "etree", "_multiarray_umath", "_rust"])
def test_the_first_access_of_a_real_instruction_is_among_those_that_are_said(name: str) -> None:
    judged = faulted = 0
    pick = random.Random(7)
    for data in corpus(fetched(name), 170, 7):
        registers = {register: pick.randrange(0x10000000000, 0x7FF000000000) & ~0xF for register in NAMES}
        instruction = decode(data, CODE, registers)
        assert instruction is not None, data.hex()
        truth = emulate(data, registers)
        if not instruction.known:
            continue
        judged += 1
        if truth is None:
            # Jumps, and instructions that touch their own page only.
            assert all(access.address is not None and CODE <= access.address < CODE + 0x1000
                       for access in instruction.accesses), instruction  # fmt: skip
            continue
        faulted += 1
        kind, address, _size = truth
        fitting = [access for access in instruction.accesses if access.touches(address)]
        assert fitting, (instruction, truth)
        assert any(access.writes if kind == "write" else access.reads for access in fitting), (instruction, truth)
    assert judged > 60
    assert faulted > 30


def test_an_address_that_one_changed_bit_makes_is_none_of_them() -> None:
    registers = dict.fromkeys(NAMES, 0x123456789000)
    instruction = decode(bytes.fromhex("488b4128"), 0x1000, registers)
    assert instruction is not None
    assert instruction.accesses[0].address == 0x123456789028
    for bit in range(3, 64):
        assert not instruction.accesses[0].touches(0x123456789028 ^ 1 << bit)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("65488b042588010000", "the base of gs is in no context"),
        ("c5f5920c0f", "a gather touches what a vector register says"),
        ("0fae21", "a state save is as large as the processor makes it"),
        ("8ed8", "a segment load reads a descriptor"),
        ("0fa308", "a bit test reaches beyond its operand"),
    ],
)
def test_what_is_not_wholly_known_is_open(code: str, text: str) -> None:
    instruction = decode(bytes.fromhex(code), 0x1000, dict.fromkeys(NAMES, 0x4000))
    assert instruction is None or not instruction.known, text


def test_the_operand_of_pop_counts_from_the_popped_stack_pointer() -> None:
    data = bytes.fromhex("8f442408")
    registers = dict.fromkeys(NAMES, 0x5000)
    instruction = decode(data, CODE, registers)
    assert instruction is not None
    assert [access.address for access in instruction.accesses] == [0x5010, 0x5000]


def test_bytes_that_end_too_early_or_are_none_give_nothing() -> None:
    for data in (b"", b"\x48", b"\x06", b"\x06\x05\0\0\0\0\0"):
        assert decode(data, 0, {}) is None
