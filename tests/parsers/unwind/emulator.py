"""Real functions, really run: the truth that the unwinder is held against.

A PE file is mapped by pefile and its functions are called in an emulator (unicorn) with random arguments; imports
are answered by a stub. A shadow stack, kept from the calls and returns that the processor makes (capstone says
which instructions are calls and returns), knows for every frame the return address, Rsp and the registers at the
function's entry. None of it uses the unwinder or the PE reader under test.
"""

from __future__ import annotations

import bisect
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import capstone
import pefile
import unicorn
from capstone import x86_const as cx
from unicorn import x86_const as ux

from tests.parsers.unwind.registers import RegisterFile

STACK = 0x7F00_0000_0000
STACK_SIZE = 0x40_0000
HEAP = 0x7E00_0000_0000
HEAP_SIZE = 0x10_0000
STUB = 0x7D00_0000_0000
STOP = 0x7C00_0000_0000
TEB = 0x7B00_0000_0000
NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16)))
IDS = [getattr(ux, f"UC_X86_REG_{name.upper()}") for name in NAMES]
SAVED = ("rbx", "rbp", "rsi", "rdi", "r12", "r13", "r14", "r15")
XMM = [ux.UC_X86_REG_XMM0 + i for i in range(6, 16)]
MAX_VISITS = 3
MAX_STEPS = 3000
MAX_LAZY_PAGES, MAX_MAPPED_PAGES = 48, 400


@dataclass
class Shadow:
    """One live frame: what its caller must look like."""

    ret: int
    rsp: int
    saved: dict[str, int]
    xmm: list[int]
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
class Row:
    begin: int
    end: int
    info: int
    version: int = 0
    flags: int = 0
    prolog: int = 0
    frame_register: int = 0
    codes: bytes = b""
    count: int = 0
    primary: int = 0
    children: list[int] = field(default_factory=list)

    def ops(self) -> list[tuple[int, int]]:
        """(op, slots) by walking the slots, as far as counting needs."""
        return [(op, slots) for _offset, op, _info, slots in self.walk()]

    def walk(self) -> list[tuple[int, int, int, int]]:
        """(offset in the prolog, op, info, slots) of each code."""
        found = []
        i = 0
        while i < self.count:
            offset, op, info = self.codes[i * 2], self.codes[i * 2 + 1] & 15, self.codes[i * 2 + 1] >> 4
            slots = {1: 2 + (info == 1), 4: 2, 5: 3, 8: 2, 9: 3}.get(op, 1)
            found.append((offset, op, info, slots))
            i += slots
        return found


