"""Hold the ARM64 unwinder against an emulated program, point by point."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import unicorn

from parsers.bytesource import BytesSource
from parsers.errors import ReadError, StopcodeError
from parsers.pe import PeImage
from parsers.unwind.arm64 import Arm64Registers, Arm64Step, unwind_arm64
from parsers.unwind.arm64_info import DOUBLE
from parsers.unwind.image import MappedImage
from tests.parsers.unwind.emulator_arm64 import MAX_VISITS, STOP, Machine, Point, Program, Shadow


@dataclass
class Mismatch:
    """A place where the unwinder and the truth differ; `where` is the function (its row) that the wrong step left."""

    where: str
    reason: str
    text: str


@dataclass
class Result:
    functions: int = 0
    points: int = 0
    outer: int = 0
    places: set[int] = field(default_factory=set)  # addresses of distinct boundaries
    counts: Counter[str] = field(default_factory=Counter)
    mismatches: list[Mismatch] = field(default_factory=list)
    #: Answers for the time after a return, as MSVC's stack cookie helpers need them: they hand back another stack
    #: pointer than they were called with. Each was compared when the function had returned.
    after_return: int = 0


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
    visits: int = MAX_VISITS,
    rows: list[int] | None = None,
    program: Program | None = None,
    known: set[int] | None = None,
) -> Result:
    """Run `functions` of a file, or these `rows`, and compare; places in `known` need no more comparing."""
    program = Program(path) if program is None else program
    machine = Machine(program, seed, visits)
    machine.visits.update(dict.fromkeys(known or (), visits))
    memory = _Memory(machine)
    image = MappedImage.from_pe(PeImage(BytesSource(path.read_bytes())), program.base)
    result = Result()

    def miss(begin: int, text: str) -> None:
        result.mismatches.append(Mismatch(f"{begin:#x}", "unexplained", text))

    def settle(left: Shadow, sp: int) -> None:
        for told, text in left.after_return:
            result.after_return += 1
            if told != sp:
                miss(left.begin - program.base, f"{text}: sp {told:#x} after the return, not {sp:#x}")

    machine.settle = settle

    def differs(step: Arm64Step, truth: Shadow, where: str) -> str:
        regs = step.regs
        if regs.pc != truth.ret:
            return f"pc {regs.pc:#x}, not {truth.ret:#x}"
        if step.trap:
            truth.after_return.append((regs.sp, where))
        elif regs.sp != truth.sp:
            return f"sp {regs.sp:#x}, not {truth.sp:#x}"
        for number, value in enumerate(truth.saved, 19):
            if regs.known.get(number) != value:
                return f"x{number} {regs.known.get(number, -1):#x}, not {value:#x}"
        for number, value in enumerate(truth.doubles, 8):
            if regs.known.get(DOUBLE + number) != value:
                return f"d{number}"
        return ""

    def judge(point: Point) -> None:
        result.points += 1
        rva = point.pc - program.base
        known = dict(enumerate(point.x)) | {DOUBLE + 8 + number: value for number, value in enumerate(point.d)}
        regs, interrupted = Arm64Registers(point.pc, point.sp, known), True
        for truth in reversed(point.shadow):
            row = image.function_at(rva if interrupted else rva - 4)
            try:
                step = unwind_arm64(regs, image, memory, interrupted=interrupted)
                text = differs(step, truth, f"{rva:#x}")
            except StopcodeError as error:
                text = f"{type(error).__name__}: {error}"
            if text:
                miss(row.begin if row is not None else 0, f"{rva:#x} {'inner' if interrupted else 'outer'}: {text}")
                return
            if interrupted:
                result.counts[step.method] += 1
                result.counts["packed" if row is not None and row.unwind & 3 else "record"] += 1
            else:
                result.outer += 1
            interrupted = step.trap
            if step.regs.pc == STOP or not program.base <= step.regs.pc < program.base + program.size:
                return
            regs, rva = step.regs, step.regs.pc - program.base
            if result.points % 5:
                return

    if rows is None:
        rows = program.functions()
        random.Random(seed).shuffle(rows)
    for rva in rows[:functions]:
        machine.run(rva, judge)
        result.functions += 1
    result.places = set(machine.visits)
    return result
