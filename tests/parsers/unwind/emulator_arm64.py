"""Real ARM64 functions, really run: the shadow stack of calls and returns is the truth for the unwinder.

As `emulator.py` does for x64: pefile maps the file, unicorn runs its functions with random arguments, imports are
answered by a stub. Calls and returns are told by their encodings (Arm ARM: BL, BLR, BR, RET and its signed forms).
"""

from __future__ import annotations

import bisect
import contextlib
import random
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import unicorn
from unicorn import arm64_const as ua

from tests.parsers.unwind.program import Copy, Original, mapped
from tests.parsers.unwind.registers import RegisterFile

STACK, STACK_SIZE = 0x7F0000000000, 0x400000
HEAP, HEAP_SIZE = 0x7E0000000000, 0x100000
STUB, STOP, TEB = 0x7D0000000000, 0x7C0000000000, 0x7B0000000000
X = [getattr(ua, f"UC_ARM64_REG_X{number}") for number in range(29)] + [ua.UC_ARM64_REG_X29, ua.UC_ARM64_REG_X30]
D = [getattr(ua, f"UC_ARM64_REG_D{number}") for number in range(8, 16)]
MAX_VISITS, MAX_STEPS, MAX_LAZY_PAGES = 3, 2000, 48


@dataclass
class Shadow:
    """One live frame: what its caller must look like."""

    ret: int
    sp: int
    saved: tuple[int, ...]  # x19 to x29
    doubles: tuple[int, ...]  # d8 to d15
    begin: int  # where the call went
    slots: set[int] = field(default_factory=set)  # where its function keeps saved registers
    #: Stack pointers that the unwinder gave for the time after the return; judged then.
    after_return: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Point:
    """One instruction boundary."""

    pc: int
    sp: int
    x: tuple[int, ...]
    d: tuple[int, ...]
    shadow: list[Shadow]


