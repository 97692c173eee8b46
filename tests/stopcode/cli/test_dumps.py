"""`stopcode dump` of many: a folder, several files, archives; what they are told as."""

from __future__ import annotations

import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from stopcode.cli.exits import Exit
from stopcode.report.stored import document_schema
from stopcode.scan import dump_files
from tests.stopcode.cli.run import Done, Stopcode

pytestmark = pytest.mark.realdata

NAMES = ("082325-12593-01.dmp", "102622-17265-01.dmp", "7e_1.dmp", "7e_2.dmp", "9f.dmp", "be_1.dmp",
         "triage_arm64.dmp", "triage_x64.dmp")  # fmt: skip


@pytest.fixture
def folder(unpacked: Callable[[str], Path], tmp_path: Path) -> Path:
    """The real dumps of seven problems on seven machines; one crash twice, as a whole and as a cut file."""
    made = tmp_path / "dumps"
    (made / "sub").mkdir(parents=True)
    for name in NAMES:
        shutil.copyfile(unpacked(f"dumps/{name}"), made / name)
    data = (made / "triage_x64.dmp").read_bytes()
    (made / "sub" / "copy.dmp").write_bytes(data)
    (made / "readme.txt").write_text("PAGE")
    return made


def checked(done: Done) -> dict[str, object]:
    document: dict[str, object] = done.document
    jsonschema.validate(document, document_schema("dumps"))
    return document


def test_a_folder_is_told_as_its_problems_the_newest_first(call: Stopcode, folder: Path) -> None:
    done = call("dump", folder)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("9 dumps of 8 crashes show 7 problems, the newest of 2025-08-23 09:10:04 UTC: 0x65 ")
    [head] = [number for number, line in enumerate(lines) if line.startswith("    DUMPS  NEWEST")]
    table = lines[head + 1 : head + 8]
    times = [line.split("  ")[2 if line[4:8].strip() else 1] for line in table]
    assert [line[:2] for line in table] == [f"{number}." for number in range(1, 8)]
    assert times == sorted(times, reverse=True) or len(set(times)) > 1
    [nvidia] = [line for line in table if "nvlddmkm.sys" in line]
    assert nvidia.split()[:2] == ["4.", "2"]
    assert "high" in nvidia
    assert "19045" in nvidia
    assert (
        "  2 dumps are of one machine (Intel(R) Core(TM)2 Quad CPU Q9400 @ 2.66GHz, Olidata S.p.A. P5G41T-M LE): "
        in (done.out)
    )
    assert "(the same crash as triage_x64.dmp)" in done.out or "(the same crash as sub/copy.dmp)" in done.out


def test_json_of_a_folder_is_one_document_of_the_published_shape(call: Stopcode, folder: Path) -> None:
    document = call("dump", "-o", "json", folder).document
    jsonschema.validate(document, document_schema("dumps"))
    assert document["schema"] == "stopcode/dumps/1"
    times = [row["time"] for row in document["dumps"]]
    assert times == sorted(times, reverse=True)
    problems = {problem["bucket"]: problem for problem in document["problems"]}
    assert len(problems) == 7
    twice = problems["0x7e/0xc000001d:nvlddmkm.sys+0x12634e"]
    assert (twice["crashes"], len(twice["dumps"])) == (2, 2)
    again = problems["0x7e/0xc0000005:amdppm.sys+0x334c"]
    assert (again["crashes"], len(again["dumps"])) == (1, 2)
    assert sorted(path for problem in document["problems"] for path in problem["dumps"]) == sorted(
        row["path"] for row in document["dumps"]
    )
    assert document["unread"] == []
    assert document["stats"]["bytes_read"] > 5_000_000


def test_a_row_says_what_the_report_of_its_dump_says(call: Stopcode, folder: Path) -> None:
    rows = call("dump", "-o", "json", folder).document["dumps"]
    reports = [json.loads(line) for line in call("dump", "-o", "jsonl", folder).out.splitlines()]
    assert len(rows) == len(reports) == 9
    crashes = {report["source"]["path"]: report["facts"]["crashes"][0] for report in reports}
    for row in rows:
        crash = crashes[row["path"]]
        assert row["bucket"] == crash["bucket"]
        assert row["culprit"] == crash["culprit"]["module"]
        assert row["confidence"] == crash["culprit"]["confidence"]
        assert row.get("time") == crash.get("time")
        assert row.get("process") == crash.get("process")


def test_one_bad_file_stops_no_other_and_is_told(call: Stopcode, folder: Path) -> None:
    (folder / "bad.dmp").write_bytes(b"nothing of the kind" * 50)
    (folder / "app.dmp").write_bytes(b"MDMP".ljust(4096, b"\0"))
    (folder / "cut.dmp").write_bytes((folder / "triage_x64.dmp").read_bytes()[:700_000])
    done = call("dump", folder)
    assert done.code == Exit.PARTIAL
    assert "Not read: 1\n" in done.out
    assert "bad.dmp: not a kernel dump" in done.out
    assert "1 user-mode minidump left out: they are of programs" in done.out
    # A cut copy is of the crash that the whole one shows, whatever it shows itself.
    assert "  cut.dmp (cut or damaged; the same crash as sub/copy.dmp)" in done.out
    assert "show 7 problems" in done.out
    document = call("dump", "-o", "json", folder)
    assert f"stopcode: error: {folder}/bad.dmp: not a kernel dump" in document.err
    assert [item["path"] for item in document.document["unread"]] == [f"{folder}/bad.dmp"]


