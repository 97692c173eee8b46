"""Bug checks that accuse no driver: memory, storage, processes, the boot device; and what they name."""

from __future__ import annotations

import struct
import uuid

import pytest

from forensics.facts import CrashDict
from tests.forensics.crash.machines import (
    DRIVER_BASE,
    POOL,
    PROCESS,
    THREAD,
    context_x64,
    crash_of,
    device,
    secondary,
    server2019,
)
from tests.parsers.dump.test_whea import MEMORY, record

NOWHERE = 0xFFFFC08B44440000
SMBIOS = uuid.UUID("bc5c008f-1e3a-44d7-988d-86f6884c6758").bytes_le


def judged(crash: CrashDict) -> tuple[str, str | None, str]:
    return crash["culprit"]["kind"], crash["culprit"]["module"], crash["culprit"]["confidence"]


def because(crash: CrashDict) -> str:
    return "\n".join(crash["culprit"]["because"])


@pytest.mark.parametrize(
    ("parameters", "bit"),
    [
        ((0x41792, NOWHERE, 1 << 37, 0), 37),
        ((0x41201, NOWHERE, 1 << 5, 0), 5),
        ((0x403, NOWHERE, 0x8A00000012345867, 0x8A00000012345067), 11),
        ((0x404, 0x8A00000012345867, 0x8A00000012345067, 0), 11),
        ((0x5200, NOWHERE, 0x1000, 0x1100), 8),
    ],
)
def test_a_single_wrong_bit_is_memory(parameters: tuple[int, int, int, int], bit: int) -> None:
    crash = crash_of(server2019(), 0x1A, parameters)
    assert judged(crash) == ("hardware", None, "medium")
    assert [row["bit"] for row in crash["flipped_bits"]] == [bit]


@pytest.mark.parametrize(
    "parameters",
    [
        (0x403, NOWHERE, 0xFF, 0),
        (0x404, 3, 0, 0),
        (0x5200, NOWHERE, 7, 7),
        (0x61941, NOWHERE, 1, 0),
        (0x41793, 1, 1, 0),
    ],
)
def test_more_than_one_bit_or_none_names_nobody(parameters: tuple[int, int, int, int]) -> None:
    assert judged(crash_of(server2019(), 0x1A, parameters)) == ("unknown", None, "none")


def test_a_page_that_came_back_from_the_page_file_changed_is_the_machine() -> None:
    crash = crash_of(server2019(), 0x1A, (0x3F, 0x1234, 0xAAAA, 0xBBBB))
    assert judged(crash) == ("hardware", None, "medium")
    assert "storage or the memory" in because(crash)


@pytest.mark.parametrize("status", [0xC000000E, 0xC000009C, 0xC000009D, 0xC000016A, 0xC0000185])
@pytest.mark.parametrize(("code", "number"), [(0x7A, 2), (0x77, 1), (0x77, 2)])
def test_each_status_of_failed_storage_is_storage(status: int, code: int, number: int) -> None:
    values = [4, 4, 0, 0]
    values[number - 1] = 0xFFFFFFFF00000000 | status
    crash = crash_of(server2019(), code, (values[0], values[1], values[2], values[3]))
    assert judged(crash) == ("hardware", None, "medium")


@pytest.mark.parametrize("status", [0xC000009A, 0xC0000005])
def test_a_page_that_was_not_read_for_want_of_memory_is_not_storage(status: int) -> None:
    crash = crash_of(server2019(), 0x7A, (1, status, PROCESS, 0))
    assert judged(crash) == ("unknown", None, "none")
    assert f"{status:#x} STATUS_" in crash["bugcheck"]["parameters"][1]["meaning"]


def test_a_page_error_of_a_drivers_own_code_is_storage_where_its_record_says_so() -> None:
    machine = server2019()
    machine.put(POOL, context_x64(DRIVER_BASE + 0x2222, 0))
    head = struct.pack("<IIQQI4x", 0xC0000006, 0, 0, DRIVER_BASE + 0x2222, 3)
    machine.put(POOL + 0x1000, head + struct.pack("<15Q", 0, NOWHERE, 0xC0000185, *[0] * 12))
    crash = crash_of(machine, 0x7E, (0xC0000006, DRIVER_BASE + 0x2222, POOL + 0x1000, POOL))
    assert judged(crash) == ("hardware", None, "medium")


def test_a_thread_that_ended_leads_to_its_process() -> None:
    for code, parameters in ((0xEF, (THREAD, 1, 0, 0)), (0xF4, (6, THREAD, 0, 0))):
        crash = crash_of(server2019(), code, parameters)
        assert judged(crash) == ("process", None, "high")
        assert "a thread that ended" in because(crash)
        assert "is svchost.exe" in because(crash)


