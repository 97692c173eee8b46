"""Hold the unwinder against an emulated program, point by point."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import capstone
import unicorn

from parsers.bytesource import BytesSource
from parsers.errors import ReadError, StopcodeError
from parsers.pe import PeImage
from parsers.unwind.image import MappedImage
from parsers.unwind.x64 import Registers, unwind_frame
from tests.parsers.unwind.emulator import MAX_VISITS, NAMES, SAVED, STOP, Machine, Point, Program, Row, sample


@dataclass
class Mismatch:
    """A point where the unwinder and the truth differ.

    `where` is the function (its row) that the wrong step left; `reason` is "unexplained" unless the program itself
    breaks the rules of the ABI there, which the unwind data cannot show.
    """

    rva: int
    where: str
    reason: str
    text: str


@dataclass
class Result:
    path: Path
    functions: int = 0
    points: int = 0
    outer: int = 0
    places: set[int] = field(default_factory=set)  # RVAs of distinct boundaries
    counts: Counter[str] = field(default_factory=Counter)
    ops: Counter[int] = field(default_factory=Counter)
    mismatches: list[Mismatch] = field(default_factory=list)
    stops: Counter[str] = field(default_factory=Counter)


class _Memory:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def read(self, va: int, n: int) -> bytes:
        try:
            return self.machine.read(va, n)
        except unicorn.UcError as error:
            raise ReadError("not mapped", address=va) from error


def run_file(
    path: Path,
    *,
    functions: int,
    seed: int = 1,
    max_points: int = 1 << 60,
    rows: list[Row] | None = None,
    hide_code: bool = False,
    visits: int = MAX_VISITS,
    program: Program | None = None,
) -> Result:
    """Run `functions` of a file, or these `rows`, and compare; stops after `max_points` points.
    With `hide_code` the unwinder sees no code bytes; only steps that it calls certain are compared.
    """
    program = Program(path) if program is None else program
    machine = Machine(program, seed, visits)
    memory = _Memory(machine)
    pe = PeImage(BytesSource(path.read_bytes()))

    def without_code(rva: int, n: int) -> bytes:
        if pe.is_executable(rva):
            raise ReadError("hidden", address=rva)
        return pe.read_rva(rva, n)

    image = MappedImage.from_pe(pe, program.base)
    if hide_code:
        image = MappedImage(program.base, program.size, without_code, pe.pdata)
    result = Result(path)

    def wrong_at(rva: int, left: int, text: str, *, certain: bool) -> None:
        row = program.row_at(left)
        where = f"no row in {program.gap_at(left)}" if row is None else f"{row.begin:#x}..{row.end:#x}"
        if row is None:
            reason = "a subroutine without a row that changes the stack or a saved register"
        elif not certain:
            reason = "a row with a handler and no codes (labelled uncertain)"
        elif _moves_stack(program, row, left):
            reason = "the code between prolog and here moves Rsp, with no frame register (inline assembler)"
        else:
            reason = breaks_abi(program, row) or "unexplained"
        result.mismatches.append(Mismatch(rva, where, reason, text))

    def compare(point: Point) -> None:
        result.points += 1
        row = program.row_at(point.rip - program.base)
        if row is not None:
            offset = point.rip - program.base - row.begin
            result.counts["prolog"] += offset < row.prolog
            result.counts["chained"] += bool(row.flags & 4)
            result.counts["v2"] += row.version == 2
            result.counts["fp"] += bool(row.frame_register)
            for op, slots in {*row.ops()}:
                result.ops[op if op != 1 else 1 + slots * 100] += 1
        else:
            result.counts["no row"] += 1
        rva = point.rip - program.base
        try:
            step = unwind_frame(
                Registers(
                    point.rip, point.gprs, {i + 6: value.to_bytes(16, "little") for i, value in enumerate(point.xmm)}
                ),
                image,
                memory,
                interrupted=True,
            )
        except StopcodeError as error:
            wrong_at(rva, rva, f"{type(error).__name__}: {error}", certain=True)
            return
        if hide_code and not step.certain:
            return
        result.counts["epilog"] += step.method == "epilog"
        result.counts["uncertain"] += not step.certain
        truth = point.shadow[-1]
        wrong = _difference(step.regs, truth.ret, truth.rsp, truth.saved, truth.xmm)
        if wrong:
            wrong_at(rva, rva, f"{step.method}: {wrong}", certain=step.certain)
            return
        if not point.whole:
            return
        # A leaf's or stub's caller lies in the image again; the walk ends at the call that the harness made.
        for truth in reversed(point.shadow[:-1]):
            at = step.regs.rip
            if not program.base <= at < program.base + program.size:
                return
            try:
                step = unwind_frame(step.regs, image, memory, interrupted=False)
            except StopcodeError as error:
                wrong_at(rva, at - 1 - program.base, f"outer: {type(error).__name__}: {error}", certain=True)
                return
            result.outer += 1
            wrong = _difference(step.regs, truth.ret, truth.rsp, truth.saved, truth.xmm)
            if wrong:
                wrong_at(rva, at - 1 - program.base, f"outer: {wrong}", certain=step.certain)
                return
        if step.regs.rip != STOP:
            wrong_at(rva, rva, f"the stack ends at {step.regs.rip:#x}", certain=True)

    for row in sample(program.functions(), functions, seed) if rows is None else rows:
        if result.points >= max_points:
            break
        machine.run(row.begin, compare)
        result.functions += 1
    result.places = set(machine.visits)
    result.stops = machine.stops
    return result


_ASSEMBLER = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def _moves_stack(program: Program, row: Row, rva: int) -> bool:
    """Whether the code between the end of the prolog and a place has pushed what it has not popped (by capstone)."""
    if row.frame_register:
        return False
    start = row.begin + row.prolog
    depth = 0
    for instruction in _ASSEMBLER.disasm(program.image[start:rva], start):
        name, operands = instruction.mnemonic, instruction.op_str
        if name == "ret":
            depth = 0
        elif name in ("push", "pushfq"):
            depth += 8
        elif name in ("pop", "popfq"):
            depth -= 8
        elif name in ("sub", "add") and operands.startswith("rsp, "):
            depth += int(operands[5:], 0) * (1 if name == "sub" else -1)
    return depth > 0


def breaks_abi(program: Program, row: Row) -> str | None:
    """Say why a row's code is not what its unwind data describes (its bytes and its codes alone tell it).

    V8's built-in functions have a calling convention of their own: they write registers that Windows keeps, and all
    have one record, which tells of a frame pointer also where there is none.
    """
    if row.flags & 4:
        return None
    codes = row.walk()
    pushes = {row.begin + offset: NAMES[info] for offset, op, info, _slots in codes if op == 0}
    kept = set(SAVED) - {NAMES[info] for _offset, op, info, _slots in codes if op in (0, 4, 5)}
    written = set()
    for instruction in _ASSEMBLER.disasm(program.image[row.begin : row.end], row.begin):
        name, target = instruction.mnemonic, instruction.op_str.partition(",")[0]
        pushed = pushes.get(instruction.address + instruction.size)
        if pushed is not None and (name, target) != ("push", pushed):
            return "the code does not begin as its unwind data says (not compiled for Windows)"
        if name in ("mov", "lea", "xor", "pop") and target in kept:
            written.add(target)
    if not written:
        return None
    return "the code writes a register that Windows keeps, and saves it nowhere (not compiled for Windows)"


def _difference(regs: Registers, ret: int, rsp: int, saved: dict[str, int], xmm: list[int]) -> str:
    if regs.rip != ret:
        return f"rip {regs.rip:#x}, not {ret:#x}"
    if regs.rsp != rsp + 8:
        return f"rsp {regs.rsp:#x}, not {rsp + 8:#x}"
    for name, value in saved.items():
        if regs.gprs.get(name) != value:
            return f"{name} {regs.gprs.get(name, -1):#x}, not {value:#x}"
    for i, value in enumerate(xmm):
        if regs.xmm.get(i + 6) != value.to_bytes(16, "little"):
            return f"xmm{i + 6}"
    return ""


assert NAMES[4] == "rsp"
