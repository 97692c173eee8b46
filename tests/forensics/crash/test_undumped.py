from __future__ import annotations

from typing import Any

import pytest

from forensics.crash.undumped import undumped

REPORTED = {"code": "0x7e", "time": "2021-03-10T08:00:00Z"}
BOOTS = [{"started": f"2021-03-{day:02}T07:00:00Z"} for day in (10, 9, 8)]


@pytest.mark.parametrize(
    ("crash", "has_dump"),
    [
        ({"bugcheck": {"code": "0x7e"}, "time": "2021-03-09T09:00:00Z"}, True),
        ({"bugcheck": {"code": "0xd1"}, "time": "2021-03-09T09:00:00Z"}, False),
        ({"bugcheck": {"code": "0x7e"}, "time": "2021-03-08T09:00:00Z"}, False),
        ({"bugcheck": {"code": "0x7e"}, "time": "2021-03-11T09:00:00Z"}, False),
        ({"bugcheck": {"code": "0x7e"}, "time": "2021-03-09T09:00:00Z", "live": True}, False),
    ],
)
def test_a_dump_is_of_the_reported_stop_by_its_code_and_the_boot_it_was_in(crash: Any, has_dump: bool) -> None:
    facts = {"boot": {"last_bugcheck": REPORTED, "boots": BOOTS}, "crashes": [crash]}
    assert undumped(facts) == (None if has_dump else REPORTED)


def test_without_a_report_nothing_is_missing() -> None:
    assert undumped({"boot": {}, "crashes": []}) is None
    assert undumped({}) is None
