"""The card of the machine."""

from __future__ import annotations

from typing import Any

import pytest

from stopcode.report.full import report_lines

LOGGED = "2021-02-13T21:40:53.4Z"


def last_boot(**facts: Any) -> str:
    lines = ["".join(str(part) for part in line) for line in report_lines({"facts": facts, "source": {}})]
    return next((line for line in lines if "Last boot" in line), "")


def crash(time: object, uptime: object) -> dict[str, Any]:
    return {"time": time, "uptime_s": uptime, "latest": True, "bugcheck": {"code": "0x7e"}}


def test_a_boot_that_left_a_dump_and_no_event_is_told_by_its_dump() -> None:
    told = last_boot(boot={"last_boot": LOGGED}, crashes=[crash("2021-03-10T02:14:26.6Z", 21.4)])
    assert "2021-03-10 02:14:05 UTC, by its dump (the newest in the event log: 2021-02-13 21:40:53 UTC)" in told
    assert "2021-03-10 02:14:05 UTC, by its dump" in last_boot(crashes=[crash("2021-03-10T02:14:26.6Z", 21.4)])


@pytest.mark.parametrize(
    ("time", "uptime"),
    [
        ("2021-02-13T21:50:53Z", 600),
        ("2021-02-13T21:42:00Z", 0),
        (None, 21),
        ("2021-03-10T02:14:26Z", None),
        ("nonsense", "nonsense"),
        ("2021-03-10T02:14:26Z", 1e300),
    ],
)
def test_the_boot_of_the_event_log_stands_where_the_dump_tells_no_later_one(time: object, uptime: object) -> None:
    told = last_boot(boot={"last_boot": LOGGED}, crashes=[crash(time, uptime)])
    assert "2021-02-13 21:40:53 UTC" in told
    assert "dump" not in told