class Program:
    """A mapped PE file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        pe = pefile.PE(str(path), fast_load=True)
        pe.parse_data_directories(directories=[pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
        self.base: int = pe.OPTIONAL_HEADER.ImageBase
        self.size: int = (pe.OPTIONAL_HEADER.SizeOfImage + 0xFFF) & ~0xFFF
        image = bytearray(self.size)
        raw = pe.__data__[: pe.OPTIONAL_HEADER.SizeOfHeaders]
        image[: len(raw)] = raw
        self.code: list[tuple[int, int]] = []
        for section in pe.sections:
            data = section.get_data()[: section.Misc_VirtualSize or None]
            image[section.VirtualAddress : section.VirtualAddress + len(data)] = data
            if section.Characteristics & 0x20000000:
                start = section.VirtualAddress
                self.code.append((start, start + max(section.Misc_VirtualSize, len(data))))
        for entry in getattr(pe, "DIRECTORY_ENTRY_IMPORT", []):
            for symbol in entry.imports:
                at = symbol.address - self.base
                image[at : at + 8] = struct.pack("<Q", STUB)
        self.image = bytes(image)
        directory = pe.OPTIONAL_HEADER.DATA_DIRECTORY[3]
        self.rows = self._rows(directory.VirtualAddress, directory.Size)
        self._begins = [row.begin for row in self.rows]
        self.begins = {row.begin for row in self.rows}
        pe.close()

    def _rows(self, rva: int, size: int) -> list[Row]:
        rows = [Row(*struct.unpack_from("<III", self.image, at)) for at in range(rva, rva + size - 11, 12)]
        rows = [row for row in rows if row.begin]
        by_begin = {row.begin: row for row in rows}
        for row in rows:
            first, row.prolog, row.count, frame = self.image[row.info : row.info + 4]
            row.version, row.flags, row.frame_register = first & 7, first >> 3, frame & 15
            row.codes = self.image[row.info + 4 : row.info + 4 + row.count * 2]
        for row in rows:
            at = row
            for _step in range(32):
                if not at.flags & 4:
                    break
                begin = struct.unpack_from("<I", self.image, at.info + 4 + 2 * ((at.count + 1) & ~1))[0]
                at = by_begin[begin]
            row.primary = at.begin
        return rows

    def row_at(self, rva: int) -> Row | None:
        """The row that covers an RVA, by this harness's own search."""
        i = bisect.bisect_right(self._begins, rva) - 1
        return self.rows[i] if i >= 0 and rva < self.rows[i].end else None

    def gap_at(self, rva: int) -> str:
        """The stretch between two rows that an RVA lies in."""
        i = bisect.bisect_right(self._begins, rva)
        low = self.rows[i - 1].end if i else 0
        high = self.rows[i].begin if i < len(self.rows) else self.size
        return f"{low:#x}..{high:#x}"

    def functions(self) -> list[Row]:
        """Rows that can be called: not the parts of others, nor GCC's cold parts, which begin inside a frame."""
        return [row for row in self.rows if not row.flags & 4 and (row.prolog or not row.count)]


@dataclass
class Instruction:
    size: int
    kind: str  # "call", "ret", "jump-register", "bad", ""
    saves: str  # the nonvolatile register that it stores whole


