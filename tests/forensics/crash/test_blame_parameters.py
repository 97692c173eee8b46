"""What parameters are documented to be leads to a driver: addresses of code, objects, names; or to nobody."""

from __future__ import annotations

import struct
import uuid

import pytest

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.errors import ReadError
from tests.forensics.crash.machines import (
    DRIVER_BASE,
    NT,
    POOL,
    THREAD,
    WDF_BASE,
    context_x64,
    crash_of,
    device,
    irp,
    secondary,
    server2019,
    waiting_thread,
    write_x64,
)

NOWHERE = 0xFFFFC08B44440000
#: In the former range of old.sys.
OLD = 0xFFFFF80131001234
TABLE = uuid.UUID("f87e4a4c-c5a1-4d2f-bff0-d5de63a5e4c3").bytes_le


def named(crash: CrashDict) -> tuple[str | None, str]:
    return crash["culprit"]["module"], crash["culprit"]["confidence"]


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        (0xCE, (NOWHERE, 0, DRIVER_BASE + 0x1234, 0)),
        (0xD3, (NOWHERE, 2, 0, DRIVER_BASE + 0x1234)),
        (0xD0, (NOWHERE, 2, 0, DRIVER_BASE + 0x1234)),
        (0xDB, (NOWHERE, 2, 0, DRIVER_BASE + 0x1234)),
        (0x48, (POOL + 0x8000, DRIVER_BASE + 0x1234, 0, 0)),
        (0xC7, (2, DRIVER_BASE + 0x1234, 0, 0)),
        (0xC8, (0x00020001, DRIVER_BASE + 0x1234, POOL, 0)),
        (0xC8, (0x00020003, DRIVER_BASE + 0x1234, POOL, 0)),
        (0xCB, (DRIVER_BASE + 0x1234, 0, POOL, 5)),
        (0x135, (0xC0000005, 0, DRIVER_BASE + 0x1234, 0)),
    ],
)
def test_an_address_of_code_names_its_driver(code: int, parameters: tuple[int, int, int, int]) -> None:
    module, sure = named(crash_of(server2019(), code, parameters))
    assert (module, sure) == ("vmstorfl.sys", "high" if code == 0x135 else "medium")


@pytest.mark.parametrize(
    ("code", "parameters"),
    [(0xC4, (0xF6, DRIVER_BASE + 0x1234, 0, 0)), (0xC4, (0x2000, DRIVER_BASE + 0x1234, 0, 0)),
     (0xC9, (0x22A, DRIVER_BASE + 0x1234, POOL, 0))],
)  # fmt: skip
def test_the_driver_that_the_verifier_names_is_exact(code: int, parameters: tuple[int, int, int, int]) -> None:
    told = " ".join(row["meaning"] for row in crash_of(server2019(), code, parameters)["bugcheck"]["parameters"])
    assert "driver" in told
    assert named(crash_of(server2019(), code, parameters))[0] == "vmstorfl.sys"


def test_a_device_or_irp_with_which_the_verifier_caught_somebody_accuses_nobody() -> None:
    machine = server2019()
    device(machine, POOL + 0x1000, POOL + 0x1800, DRIVER_BASE, "\\Driver\\storflt")
    irp(machine, POOL, POOL + 0x1000)
    assert named(crash_of(machine, 0xC9, (0x1, POOL, 0, 0)))[1] in ("none", "low")


@pytest.mark.parametrize(
    ("code", "parameters"),
    [(0xCE, (NOWHERE, 0, OLD, 0)), (0xD1, (NOWHERE, 2, 8, OLD)), (0x0A, (NOWHERE, 2, 8, OLD)),
     (0x50, (OLD, 0x10, OLD, 0)), (0x1E, (0xFFFFFFFFC0000005, OLD, 8, OLD)), (0x48, (POOL + 0x8000, OLD, 0, 0))],
)  # fmt: skip
def test_an_address_of_code_in_a_former_driver_names_the_unloaded_one(
    code: int, parameters: tuple[int, int, int, int]
) -> None:
    assert named(crash_of(server2019(), code, parameters)) == ("old.sys", "high")


@pytest.mark.parametrize(("code", "current"), [(0x44, 2), (0x48, 2), (0x35, 0)])
def test_an_irp_leads_to_the_driver_that_holds_it(code: int, current: int) -> None:
    machine = server2019()
    device(machine, POOL + 0x1000, POOL + 0x1800, DRIVER_BASE, "\\Driver\\storflt")
    irp(machine, POOL, POOL + 0x1000, current=current or 1)
    machine.put(POOL + 0x43, bytes([current]))
    crash = crash_of(machine, code, (POOL, 0, 0, 0))
    assert named(crash) == ("vmstorfl.sys", "medium")
    assert any("\\Driver\\storflt, loaded as vmstorfl.sys" in line for line in crash["culprit"]["because"])


