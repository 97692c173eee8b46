"""Real functions, really run: the truth that the unwinder is held against.

A PE file (`program.py`) is put into an emulator (unicorn) and its functions are called with random arguments; imports
are answered by a stub. A shadow stack, kept from the calls and returns that the processor makes (capstone says
which instructions are calls and returns), knows for every frame the return address, Rsp and the registers at the
function's entry. None of it uses the unwinder or the PE reader under test.

Each call has an emulator and memory of its own, and its arguments follow from the seed and the function alone. One
emulator for many calls does not do: after a call that ended in an error its state is undefined (unicorn-engine/unicorn
pull request 1368 says so), and it went on with registers taken for one another.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import capstone
import unicorn
from capstone import x86_const as cx
from unicorn import x86_const as ux

from tests.parsers.unwind.program import NAMES, QUIET_STUB, STUB, Copy, Original, Program, Row
from tests.parsers.unwind.registers import RegisterFile

STACK = 0x7F00_0000_0000
STACK_SIZE = 0x40_0000
HEAP = 0x7E00_0000_0000
HEAP_SIZE = 0x10_0000
STOP = 0x7C00_0000_0000
TEB = 0x7B00_0000_0000
IDS = [getattr(ux, f"UC_X86_REG_{name.upper()}") for name in NAMES]
SAVED = ("rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15")
XMM = [ux.UC_X86_REG_XMM0 + i for i in range(6, 16)]
MAX_VISITS = 3
MAX_STEPS = 3000
MAX_LAZY_PAGES = 48
_WORD = (1 << 64) - 1
_SAVED_XMM = {f"xmm{i}" for i in range(6, 16)}
_STORES = {
    *(cx.X86_INS_PUSH, cx.X86_INS_MOV, cx.X86_INS_MOVAPS, cx.X86_INS_MOVUPS, cx.X86_INS_MOVDQA, cx.X86_INS_MOVDQU),
    *(cx.X86_INS_VMOVAPS, cx.X86_INS_VMOVUPS, cx.X86_INS_VMOVDQA, cx.X86_INS_VMOVDQU),
}


@dataclass
class Shadow:
    """One live frame: what its caller must look like."""

    ret: int
    rsp: int
    saved: dict[str, int]
    xmm: list[int]
    begin: int  # where the call went
    slots: set[int] = field(default_factory=set)  # where its function has saved registers


@dataclass
class Point:
    """One instruction boundary."""

    rip: int
    gprs: dict[str, int]
    xmm: list[int]
    shadow: list[Shadow]
    whole: bool


@dataclass
class Instruction:
    size: int
    kind: str  # "call", "ret", "jump-register", "bad", ""
    saves: str  # the nonvolatile register that it stores whole


class Machine:
    """Calls functions of one program, each in an emulator of its own.

    Attributes:
        visits: how often each RVA was compared; a caller may fill it with what needs no more.
        points: compared so far.
        stops: why calls ended.
        breaches: functions that handed back a register changed that Windows keeps: (RVA called, RVA of the return,
            register).

    """

    def __init__(self, program: Program, seed: int, visits: int = MAX_VISITS) -> None:
        self.program = program
        self.seed = seed
        self.random = random.Random(seed)
        self.max_visits = visits
        pick = self.random
        some = [
            pick.choice((0, 0, 1, 2, pick.randrange(64), self._pointer(), self._pointer())) for _word in range(8192)
        ]
        words = pick.choices(some, k=HEAP_SIZE // 8)
        self.heap = Original(struct.pack(f"<{len(words)}Q", *words))
        self.teb = struct.pack("<512Q", *(self._pointer() for _ in range(512)))
        self.disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self.decoded: dict[int, Instruction] = {}
        self.swept: dict[int, tuple[set[int], int]] = {}
        self.visits: Counter[int] = Counter()
        self.points = 0
        self.stops: Counter[str] = Counter()
        self.breaches: set[tuple[int, int, str]] = set()
        #: An emulator is closed when it is collected, not at once: its memory must outlive it.
        self._memory: list[Copy] = []
        ends = sorted({edge for start, end in program.code for edge in (start & ~0xFFF, (end + 0xFFF) & ~0xFFF)})
        edges = [0, *(edge for edge in ends if 0 < edge < program.size), program.size]
        self._parts = [(low, high, program.is_code(low)) for low, high in itertools.pairwise(edges)]

    def _fresh(self) -> None:
        program = self.program
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        data = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
        code = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
        image, heap = program.original.copy(), self.heap.copy()
        self._memory += [image, heap]
        for low, high, is_code in self._parts:
            uc.mem_map_ptr(program.base + low, high - low, code if is_code else data, image.address + low)
        uc.mem_map(STACK, STACK_SIZE, data)
        uc.mem_map_ptr(HEAP, HEAP_SIZE, data, heap.address)
        uc.mem_map(TEB, 0x10000, data)
        uc.mem_map(STUB, 0x1000)
        uc.mem_map(STOP, 0x1000)
        uc.mem_write(TEB, self.teb)
        uc.mem_write(TEB + 0x10, struct.pack("<Q", STACK))  # StackLimit, for stack probes
        # mov rax, [rip + 9]; ret: every import answers with the value that `run` puts there.
        uc.mem_write(STUB, b"\x48\x8b\x05\x09\x00\x00\x00\xc3")
        uc.mem_write(QUIET_STUB, b"\xc3")
        uc.mem_write(STOP, b"\xf4")
        uc.hook_add(unicorn.UC_HOOK_CODE, self._step)
        uc.hook_add(unicorn.UC_HOOK_MEM_READ_UNMAPPED | unicorn.UC_HOOK_MEM_WRITE_UNMAPPED, self._map)
        uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._write, begin=STACK, end=STACK + STACK_SIZE)
        self.lazy = 0
        self.registers = RegisterFile(uc, IDS)
        self.all_registers = RegisterFile(uc, IDS, XMM)

    def _pointer(self) -> int:
        return HEAP + self.random.randrange(HEAP_SIZE // 2) // 16 * 16

    def _value(self) -> int:
        pick = self.random
        return pick.choice(
            (0, 1, 2, pick.randrange(256), pick.getrandbits(32), self._pointer(), self._pointer(), self._pointer())
        )

    def run(self, begin: int, compare: Callable[[Point], None]) -> None:
        """Call the function at an RVA and hand every fresh instruction boundary to `compare`."""
        self._fresh()
        self.random = random.Random(f"{self.seed} {begin}")
        uc = self.uc
        rsp = STACK + STACK_SIZE - 0x10000 - 8
        uc.mem_write(rsp - 0x100, struct.pack("<64Q", *(self._value() for _ in range(64))))
        uc.mem_write(rsp, struct.pack("<Q", STOP))
        for register in IDS:
            uc.reg_write(register, self._value())
        uc.reg_write(ux.UC_X86_REG_RSP, rsp)
        uc.reg_write(ux.UC_X86_REG_GS_BASE, TEB)
        uc.reg_write(ux.UC_X86_REG_EFLAGS, 2)
        uc.reg_write(ux.UC_X86_REG_MXCSR, 0x1F80)
        for i in range(6, 16):
            uc.reg_write(ux.UC_X86_REG_XMM0 + i, self.random.getrandbits(128))
        uc.mem_write(STUB + 0x10, struct.pack("<Q", self._value()))
        self.compare = compare
        self.before = ""
        self.before_at = self.before_rsp = self.before_end = 0
        self.steps = 0
        self.stopped = ""
        self.saves = ""
        self.overwritten = False
        self.shadow = [self._frame(STOP, rsp, begin)]
        try:
            uc.emu_start(self.program.base + begin, STOP)
        except unicorn.UcError as error:
            self.stops[str(error)] += 1
        else:
            self.stops[self.stopped or "returned"] += 1

    def _frame(self, ret: int, rsp: int, begin: int) -> Shadow:
        gprs = dict(zip(NAMES, self.all_registers.words(), strict=True))
        return Shadow(ret, rsp, {name: gprs[name] for name in SAVED}, self.all_registers.vectors(), begin)

    def _map(self, uc: unicorn.Uc, _access: int, address: int, size: int, _value: int, _data: object) -> bool:
        """Let there be memory wherever a random pointer goes; not endlessly much."""
        if self.lazy >= MAX_LAZY_PAGES:
            return False
        self.lazy += 1
        mapped = False
        for page in {address & ~0xFFF, (address + size - 1) & ~0xFFF}:
            try:
                uc.mem_map(page, 0x1000, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
                mapped = True
            except unicorn.UcError:
                continue  # the other page of the two is there already
        return mapped

    def _write(self, _uc: unicorn.Uc, _access: int, address: int, size: int, value: int, _data: object) -> None:
        """Watch the saved registers: random arguments make programs write over their own frames."""
        frame = self.shadow[-1]
        if self.saves and size == 8 and self._is_saved(frame, value & _WORD):
            frame.slots.add(address)
            return
        for word in range(address & -8, address + size, 8):
            if any(word in frame.slots for frame in self.shadow):
                self.overwritten = True

    def _is_saved(self, frame: Shadow, value: int) -> bool:
        if not self.saves.startswith("xmm"):
            return value == frame.saved[self.saves]
        whole = frame.xmm[int(self.saves[3:]) - 6]
        return value in (whole & _WORD, whole >> 64)

    def _instruction(self, address: int, size: int) -> Instruction:
        known = self.decoded.get(address)
        if known is not None:
            return known
        code = bytes(self.uc.mem_read(address, size))
        kind, saves = "bad", ""
        for instruction in self.disassembler.disasm(code, address, 1):
            kind = ""
            stored = instruction.op_str.rpartition(", ")[2]
            if instruction.id in _STORES and (stored in SAVED or stored in _SAVED_XMM):
                saves = stored
            if instruction.id == cx.X86_INS_CALL:
                kind = "call"
            elif instruction.id == cx.X86_INS_RET:
                kind = "ret"
            elif instruction.id == cx.X86_INS_JMP and not instruction.op_str.startswith("0x"):
                rex = code[0] if code[0] & 0xF0 == 0x40 else 0
                kind = "" if rex & 8 or code[:2] == b"\xff\x25" else "jump-register"
        known = self.decoded[address] = Instruction(size, kind, saves)
        return known

    def _goes_on(self, rva: int) -> bool:
        before, now = self.program.row_at(rva - 1), self.program.row_at(rva)
        if before is None or now is None:
            return before is now
        return before.primary == now.primary

    def _stop(self, why: str) -> None:
        self.stopped = why
        self.uc.emu_stop()

    def _between(self, row: Row, rva: int) -> bool:
        """Whether an RVA lies between the instructions of a row, by a sweep from its begin."""
        known = self.swept.get(row.begin)
        if known is None:
            boundaries, end = set(), row.begin
            code = self.program.image[row.begin : row.end]
            for at, size, _name, _operands in self.disassembler.disasm_lite(code, row.begin):
                boundaries.add(at)
                end = at + size
            known = self.swept[row.begin] = boundaries, end
        return rva < known[1] and rva not in known[0]

    def _went_astray(self, rva: int) -> str:
        """Say why the jump or call that led here is none that the program makes with arguments of its own."""
        row = self.program.row_at(rva)
        if self.before in ("call", "tail"):
            return "went to the middle of a function" if row is not None and row.begin != rva else ""
        if self.before == "jump-register":
            if row is None or row.primary != self.before_primary:
                return "a switch left its function"
            if self._between(row, rva) or rva < row.begin + row.prolog:
                return "a switch went to no case of it"
        return ""

    def _leave(self, address: int, rsp: int) -> str:
        """Take the frame that a return has left off the stack; say what is wrong with that return."""
        frame = self.shadow.pop()
        if address != frame.ret or rsp < frame.rsp + 8:
            return "returned to another place"
        now = dict(zip(NAMES, self.all_registers.words(), strict=True))
        changed = [name for name, value in frame.saved.items() if now[name] != value]
        pairs = zip(self.all_registers.vectors(), frame.xmm, strict=True)
        changed += [f"xmm{i}" for i, (value, kept) in enumerate(pairs, 6) if value != kept]
        for name in changed:
            self.breaches.add((frame.begin, self.before_at, name))
        if changed:
            return "a function gave back a register changed that Windows keeps"
        return "" if self.shadow else "returned"

    def _step(self, uc: unicorn.Uc, address: int, size: int, _data: object) -> None:
        if self.stopped:
            return
        rva = address - self.program.base
        rsp = self.registers.words()[4]
        # What the instruction before has done to the stack of calls.
        wrong = self._went_astray(rva) if self.before else ""
        if self.before == "call":
            ret = struct.unpack("<Q", uc.mem_read(rsp, 8))[0]
            if rsp == self.before_rsp - 8 and ret == self.before_end:
                self.shadow.append(self._frame(ret, rsp, rva))
        elif self.before == "ret":
            wrong = self._leave(address, rsp)
            self.before_end = address
        self.steps += 1
        if self.steps > MAX_STEPS:
            wrong = "counted out"
        if self.overwritten:
            wrong = "the program overwrote a saved register"
        if wrong:
            self._stop(wrong)
            return
        if rva in self.program.begins:
            self.shadow[-1].slots.clear()  # a function that was jumped to uses its caller's home space anew
        if address == self.before_end and not self._goes_on(rva):
            # The function ends with a call that never returns on Windows: an import that the stub answered.
            self._stop("fell out of its function")
            return
        instruction = self._instruction(address, size)
        if instruction.kind == "bad":
            self._stop("not an instruction")
            return
        if 0 <= rva < self.program.size and self.visits[rva] < self.max_visits:
            self.visits[rva] += 1
            whole = (self.points + 1) % 5 == 0
            for frame in self.shadow if whole else self.shadow[-1:]:
                if struct.unpack("<Q", uc.mem_read(frame.rsp, 8))[0] == frame.ret:
                    continue
                self._stop("the program overwrote its return address")
                return
            self.points += 1
            gprs = dict(zip(NAMES, self.all_registers.words(), strict=True))
            point = Point(address, gprs, self.all_registers.vectors(), self.shadow, whole)
            self.compare(point)
        self.before = instruction.kind
        self.saves = instruction.saves
        self.before_at = rva
        self.before_rsp = rsp
        self.before_end = address + size
        if instruction.kind == "jump-register":
            row = self.program.row_at(rva)
            if row is None or row.begin == rva:
                self.before = "tail"  # a function of one jump (a control-flow guard's dispatcher) is no switch
            else:
                self.before_primary = row.primary

    def read(self, va: int, n: int) -> bytes:
        """The machine's memory."""
        return bytes(self.uc.mem_read(va, n))


def sample(rows: Iterable[Row], count: int, seed: int) -> list[Row]:
    """Some rows, the same ones each time."""
    every = list(rows)
    return random.Random(seed).sample(every, min(count, len(every)))
