"""The eight real triage dumps in Windows\\Minidump of one NTFS disk: what a scan tells of each, by published values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stopcode.scan import scan
from tests.parsers.dump.test_triage_real import ROWS, Row

pytestmark = pytest.mark.realdata
on_disk = pytest.mark.peer("mkntfs", "wimlib-imagex")
by_file = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)

#: What the table calls the processors, without the maker's signs.
PROCESSORS = {
    "triage_x64.dmp": "Ryzen 7 3700",
    "triage_arm64.dmp": "Snapdragon (TM) 7c Gen 2",
    "7e_1.dmp": "Quad CPU Q9400",
    "7e_2.dmp": "Quad CPU Q9400",
    "9f.dmp": "i9-10900F",
    "be_1.dmp": "Ryzen 5 5600X",
    "082325-12593-01.dmp": "Ryzen 9 6900HX",
    "102622-17265-01.dmp": "Ryzen 7 4800H",
}


def crash_of(report: Any, file: str) -> Any:
    [crash] = [crash for crash in report["facts"]["crashes"] if crash["item"].endswith(f"\\{file}")]
    return crash


@on_disk
@by_file
def test_a_scan_tells_the_published_values_of_each_dump(report_of: Callable[[str], Any], row: Row) -> None:
    crash = crash_of(report_of("dumps"), row.file)
    assert (crash["dump"]["kind"], crash["dump"]["size"], crash["dump"]["complete"]) == ("triage", row.size, True)
    assert crash["dump"]["where"] == "minidump"
    bugcheck = crash["bugcheck"]
    assert (int(bugcheck["code_raw"], 16), int(bugcheck["code"], 16)) == (row.code, row.code & 0x0FFFFFFF)
    assert tuple(int(parameter["value"], 16) for parameter in bugcheck["parameters"]) == row.parameters
    assert (crash["machine"], crash["processors"], crash["process"]) == (row.machine, row.processors, row.process)
    assert (crash["build"], crash["os"]["kernel_build"]) == (row.true_build, row.build)
    assert crash["module_count"] == row.drivers
    moment = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=row.system_time // 10)
    assert datetime.fromisoformat(crash["time"]) == moment
    assert crash["uptime_s"] == pytest.approx(row.up_time / 1e7, abs=0.001)
    assert PROCESSORS[row.file] in " ".join(crash["hardware"]["processor"]["name"].split())


@by_file
def test_a_lone_dump_gives_every_module_and_every_unloaded_one(unpacked: Callable[[str], Path], row: Row) -> None:
    report: Any = scan(str(unpacked(f"dumps/{row.file}")))
    [crash] = report["facts"]["crashes"]
    assert len(crash["modules"]) == crash["module_count"] == row.drivers
    assert len(crash["unloaded"]) == row.unloaded
    assert int(crash["bugcheck"]["code_raw"], 16) == row.code


@on_disk
def test_the_newest_dump_is_the_headline_and_the_others_are_earlier_crashes(report_of: Callable[[str], Any]) -> None:
    report = report_of("dumps")
    crashes = report["facts"]["crashes"]
    assert [crash["time"] for crash in crashes] == sorted((crash["time"] for crash in crashes), reverse=True)
    assert [crash["latest"] for crash in crashes] == [True] + [False] * 7
    assert "crashed on 2025-08-23 09:10:04 UTC, after 3 h 41 min, with 0x65" in report["verdict"]["sentence"]
    assert any("An earlier crash: 2025-01-05 21:33:19 UTC, 0x9F" in line for line in report["verdict"]["lines"])
    newest = crash_of(report, "082325-12593-01.dmp")
    assert (len(newest["modules"]), len(newest["unloaded"])) == (218, 17)


@on_disk
def test_modules_that_are_not_on_this_disk_get_no_version_from_it(report_of: Callable[[str], Any]) -> None:
    modules = [module for crash in report_of("dumps")["facts"]["crashes"] for module in crash["modules"]]
    assert {module["on_disk"] for module in modules} <= {"missing", "not-checked"}
    assert not any("version" in module for module in modules)


@on_disk
def test_no_innocent_bystander_is_a_culprit(report_of: Callable[[str], Any]) -> None:
    culprits = {
        crash["item"].rpartition("\\")[2]: (crash["culprit"]["kind"], crash["culprit"]["module"])
        for crash in report_of("dumps")["facts"]["crashes"]
    }
    assert culprits == {
        "triage_x64.dmp": ("driver", "amdppm.sys"),
        "triage_arm64.dmp": ("manual", None),
        "7e_1.dmp": ("driver", "nvlddmkm.sys"),
        "7e_2.dmp": ("driver", "nvlddmkm.sys"),
        "9f.dmp": ("driver", "iaStorAC.sys"),
        "be_1.dmp": ("hardware", None),
        "082325-12593-01.dmp": ("driver", "ibthfp.sys"),
        "102622-17265-01.dmp": ("hardware", None),
    }