def test_an_irp_that_nobody_holds_any_more_leads_nowhere() -> None:
    machine = server2019()
    irp(machine, POOL, 0, current=2)
    machine.put(POOL + 0x43, bytes([5]))
    assert named(crash_of(machine, 0x44, (POOL, 0, 0, 0)))[1] in ("none", "low")


def test_an_object_of_a_driver_that_only_carries_others_is_told_and_not_named() -> None:
    machine = server2019()
    device(machine, POOL + 0x1000, POOL + 0x1800, WDF_BASE, "\\Driver\\Wdf01000")
    crash = crash_of(machine, 0x36, (POOL + 0x1000, 0, 0, 0))
    assert named(crash)[1] in ("none", "low")
    assert any("device object of \\Driver\\Wdf01000" in line for line in crash["culprit"]["others"])


def test_an_object_that_is_not_in_the_dump_is_a_gap() -> None:
    crash = crash_of(server2019(), 0x44, (NOWHERE, 0, 0, 0))
    assert f"the IRP that parameter 1 names ({NOWHERE:#x}) is not in the dump" in crash["gaps"]
    gaps = crash_of(server2019(), 0x9F, (3, NOWHERE, 0, NOWHERE + 0x1000))["gaps"]
    assert f"the blocked IRP that parameter 4 names ({NOWHERE + 0x1000:#x}) is not in the dump" in gaps
    assert f"the physical device object that parameter 2 names ({NOWHERE:#x}) is not in the dump" in gaps


@pytest.mark.parametrize("form", ["unicode", "wide", "ascii"])
def test_the_driver_whose_thread_is_stuck_is_named_in_any_form(form: str) -> None:
    machine = server2019()
    text = "vmstorfl.sys" if form != "ascii" else "vmstorfl"
    data = {
        "unicode": machine.unicode_string(text, POOL + 0x200),
        "wide": text.encode("utf-16-le") + bytes(2),
        "ascii": text.encode() + b"\0",
    }[form]
    machine.put(POOL, data)
    for code in (0xEA, 0x100000EA):
        crash = crash_of(machine, code, (NOWHERE, POOL + 0x800, POOL, 1))
        assert named(crash) == ("vmstorfl.sys", "high")


def test_a_stuck_thread_is_unwound_unless_it_is_the_one_that_runs() -> None:
    machine = server2019()
    waiting_thread(machine, POOL, POOL + 0x4000, DRIVER_BASE + 0x1305)
    crash = crash_of(machine, 0xEA, (POOL, 0, 0, 1))
    assert (crash["context"]["origin"], crash["stack"][1]["offset"]) == ("switch-frame", "0x1305")
    waiting_thread(machine, THREAD, POOL + 0x8000, DRIVER_BASE + 0x1305)
    assert crash_of(machine, 0xEA, (THREAD, 0, 0, 1))["context"]["origin"] == "header"


def test_a_deferred_call_names_the_driver_of_its_routine() -> None:
    machine = server2019()
    machine.put(POOL, struct.pack("<B23xQQ", 0x13, DRIVER_BASE + 0x1234, 0))
    assert named(crash_of(machine, 0xC7, (1, POOL, 0, 0))) == ("vmstorfl.sys", "medium")
    machine.put(POOL, b"\x14")
    assert named(crash_of(machine, 0xC7, (1, POOL, 0, 0)))[1] in ("none", "low")


def test_bytes_that_are_no_name_name_nobody() -> None:
    machine = server2019()
    machine.put(POOL, b"\xff\xfe\x01" * 40)
    assert named(crash_of(machine, 0xEA, (0, 0, POOL, 1)))[1] in ("none", "low")
    gaps = crash_of(machine, 0xEA, (0, 0, NOWHERE, 1))["gaps"]
    assert f"the name that parameter 3 names ({NOWHERE:#x}) is not in the dump" in gaps


