"""Every documented code, with parameters that point anywhere: a verdict that says why, and never an error."""

from __future__ import annotations

import json
import random
from pathlib import Path

from forensics.crash import bugchecks
from forensics.crash.analyse import trim
from tests.forensics.crash.machines import (
    DRIVER_BASE,
    NT,
    POOL,
    PROCESS,
    RSP,
    Machine,
    context_x64,
    crash_of,
    device,
    irp,
    server2019,
    trap_frame,
)

#: Numbers, objects, records, bytes of no meaning, code, a former driver, statuses, and what no dump holds.
VALUES = (
    0, 1, 3, 5, 0x10, POOL, POOL + 0x1000, POOL + 0x1800, POOL + 0x5123, POOL + 0x6000, POOL + 0x7000, NT + 0x5000,
    DRIVER_BASE + 0x1234, PROCESS, 0xFFFFF80131001234, 0xFFFFC08B44440000, 0xFFFFFFFFC0000005, 0xFFFFFFFFFFFFFFFF,
)  # fmt: skip


def _machine(number: random.Random) -> Machine:
    machine = server2019()
    device(machine, POOL + 0x1000, POOL + 0x1800, DRIVER_BASE, "\\Driver\\a", below=POOL + 0x3000)
    irp(machine, POOL, POOL + 0x1000)
    machine.put(POOL + 0x5000, number.randbytes(0x800))
    machine.put(POOL + 0x6000, context_x64(DRIVER_BASE + 0x2222, RSP + 0x100))
    machine.put(POOL + 0x7000, trap_frame(DRIVER_BASE + 0x2222, RSP + 0x300))
    return machine


def test_every_code_gives_a_verdict_with_its_reasons_whatever_its_parameters_point_to() -> None:
    document = json.loads((Path(bugchecks.__file__).parent / "data" / "bugchecks.json").read_text("utf-8"))
    codes = [int(row["code"], 16) for row in document["bugchecks"]]
    assert len(codes) == 425
    for code in codes:
        number = random.Random(code)
        first, second, third, fourth = (number.choice(VALUES) for _parameter in range(4))
        crash = crash_of(_machine(number), code, (first, second, third, fourth))
        culprit = crash["culprit"]
        told = f"{code:#x} {first:#x} {second:#x} {third:#x} {fourth:#x}"
        assert culprit["because"], told
        assert (culprit["module"] is None) == (culprit["kind"] != "driver"), told
        assert json.loads(json.dumps(trim(crash)))["culprit"] == culprit, told
