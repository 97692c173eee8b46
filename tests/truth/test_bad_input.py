"""Bad input, case by case, through the program as a user starts it.

Each ends in one clear line, or in a partial report with remarks, with the right exit code and never in a traceback;
the sound part of the result is still there. The parts underneath have their own tests of hostile input.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from signatures.load import BUILT_IN
from stopcode.cli.exits import Exit
from tests.parsers.dump.builder import server2019, write_x64
from tests.stopcode.machines import windows_folder
from tests.truth.composed import CONFIG, DRIVERS, MINIDUMP, made_software, make_disk
from tests.truth.program import stopcode

Give = Callable[[str], Path]
made = pytest.mark.peer("mkntfs", "wimlib-imagex")


def refused(done: CompletedProcess[str], *words: str) -> None:
    """One line says what is wrong, a second one at most what to do."""
    assert (done.returncode, done.stdout) == (Exit.UNREADABLE, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("stopcode: error: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("stopcode: hint: "))
    for text in words:
        assert text in done.stderr


def partial(done: CompletedProcess[str], *codes: str, code: int = Exit.PARTIAL) -> Any:
    """The report is there, with these remarks and nothing on stderr; it is returned."""
    assert (done.returncode, done.stderr) == (code, "")
    document = json.loads(done.stdout)
    assert set(codes) <= {item["code"] for item in document["diagnostics"]}
    assert document["verdict"]["sentence"]
    return document


# -- what is no disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.vhd", b"", "is empty"),
        ("empty.vhdx", b"", "is empty"),
        ("random.vhdx", random.Random(9).randbytes(1 << 20), "named like a VHDX, but holds none"),
        ("random.img", random.Random(9).randbytes(1 << 20), "no container"),
        ("zeros.img", bytes(1 << 20), "zeros"),
        ("letter.vhd", b"Dear all,\n" * 500, "text"),
        ("driver.vhdx", b"MZ" + bytes(4094), "a program or driver"),
        ("SYSTEM", b"regf" + bytes(8188), "registry hive"),
        ("disk.vhdx.zip", b"PK\x03\x04" + bytes(4092), "its directory is damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_file_that_is_no_disk_says_what_it_is(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    refused(stopcode("scan", path), words)


def test_a_folder_without_windows_names_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "Users" / "Public").mkdir(parents=True)
    (tmp_path / "pagefile.sys").write_bytes(bytes(4096))
    refused(stopcode("scan", tmp_path), str(tmp_path), "Windows")


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused(stopcode("scan", tmp_path / "no-such.vhdx"), "no-such.vhdx: no such file")


@made
def test_a_disk_without_windows_lists_what_is_on_it(tmp_path: Path) -> None:
    refused(
        stopcode("scan", make_disk(tmp_path / "data.img", {"Backup/a.txt": b"x"})), "holds a Windows folder", "NTFS"
    )


# -- a truncated VHDX -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0x8000, 0x10000, 0x30000, 0x100000, 0x200000, 0x300000])
def test_a_vhdx_cut_in_its_structures_is_refused(built: Give, tmp_path: Path, keep: int) -> None:
    cut = tmp_path / "cut.vhdx"
    with built("ws2019-exposed.vhdx").open("rb") as file:
        cut.write_bytes(file.read(keep))
    refused(stopcode("scan", cut), "VHDX")


@pytest.mark.parametrize("part", [0.5, 0.75])
def test_a_vhdx_cut_in_its_data_tells_what_is_left(built: Give, tmp_path: Path, part: float) -> None:
    whole = built("ws2019-exposed.vhdx")
    cut = tmp_path / "cut.vhdx"
    with whole.open("rb") as file:
        cut.write_bytes(file.read(int(whole.stat().st_size * part)))
    done = stopcode("scan", "-o", "json", cut)
    report = partial(done, "container.truncated", code=done.returncode)
    assert done.returncode in (Exit.FOUND, Exit.PARTIAL)
    assert report["facts"]["system"]["hostname"] == "WS2019-APP02"
    assert report["facts"]["gaps"]
    # What lies behind the cut is not taken for absent: the machine is never called clear.
    assert report["verdict"]["state"] in ("exposed", "suspected")


def test_a_cut_that_took_the_culprits_file_does_not_deny_the_known_problem(built: Give, tmp_path: Path) -> None:
    whole = built("ws2019-failed.vhdx")
    cut = tmp_path / "cut.vhdx"
    with whole.open("rb") as file:
        cut.write_bytes(file.read(whole.stat().st_size // 2))
    report = partial(stopcode("scan", "-o", "json", cut), "container.truncated")
    sentence = report["verdict"]["sentence"]
    assert "crashed on 2021-03-10 02:14:26 UTC" in sentence
    assert "the culprit is vmstorfl.sys" in sentence
    assert "No known problem" not in sentence
    assert [(finding["rule"], finding["state"]) for finding in report["findings"]] == [("vmstorfl", "suspected")]


# -- a zeroed hive ----------------------------------------------------------------------------------------------------


@made
def test_a_disk_with_a_zeroed_system_hive_still_tells_its_build_and_drivers(tmp_path: Path) -> None:
    windows = windows_folder(tmp_path / "machine") / "Windows"
    files: dict[str, bytes | Path] = {
        f"{CONFIG}/SYSTEM": bytes(300_000),
        f"{CONFIG}/SOFTWARE": made_software(17763),
        f"{DRIVERS}/vmstorfl.sys": windows / "System32" / "drivers" / "vmstorfl.sys",
        "Windows/System32/ntoskrnl.exe": windows / "System32" / "ntoskrnl.exe",
    }
    disk = make_disk(tmp_path / "disk.img", files)
    report = partial(stopcode("scan", "-o", "json", disk), "hive.unreadable")
    assert report["facts"]["system"]["build"] == 17763
    [driver] = [driver for driver in report["facts"]["drivers"] if driver["file"] == "vmstorfl.sys"]
    assert driver["version"] == "10.0.17763.771"
    assert any(gap["path"] == "/services" and "zeros" in gap["reason"] for gap in report["facts"]["gaps"])
    table = stopcode("scan", disk)
    assert (table.returncode, table.stderr) == (Exit.PARTIAL, "")
    assert "error hive.unreadable: " in table.stdout


# -- cut dumps --------------------------------------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize("keep", [0x1000, 0x2000, 0xB0000])
@pytest.mark.parametrize("name", ["triage_x64.dmp", "082325-12593-01.dmp"])
def test_a_cut_small_dump_still_tells_its_bug_check(unpacked: Give, tmp_path: Path, name: str, keep: int) -> None:
    data = unpacked(f"dumps/{name}").read_bytes()
    assert keep < len(data)
    cut = tmp_path / name
    cut.write_bytes(data[:keep])
    report = partial(stopcode("dump", "-o", "json", cut), "dump.truncated")
    [crash] = report["facts"]["crashes"]
    assert crash["bugcheck"]["code"] == {"triage_x64.dmp": "0x7e", "082325-12593-01.dmp": "0x65"}[name]
    assert crash["dump"]["complete"] is False
    assert len(crash["bugcheck"]["parameters"]) == 4


@pytest.mark.parametrize("keep", [0x1000, 0x2000, 0x20000])
@pytest.mark.parametrize("kind", [1, 5])
def test_a_cut_dump_of_the_whole_memory_still_tells_its_bug_check(tmp_path: Path, kind: int, keep: int) -> None:
    data = write_x64(server2019(), kind)
    assert keep < len(data)
    cut = tmp_path / "MEMORY.DMP"
    cut.write_bytes(data[:keep])
    report = partial(stopcode("dump", "-o", "json", cut))
    [crash] = report["facts"]["crashes"]
    assert crash["bugcheck"]["code"] == "0xd1"
    assert crash["gaps"]
    assert report["diagnostics"]


@made
@pytest.mark.realdata
def test_a_cut_dump_on_a_disk_spoils_neither_the_other_dump_nor_the_machine(unpacked: Give, tmp_path: Path) -> None:
    files: dict[str, bytes | Path] = {
        f"{CONFIG}/SYSTEM": unpacked("hives/win81/SYSTEM"),
        f"{CONFIG}/SOFTWARE": made_software(19041),
        f"{MINIDUMP}/whole.dmp": unpacked("dumps/triage_x64.dmp"),
        f"{MINIDUMP}/cut.dmp": unpacked("dumps/7e_1.dmp").read_bytes()[:0x2000],
        f"{MINIDUMP}/none.dmp": b"",
    }
    done = stopcode("scan", "-o", "json", make_disk(tmp_path / "disk.img", files))
    report = partial(done, code=done.returncode)
    assert done.returncode in (Exit.FOUND, Exit.PARTIAL)
    crashes = {crash["item"].rpartition("\\")[2]: crash for crash in report["facts"]["crashes"]}
    assert crashes["whole.dmp"]["culprit"]["module"] == "amdppm.sys"
    assert (crashes["cut.dmp"]["bugcheck"]["code"], crashes["cut.dmp"]["dump"]["complete"]) == ("0x7e", False)
    assert "none.dmp" not in crashes
    assert any("none.dmp" in str(item) for item in report["diagnostics"] + report["facts"]["gaps"])
    assert report["facts"]["system"]["hostname"] == "SENSEI"


# -- a module list with a cycle ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [1, 6])
def test_a_module_list_with_a_cycle_gives_the_modules_before_it(tmp_path: Path, kind: int) -> None:
    machine = server2019()
    # The third record leads back to the second.
    machine.put(0xFFFFC08BDC0011F0 + 0x200, (0xFFFFC08BDC0011F0 + 0x100).to_bytes(8, "little"))
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(write_x64(machine, kind))
    report = partial(stopcode("dump", "-o", "json", path), "dump.modules-cycle")
    [crash] = report["facts"]["crashes"]
    assert crash["bugcheck"]["code"] == "0xd1"
    assert crash["module_count"] == len(crash["modules"]) == 3


# -- rule files -------------------------------------------------------------------------------------------------------

SOUND = (BUILT_IN / "storage" / "vmstorfl.yaml").read_text(encoding="utf-8").replace("id: vmstorfl\n", "id: own\n")
#: What is wrong -> (a sound rule with that one thing changed, what the message must say).
RULES = {
    "a tab": (SOUND.replace("  old-file:", "\told-file:"), "tab"),
    "a duplicate key": (SOUND.replace("family: storage", "family: storage\nfamily: boot"), "family"),
    "an unknown predicate": (SOUND.replace("    driver:\n", "    weather:\n", 1), "weather"),
}


def place_of(name: str) -> int:
    """The line in which the rule was spoilt."""
    lines = zip(SOUND.splitlines(), RULES[name][0].splitlines(), strict=False)
    return next(number for number, (old, new) in enumerate(lines, 1) if old != new)


def test_the_rule_is_sound_before_it_is_spoilt(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SOUND, encoding="utf-8")
    done = stopcode("signatures", "lint", tmp_path / "own.yaml")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", RULES)
def test_a_broken_rule_in_a_folder_is_a_remark_and_the_other_rules_judge(tmp_path: Path, name: str) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "own.yaml").write_text(RULES[name][0], encoding="utf-8")
    folder = windows_folder(tmp_path / "machine")
    done = stopcode("scan", "-o", "json", "--signatures", rules, folder)
    report = partial(done, "signatures.rule-broken", code=Exit.FOUND)
    remark = next(item for item in report["diagnostics"] if item["code"] == "signatures.rule-broken")
    assert f"own.yaml:{place_of(name)}:" in remark["source"] + remark["message"]
    assert RULES[name][1] in remark["message"]
    assert [finding["rule"] for finding in report["findings"] if finding["state"] == "exposed"] == ["vmstorfl"]


@pytest.mark.parametrize("name", RULES)
def test_a_broken_rule_that_was_named_is_wrong_usage_and_says_where(tmp_path: Path, name: str) -> None:
    rule = tmp_path / "own.yaml"
    rule.write_text(RULES[name][0], encoding="utf-8")
    done = stopcode("scan", "--signatures", rule, windows_folder(tmp_path / "machine"))
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert done.stderr.startswith(f"stopcode: error: {rule}:")
    assert RULES[name][1] in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    lint = stopcode("signatures", "lint", rule)
    assert (lint.returncode, lint.stderr) == (Exit.USAGE, "")
    assert f"{rule}:{place_of(name)}:" in lint.stdout


# -- one bad image among others ---------------------------------------------------------------------------------------


def test_a_bad_image_stops_no_other_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "empty.vhd").touch()
    bad = [tmp_path / "empty.vhd", tmp_path / "missing.vhd", tmp_path / "missing" / "disk.vhd"]
    good = windows_folder(tmp_path / "good")
    for images in ((*bad, good), (good, *bad), (bad[1], good, bad[0])):
        done = stopcode("scan", "-o", "jsonl", *images)
        assert done.returncode == Exit.FOUND
        assert [json.loads(line)["source"]["path"] for line in done.stdout.splitlines()] == [str(good)]
        told = [line for line in done.stderr.splitlines() if not line.startswith("stopcode: hint: ")]
        assert len(told) == len(images) - 1
        assert all(line.startswith("stopcode: error: ") for line in told)


@pytest.mark.realdata
def test_a_missing_dump_stops_no_other(shared: Path, tmp_path: Path) -> None:
    first, second = (shared / "data" / "dumps" / name for name in ("triage_x64.dmp", "7e_1.dmp"))
    done = stopcode("dump", "-o", "jsonl", tmp_path / "one.dmp", first, tmp_path / "two.dmp", second)
    assert done.returncode == Exit.PARTIAL
    assert [json.loads(line)["source"]["path"] for line in done.stdout.splitlines()] == [str(first), str(second)]
    assert done.stderr.count("no such file") == 2
