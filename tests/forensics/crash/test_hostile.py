"""Cut and mutated dumps: a crash as far as it can be told, or a StopcodeError; never anything else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.crash.analyse import analyse, trim
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.errors import StopcodeError
from tests.forensics.crash import x86
from tests.forensics.crash.arm64 import PLACE, dump_arm64, machine_arm64, trap_frame_arm64
from tests.forensics.crash.machines import DRIVER_BASE, RSP, server2019, trap_frame, write_x64


def _analyse(data: bytes, diagnostics: Diagnostics | None = None) -> CrashDict | None:
    try:
        crash = analyse(BytesSource(data), path="x.dmp", diagnostics=diagnostics or Diagnostics())
    except StopcodeError:
        return None
    json.dumps(trim(crash))
    json.dumps(crash)
    assert crash["culprit"]["because"]
    return crash


@pytest.mark.realdata
@pytest.mark.parametrize("cut", [0x1000, 0x2000, 0x2100, 0x8000, 0x80000])
def test_a_cut_dump_gives_a_partial_crash(unpacked: Callable[[str], Path], cut: int) -> None:
    data = unpacked("dumps/triage_x64.dmp").read_bytes()[:cut]
    diagnostics = Diagnostics()
    crash = _analyse(data, diagnostics)
    assert crash is not None
    assert crash["dump"]["complete"] is False
    assert any("cut or damaged" in gap for gap in crash["gaps"])
    assert any(item.code.startswith("dump.") and item.severity == "error" for item in diagnostics.items)
    assert crash["bugcheck"]["code"] == "0x7e"
    # The header's context lies before 0x1000: the registers at the fault are still told where that much is there.
    if cut >= 0x2000:
        assert crash["context"]["ip"] == "0xfffff8048b58334c"


def test_something_else_is_an_error() -> None:
    for data in (b"", b"MZ", b"PAGEDU64", b"MDMP" + bytes(100), b"PAGE" * 0x800):
        with pytest.raises(StopcodeError):
            analyse(BytesSource(data), path="x.dmp", diagnostics=Diagnostics())


def test_a_module_list_in_a_circle_still_gives_a_crash() -> None:
    machine = server2019()
    machine.put_pointer(0xFFFFC08BDC0011F0 + 0x100, 0xFFFFC08BDC0011F0)
    crash = _analyse(write_x64(machine, 5))
    assert crash is not None
    assert 1 <= crash["module_count"] <= 4


def test_a_dump_of_which_only_the_header_is_encrypted_not_says_so() -> None:
    crash = _analyse(write_x64(server2019(), 5, attributes=0x100))
    assert crash is not None
    assert any("encrypted" in gap for gap in crash["gaps"])
    assert crash["modules"] == []


@pytest.mark.fuzz
@pytest.mark.realdata
@pytest.mark.parametrize("name", ["triage_x64", "082325-12593-01", "triage_arm64", "9f"])
@given(seed=st.integers(0, 1 << 32))
def test_a_mutated_real_dump_gives_a_crash_or_an_error(unpacked: Callable[[str], Path], name: str, seed: int) -> None:
    data = bytearray(unpacked(f"dumps/{name}.dmp").read_bytes())
    rng = random.Random(seed)
    for _change in range(rng.randrange(1, 40)):
        # The first pages hold what everything else hangs on: mutate them most.
        at = rng.randrange(0x3000) if rng.random() < 0.6 else rng.randrange(len(data) - 16)
        kind = rng.randrange(4)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + 8] = rng.randbytes(8)
        elif kind == 2:
            data[at : at + 8] = b"\xff" * 8
        else:
            data[at : at + 16] = bytes(16)
    if rng.random() < 0.2:
        data = data[: rng.randrange(len(data))]
    _analyse(bytes(data))


@pytest.mark.fuzz
@given(seed=st.integers(0, 1 << 32), dump_type=st.sampled_from([1, 5]))
def test_a_mutated_dump_with_pages_gives_a_crash_or_an_error(seed: int, dump_type: int) -> None:
    machine = server2019()
    rng = random.Random(seed)
    machine.put(RSP + 0x40, trap_frame(DRIVER_BASE + 0x1234, RSP + 0x1D0, fault=0x10))
    code = rng.choice([0x7E, 0x3B, 0xD1, 0x50, 0x1E, 0x9F, 0x10D, 0x124, 0xEF, 0xF4, 0x139, 0x7F, 0x1A, 0x116])
    parameters = tuple(rng.choice([0, 3, RSP, RSP + 0x40, DRIVER_BASE, rng.getrandbits(64)]) for _ in range(4))
    data = bytearray(write_x64(machine, dump_type, code=code, parameters=parameters))
    for _change in range(rng.randrange(0, 60)):
        at = rng.randrange(len(data) - 8)
        data[at : at + 8] = rng.choice([rng.randbytes(8), RSP.to_bytes(8, "little"), b"\xff" * 8])
    _analyse(bytes(data))


@pytest.mark.fuzz
@given(seed=st.integers(0, 1 << 32), kind=st.sampled_from(["arm64", "x86", "pae"]))
def test_a_mutated_dump_of_another_processor_gives_a_crash_or_an_error(seed: int, kind: str) -> None:
    rng = random.Random(seed)
    if kind == "arm64":
        machine, frame = machine_arm64(), RSP + 0x200 & -16
        machine.put(frame, trap_frame_arm64(PLACE, frame + 0x160, fault=0x10, fp=frame + 0x170))
        code = rng.choice([0x7E, 0x3B, 0xD1, 0x50, 0x1E, 0x139, 0xBE, 0xFC, 0x1C8])
        values = [0, 3, RSP, frame, PLACE, rng.getrandbits(64)]
        first, second, third, fourth = (rng.choice(values) for _ in range(4))
        data = bytearray(dump_arm64(machine, code, (first, second, third, fourth), fp=rng.choice([frame + 0x140, RSP])))
    else:
        machine = x86.machine_x86(kind)
        data = bytearray(x86.dump_x86(machine, rng.choice([0, 1, 8]), rng.getrandbits(32), ebp=x86.STACK + 0x20))
    for _change in range(rng.randrange(0, 60)):
        at = rng.randrange(len(data) - 8)
        data[at : at + 8] = rng.choice([rng.randbytes(8), RSP.to_bytes(8, "little"), b"\xff" * 8])
    _analyse(bytes(data))


@given(st.binary(max_size=0x160), st.sampled_from([0xD1, 0x139, 0xBE, 0xFC]))
def test_any_bytes_where_a_trap_frame_of_arm64_is_named_give_a_crash(frame: bytes, code: int) -> None:
    machine, at = machine_arm64(), RSP + 0x200 & -16
    machine.put(at, frame)
    crash = _analyse(dump_arm64(machine, code, (0x10, at, at, PLACE), fp=at + 0x140))
    assert crash is not None
    # A frame that says nothing sound is none.
    assert not crash["context"]["fault"] or crash["context"]["origin"] in ("trap-frame", "machine-frame")
