"""A dump that Windows wrote without stopping is told as a live report, whatever shows it, and never as a crash."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from stopcode.report.stored import document_schema
from tests.forensics.crash.machines import DRIVER_BASE, POOL
from tests.parsers.dump.builder import server2019, write_x64
from tests.stopcode.cli.run import Stopcode

#: Header.Attributes bit 4: LiveDumpGeneratedDump.
LIVE = 0x10
RAN_ON = "it is a live report: Windows wrote it and ran on"


def write(path: Path, code: int, parameters: tuple[int, int, int, int] = (0, 0, 0, 0), **more: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(write_x64(server2019(), 5, code=code, parameters=parameters, **more))
    return path


@pytest.mark.parametrize("form", ["dump", "scan"])
def test_a_lone_live_report_is_no_crash(call: Stopcode, tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "live.dmp", 0x1A8, attributes=LIVE)
    done = call(form, "-o", "json", path)
    assert done.code == 0
    report = done.document
    assert report["verdict"]["state"] == "clear"
    assert report["verdict"]["sentence"] == (
        "This machine (Windows build 17763) did not crash: on 2021-02-10 05:18:28 UTC Windows wrote a live report with "
        f"0x1A8 {report['facts']['crashes'][0]['bugcheck']['name']} and ran on."
    )
    [crash] = report["facts"]["crashes"]
    assert (crash["live"], crash["latest"], crash["latest_because"]) == (True, False, RAN_ON)
    jsonschema.validate(report, document_schema("report"))


def test_it_is_shown_without_the_word_of_a_person_who_stopped_it(call: Stopcode, tmp_path: Path) -> None:
    out = call("dump", write(tmp_path / "live.dmp", 0x1A8, attributes=LIVE)).out
    assert " crashed " not in out
    assert "on purpose" not in out
    assert "Nobody is accused: the machine ran on (" in out
    assert f"  Live     {RAN_ON}\n" in out


def test_a_live_report_that_accuses_a_driver_says_both(call: Stopcode, tmp_path: Path) -> None:
    path = write(tmp_path / "watchdog.dmp", 0x117, (POOL, DRIVER_BASE + 0x100, 0, 4), attributes=0x18)
    verdict = call("dump", "-o", "json", path).document["verdict"]
    assert verdict["state"] == "clear"
    assert verdict["sentence"].endswith(" and ran on: the culprit is vmstorfl.sys.")
    assert verdict["lines"][0].startswith("Culprit: vmstorfl.sys (high confidence): ")


#: What Microsoft's pages call by another name than LIVEDUMP, and what is a stop or a live dump.
ONLY_LIVE = {
    0x117: "VIDEO_TDR_TIMEOUT_DETECTED",
    0x161: "LIVE_SYSTEM_DUMP",
    0x187: "VIDEO_DWMINIT_TIMEOUT_FALLBACK_BDD",
}
NAMED = {0x15E: "BUGCODE_NDIS_DRIVER_LIVE_DUMP", 0x165: "CLUSTER_CSV_STATUS_IO_TIMEOUT_LIVEDUMP",
         0x193: "VIDEO_DXGKRNL_LIVEDUMP", 0x1A8: "VIDEO_DXGKRNL_BLACK_SCREEN_LIVEDUMP"}  # fmt: skip


@pytest.mark.parametrize("code", [*ONLY_LIVE, *NAMED, 0x141, 0x142])
def test_the_code_of_a_live_dump_is_enough_where_the_header_was_never_filled(
    call: Stopcode, tmp_path: Path, code: int
) -> None:
    report = call("dump", "-o", "json", write(tmp_path / "task.dmp", code)).document
    [crash] = report["facts"]["crashes"]
    assert crash["live"] is True
    assert crash["culprit"]["kind"] == "manual"
    name = {**ONLY_LIVE, **NAMED}.get(code, crash["bugcheck"]["name"])
    assert f" with 0x{code:X} {name} and ran on." in report["verdict"]["sentence"]


@pytest.mark.parametrize("code", [0x116, 0x144, 0xAB, 0x9E, 0x1C8])
def test_codes_that_can_be_a_stop_are_one_where_nothing_else_speaks_for_a_live_dump(
    call: Stopcode, tmp_path: Path, code: int
) -> None:
    report = call("dump", "-o", "json", write(tmp_path / "stop.dmp", code)).document
    assert "live" not in report["facts"]["crashes"][0]
    assert report["verdict"]["state"] == "crashed"


def test_a_crash_with_other_attributes_is_still_a_crash(call: Stopcode, tmp_path: Path) -> None:
    report = call("dump", "-o", "json", write(tmp_path / "crash.dmp", 0xD1, attributes=0x8)).document
    assert report["verdict"]["state"] == "crashed"
    assert "live" not in report["facts"]["crashes"][0]


def test_a_folder_counts_live_reports_apart_from_crashes(call: Stopcode, tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    write(folder / "live.dmp", 0x1A8, attributes=LIVE)
    only = call("dump", folder).out
    assert only.startswith("1 live report shows 1 problem, ")
    assert "on purpose" not in only
    write(folder / "crash.dmp", 0xD1)
    document = call("dump", "-o", "json", folder).document
    jsonschema.validate(document, document_schema("dumps"))
    assert document["verdict"]["sentence"].startswith("2 dumps of 1 crash and 1 live report show 2 problems, ")
    assert {row["path"][-8:]: row.get("live", False) for row in document["dumps"]} == {
        "live.dmp": True,
        "rash.dmp": False,
    }
    by_code = {problem["code"]: problem for problem in document["problems"]}
    assert (by_code["0x1a8"]["live"], by_code["0x1a8"]["crashes"]) == (True, 0)
    assert ("live" in by_code["0xd1"], by_code["0xd1"]["crashes"]) == (False, 1)
    assert "live.dmp (live report)" in call("dump", folder).out


def test_batch_tells_a_live_report_as_clear_and_names_no_stop(call: Stopcode, tmp_path: Path) -> None:
    done = call("batch", "-o", "json", write(tmp_path / "live.dmp", 0x1A8, attributes=LIVE))
    [machine] = done.document["machines"]
    assert (machine["state"], machine["bugcheck"], machine["exit"]) == ("clear", None, 0)
    assert "Windows wrote a live report" in machine["sentence"]