class Program:
    """A mapped ARM64 PE file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        file = mapped(path, lambda _name: STUB)
        self.base, self.size, self.image = file.base, file.size, file.image
        self.original = Original(self.image)
        rva, size = file.pdata
        raw = self.image[rva : rva + size]
        self.rows = [row for row in struct.iter_unpack("<II", raw[: len(raw) // 8 * 8]) if row[0]]
        self._begins = sorted(begin for begin, _data in self.rows)
        self.begins = set(self._begins)

    def row(self, rva: int) -> int:
        """The number of the last row that begins at an RVA or before it."""
        return bisect.bisect_right(self._begins, rva)

    def functions(self) -> list[int]:
        """RVAs of functions that can be called: their first instruction signs lr, makes room or stores to the stack."""
        found = []
        for begin, data in self.rows:
            word = struct.unpack_from("<I", self.image, begin)[0]
            # paciasp, pacibsp; sub sp, sp, #n; stp or str with a moved sp. Parts of functions begin otherwise.
            makes_room = word in (0xD503233F, 0xD503237F) or word & 0xFF8003FF == 0xD10003FF
            stores = word & 0x7FC003E0 == 0x298003E0 or word & 0xFFE00FE0 == 0xF8000FE0
            if data & 3 != 2 and (makes_room or stores):
                found.append(begin)
        return found


def _saved_by(word: int, frame: Shadow) -> set[int]:
    """Values that an instruction keeps on the stack for the caller: STP and STR of saved registers by sp."""
    if word >> 5 & 31 != 31:
        return set()
    pair = word >> 27 & 7 == 5 and word >> 22 & 1 == 0
    single = word >> 30 == 3 and word >> 27 & 7 == 7 and word >> 22 & 3 == 0
    if not pair and not single:
        return set()
    numbers = (word & 31, word >> 10 & 31) if pair else (word & 31,)
    if word >> 26 & 1:
        return {frame.doubles[number - 8] for number in numbers if 8 <= number <= 15}
    kept = {frame.saved[number - 19] for number in numbers if 19 <= number <= 29}
    return kept | ({frame.ret} if 30 in numbers else set())


class Machine:
    """Calls functions of one program, each in an emulator of its own (`emulator.py` says why)."""

    def __init__(self, program: Program, seed: int, visits: int = MAX_VISITS) -> None:
        self.program = program
        self.seed = seed
        self.random = random.Random(seed)
        self.max_visits = visits
        self.visits: Counter[int] = Counter()
        pick = self.random
        some = [pick.choice((0, 0, 1, 2, pick.randrange(64), self._pointer())) for _word in range(8192)]
        words = pick.choices(some, k=HEAP_SIZE // 8)
        self.heap = Original(struct.pack(f"<{len(words)}Q", *words))
        self.teb = struct.pack("<512Q", *(self._pointer() for _ in range(512)))
        self.settle: Callable[[Shadow, int], None] = lambda _left, _sp: None
        #: An emulator is closed when it is collected, not at once: its memory must outlive it.
        self._memory: list[Copy] = []

    def _fresh(self) -> None:
        program = self.program
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        image, heap = program.original.copy(), self.heap.copy()
        self._memory += [image, heap]
        uc.mem_map_ptr(program.base, program.size, unicorn.UC_PROT_ALL, image.address)
        uc.mem_map_ptr(HEAP, HEAP_SIZE, unicorn.UC_PROT_ALL, heap.address)
        for place, size in ((STACK, STACK_SIZE), (TEB, 0x10000), (STUB, 0x2000), (STOP, 0x1000)):
            uc.mem_map(place, size)
        uc.mem_write(TEB, self.teb)
        uc.mem_write(TEB + 0x10, struct.pack("<Q", STACK))
        # ldr x0, #0x1000; ret: every import answers with the value that `run` puts there.
        uc.mem_write(STUB, struct.pack("<II", 0x58008000, 0xD65F03C0))
        self.registers = RegisterFile(uc, [*X, ua.UC_ARM64_REG_SP, *D])
        uc.hook_add(unicorn.UC_HOOK_CODE, self._step)
        uc.hook_add(unicorn.UC_HOOK_MEM_READ_UNMAPPED | unicorn.UC_HOOK_MEM_WRITE_UNMAPPED, self._map)
        uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._write, begin=STACK, end=STACK + STACK_SIZE)

    def _pointer(self) -> int:
        return HEAP + self.random.randrange(HEAP_SIZE // 16) * 8

    def _map(self, uc: unicorn.Uc, _access: int, address: int, _size: int, _value: int, _data: object) -> bool:
        self.lazy += 1
        if self.lazy > MAX_LAZY_PAGES or not 0x10000 <= address < 0x7FFFFFFF0000:
            return False
        uc.mem_map(address & ~0xFFF, 0x1000)
        return True

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.uc.mem_read(address, length))

    def _registers(self) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        values = self.registers.words()
        return values[:31], values[32:], values[31]

    def _step(self, uc: unicorn.Uc, address: int, _size: int, _data: object) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS or address in (STOP, STOP + 4):
            uc.emu_stop()
            return
        x, d, sp = self._registers()
        if self.after == "call":
            self.shadow.append(Shadow(x[30], sp, x[19:30], d, address))
        elif self.after == "ret":
            left = self.shadow.pop()
            self.settle(left, sp)
            # At another function's begin: the one before ends with a call that never returns on Windows.
            if not self.shadow or address != left.ret or address - self.program.base in self.program.begins:
                uc.emu_stop()
                return
        rva = address - self.program.base
        if self.after == "jump" and rva not in self.program.begins and self.program.row(rva) != self.jumped_from:
            uc.emu_stop()  # a switch with an argument that is no case of it
            return
        if self.overwritten:
            uc.emu_stop()
            return
        frame = self.shadow[-1]
        if sp == frame.sp and frame.slots:
            frame.slots.clear()  # its epilog is done; a function that it jumps to begins anew
        word = struct.unpack("<I", uc.mem_read(address, 4))[0]
        if not word >> 16:
            uc.emu_stop()  # UDF: what stands behind a function's last call, which never returns on Windows
            return
        self.saves = _saved_by(word, frame)
        call = word >> 26 == 0x25 or word & 0xFFFFFC1F == 0xD63F0000
        self.after = "call" if call else "ret" if word in (0xD65F03C0, 0xD65F0BFF, 0xD65F0FFF) else ""
        if word & 0xFFFFFC1F == 0xD61F0000:
            self.after, self.jumped_from = "jump", self.program.row(rva)
        if not 0 <= rva < self.program.size:
            return
        self.visits[address] += 1
        if self.visits[address] <= self.max_visits:
            self.judge(Point(address, sp, x, d, list(self.shadow)))

    def _write(self, _uc: unicorn.Uc, _access: int, address: int, size: int, value: int, _data: object) -> None:
        """Watch the saved registers: random arguments make programs write over their own frames."""
        if size == 8 and value & (1 << 64) - 1 in self.saves:
            self.shadow[-1].slots.add(address)
            return
        for place in range(address & -8, address + size, 8):
            if any(place in frame.slots for frame in self.shadow):
                self.overwritten = True

    def run(self, rva: int, judge: Callable[[Point], None]) -> None:
        """Call a function once."""
        self._fresh()
        self.random = random.Random(f"{self.seed} {rva}")
        uc, pick = self.uc, self.random
        self.judge, self.steps, self.lazy, self.after = judge, 0, 0, ""
        self.saves: set[int] = set()
        self.overwritten = False
        uc.mem_write(STUB + 0x1000, struct.pack("<Q", pick.choice((0, 1, self._pointer()))))
        for number in range(29):
            uc.reg_write(X[number], pick.choice((0, 1, pick.randrange(100), self._pointer(), self._pointer())))
        for number, register in enumerate(D):
            uc.reg_write(register, 0x4000000000000000 + pick.getrandbits(40) + number)
        uc.reg_write(ua.UC_ARM64_REG_X18, TEB)
        sp = STACK + STACK_SIZE - 0x10000
        uc.reg_write(ua.UC_ARM64_REG_X29, sp + 0x100)
        uc.reg_write(ua.UC_ARM64_REG_X30, STOP)
        uc.reg_write(ua.UC_ARM64_REG_SP, sp)
        x, d, sp = self._registers()
        self.shadow = [Shadow(STOP, sp, x[19:30], d, self.program.base + rva)]
        with contextlib.suppress(unicorn.UcError):
            uc.emu_start(self.program.base + rva, STOP, count=MAX_STEPS)
