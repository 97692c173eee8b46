"""Traces of drivers on a stack: return addresses into one that was unloaded, the framework's own log of its client."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

import pytest

from stopcode.report.words import place
from tests.forensics.crash.chain import run
from tests.forensics.crash.machines import (
    DRIVER_BASE,
    NT,
    POOL,
    RSP,
    STACK_TOP,
    WDF_BASE,
    Machine,
    context_x64,
    crash_of,
    secondary,
    server2019,
)
from tests.parsers.dump.builder import MODULE_LIST, Module

LOG = uuid.UUID("54c84888-01d1-4c1e-bed6-282c98241303").bytes_le
#: The table of unloaded drivers of the machine, and its second row (old.sys).
ROW = NT + 0xC80000 + 0x5000 + 0x28
OLD = 0xFFFFF80131000000


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_exact_unwinding_into_a_driver_that_was_unloaded_names_it(tmp_path: Path) -> None:
    chain = run(tmp_path, direct=False)
    client = next(module for module in chain.modules if module.base == DRIVER_BASE)
    others = [module for module in chain.modules if module is not client]
    chain.machine.put_modules(MODULE_LIST, 0xFFFFC08BDC0011F0, others, 0xFFFFC08BDC100F20)
    name = chain.machine.unicode_string("vmstorfl.sys", POOL + 0xF00)
    chain.machine.put(ROW, name + struct.pack("<QQ", client.base, client.base + client.size))
    chain.machine.put(POOL + 0x8000, chain.context)
    crash = crash_of(chain.machine, 0x7E, (0xFFFFFFFFC0000005, chain.rip, 0, POOL + 0x8000))
    second = crash["stack"][1]
    assert (int(second["ip"], 16), int(second["sp"], 16)) == chain.frames[1]
    assert (second["module"], second["method"], second["confidence"]) == (None, "exact", "exact")
    assert (second["unloaded"], int(second["offset"], 16)) == ("vmstorfl.sys", chain.frames[1][0] - DRIVER_BASE)
    assert place(second).startswith("vmstorfl.sys+0x")
    assert place(second).endswith(" (unloaded)")
    culprit = crash["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("vmstorfl.sys", "medium")
    assert "which was unloaded: its code was running then" in culprit["because"][0]


def _kernel_alone() -> Machine:
    machine = server2019()
    machine.put(STACK_TOP - 0x400, bytes(0x400))
    return machine


def test_a_stack_word_in_a_former_range_is_a_hint_and_no_more() -> None:
    machine = _kernel_alone()
    machine.put(STACK_TOP - 0x200, struct.pack("<Q", OLD + 0x1234))
    culprit = crash_of(machine, 0xA, (0x10, 2, 0, NT + 0x5555))["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("old.sys", "low")
    assert any("cannot be seen" in line for line in culprit["against"])


def test_a_former_copy_of_the_storage_stack_is_no_hint() -> None:
    machine = _kernel_alone()
    machine.put(STACK_TOP - 0x200, struct.pack("<Q", 0xFFFFF80130001234))
    assert crash_of(machine, 0xA, (0x10, 2, 0, NT + 0x5555))["culprit"]["module"] is None


def _stopped_in_the_framework(log: bytes) -> tuple[str | None, str]:
    machine = server2019()
    machine.put(STACK_TOP - 0x400, bytes(0x400))
    modules = [
        Module("ntoskrnl.exe", NT, 0xD00000, 0x11, 0x22),
        Module("Wdf01000.sys", WDF_BASE, 0x100000, 0x33, 0x44),
        Module("vmstorfl.sys", DRIVER_BASE, 0x10000, 0x55, 0x66),
    ]
    machine.put_modules(MODULE_LIST, 0xFFFFC08BDC0011F0, modules, 0xFFFFC08BDC100F20)
    machine.put(POOL, context_x64(WDF_BASE + 0x2222, RSP + 0x100))
    tail = secondary([(LOG, bytes(0x24) + log.ljust(32, b"\0") + bytes(0x100))])
    culprit = crash_of(machine, 0x3B, (0xC0000005, WDF_BASE + 0x2222, POOL, 0), tail=tail)["culprit"]
    return culprit["module"], culprit["confidence"]


def test_the_frameworks_log_names_its_client_where_the_stack_names_none() -> None:
    assert _stopped_in_the_framework(b"vmstorfl") == ("vmstorfl.sys", "low")


@pytest.mark.parametrize("log", [b"", b"nobody", b"Wdf01000", b"\xff\xfe"])
def test_a_log_of_nobody_who_is_loaded_leaves_the_framework(log: bytes) -> None:
    assert _stopped_in_the_framework(log) == ("Wdf01000.sys", "low")
