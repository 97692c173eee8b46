"""The built disks: what is said of each is what samples/built/README.md says happened to it."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stopcode.report.outcome import exit_of
from stopcode.report.shape import problems
from stopcode.report.stored import document_schema
from stopcode.scan import Progress, scan

Built = Callable[[str], Path]

#: sample -> verdict's state, rule, exit code, words of the sentence
STORIES: dict[str, tuple[str, str | None, int, tuple[str, ...]]] = {
    "ws2019-failed.vhdx": (
        "crashed", "vmstorfl", 1,
        ("WS2019-APP01 (Windows Server 2019 Datacenter, 10.0.17763.1757) crashed on 2021-03-10 02:14:26 UTC, 21 s "
         "after it began to boot, with 0x7E SYSTEM_THREAD_EXCEPTION_NOT_HANDLED: the culprit is vmstorfl.sys "
         "10.0.17763.771 through Wdf01000.sys. This is the known regression that came with KB4601345 and that "
         "KB5003171 ends.",),
    ),
    "ws2019-exposed.vhdx": ("exposed", "vmstorfl", 1, ("would crash if it were failed over by Site Recovery",)),
    "ws2019-fixed.vhdx": ("clear", None, 0, ("no crash of it is on the disk. No known problem was found.",)),
    "ws2019-january.vhdx": ("clear", None, 0, ("10.0.17763.1697", "No known problem was found.")),
    "ws2019-preview.vhdx": ("clear", None, 0, ("10.0.17763.1911", "No known problem was found.")),
    "ws2016.vhdx": ("clear", None, 0, ("Windows Server 2016", "No known problem was found.")),
    "ws2019-hive-damaged.vhdx": ("suspected", "vmstorfl", 4, ("cannot be excluded",)),
    "ws2019-no-dump.vhdx": ("crashed", "vmstorfl", 1, ("the event log reports that it stopped on 2021-03-18", "0x7E")),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(STORIES))
def test_each_sample_is_told_as_its_story(built: Built, name: str) -> None:
    state, rule, code, words = STORIES[name]
    report = scan(str(built(name)))
    verdict = report["verdict"]
    assert (verdict["state"], verdict.get("rule"), exit_of(report)) == (state, rule, code)
    for text in words:
        assert text in verdict["sentence"]
    assert not problems(json.loads(json.dumps(report)), document_schema("report"))
    assert len(json.dumps(report["facts"])) < 1_000_000


@pytest.fixture(scope="module")
def failed(built: Built) -> Path:
    return built("ws2019-failed.vhdx")


def test_the_top_lines_name_culprit_problem_first_step_and_the_age_of_the_disk(failed: Path) -> None:
    lines = scan(str(failed))["verdict"]["lines"]
    assert [line.split(":")[0].split(" 2021")[0] for line in lines[:4]] == [
        "Culprit", "Known problem", "First", "Disk as of"
    ]  # fmt: skip
    assert "KB5003171" in lines[2]


def test_a_scan_leaves_the_image_and_its_folder_as_they_were(failed: Path, tmp_path: Path) -> None:
    image = tmp_path / "disk.vhdx"
    shutil.copyfile(failed, image)
    before = (hashlib.sha256(image.read_bytes()).hexdigest(), image.stat().st_mtime_ns, sorted(tmp_path.iterdir()))
    scan(str(image))
    after = (hashlib.sha256(image.read_bytes()).hexdigest(), image.stat().st_mtime_ns, sorted(tmp_path.iterdir()))
    assert before == after


def test_a_scan_reads_a_small_part_of_the_disk(failed: Path) -> None:
    stats = scan(str(failed))["stats"]
    assert 0 < stats["bytes_read"] < 60_000_000
    assert stats["requests"] > 0


FORMS = {"vpc": "vhd", "vmdk": "vmdk", "qcow2": "qcow2", "raw": "img", "vdi": "vdi"}


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_same_disk_in_another_container_gives_the_same_document(failed: Path, tmp_path: Path, form: str) -> None:
    other = tmp_path / f"disk.{FORMS[form]}"
    subprocess.run(["qemu-img", "convert", "-O", form, failed, other], check=True)
    one, two = scan(str(failed)), scan(str(other))
    assert one["source"]["kind"] != two["source"]["kind"]
    for part in ("verdict", "facts", "findings", "unjudged"):
        assert json.dumps(one[part]) == json.dumps(two[part])  # type: ignore[literal-required]  # keys of the report


def test_a_truncated_image_is_an_error_or_a_partial_report_but_never_a_bug(failed: Path, tmp_path: Path) -> None:
    from parsers.errors import StopcodeError

    data = failed.read_bytes()
    for keep in (0x10000, len(data) // 3, len(data) - 4096):
        cut = tmp_path / "cut.vhdx"
        cut.write_bytes(data[:keep])
        try:
            report = scan(str(cut))
        except StopcodeError:
            continue
        assert report["diagnostics"]


def test_progress_is_told_in_order_and_each_section_once_it_is_whole(failed: Path) -> None:
    remarks: list[Progress] = []

    def watch(remark: Progress) -> None:
        remarks.append(remark._replace(data=copy.deepcopy(remark.data)))

    report = scan(str(failed), progress=watch)
    told: dict[str, Any] = {remark.section: remark.data for remark in remarks if remark.section is not None}
    for name in ("services", "drivers", "events", "boot", "crashes", "system"):
        assert told[name] == report["facts"][name]  # type: ignore[literal-required]  # sections of the facts
    assert next(remark.step for remark in remarks if remark.section is None) == "open"