def test_only_bad_files_end_with_3(call: Stopcode, tmp_path: Path) -> None:
    for name in ("a.dmp", "b.dmp"):
        (tmp_path / name).write_bytes(b"nothing" * 100)
    done = call("dump", tmp_path)
    assert done.code == Exit.UNREADABLE
    assert done.out.startswith("None of 2 files could be read as a kernel dump.\n")


def test_a_file_that_is_named_twice_is_read_once(call: Stopcode, folder: Path) -> None:
    document = call("dump", "-o", "json", folder, folder / "7e_1.dmp", folder / "sub").document
    assert len(document["dumps"]) == 9
    (folder / "link.dmp").symlink_to(folder / "7e_1.dmp")
    assert len(call("dump", "-o", "json", folder).document["dumps"]) == 9


def test_several_dumps_are_a_table_too(call: Stopcode, folder: Path) -> None:
    done = call("dump", folder / "7e_1.dmp", folder / "7e_2.dmp")
    assert done.code == 0
    assert done.out.startswith("2 dumps show 1 problem, the newest of 2024-11-17 15:08:13 UTC: 0x7E ")
    assert "  All 2 dumps are of one machine (" in done.out


def test_archives_count_and_those_without_a_dump_do_not(call: Stopcode, folder: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "7e_1.dmp", "Minidump/7e_1.dmp")
    (packed / "b.gz").write_bytes(gzip.compress((folder / "9f.dmp").read_bytes()))
    (packed / "logs.zip").write_bytes(b"")
    with zipfile.ZipFile(packed / "logs.zip", "w") as archive:
        archive.writestr("log.txt", "not PAGEDU64 but a log")
    document = call("dump", "-o", "json", packed).document
    assert {row["path"].rpartition("/")[2] for row in document["dumps"]} == {"a.zip", "b.gz"}
    assert document["unread"] == []


def test_scan_reads_a_packed_dump(call: Stopcode, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mini.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "7e_1.dmp", "7e_1.dmp")
    done = call("scan", "-o", "json", path)
    assert done.document["source"]["kind"] == "dump"
    [crash] = done.document["facts"]["crashes"]
    assert (crash["dump"]["archive"], crash["dump"]["member"]) == ("zip", "7e_1.dmp")
    assert crash["culprit"]["module"] == "nvlddmkm.sys"
    table = call("dump", path)
    assert "(triage, in the zip as 7e_1.dmp, 1,286,740 bytes)" in table.out


def test_an_archive_that_holds_no_dump_says_so(call: Stopcode, tmp_path: Path) -> None:
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("log.txt", "nothing of the kind")
    done = call("dump", path)
    assert done.code == Exit.UNREADABLE
    assert "it holds no kernel dump" in done.err


def test_more_files_than_the_limit_are_not_looked_at(
    call: Stopcode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_files, "MAX_DUMP_FILES", 3)
    done = call("dump", folder)
    assert done.out.startswith("3 dumps show 3 problems")
    assert "the folder holds more files than are looked at: not all were" in done.out
    assert "the folder holds more files than are looked at" in done.err


def test_many_dumps_of_one_problem_are_listed_short_and_whole_with_v(
    call: Stopcode, folder: Path, tmp_path: Path
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    data = bytearray((folder / "7e_1.dmp").read_bytes())
    for number in range(9):
        # SystemTime: each a day later.
        time = int.from_bytes(data[0xFA8:0xFB0], "little") + 864_000_000_000
        data[0xFA8:0xFB0] = time.to_bytes(8, "little")
        (many / f"{number}.dmp").write_bytes(data)
    short = call("dump", many).out
    assert short.startswith("9 dumps show 1 problem, the newest of 2024-11-26 ")
    assert "4 more dumps (-v lists them)" in short
    assert short.index("8.dmp") < short.index("7.dmp")
    assert "0.dmp" not in short
    assert "0.dmp" in call("dump", "-v", many).out


def test_an_interruption_keeps_what_was_read(call: Stopcode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stopcode.scan import lone

    real, calls = lone.read_crash, []

    def stop(*words: object) -> object:
        calls.append(words)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return real(*words)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(lone, "read_crash", stop)
    done = call("dump", folder)
    assert done.code == Exit.INTERRUPTED
    assert done.out.startswith("2 dumps show 2 problems")
    assert "interrupted" in done.err


def test_a_hostile_name_reaches_no_terminal(call: Stopcode, folder: Path) -> None:
    (folder / "\x1b[31m.dmp").write_bytes((folder / "7e_1.dmp").read_bytes())
    (folder / "\x1b[32m.dmp").write_bytes(b"nothing")
    for form in ("table", "json", "jsonl"):
        done = call("dump", "-o", form, folder)
        assert "\x1b" not in done.out + done.err
