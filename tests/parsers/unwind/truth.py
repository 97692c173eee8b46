"""Hold the unwinder against an emulated program, point by point."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import unicorn

from parsers.bytesource import BytesSource
from parsers.errors import ReadError, StopcodeError
from parsers.pe import PeImage
from parsers.unwind.image import MappedImage
from parsers.unwind.x64 import Registers, unwind_frame
from tests.parsers.unwind.emulator import NAMES, STOP, Machine, Point, Program, Row, sample


@dataclass
class Result:
    path: Path
    functions: int = 0
    points: int = 0
    outer: int = 0
    boundaries: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    ops: Counter[int] = field(default_factory=Counter)
    mismatches: list[tuple[int, str]] = field(default_factory=list)
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
    path: Path, *, functions: int, seed: int = 1, max_points: int = 1 << 60, rows: list[Row] | None = None
) -> Result:
    """Run `functions` of a file and compare; stops after `max_points` points."""
    program = Program(path)
    machine = Machine(program, seed)
    memory = _Memory(machine)
    image = MappedImage.from_pe(PeImage(BytesSource(path.read_bytes())), program.base)
    result = Result(path)

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
            result.mismatches.append((rva, f"{type(error).__name__}: {error}"))
            return
        result.counts["epilog"] += step.method == "epilog"
        result.counts["uncertain"] += not step.certain
        truth = point.shadow[-1]
        wrong = _difference(step.regs, truth.ret, truth.rsp, truth.saved, truth.xmm)
        if wrong:
            result.mismatches.append((rva, f"{step.method}{'' if step.certain else ' (uncertain)'}: {wrong}"))
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
                result.mismatches.append((rva, f"outer {at - program.base:#x} {type(error).__name__}: {error}"))
                return
            result.outer += 1
            wrong = _difference(step.regs, truth.ret, truth.rsp, truth.saved, truth.xmm)
            if wrong:
                result.mismatches.append((rva, f"outer {at - program.base:#x}: {wrong}"))
                return
        if step.regs.rip != STOP:
            result.mismatches.append((rva, f"the stack ends at {step.regs.rip:#x}"))

    for row in sample(rows if rows is not None else program.functions(), functions, seed):
        if result.points >= max_points:
            break
        machine.run(row.begin, compare)
        result.functions += 1
    result.boundaries = len(machine.visits)
    result.stops = machine.stops
    return result


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
