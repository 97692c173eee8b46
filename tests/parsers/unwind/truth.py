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
from tests.parsers.unwind.emulator import MAX_VISITS, STOP, Machine, Point, Shadow, sample
from tests.parsers.unwind.odd_code import why
from tests.parsers.unwind.program import Program, Row


@dataclass
class Mismatch:
    """A point where the unwinder and the truth differ.

    `where` is the function (its row) that the wrong step left; `reason` is "unexplained" unless the program itself
    breaks the rules of the ABI there (`odd_code.py`), which the unwind data cannot show. `run` is the function that
    was called: with the seed that gives the same run again.
    """

    rva: int
    where: str
    reason: str
    text: str
    run: int


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
    breaches: set[tuple[int, int, str]] = field(default_factory=set)  # as `Machine.breaches`


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
    known: set[int] | None = None,
) -> Result:
    """Run `functions` of a file, or these `rows`, and compare; stops after `max_points` points.
    With `hide_code` the unwinder sees no code bytes; only steps that it calls certain are compared.
    Places in `known` need no more comparing.
    """
    program = Program(path) if program is None else program
    machine = Machine(program, seed, visits)
    machine.visits.update(dict.fromkeys(known or (), visits))
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
    called = 0

    def wrong_at(rva: int, left: int, wrong: str, frame: Shadow, how: str) -> None:
        row = program.row_at(left)
        where = f"no row in {program.gap_at(left)}" if row is None else f"{row.begin:#x}..{row.end:#x}"
        what = wrong.partition(" ")[0]
        reason = why(program, row, left, frame.begin, what) or "unexplained"
        result.mismatches.append(Mismatch(rva, where, reason, f"{how}: {wrong}", called))

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
            wrong_at(rva, rva, f"rip {type(error).__name__}: {error}", point.shadow[-1], "error")
            return
        if hide_code and not step.certain:
            return
        result.counts["epilog"] += step.method == "epilog"
        result.counts["uncertain"] += not step.certain
        truth = point.shadow[-1]
        wrong = _difference(step.regs, truth.ret, truth.rsp, truth.saved, truth.xmm)
        if wrong:
            wrong_at(rva, rva, wrong, truth, step.method)
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
                wrong_at(rva, at - 1 - program.base, f"rip {type(error).__name__}: {error}", truth, "outer")
                return
            result.outer += 1
            wrong = _difference(step.regs, truth.ret, truth.rsp, truth.saved, truth.xmm)
            if wrong:
                wrong_at(rva, at - 1 - program.base, wrong, truth, "outer")
                return
        if step.regs.rip != STOP:
            wrong_at(rva, rva, f"rip {step.regs.rip:#x}, not the end", point.shadow[0], "outer")

    for row in sample(program.functions(), functions, seed) if rows is None else rows:
        if result.points >= max_points:
            break
        called = row.begin
        machine.run(row.begin, compare)
        result.functions += 1
    result.places = set(machine.visits)
    result.stops = machine.stops
    result.breaches = machine.breaches
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
