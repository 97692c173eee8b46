"""What a dump says of the state the system ran in: its displayed build, safe mode, Driver Verifier."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.crash.analyse import analyse
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from stopcode.report.crash_lines import crash_lines
from tests.forensics.crash.kinds import make, write
from tests.parsers.dump.builder import KDBG, NT, server2019, write_x64

SHARED = 0xFFFFF78000000000


def crash_of(data: bytes) -> CrashDict:
    return analyse(BytesSource(data), path="MEMORY.DMP", diagnostics=Diagnostics())


@pytest.mark.parametrize("written", [0x00004A65, 0xF0004A65])
def test_the_build_that_windows_shows_is_read_from_shared_data_where_no_blob_tells_it(written: int) -> None:
    machine = server2019()
    machine.put(SHARED + 0x260, struct.pack("<I", written))
    crash = crash_of(write_x64(machine, 6, build=19041))
    assert (crash["build"], crash["os"]["kernel_build"]) == (19045, 19041)


def test_a_build_that_no_windows_10_can_have_is_not_believed() -> None:
    machine = server2019()
    machine.put(SHARED + 0x260, bytes(4))
    assert crash_of(write_x64(machine, 6))["build"] == 17763


@pytest.mark.parametrize(("mode", "is_safe"), [(0, False), (1, True), (2, True)])
def test_safe_mode_is_told(mode: int, is_safe: bool) -> None:
    machine = server2019()
    machine.put(SHARED + 0x2EC, bytes([mode, 0, 0, 0]))
    crash = crash_of(write_x64(machine, 6))
    assert crash["os"].get("safe_mode", False) is is_safe
    told = "\n".join(line.text for line in crash_lines(crash))
    assert ("in safe mode" in told) is is_safe


def test_driver_verifier_is_told_by_a_kernel_dump() -> None:
    machine = server2019()
    machine.put(KDBG + 0x240, struct.pack("<Q", NT + 0xC90000))
    machine.put(NT + 0xC90000, struct.pack("<I", 0))
    assert "verifier" not in crash_of(write_x64(machine, 6))["os"]
    machine.put(NT + 0xC90000, struct.pack("<I", 1))
    assert crash_of(write_x64(machine, 6))["os"]["verifier"] is True


@pytest.mark.parametrize("place", [0x10, 0x14])
def test_driver_verifier_is_told_by_a_small_dump(place: int) -> None:
    data = bytearray(write(make("x64"), "4k"))
    assert "verifier" not in crash_of(bytes(data))["os"]
    (at,) = struct.unpack_from("<I", data, 0x2014)
    data[at + place] = 9
    crash = crash_of(bytes(data))
    assert crash["os"]["verifier"] is True
    assert "Driver Verifier on" in "\n".join(line.text for line in crash_lines(crash))
    data[at] = 7
    assert "verifier" not in crash_of(bytes(data))["os"]


@pytest.mark.realdata
def test_the_current_thread_of_a_real_dump_is_told(unpacked: Callable[[str], Path]) -> None:
    # In this dump parameter 3 is known to hold the current thread's address.
    crash = crash_of(unpacked("dumps/102622-17265-01.dmp").read_bytes())
    assert crash["thread"] == crash["bugcheck"]["parameters"][2]["value"] == "0xffff940db3b8d040"
