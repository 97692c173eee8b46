from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from stopcode.cli.exits import Exit
from stopcode.report.stored import document_schema
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return windows_folder(tmp_path_factory.mktemp("exposed"))


@pytest.fixture(scope="module")
def january(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return windows_folder(tmp_path_factory.mktemp("january"), ubr=1697)


def test_an_exposed_machine_ends_with_1_and_its_first_lines_say_what_to_do(call: Stopcode, exposed: Path) -> None:
    done = call("scan", exposed)
    assert (done.code, done.err) == (Exit.FOUND, "")
    first, second, third = done.out.splitlines()[:3]
    assert first.startswith(
        "SRV1 (Windows Server 2019 Standard, 10.0.17763.1757) would crash if it were failed over by"
    )
    assert first.endswith("This is the known regression that came with KB4601345 and that KB5003171 ends.")
    assert second.startswith("  First: ")
    assert third.startswith("  Disk as of ")
    assert re.search(r"- vmstorfl\.sys .*10\.0\.17763\.771", done.out)
    assert "\\Windows\\System32\\drivers\\vmstorfl.sys: VS_FIXEDFILEINFO @ 0x" in done.out


def test_exit_zero_turns_1_into_0_and_nothing_else(call: Stopcode, exposed: Path, tmp_path: Path) -> None:
    assert call("scan", "--exit-zero", exposed).code == 0
    assert call("scan", "--exit-zero", tmp_path / "missing").code == Exit.UNREADABLE


def test_the_january_state_is_clear(call: Stopcode, january: Path) -> None:
    done = call("scan", january)
    assert done.code == 0
    assert "Known problems" not in done.out


def test_a_zeroed_hive_leaves_the_sound_part_and_ends_with_4(call: Stopcode, tmp_path: Path) -> None:
    done = call("scan", windows_folder(tmp_path, zeroed=("SOFTWARE",)))
    assert done.code == Exit.PARTIAL
    assert "SUSPECTED" in done.out
    assert "error hive.unreadable: " in done.out
    assert "  Name        SRV1" in done.out


def test_json_fits_the_published_schema(call: Stopcode, exposed: Path) -> None:
    report = call("scan", "-o", "json", exposed).document
    jsonschema.Draft202012Validator(document_schema("report")).validate(report)
    assert report["schema"] == "stopcode/report/1"
    assert report["tool"]["rules"] > 0
    assert report["findings"][0]["rule"] == "vmstorfl"
    assert report["verdict"]["rule"] == "vmstorfl"
    assert report["stats"]["bytes_read"] > 0


def test_the_same_machine_gives_the_same_facts_and_findings_wherever_it_lies(call: Stopcode, tmp_path: Path) -> None:
    reports = [call("scan", "-o", "json", windows_folder(tmp_path / name)).document for name in ("a", "another/place")]
    for part in ("facts", "findings", "verdict", "unjudged", "diagnostics"):
        one, other = (json.dumps(_without_times(report[part])) for report in reports)
        assert one == other
    assert str(tmp_path) not in json.dumps(reports[0]["facts"])


def _without_times(part: object) -> object:
    """The files were written a moment apart."""
    if isinstance(part, dict):
        return {key: _without_times(value) for key, value in part.items() if key not in ("modified",)}
    return [_without_times(item) for item in part] if isinstance(part, list) else part


def test_a_scan_changes_nothing_of_what_it_reads(call: Stopcode, tmp_path: Path) -> None:
    folder = windows_folder(tmp_path)

    def state() -> list[tuple[str, int, bytes]]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(str(path), path.stat().st_mtime_ns, path.read_bytes()) for path in files]

    before = state()
    call("scan", folder)
    assert state() == before


