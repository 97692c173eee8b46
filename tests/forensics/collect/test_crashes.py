from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pytest

from forensics.collect.crashes import decide_latest
from forensics.facts import CrashDict, Facts, empty_facts
from parsers.bytesource import BytesSource
from parsers.dump.header import parse_header
from parsers.errors import ReadError
from parsers.limits import MAX_CRASHES, MAX_FULL_CRASHES
from tests.forensics.world import STORFLT, gaps, named, pe_file, scan
from tests.parsers.dump.builder import server2019, write_x64

CONTROL = r"ControlSet001\Control\CrashControl"
MEMORY_DMP = r"\Windows\MEMORY.DMP"
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


def filetime(text: str) -> int:
    gone = datetime.fromisoformat(text) - _EPOCH
    return (gone.days * 86400 + gone.seconds) * 10_000_000


@lru_cache(maxsize=1)
def _dump() -> bytes:
    return write_x64(server2019(), 5, code=0xD1)


def dump(time: str, uptime_s: int = 20) -> bytes:
    """A dump of build 17763 with a time of crash."""
    data = bytearray(_dump())
    struct.pack_into("<Q", data, 0xFA8, filetime(time))
    struct.pack_into("<Q", data, 0x1030, uptime_s * 10_000_000)
    return bytes(data)


def test_dumps_are_found_where_windows_puts_them_and_told_newest_first() -> None:
    facts, _ = scan(
        files={
            MEMORY_DMP: dump("2021-02-20T10:00:00Z"),
            r"\Windows\Minidump\022121-1.dmp": dump("2021-02-21T10:00:00Z"),
            r"\Windows\Minidump\readme.txt": b"x",
        }
    )
    assert [(crash["item"], crash["dump"]["where"], crash["latest"]) for crash in facts["crashes"]] == [
        (r"\Windows\Minidump\022121-1.dmp", "minidump", True),
        (MEMORY_DMP, "memory-dmp", False),
    ]
    assert facts["crashes"][0]["bugcheck"]["code"] == "0xd1"
    assert facts["crashes"][0]["time"] == "2021-02-21T10:00:00Z"


def test_a_live_report_is_told_and_is_never_the_latest_crash() -> None:
    live = r"\Windows\LiveKernelReports\WATCHDOG\live.dmp"
    facts, _ = scan(files={MEMORY_DMP: dump("2021-02-20T10:00:00Z"), live: dump("2021-02-22T10:00:00Z")})
    assert [(crash["item"], crash["dump"]["where"], crash["latest"]) for crash in facts["crashes"]] == [
        (live, "live-kernel", False),
        (MEMORY_DMP, "memory-dmp", True),
    ]
    assert facts["crashes"][0]["live"] is True
    assert "ran on" in facts["crashes"][0]["latest_because"]
    assert "live" not in facts["crashes"][1]


def test_a_dump_whose_header_says_live_is_no_crash_wherever_it_lies() -> None:
    data = bytearray(dump("2021-02-22T10:00:00Z"))
    struct.pack_into("<I", data, 0x1050, 0x10)
    assert parse_header(BytesSource(data)).attributes == 0x10
    facts, _ = scan(files={MEMORY_DMP: bytes(data)})
    assert facts["crashes"][0]["live"] is True
    assert facts["crashes"][0]["latest"] is False


def test_live_reports_do_not_take_the_room_of_the_latest_crash() -> None:
    files = {
        rf"\Windows\LiveKernelReports\{number}.dmp": dump(f"2021-02-22T10:00:0{number}Z")
        for number in range(MAX_FULL_CRASHES)
    }
    facts, _ = scan(files={**files, MEMORY_DMP: dump("2021-02-20T10:00:00Z")})
    crash = facts["crashes"][-1]
    assert crash["latest"] is True
    assert crash["module_count"] == len(crash["modules"])
    assert "unloaded" in crash


