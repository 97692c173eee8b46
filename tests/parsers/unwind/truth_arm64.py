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
from parsers.unwind.arm64 import Arm64Registers, unwind_arm64
from parsers.unwind.arm64_info import DOUBLE
from parsers.unwind.image import MappedImage
from tests.parsers.unwind.emulator_arm64 import STOP, Machine, Point, Program, Shadow


@dataclass
class Result:
    points: int = 0
    outer: int = 0
    boundaries: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    #: function (begin of its row) -> first mismatch in it.
    wrong: dict[int, str] = field(default_factory=dict)
    wrong_points: int = 0
    #: Points with a function on the stack that returns with another stack pointer: no unwind data tells that.
    odd_points: int = 0


class _Memory:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def read(self, va: int, n: int) -> bytes:
        try:
            return self.machine.read(va, n)
        except unicorn.UcError as error:
            raise ReadError("not mapped", address=va) from error


def run_file(path: Path, *, functions: int, seed: int = 1) -> Result:
    program = Program(path)
    machine = Machine(program, seed)
    memory = _Memory(machine)
    image = MappedImage.from_pe(PeImage(BytesSource(path.read_bytes())), program.base)
    result = Result()
    misses: list[tuple[int, str, set[int]]] = []

    def differs(regs: Arm64Registers, truth: Shadow) -> str:
        if regs.pc != truth.ret:
            return f"pc {regs.pc:#x}, not {truth.ret:#x}"
        if regs.sp != truth.sp:
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
                text = differs(step.regs, truth)
            except StopcodeError as error:
                text = f"{type(error).__name__}: {error}"
            if text:
                where = f"{rva:#x} {'inner' if interrupted else 'outer'}: {text}"
                misses.append((row.begin if row is not None else 0, where, {one.begin for one in point.shadow}))
                return
            if interrupted:
                result.counts[step.method] += 1
                result.counts["packed" if row is not None and row.unwind & 3 else "record"] += 1
            else:
                result.outer += 1
            interrupted = False
            if step.regs.pc == STOP or not program.base <= step.regs.pc < program.base + program.size:
                return
            regs, rva = step.regs, step.regs.pc - program.base
            if result.points % 5:
                return

    pool = program.functions()
    random.Random(seed).shuffle(pool)
    for rva in pool[:functions]:
        machine.run(rva, judge)
    result.boundaries = len(machine.visits)
    for begin, text, live in misses:
        if live & machine.odd:
            result.odd_points += 1
        else:
            result.wrong_points += 1
            result.wrong.setdefault(begin, text)
    return result
