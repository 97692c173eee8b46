from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stopcode.cli.exits import Exit
from stopcode.report.shape import problems
from stopcode.report.stored import document_schema
from tests.forensics.crash.chain import run
from tests.forensics.crash.machines import POOL, write_x64
from tests.stopcode.cli.run import Stopcode

pytestmark = pytest.mark.realdata


@pytest.fixture
def dump(shared: Path) -> Path:
    """A real small dump: 0x7E in amdppm.sys."""
    return shared / "data" / "dumps" / "triage_x64.dmp"


def test_a_small_dump_is_told_with_stop_code_parameters_stack_and_culprit(call: Stopcode, dump: Path) -> None:
    done = call("dump", dump)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("This machine (Windows build 19041) crashed on 2021-02-21 01:38:22 UTC, 3 s after")
    assert "0x7E SYSTEM_THREAD_EXCEPTION_NOT_HANDLED: the culprit is amdppm.sys" in lines[0]
    assert "  Culprit: amdppm.sys (high confidence)" in lines
    assert any(line.startswith("     0  amdppm.sys+0x334c ") and line.endswith("trap, exact") for line in lines)
    assert "STATUS_ACCESS_VIOLATION" in done.out


def test_verbose_lists_every_module_and_every_frame(call: Stopcode, dump: Path) -> None:
    short, whole = call("dump", dump).out, call("dump", "-v", dump).out
    assert "(-v shows all" in short
    assert "(-v shows" not in whole
    assert len(whole.splitlines()) > len(short.splitlines()) + 100
    assert "    Wdf01000.sys " in whole


def test_json_is_a_report_of_the_published_shape_with_one_crash(call: Stopcode, dump: Path) -> None:
    done = call("dump", "-o", "json", dump)
    report = done.document
    assert not problems(report, document_schema("report"))
    assert report["tool"]["rules"] == 0
    [crash] = report["facts"]["crashes"]
    assert crash["item"] == "triage_x64.dmp"
    assert crash["bugcheck"]["code"] == "0x7e"
    assert {gap["path"] for gap in report["facts"]["gaps"]} >= {"/system", "/drivers"}
    assert str(dump.parent) not in str(report["facts"])
    assert report["stats"]["bytes_read"] >= dump.stat().st_size