def test_dumps_are_found_where_crash_control_says() -> None:
    facts, diagnostics = scan(
        system={
            CONTROL: {
                "DumpFile": r"C:\Dumps\full.dmp",
                "MinidumpDir": r"%SystemRoot%\Small",
                "DedicatedDumpFile": r"D:\dd.sys",
            }
        },
        files={
            r"\Dumps\full.dmp": dump("2021-02-20T10:00:00Z"),
            r"\Windows\Small\a.dmp": dump("2021-02-19T10:00:00Z"),
        },
    )
    assert [crash["item"] for crash in facts["crashes"]] == [r"\Dumps\full.dmp", r"\Windows\Small\a.dmp"]
    other = next(item for item in diagnostics.items if item.code == "crashes.other-volume")
    assert r"D:\dd.sys" in other.message


def test_a_dedicated_dump_file_without_a_dump_is_no_crash_and_no_gap() -> None:
    system = {CONTROL: {"DedicatedDumpFile": r"C:\dd.sys"}}
    facts, _ = scan(system=system, files={r"\dd.sys": bytes(8192)})
    assert facts["crashes"] == []
    assert not any(path.startswith("/crashes") for path in gaps(facts))
    facts, _ = scan(system=system, files={r"\dd.sys": dump("2021-02-20T10:00:00Z")})
    assert len(facts["crashes"]) == 1


@pytest.mark.parametrize("data", [b"", b"PAGEDU64" + bytes(20), b"nothing" * 999, ReadError("bad sector")])
def test_a_dump_that_cannot_be_read_is_a_gap_and_the_others_are_told(data: bytes | ReadError) -> None:
    facts, diagnostics = scan(files={MEMORY_DMP: data, r"\Windows\Minidump\a.dmp": dump("2021-02-20T10:00:00Z")})
    assert r"/crashes/\Windows\MEMORY.DMP" in gaps(facts)
    assert "crashes.dump-unreadable" in [item.code for item in diagnostics.items]
    assert len(facts["crashes"]) == 1


@pytest.mark.parametrize("length", [0x1000, 0x2000, 0x9000])
def test_a_dump_cut_off_gives_what_it_has_or_a_gap(length: int) -> None:
    facts, _ = scan(files={MEMORY_DMP: dump("2021-02-20T10:00:00Z")[:length]})
    if facts["crashes"]:
        assert facts["crashes"][0]["bugcheck"]["code"] == "0xd1"
        assert facts["crashes"][0]["dump"]["complete"] is False
    else:
        assert r"/crashes/\Windows\MEMORY.DMP" in gaps(facts)


def test_of_very_many_dumps_the_newest_are_analysed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.collect.crashes.MAX_CRASHES", 5)
    assert MAX_CRASHES == 50
    names = [rf"\Windows\Minidump\{number:02}.dmp" for number in range(7)]
    facts, diagnostics = scan(
        files={name: dump(f"2021-02-{n + 1:02}T10:00:00Z") for n, name in enumerate(names)},
        times={name: filetime(f"2021-02-{n + 1:02}T10:05:00Z") for n, name in enumerate(names)},
    )
    assert [crash["item"] for crash in facts["crashes"]] == names[:1:-1]
    assert "crashes.many" in [item.code for item in diagnostics.items]
    full = facts["crashes"][:MAX_FULL_CRASHES]
    assert all(len(crash["modules"]) == crash["module_count"] for crash in full)
    older = facts["crashes"][MAX_FULL_CRASHES:]
    assert older
    assert all(len(crash["modules"]) < crash["module_count"] for crash in older)