def test_the_image_and_the_message_of_a_critical_object_are_told() -> None:
    machine = server2019()
    machine.put(POOL, b"csrss.exe\0")
    machine.put(POOL + 0x100, b"Terminating critical process 0x%p (%s)\n\0")
    told = because(crash_of(machine, 0xF4, (3, PROCESS, POOL, POOL + 0x100)))
    assert "parameter 3 names the image csrss.exe" in told
    assert "parameter 4 says Terminating critical process" in told


def test_a_process_that_is_not_in_the_dump_is_a_gap_and_less_sure() -> None:
    for code, parameters in ((0xEF, (NOWHERE, 0, 0, 0)), (0xF4, (3, NOWHERE, 0, 0)), (0x9E, (NOWHERE, 60, 5, 0))):
        crash = crash_of(server2019(), code, parameters)
        assert judged(crash) == ("process", None, "medium")
        assert any("process object that parameter" in gap and "is not in the dump" in gap for gap in crash["gaps"])


def test_the_lost_boot_device_is_named_by_its_name_or_its_driver() -> None:
    machine = server2019()
    machine.put(POOL, machine.unicode_string("\\ArcName\\multi(0)disk(0)rdisk(0)partition(2)", POOL + 0x100))
    crash = crash_of(machine, 0x7B, (POOL, 0xFFFFFFFFC0000034, 0, 0))
    assert judged(crash) == ("boot", None, "high")
    assert "\\ArcName\\multi(0)disk(0)rdisk(0)partition(2)" in because(crash)
    device(machine, POOL + 0x1000, POOL + 0x1800, DRIVER_BASE, "\\Driver\\storflt")
    for code in (0x7B, 0xED):
        crash = crash_of(machine, code, (POOL + 0x1000, 0xC0000185, 0, 0))
        assert judged(crash) == ("boot", None, "high")
        assert "device object of \\Driver\\storflt, loaded as vmstorfl.sys" in because(crash)
        assert "0xc0000185 STATUS_IO_DEVICE_ERROR" in because(crash)


def test_a_device_drivers_hardware_error_is_hardware_and_less_sure() -> None:
    machine = server2019()
    machine.put(POOL, record(("00000000-0000-0000-0000-000000000001", bytes(16)), fru="NVMe 0"))
    crash = crash_of(machine, 0x124, (0x10, POOL, 0, 0))
    assert judged(crash) == ("hardware", None, "medium")
    assert "error source a device's driver" in because(crash)
    assert "part NVMe 0" in because(crash)


def test_an_error_record_that_is_not_in_the_dump_is_a_gap() -> None:
    crash = crash_of(server2019(), 0x124, (0, NOWHERE, 0xBE000000, 0x00000090))
    assert judged(crash) == ("hardware", None, "high")
    assert f"the error record that parameter 2 names ({NOWHERE:#x}) is not in the dump" in crash["gaps"]
    assert "what failed is memory" in because(crash)


def test_an_error_of_no_known_source_without_its_record_is_no_more_than_medium() -> None:
    crash = crash_of(server2019(), 0x124, (0x77, NOWHERE, 0, 0))
    assert (crash["culprit"]["kind"], crash["culprit"]["confidence"]) == ("hardware", "medium")


def test_a_memory_module_is_named_by_the_firmwares_table() -> None:
    body = bytearray(0x50)
    struct.pack_into("<Q", body, 0, 1 << 1 | 1 << 17)
    struct.pack_into("<Q", body, 0x10, 0x7654321000)
    struct.pack_into("<H", body, 0x4E, 0x1101)
    machine = server2019()
    machine.put(POOL, record((MEMORY, bytes(body))))
    module = bytearray(0x28)
    struct.pack_into("<BBH", module, 0, 17, len(module), 0x1101)
    struct.pack_into("<H", module, 0x0C, 16384)
    module[0x10], module[0x11], module[0x17] = 1, 2, 3
    table = bytes(module) + b"DIMM_B2\0BANK 3\0Maker\0\0"
    blob = struct.pack("<BBBBI", 0, 3, 4, 0, len(table)) + table
    crash = crash_of(machine, 0x124, (0, POOL, 0, 0), tail=secondary([(SMBIOS, blob)]))
    assert "module handle 0x1101 is DIMM_B2 BANK 3 Maker" in because(crash)
    assert crash["hardware_error"]["accused"] == "memory"