def test_several_dumps_are_one_json_line_each_and_a_bad_one_stops_no_other(
    call: Stopcode, dump: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.dmp"
    bad.write_bytes(b"no dump at all" * 100)
    other = tmp_path / "other.dmp"
    other.write_bytes(dump.read_bytes())
    done = call("dump", "-o", "jsonl", dump, bad, other, dump)
    assert done.code == Exit.PARTIAL
    assert done.out.count("\n") == 2
    assert done.err.startswith(f"stopcode: error: {bad}: ")


@pytest.mark.parametrize(
    ("keep", "code", "words"),
    [
        (0, Exit.UNREADABLE, "error: "),
        (0x30, Exit.UNREADABLE, "error: "),
        (0x1000, Exit.PARTIAL, "0x7E"),
        (0x2000, Exit.PARTIAL, "0x7E"),
        (700_000, Exit.PARTIAL, "0x7E"),
    ],
)
def test_a_cut_dump_gives_its_sound_part_and_4_and_one_without_a_header_3(
    call: Stopcode, dump: Path, tmp_path: Path, keep: int, code: int, words: str
) -> None:
    cut = tmp_path / "cut.dmp"
    cut.write_bytes(dump.read_bytes()[:keep])
    done = call("dump", cut)
    assert done.code == code
    assert words in done.out + done.err
    assert "dump.truncated" in done.out or code == Exit.UNREADABLE


@pytest.mark.parametrize("name", ["082325-12593-01.dmp", "7e_1.dmp", "7e_2.dmp", "9f.dmp", "be_1.dmp",
                                  "102622-17265-01.dmp", "triage_arm64.dmp"])  # fmt: skip
def test_every_real_dump_is_told_in_both_forms(call: Stopcode, unpacked: Callable[[str], Path], name: str) -> None:
    path = unpacked(f"dumps/{name}")
    table, document = call("dump", path), call("dump", "-o", "json", path)
    assert table.code == document.code == 0
    assert not problems(document.document, document_schema("report"))
    sentence = document.document["verdict"]["sentence"]
    assert table.out.splitlines()[0] == sentence


def test_a_dump_that_was_begun_and_never_written_says_so(call: Stopcode, tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(b"PAGE" * 0x1000)
    done = call("dump", path)
    assert done.code == Exit.UNREADABLE
    assert "a dump was prepared here and never written" in done.err
    assert "hint: look for another dump" in done.err


def test_what_is_no_dump_is_refused_with_a_reason(call: Stopcode, tmp_path: Path) -> None:
    user = tmp_path / "app.dmp"
    user.write_bytes(b"MDMP".ljust(4096, b"\0"))
    done = call("dump", user)
    assert done.code == Exit.UNREADABLE
    assert "user-mode" in done.err
    missing = call("dump", tmp_path / "missing.dmp")
    assert missing.code == Exit.UNREADABLE
    assert "no such file" in missing.err
    for name, data, why in (
        ("folder", None, "no kernel dump is in it"),
        ("empty", b"", "it is empty"),
        ("zeros", bytes(9000), "it begins with zeros"),
        ("disk", b"vhdxfile".ljust(0x10000, b"\0"), "not a kernel dump"),
    ):
        path = tmp_path / name
        path.mkdir() if data is None else path.write_bytes(data)
        done = call("dump", path)
        assert done.code == Exit.UNREADABLE
        assert why in done.err
        assert "hint: stopcode scan reads disks" in done.err


def test_serial_numbers_are_told_only_to_those_who_ask(call: Stopcode, shared: Path) -> None:
    path = shared / "data" / "dumps" / "082325-12593-01.dmp"
    plain, asked = call("dump", path).out, call("dump", "--serials", path).out
    assert "B69004CH50287" not in plain + call("dump", "-v", path).out + call("dump", "-o", "json", path).out
    assert "  Serials    system serial B69004CH50287\n" in asked
    assert "  Processor  AMD Ryzen 9 6900HX with Radeon Graphics\n" in plain
    assert "  Memory     2 x 12,288 MB CT12G56C46S5.M4B1 at 4800 MT/s\n" in plain


def test_instruction_bucket_and_fit_are_shown_and_the_rest_with_v(call: Stopcode, dump: Path) -> None:
    short, whole = call("dump", dump).out, call("dump", "-v", dump).out
    assert "    instruction: mov dword ptr [r9 + r8], edx\n" in short
    assert "  Bucket     0x7e/0xc0000005:amdppm.sys+0x334c\n" in short
    assert "touches: " not in short
    assert "Secondary data: " not in short
    assert "    touches: [r9 + r8]: write of 4 bytes at 0xffff9b000336004c\n" in whole
    assert "nvlddmkm: display driver" in whole


def test_folders_that_are_not_there_are_refused(call: Stopcode, dump: Path, tmp_path: Path) -> None:
    pytest.importorskip("symbolic")
    for option in ("--images", "--symbols"):
        done = call("dump", option, tmp_path / "nowhere", dump)
        assert done.code == Exit.UNREADABLE
        assert "nowhere: no such folder" in done.err
        assert f"hint: {option} takes a folder" in done.err


def test_symbols_without_their_library_are_wrong_usage_with_the_command_that_helps(
    call: Stopcode, dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "symbolic", None)
    monkeypatch.setattr(sys, "platform", "linux")
    done = call("dump", "--symbols", tmp_path, dump)
    assert done.code == Exit.USAGE
    assert "--symbols: symbol files are read by the optional library symbolic" in done.err
    assert 'pip install "stopcode[symbols]"' in done.err


def test_symbols_that_are_not_there_are_told_by_name_in_the_remarks(call: Stopcode, dump: Path, tmp_path: Path) -> None:
    pytest.importorskip("symbolic")
    done = call("dump", "--symbols", tmp_path, dump)
    assert done.code == 0
    assert "symbols.missing" in done.out
    assert "amdppm.sys: neither the dump nor a file tells which PDB belongs to it" in done.out


@pytest.mark.peer("x86_64-w64-mingw32-gcc")
def test_images_give_unwind_data_and_versions(call: Stopcode, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    chain = run(tmp_path / "build", direct=True, in_memory=False)
    images = tmp_path / "images"
    images.mkdir()
    for built in chain.modules:
        shutil.copyfile(chain.files[built.base], images / built.name)
    chain.machine.put(POOL + 0x8000, chain.context)
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(write_x64(chain.machine, 5, code=0x3B, parameters=(0xC0000005, chain.rip, POOL + 0x8000, 0)))
    alone, helped = call("dump", path).out, call("dump", "-v", "--images", images, path).out
    assert "by the folder's unwind data" in helped
    assert "on disk: same" in helped
    assert "by the folder's unwind data" not in alone
    frames = call("dump", "-o", "json", "--images", images, path).document["facts"]["crashes"][0]["stack"]
    assert [(int(frame["ip"], 16), int(frame["sp"], 16)) for frame in frames] == chain.frames
