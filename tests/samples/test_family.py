"""What a scan says of each committed sample: the table of samples/built/README.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stopcode.scan import scan

EXPECTED: dict[str, tuple[str, str, str, str]] = {
    "ws2019-failed": ("WS2019-APP01", "10.0.17763.1757", "10.0.17763.771", "crashed"),
    "ws2019-exposed": ("WS2019-APP02", "10.0.17763.1757", "10.0.17763.771", "exposed"),
    "ws2019-fixed": ("WS2019-APP03", "10.0.17763.1935", "10.0.17763.1911", "clear"),
    "ws2019-january": ("WS2019-SQL01", "10.0.17763.1697", "10.0.17763.771", "clear"),
    "ws2019-preview": ("WS2019-WEB01", "10.0.17763.1911", "10.0.17763.1911", "clear"),
    "ws2016": ("WS2016-PRT02", "10.0.14393.4225", "10.0.14393.2007", "clear"),
    "ws2019-hive-damaged": ("WS2019-APP05", "", "10.0.17763.771", "suspected"),
    "ws2019-no-dump": ("WS2019-FILE04", "10.0.17763.1757", "10.0.17763.771", "exposed"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_is_the_machine_and_has_the_state_that_its_story_says(name: str, built: Callable[[str], Path]) -> None:
    host, version, driver, state = EXPECTED[name]
    report: dict[str, Any] = dict(scan(str(built(f"{name}.vhdx"))))
    facts = report["facts"]
    assert facts["system"]["hostname"] == host
    assert facts["system"].get("version", "") == version
    assert [item["version"] for item in facts["drivers"] if item["file"] == "vmstorfl.sys"] == [driver]
    states = {item["rule"]: item["state"] for item in report["findings"]}
    assert states.get("vmstorfl", "clear") == state
    assert not [item for item in facts["drivers"] if item.get("missing")]


def test_the_failed_machine_crashed_in_the_framework_through_the_storage_filter(built: Callable[[str], Path]) -> None:
    report: dict[str, Any] = dict(scan(str(built("ws2019-failed.vhdx"))))
    (crash,) = report["facts"]["crashes"]
    assert crash["bugcheck"]["code"] == "0x7e"
    assert crash["time"] == "2021-03-10T02:14:26.6875Z"
    assert crash["latest"] is True
    assert crash["context"]["place"] == "Wdf01000.sys+0x1009"
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "medium")
    assert [frame["module"] for frame in crash["stack"]] == [
        *["Wdf01000.sys"] * 2, *["vmstorfl.sys"] * 2, *["Wdf01000.sys"] * 3, *["ntoskrnl.exe"] * 5,
    ]  # fmt: skip
    # vmstorfl.sys has its unwind data on the disk alone, the others in the dump.
    assert {frame.get("image") for frame in crash["stack"][1:]} == {"dump", "disk"}
    assert {module["on_disk"] for module in crash["modules"]} == {"same"}


def test_the_log_of_the_machine_without_a_dump_tells_its_bug_check(built: Callable[[str], Path]) -> None:
    facts: dict[str, Any] = dict(scan(str(built("ws2019-no-dump.vhdx")))["facts"])
    assert facts["boot"]["last_bugcheck"]["code"] == "0x7e"
    assert facts["crashes"] == []
    assert [boot["end"] for boot in facts["boot"]["boots"][:3]] == ["running", "bugcheck", "unexpected"]
