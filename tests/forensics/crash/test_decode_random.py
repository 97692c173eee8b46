"""What made-up instructions touch, on three processors: an emulator with nothing mapped is the judge.

Each instruction stands in a place of its own (the emulator keeps what it translated), between bytes that stop it, with
registers that point nowhere. Where it faults must be among the accesses that are said, and of their kind.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field

import capstone
import pytest
import unicorn
from unicorn import arm64_const as arm
from unicorn import x86_const as ux

from forensics.crash.decode import decode

_X64 = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16)))
_X86 = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
_ARM64 = (*(f"x{i}" for i in range(29)), "fp", "lr", "sp")
NAMES = {"x64": _X64, "x86": _X86, "arm64": _ARM64}
#: The emulator's memory has 52-bit addresses where no paging is switched on.
PHYSICAL = (1 << 52) - 1
ROOM, SLOTS = 0x40, 0x300


@dataclass
class Judge:
    """An emulator of one machine that is made anew when an instruction may have left something behind."""

    machine: str
    base: int = 0
    slot: int = SLOTS
    faults: list[tuple[str, int]] = field(default_factory=list)
    uc: unicorn.Uc | None = None

    def fresh(self) -> unicorn.Uc:
        kind, mode, stop = {
            "x64": (unicorn.UC_ARCH_X86, unicorn.UC_MODE_64, b"\xcc"),
            "x86": (unicorn.UC_ARCH_X86, unicorn.UC_MODE_32, b"\xcc"),
            "arm64": (unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM, b"\0"),
        }[self.machine]
        uc = unicorn.Uc(kind, mode)
        if self.machine == "arm64":
            uc.ctl_set_cpu_model(arm.UC_CPU_ARM64_MAX)
            uc.reg_write(arm.UC_ARM64_REG_CPACR_EL1, uc.reg_read(arm.UC_ARM64_REG_CPACR_EL1) | 3 << 20)
        self.base = 0x400000 if self.machine == "x86" else 0x140000000
        uc.mem_map(self.base, ROOM * SLOTS)
        uc.mem_write(self.base, stop * (ROOM * SLOTS))
        uc.hook_add(unicorn.UC_HOOK_MEM_READ_UNMAPPED | unicorn.UC_HOOK_MEM_WRITE_UNMAPPED, self._note)
        self.slot, self.uc = 0, uc
        return uc

    def _note(self, _uc: unicorn.Uc, access: int, address: int, _size: int, _value: int, _data: object) -> bool:
        self.faults.append(("write" if access == unicorn.UC_MEM_WRITE_UNMAPPED else "read", address & PHYSICAL))
        return False

    def place(self) -> int:
        """Return where the next instruction will stand."""
        if self.uc is None or self.slot >= SLOTS:
            self.fresh()
        return self.base + self.slot * ROOM

    def run(self, data: bytes, registers: dict[str, int]) -> tuple[str, int] | None:
        """Run one instruction; return (kind, address) of its first fault."""
        at, uc = self.place(), self.uc
        assert uc is not None
        self.slot += 1
        uc.mem_write(at, data)
        for name, value in registers.items():
            uc.reg_write(_number(self.machine, name), value)
        self.faults.clear()
        with contextlib.suppress(unicorn.UcError):
            uc.emu_start(at, at + len(data), count=1)
        if not self.faults:
            # It may have stopped the processor, or switched something.
            self.uc = None
            return None
        return self.faults[0]


def _number(machine: str, name: str) -> int:
    if machine == "arm64":
        return int(getattr(arm, f"UC_ARM64_REG_{name.upper()}"))
    return int(getattr(ux, f"UC_X86_REG_{name.upper()}"))


def made_up(machine: str, pick: random.Random) -> bytes:
    """Random bytes that are often an instruction that touches memory."""
    if machine == "arm64":
        # Loads and stores have bit 27 and not bit 25.
        return ((pick.getrandbits(32) | 1 << 27) & ~(1 << 25)).to_bytes(4, "little")
    prefix = pick.choice([b"", b"", b"", b"\x66", b"\xf2", b"\xf3", b"\x2e", b"\x64", b"\x67", b"\xf0"])
    if machine == "x64" and pick.random() < 0.6:
        prefix += bytes([0x40 | pick.getrandbits(4)])
    if pick.random() < 0.4:
        prefix += b"\x0f"
    return (prefix + pick.randbytes(15))[:15]


def _is_misjudged(text: str) -> bool:
    """Of these the emulator counts the address from before the last byte (of TEST in a form without a name)."""
    return text.startswith(("shld", "shrd", "test")) and ("[rip" in text or "[eip" in text)


@pytest.mark.parametrize(("machine", "count"), [("x64", 3000), ("x86", 3000), ("arm64", 8000)])
def test_where_a_made_up_instruction_faults_is_among_what_it_is_said_to_touch(machine: str, count: int) -> None:
    pick, judge = random.Random(2026), Judge(machine)
    low, high = (0x01000000, 0xFF000000) if machine == "x86" else (0x10000000000, 0x7FF000000000)
    decoder = {
        "x64": lambda: capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64),
        "x86": lambda: capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32),
        "arm64": lambda: capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    }[machine]()
    faulted = 0
    for _case in range(count):
        data, at = made_up(machine, pick), judge.place()
        found = next(decoder.disasm(data, at, 1), None)
        if found is None:
            continue
        data = bytes(found.bytes)
        registers = {name: pick.randrange(low, high) & ~0xF for name in NAMES[machine]}
        instruction = decode(data, at, registers, machine)
        assert instruction is not None
        if not instruction.known or _is_misjudged(instruction.text):
            continue
        truth = judge.run(data, registers)
        if truth is None:
            continue
        faulted += 1
        kind, address = truth
        fitting = [
            access
            for access in instruction.accesses
            if access.address is not None and (address - access.address) & PHYSICAL < access.size
        ]
        assert fitting, (data.hex(), instruction, truth)
        assert any(access.writes if kind == "write" else access.reads for access in fitting), (data.hex(), instruction)
    assert faulted > count // 6