def test_a_framework_violation_whose_table_is_not_in_the_dump_says_so() -> None:
    crash = crash_of(server2019(), 0x10D, (5, 0, 0, POOL + 0x5550))
    assert crash["culprit"]["confidence"] in ("none", "low")
    assert any("table of its clients is not in the dump" in gap for gap in crash["gaps"])
    rows = struct.pack("<QIII32s4x", POOL + 0x6660, 1, 15, 0, b"vmstorfl")
    whole = crash_of(server2019(), 0x10D, (5, 0, 0, POOL + 0x5550), tail=secondary([(TABLE, rows)]))
    assert not any("table" in gap for gap in whole["gaps"])


class _Hole(BytesSource):
    """A file whose end cannot be read, as of a page file with a bad cluster."""

    unreadable = 1 << 62

    def read_at(self, offset: int, length: int) -> bytes:
        if self.unreadable <= offset < self.size - 1:
            raise ReadError("bad cluster", address=offset)
        return super().read_at(offset, length)


def test_a_table_that_is_there_and_cannot_be_read_is_told_as_such() -> None:
    rows = struct.pack("<QIII32s4x", POOL + 0x5550, 1, 15, 0, b"vmstorfl")
    body = write_x64(server2019(), 5, code=0x10D, parameters=(5, 0, 0, POOL + 0x5550))
    source = _Hole(body + secondary([(TABLE, rows)]))
    source.unreadable = len(body) + 0x10 + 0x20 + 4
    crash = analyse(source, path="x.dmp", diagnostics=Diagnostics())
    assert crash["culprit"]["confidence"] in ("none", "low")
    assert "the framework's table of its clients is only in part in the dump: parameter 4 is not in it" in crash["gaps"]


def test_an_interface_that_the_framework_does_not_have_names_the_client_that_wanted_it() -> None:
    machine = server2019()
    machine.put(POOL, b"vmstorfl\0")
    machine.put(POOL + 0x100, b"NetAdapterCx\0")
    crash = crash_of(machine, 0x10D, (0x10, POOL, POOL + 0x100, 7))
    assert named(crash) == ("vmstorfl.sys", "medium")
    assert "NetAdapterCx" in crash["culprit"]["because"][0]


@pytest.mark.parametrize(("kind", "number"), [(1, 2), (2, 2), (2, 3), (2, 4), (5, 2), (0x500, 3), (0x500, 4)])
def test_a_device_that_fails_at_power_names_its_driver_by_whichever_parameter(kind: int, number: int) -> None:
    machine = server2019()
    device(machine, POOL + 0x1000, POOL + 0x1800, DRIVER_BASE, "\\Driver\\storflt")
    values = [kind, 0, 0, 0]
    values[number - 1] = POOL + 0x1800 if (kind, number) == (2, 4) else POOL + 0x1000
    crash = crash_of(machine, 0x9F, (values[0], values[1], values[2], values[3]))
    assert named(crash) == ("vmstorfl.sys", "medium")


@pytest.mark.parametrize(("kind", "offender", "target"), [(2, 3, 2), (0x500, 4, 3)])
def test_the_device_that_completed_a_power_irp_comes_before_the_one_that_it_was_for(
    kind: int, offender: int, target: int
) -> None:
    machine = server2019()
    device(machine, POOL + 0x1000, POOL + 0x1800, DRIVER_BASE, "\\Driver\\storflt")
    device(machine, POOL + 0x2000, POOL + 0x2800, DRIVER_BASE, "\\Driver\\other")
    values = [kind, 0, 0, 0]
    values[offender - 1], values[target - 1] = POOL + 0x1000, POOL + 0x2000
    crash = crash_of(machine, 0x9F, (values[0], values[1], values[2], values[3]))
    assert crash["culprit"]["because"][0].startswith(f"parameter {offender} is the device object")


def test_the_bus_that_owns_a_device_which_failed_at_power_is_not_blamed_for_it() -> None:
    machine = server2019()
    device(machine, POOL + 0x1000, POOL + 0x1800, WDF_BASE, "\\Driver\\pci")
    crash = crash_of(machine, 0x9F, (5, POOL + 0x1000, 0, 0))
    assert named(crash) == ("vmstorfl.sys", "low")  # of the stack
    assert len([line for line in crash["culprit"]["others"] if "Wdf01000.sys" in line]) == 1


def test_the_place_of_the_fault_comes_before_an_object() -> None:
    machine = server2019()
    machine.put(POOL, context_x64(DRIVER_BASE + 0x2222, 0))
    crash = crash_of(machine, 0x3B, (0xC0000005, NT + 0x2222, POOL, 0))
    assert crash["culprit"]["because"][0].startswith("the fault is at vmstorfl.sys+0x2222")
