from __future__ import annotations

from forensics.collect import Machine
from forensics.collect.dump_list import list_dumps
from forensics.facts import Wants
from parsers.diagnostics import Diagnostics
from tests.forensics.collect.test_crashes import dump
from tests.forensics.collect.test_dump_places import carried
from tests.forensics.world import SERVER_2019, FakeWindows, scan


def test_the_list_tells_of_each_dump_what_a_scan_does() -> None:
    files = {
        r"\pagefile.sys": carried("2021-02-21T10:00:00Z"),
        r"\Windows\MEMORY.DMP": dump("2021-02-20T10:00:00Z"),
        r"\Windows\LiveKernelReports\a.dmp": dump("2021-02-22T10:00:00Z"),
        r"\Windows\Minidump\bad.dmp": b"nothing" * 99,
    }
    facts, _ = scan(files=files)
    hives = {"SYSTEM": {"Select": {"Current": 1}, "ControlSet001\\Services": {}}, "SOFTWARE": SERVER_2019}
    machine = Machine(FakeWindows(hives, files, {}), Wants(), Diagnostics())  # type: ignore[arg-type]
    listed = list_dumps(machine).dumps
    assert [item.place.path for item in listed] == [
        r"\Windows\LiveKernelReports\a.dmp", r"\pagefile.sys", r"\Windows\MEMORY.DMP", r"\Windows\Minidump\bad.dmp",
    ]  # fmt: skip
    for item, crash in zip(listed, facts["crashes"], strict=False):
        assert item.crash is not None
        for key in ("time", "uptime_s", "bugcheck", "latest", "live", "machine"):
            assert item.crash.get(key) == crash.get(key)
        assert item.crash["dump"] == crash["dump"]
    assert listed[-1].crash is None
    assert "not a kernel dump" in listed[-1].problem
