from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stopcode.cli.exits import Exit
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder


def test_list_has_a_line_a_rule(call: Stopcode) -> None:
    lines = call("signatures", "list").out.splitlines()
    rows = call("signatures", "list", "-o", "json").document["rules"]
    assert [line.split()[0] for line in lines] == [row["id"] for row in rows]
    assert "vmstorfl" in {row["id"] for row in rows}


def test_show_tells_conditions_remedy_and_sources(call: Stopcode) -> None:
    done = call("signatures", "show", "vmstorfl")
    assert done.code == 0
    assert "introduced 17763.1757 (KB4601345)" in done.out
    assert re.search(r"Exposed +driver vmstorfl\.sys: .*below 10\.0\.17763\.1911", done.out)
    assert "dism /Image:" in done.out
    [row] = call("signatures", "show", "-o", "json", "vmstorfl").document["rules"]
    assert row["remediation"][0]["kb"] == "KB5003171"


def test_an_unknown_rule_is_wrong_usage_and_suggests_the_nearest(call: Stopcode) -> None:
    done = call("signatures", "show", "vmstorfll")
    assert done.code == Exit.USAGE
    assert "`vmstorfl`" in done.err


def test_the_built_in_rule_passes_its_lint_and_its_tests(call: Stopcode) -> None:
    done = call("signatures", "test", "vmstorfl", "-v")
    assert done.code == 0
    assert done.out.splitlines()[-1].endswith(" 0 failed")
    # The tests that stand in the file, not only those made of its bounds.
    assert "January: the same old file below the February update fails over well" in done.out
    assert "ok vmstorfl: " in done.out


@pytest.mark.parametrize(
    ("text", "code"),
    [("id: x\n\ttitle: y\n", "SC004"), ('schema: "1"\nid: x\nid: x\n', "SC002"),
     ('schema: "1"\nid: x\nexposed: {weather: {sun: "yes"}}\n', "SC")],
)  # fmt: skip
def test_lint_names_file_line_and_column_of_a_broken_rule_and_ends_with_2(
    call: Stopcode, tmp_path: Path, text: str, code: str
) -> None:
    rule = tmp_path / "x.yaml"
    rule.write_text(text)
    done = call("signatures", "lint", rule)
    assert done.code == Exit.USAGE
    first = done.out.splitlines()[0]
    assert first.startswith(f"{rule}:")
    assert all(part.isdigit() for part in first.removeprefix(f"{rule}:").split(":")[:2])
    assert code in done.out
    rows = call("signatures", "lint", "-o", "json", rule).document["problems"]
    assert {"file", "line", "column", "code", "message"} <= set(rows[0])
    assert call("signatures", "test", rule).code == Exit.USAGE


def test_a_failing_test_ends_with_1(call: Stopcode, tmp_path: Path) -> None:
    from signatures.load import BUILT_IN

    text = (BUILT_IN / "storage" / "vmstorfl.yaml").read_text()
    spoiled = tmp_path / "vmstorfl.yaml"
    spoiled.write_text(text.replace("expect: clear", "expect: exposed", 1))
    assert spoiled.read_text() != text
    done = call("signatures", "test", spoiled)
    assert done.code == Exit.FOUND
    assert "FAILED vmstorfl: " in done.out


def test_why_draws_the_tree_of_an_image_and_of_a_stored_report(call: Stopcode, tmp_path: Path) -> None:
    folder = windows_folder(tmp_path / "machine")
    done = call("signatures", "why", "vmstorfl", folder)
    assert done.code == 0
    assert done.out.splitlines()[0].endswith("EXPOSED")
    assert re.search(r"YES +vmstorfl\.sys .*10\.0\.17763\.771", done.out)
    stored = tmp_path / "report.json"
    stored.write_text(call("scan", "-o", "json", folder).out)
    assert call("signatures", "why", "vmstorfl", stored).out == done.out
    assert call("signatures", "why", "-o", "json", "vmstorfl", stored).document["state"] == "exposed"


@pytest.mark.parametrize("words", [("list", "x"), ("show",), ("why", "vmstorfl"), ("lint", "missing"),
                                   ("test", "missing")])  # fmt: skip
def test_what_cannot_be_meant_is_wrong_usage(call: Stopcode, words: tuple[str, ...]) -> None:
    done = call("signatures", *words)
    assert done.code == Exit.USAGE
    assert done.out == ""


def test_list_as_json_is_plain_data(call: Stopcode) -> None:
    json.dumps(call("signatures", "show", "-o", "json", "crowdstrike-channel-291").document)