class Machine:
    """An emulator with one program in it."""

    def __init__(self, program: Program, seed: int, visits: int = MAX_VISITS) -> None:
        self.program = program
        self.random = random.Random(seed)
        self.max_visits = visits
        pick = self.random
        some = [
            pick.choice((0, 0, 1, 2, pick.randrange(64), self._pointer(), self._pointer())) for _word in range(8192)
        ]
        words = pick.choices(some, k=HEAP_SIZE // 8)
        self.heap = struct.pack(f"<{len(words)}Q", *words)
        self.disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self.decoded: dict[int, Instruction] = {}
        self.visits: Counter[int] = Counter()
        self.points = 0
        self.stops: Counter[str] = Counter()
        self._fresh()

    def _fresh(self) -> None:
        program = self.program
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        uc.mem_map(program.base, program.size, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        uc.mem_write(program.base, program.image)
        for start, end in program.code:
            first, last = start & ~0xFFF, (end + 0xFFF) & ~0xFFF
            uc.mem_protect(program.base + first, last - first, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        data = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
        uc.mem_map(STACK, STACK_SIZE, data)
        uc.mem_map(HEAP, HEAP_SIZE, data)
        uc.mem_map(TEB, 0x10000, data)
        uc.mem_map(STUB, 0x1000)
        uc.mem_map(STOP, 0x1000)
        uc.mem_write(HEAP, self.heap)
        uc.mem_write(TEB, struct.pack("<512Q", *(self._pointer() for _ in range(512))))
        uc.mem_write(TEB + 0x10, struct.pack("<Q", STACK))  # StackLimit, for stack probes
        # mov rax, [rip + 9]; ret: every import answers with the value that `run` puts there.
        uc.mem_write(STUB, b"\x48\x8b\x05\x09\x00\x00\x00\xc3")
        uc.mem_write(STOP, b"\xf4")
        uc.hook_add(unicorn.UC_HOOK_CODE, self._step)
        uc.hook_add(unicorn.UC_HOOK_MEM_READ_UNMAPPED | unicorn.UC_HOOK_MEM_WRITE_UNMAPPED, self._map)
        uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._write, begin=STACK, end=STACK + STACK_SIZE)
        self.mapped = 0
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
        if self.mapped > MAX_MAPPED_PAGES:
            self._fresh()
        self.lazy = 0
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
        self.shadow = []
        self.before = ""
        self.before_rsp = 0
        self.before_end = 0
        self.steps = 0
        self.stopped = ""
        self.saves = ""
        self.overwritten = False
        self.shadow.append(self._frame(STOP, rsp))
        try:
            uc.emu_start(self.program.base + begin, STOP, timeout=3_000_000, count=MAX_STEPS)
        except unicorn.UcError as error:
            self.stops[str(error)] += 1
        else:
            self.stops[self.stopped or "returned or counted out"] += 1

    def _frame(self, ret: int, rsp: int) -> Shadow:
        gprs = dict(zip(NAMES, self.all_registers.words(), strict=True))
        return Shadow(ret, rsp, {name: gprs[name] for name in SAVED}, self.all_registers.vectors())

    def _map(self, uc: unicorn.Uc, _access: int, address: int, size: int, _value: int, _data: object) -> bool:
        if self.lazy >= MAX_LAZY_PAGES:
            return False
        self.lazy += 1
        self.mapped += 1
        try:
            length = 0x2000 if (address & 0xFFF) + size > 0x1000 else 0x1000
            uc.mem_map(address & ~0xFFF, length, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        except unicorn.UcError:
            return False
        return True

    def _write(self, _uc: unicorn.Uc, _access: int, address: int, size: int, value: int, _data: object) -> None:
        """Watch the saved registers: random arguments make programs write over their own frames."""
        frame = self.shadow[-1]
        if self.saves and size == 8 and value & (1 << 64) - 1 == frame.saved[self.saves]:
            frame.slots.add(address)
            return
        for word in range(address & -8, address + size, 8):
            if any(word in frame.slots for frame in self.shadow):
                self.overwritten = True

    def _instruction(self, address: int, size: int) -> Instruction:
        known = self.decoded.get(address)
        if known is not None:
            return known
        code = bytes(self.uc.mem_read(address, size))
        kind, saves = "bad", ""
        for instruction in self.disassembler.disasm(code, address, 1):
            kind = ""
            if instruction.id in (cx.X86_INS_PUSH, cx.X86_INS_MOV):
                stored = instruction.op_str.rpartition(", ")[2]
                saves = stored if stored in SAVED else ""
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

    def _step(self, uc: unicorn.Uc, address: int, size: int, _data: object) -> None:
        if self.stopped:
            return
        rsp = self.registers.words()[4]
        if self.before in ("call", "tail"):
            row = self.program.row_at(address - self.program.base)
            if row is not None and row.begin != address - self.program.base:
                # A pointer that was none: random arguments.
                self._stop("went to the middle of a function")
                return
        # What the instruction before has done to the stack of calls.
        if self.before == "call":
            ret = struct.unpack("<Q", uc.mem_read(rsp, 8))[0]
            if rsp == self.before_rsp - 8 and ret == self.before_end:
                self.shadow.append(self._frame(ret, rsp))
        elif self.before == "ret":
            frame = self.shadow.pop()
            if address != frame.ret or rsp < frame.rsp + 8 or not self.shadow:
                self._stop("returned to another place")
                return
            self.before_end = address
        elif self.before == "jump-register":
            row = self.program.row_at(address - self.program.base)
            if row is None or row.primary != self.before_primary:
                self._stop("a switch left its function")
                return
        if self.overwritten:
            self._stop("the program overwrote a saved register")
            return
        rva = address - self.program.base
        if rva in self.program.begins:
            self.shadow[-1].slots.clear()  # a function that was jumped to uses its caller's home space anew
        if address == self.before_end and not self._goes_on(rva):
            # The function ends with a call that never returns on Windows: an import that the stub answered.
            self._stop("fell out of its function")
            return
        inside = 0 <= rva < self.program.size
        instruction = self._instruction(address, size)
        if instruction.kind == "bad":
            self._stop("not an instruction")
            return
        if inside and self.visits[rva] < self.max_visits:
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