def crashed(time: str, uptime_s: float | None = None) -> CrashDict:
    crash: CrashDict = {"item": time, "time": time}
    if uptime_s is not None:
        booted = datetime.fromisoformat(time).timestamp() - uptime_s
        crash["booted_at"] = datetime.fromtimestamp(booted, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return crash


def judged(crash: CrashDict, *boots: str, shutdown: str | None = None) -> CrashDict:
    facts: Facts = empty_facts()
    facts["boot"]["boots"] = [{"started": started} for started in boots]
    if shutdown is not None:
        facts["system"]["last_shutdown"] = shutdown
    decide_latest(facts, [(crash["time"], crash)])
    return crash


def test_a_boot_after_the_crash_makes_it_an_earlier_one() -> None:
    crash = judged(crashed("2021-02-20T10:00:00Z", 20), "2021-02-20T10:02:00Z", "2021-02-20T09:59:40Z")
    assert crash["latest"] is False
    assert crash["latest_because"] == "the machine has booted since, at 2021-02-20T10:02:00Z"


def test_a_crash_of_the_newest_boot_is_the_latest_one() -> None:
    assert judged(crashed("2021-02-20T10:00:00Z", 20), "2021-02-20T09:59:42Z")["latest"] is True


def test_a_crash_of_a_start_that_never_reached_the_event_log_is_the_latest_one() -> None:
    crash = judged(crashed("2021-02-20T10:00:00Z", 20), "2021-02-19T08:00:00Z")
    assert crash["latest"] is True
    assert "2021-02-19T08:00:00Z" in crash["latest_because"]


def test_a_crash_of_the_newest_boot_is_the_latest_though_an_older_boot_had_a_clock_ahead() -> None:
    crash = judged(crashed("2021-02-20T10:00:00Z", 20), "2021-02-20T09:59:40Z", "2021-02-20T18:00:00Z")
    assert crash["latest"] is True


def test_a_boot_soon_after_a_crash_is_not_mistaken_for_the_boot_that_crashed() -> None:
    # Crashed 4 s after its start; the next boot began 15 s later, within the half minute.
    crash = judged(crashed("2021-02-20T10:00:04Z", 4), "2021-02-20T10:00:15Z")
    assert crash["latest"] is False


def test_a_clean_shutdown_after_the_crash_makes_it_an_earlier_one() -> None:
    crash = judged(crashed("2021-02-20T10:00:00Z", 20), shutdown="2021-02-25T10:00:00Z")
    assert crash["latest"] is False
    assert "shut down cleanly" in crash["latest_because"]


def test_where_the_event_log_is_unreadable_the_newest_dump_is_the_latest_and_says_why() -> None:
    facts, _ = scan(files={MEMORY_DMP: dump("2021-02-20T10:00:00Z")})
    crash = facts["crashes"][0]
    assert crash["latest"] is True
    assert "cannot be read" in crash["latest_because"]


def test_two_dumps_of_one_crash_are_both_the_latest() -> None:
    facts, _ = scan(
        files={
            MEMORY_DMP: dump("2021-02-20T10:00:00Z"),
            r"\Windows\Minidump\a.dmp": dump("2021-02-20T10:00:00Z")[:0x4000],
        }
    )
    assert [crash["latest"] for crash in facts["crashes"]] == [True] * len(facts["crashes"])
    assert facts["crashes"][0]["item"] == MEMORY_DMP


@pytest.mark.realdata
def test_real_small_dumps_on_a_disk_are_told_with_its_own_files(unpacked: Callable[[str], Path]) -> None:
    names = ["7e_1.dmp", "082325-12593-01.dmp", "triage_x64.dmp", "triage_arm64.dmp"]
    files: dict[str, bytes] = {rf"\Windows\Minidump\{name}": unpacked(f"dumps/{name}").read_bytes() for name in names}
    files[r"\Windows\System32\drivers\vmstorfl.sys"] = pe_file()
    facts, _ = scan(system=STORFLT, files=files)
    assert len(facts["crashes"]) == 4
    times = [crash["time"] for crash in facts["crashes"]]
    assert times == sorted(times, reverse=True)
    assert [crash["latest"] for crash in facts["crashes"]] == [True, False, False, False]
    first = named(facts["crashes"], r"\Windows\Minidump\7e_1.dmp", "item")
    assert first["bugcheck"]["code"] == "0x7e"
    assert {module["on_disk"] for crash in facts["crashes"] for module in crash["modules"]} <= {
        "missing",
        "different",
        "not-checked",
    }
    assert facts["system"]["disk_as_of"] == times[0]
    assert len(json.dumps(facts)) < 1 << 20