def test_several_images_are_told_one_after_another_and_a_bad_one_stops_no_other(
    call: Stopcode, exposed: Path, january: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.vhd"
    empty.touch()
    done = call("scan", "-o", "jsonl", january, empty, exposed)
    assert done.code == Exit.FOUND
    assert [json.loads(line)["source"]["path"] for line in done.out.splitlines()] == [str(january), str(exposed)]
    assert "empty" in done.err
    assert call("scan", january, empty).code == Exit.PARTIAL
    assert call("scan", empty, empty).code == Exit.UNREADABLE
    assert call("scan", "-o", "json", january, exposed).code == Exit.USAGE


def test_an_interruption_keeps_what_was_finished(
    call: Stopcode, exposed: Path, january: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stopcode.scan

    real = stopcode.scan.scan

    def interrupted(path: str, **more: object) -> object:
        if path == str(exposed):
            raise KeyboardInterrupt
        return real(path, **more)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(stopcode.scan, "scan", interrupted)
    result = tmp_path / "reports.jsonl"
    done = call("scan", "-o", "jsonl", "--output", result, january, exposed, january)
    assert done.code == Exit.INTERRUPTED
    assert result.read_text().count("\n") == 1


def test_progress_json_tells_steps_and_sections_on_stderr(call: Stopcode, exposed: Path) -> None:
    done = call("scan", "--progress-json", "-o", "json", exposed)
    remarks = [json.loads(line) for line in done.err.splitlines()]
    steps = [remark for remark in remarks if "step" in remark]
    assert steps[0] == {"step": "open", "n": 0, "of": 0}
    assert steps[-1]["step"] == "judge"
    assert steps[-1]["n"] + 1 == steps[-1]["of"]
    assert [step["n"] for step in steps[1:]] == list(range(1, steps[-1]["of"]))
    sections = {remark["section"]: remark["data"] for remark in remarks if "section" in remark}
    assert sections["system"]["hostname"] == "SRV1"
    assert set(sections) <= set(done.document["facts"])
    for name in ("drivers", "services", "boot", "crashes"):
        assert sections[name] == done.document["facts"][name]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_bytes(b"MZ" + bytes(range(256)) * 64), "error: "),
        (lambda path: path.write_text("just words\n" * 100), "looks like a text"),
        (lambda path: path.mkdir(), "no Windows folder"),
        (lambda path: None, "error: "),
        (lambda path: path.write_bytes(b"vhdxfile".ljust(0x10000, b"\0")), "error: "),
    ],
    ids=["empty", "rubbish", "text", "folder", "missing", "vhdx"],
)
def test_what_gives_nothing_ends_with_3_and_at_most_two_lines(
    call: Stopcode, tmp_path: Path, make: object, words: str
) -> None:
    path = tmp_path / "disk.vhdx"
    make(path)  # type: ignore[operator]  # a lambda of the table
    done = call("scan", path)
    assert (done.code, done.out) == (Exit.UNREADABLE, "")
    assert words in done.err
    assert 1 <= done.err.count("\n") <= 2


BROKEN = {
    "tab": "id: x\n\ttitle: y\n",
    "duplicate key": 'schema: "1"\nid: x\nid: x\n',
    "unknown predicate": 'schema: "1"\nid: x\nexposed: {weather: {sun: "yes"}}\n',
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_rule_in_a_folder_is_a_remark_and_named_itself_it_is_wrong_usage(
    call: Stopcode, exposed: Path, tmp_path: Path, name: str
) -> None:
    rule = tmp_path / "x.yaml"
    rule.write_text(BROKEN[name])
    report = call("scan", "-o", "json", "--signatures", tmp_path, exposed)
    assert report.code == Exit.FOUND
    assert "signatures.rule-broken" in {item["code"] for item in report.document["diagnostics"]}
    named = call("scan", "--signatures", rule, exposed)
    assert named.code == Exit.USAGE
    assert f"{rule}:" in named.err
    assert call("scan", "--signatures", tmp_path / "missing", exposed).code == Exit.USAGE


def test_hostile_names_never_reach_the_terminal_as_they_are(call: Stopcode, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\u202e\x9b41m"
    folder = windows_folder(tmp_path, hostname=hostile)
    for words in (("scan",), ("scan", "-v"), ("scan", "-o", "md"), ("scan", "-o", "json"),
                  ("scan", "--color", "always")):  # fmt: skip
        done = call(*words, folder)
        text = done.out.replace("\x1b[0m", "").replace("\x1b[", "") if "always" in words else done.out
        assert done.code == Exit.FOUND
        for bad in ("\x1b", "\x07", "\u202e", "\x9b"):
            assert bad not in text
        assert "owned" in text


def test_colour_always_colours_a_pipe_and_wraps_nothing(call: Stopcode, exposed: Path) -> None:
    plain, coloured = call("scan", exposed).out, call("scan", "--color", "always", exposed).out
    assert "\x1b[" in coloured
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()] == plain.splitlines()
