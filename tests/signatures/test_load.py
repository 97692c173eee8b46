"""Errors of rule files: all of them at once, each with place, source line, caret, hint and code."""

from __future__ import annotations

from pathlib import Path

import pytest

import signatures.load as loading
from parsers.diagnostics import Diagnostics
from parsers.errors import InputNotFoundError, RuleError
from signatures import load_database
from signatures.load import load_files, load_rule, rule_files
from signatures.problems import MAX_PROBLEMS, render
from tests.signatures.rules import HEAD, OLD, codes, load, rule_of

SOUND = f"exposed:\n  {OLD}\n"
RANGE = SOUND + "affected:\n  - {branch: "


def only(parts: str, *, head: str = HEAD) -> tuple[str, str, str]:
    """The one problem of a rule: code, path and message."""
    loaded = load(parts, head=head)
    assert len(loaded.problems) == 1, [render(problem) for problem in loaded.problems]
    assert not loaded.rules
    problem = loaded.problems[0]
    return problem.code, problem.path, problem.message


def test_a_sound_rule_loads() -> None:
    loaded = load(SOUND)
    assert not loaded.problems
    assert loaded.rules[0].id == "some-rule"


def test_a_problem_is_printed_with_place_line_caret_hint_and_code() -> None:
    loaded = load('exposed:\n  driver:\n    file: a.sys\n    version: {below: "10.0.17763"}\n')
    line = HEAD.count("\n") + 4
    assert render(loaded.problems[0]) == (
        f'some-rule.yaml:{line}:22: exposed.driver.version.below: not a version: "10.0.17763"\n'
        f'    {line} |     version: {{below: "10.0.17763"}}\n'
        "       |                      ^^^^^^^^^^^^ four numbers are needed, for example 10.0.17763.1911   [SC103]"
    )


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    loaded = load(
        "exposed:\n  all:\n    - driver: {fil: a.sys}\n    - drivr: {file: a.sys}\n"
        '    - service: {name: a, start: boots}\n    - os: {build: "x"}\n'
    )
    assert codes(loaded) == ["SC101", "SC101", "SC104", "SC103"]
    assert [problem.mark.line for problem in loaded.problems] == sorted(p.mark.line for p in loaded.problems)
    assert [problem.hint for problem in loaded.problems][:3] == [
        "did you mean `file`?", "did you mean `driver`?", "did you mean `boot`?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "code", "path"),
    [
        ("exposed: [1]\n", "SC103", "exposed"),
        ("exposed:\n  all: []\n", "SC106", "exposed.all"),
        ("exposed: {}\n", "SC105", "exposed"),
        ("exposed:\n  os: {}\n", "SC106", "exposed.os"),
        ('exposed:\n  os: {build: "1"}\n  service: {name: a}\n', "SC105", "exposed"),
        ("exposed:\n  use: nothing\n", "SC108", "use"),
        ("define:\n  a: {use: b}\n  b: {use: a}\nexposed:\n  use: a\n", "SC109", "define.a"),
        ('exposed:\n  os: {build: {at_least: "1", one_of: ["2"]}}\n', "SC105", "exposed.os.build"),
        ("exposed:\n  os: {product: {below: x}}\n", "SC103", "exposed.os.product"),
        ("exposed:\n  os: {build: {like: x}}\n", "SC103", "exposed.os.build.like"),
        ("exposed:\n  os: {build: {atleast: x}}\n", "SC101", "exposed.os.build"),
        ('exposed:\n  os: {build: "1", absent: "yes"}\n', "SC101", "exposed.os"),
        ("exposed:\n  driver: {file: a.sys, missing: maybe}\n", "SC103", "exposed.driver.missing"),
        ("exposed:\n  os: {product: {matches: '(a+)+$'}}\n", "SC210", "exposed.os.product.matches"),
        ("exposed:\n  file: {size: '1'}\n", "SC102", "exposed.file"),
        ("exposed:\n  file: {path: {like: x}}\n", "SC103", "exposed.file.path"),
        ("exposed:\n  registry: {hive: SYSTEM, key: k, data: '1'}\n", "SC102", "exposed.registry"),
        ("exposed:\n  registry: {hive: SYSTEM, key: k, value: v, key_exists: 'yes'}\n", "SC105", "exposed.registry"),
        ("exposed:\n  event: {id: '1'}\n", "SC102", "exposed.event"),
        ("exposed:\n  update: {satisfied: 'yes', package: x}\n", "SC102", "exposed.update"),
        ("exposed:\n  crash: {module: {version: '1.2.3.4'}}\n", "SC102", "exposed.crash.module"),
        ("exposed:\n  crash: {params: {'5': '0x1'}}\n", "SC101", "exposed.crash.params"),
        ("exposed:\n  count: {of: [{use: a}, {use: b}]}\n", "SC102", "exposed.count"),
        ("exposed:\n  os: {build: {same_as: {build: '1'}}}\n", "SC103", "exposed.os.build.same_as"),
        ("exposed:\n  event: {log: a, id: '1', time: {within: 7, of: x}}\n", "SC103", "exposed.event.time"),
        (RANGE + "x, events: [{introduced: '0'}]}\n", "SC103", "affected[0].branch"),
        (RANGE + "'17763', events: [{fixed: '17763'}]}\n", "SC103", "affected[0].events[0].fixed"),
        (RANGE + "'17763', events: [{introduced: '0', fixed: '17763.2'}]}\n", "SC105", "affected[0].events[0]"),
        (RANGE + "'17763', events: [{introduced: '0', source: gone}]}\n", "SC107", "affected[0].events"),
        (SOUND + "tests:\n  - {name: x, expect: exposd, facts: {}}\n", "SC104", "tests[0].expect"),
        (SOUND + "tests:\n  - {name: x, expect: clear}\n", "SC102", "tests[0]"),
        (SOUND + "triggers: [failover, reboots]\n", "SC104", "triggers[1]"),
        ("", "SC102", ""),
    ],
)  # fmt: skip
def test_each_kind_of_mistake_has_its_code_and_place(parts: str, code: str, path: str) -> None:
    found = [(problem.code, problem.path) for problem in load(parts).problems]
    assert found[0] == (code, path), found


@pytest.mark.parametrize(
    ("old", "new", "code", "path"),
    [
        ("id: some-rule", "id: other-rule", "SC006", "id"),
        ("id: some-rule", "id: Some_Rule", "SC103", "id"),
        ('schema: "1"', 'schema: "2"', "SC104", "schema"),
        ("kind: regression", "kind: regresion", "SC104", "kind"),
        ('version: "1"', 'version: "1.0"', "SC103", "version"),
        ('"2026-01-15"', '"2026-02-30"', "SC103", "created"),
        ("severity: high\n", "", "SC102", ""),
        ("severity: high", "severity: [high]", "SC103", "severity"),
        ("status: experimental", "status: test", "SC102", ""),
        ("status: experimental", "status: withdrawn", "SC102", ""),
        ("kind: check", "kind: check, source: nobody", "SC107", "remediation[0].source"),
    ],
)
def test_each_key_of_the_head_is_checked(old: str, new: str, code: str, path: str) -> None:
    found = [(problem.code, problem.path) for problem in load(SOUND, head=HEAD.replace(old, new, 1)).problems]
    assert found[0] == (code, path), found


def test_a_rule_from_status_test_on_needs_triggers_and_tests() -> None:
    loaded = load(SOUND, head=HEAD.replace("status: experimental", "status: stable"))
    assert [problem.message for problem in loaded.problems] == [
        "the key `triggers` is missing", "the key `tests` is missing",
    ]  # fmt: skip


def test_every_scalar_is_text_however_it_looks() -> None:
    rule = rule_of('exposed:\n  os: {product: [no, 1.10, 2026-01-15, 0x10, ~, "true"]}\n')
    condition = rule.exposed.fields[0].condition  # type: ignore[union-attr]  # a leaf
    assert condition.texts == ("no", "1.10", "2026-01-15", "0x10", "~", "true")  # type: ignore[union-attr]  # as above


def test_a_tab_a_duplicate_key_and_an_unknown_predicate_are_told_with_their_places() -> None:
    assert only("exposed:\n\tos: {build: '1'}\n")[0] == "SC004"
    code, _path, message = only(SOUND + SOUND)
    assert (code, message) == ("SC002", "the key `exposed` is there twice")
    assert only("exposed:\n  divers: {file: a}\n") == ("SC101", "exposed", "unknown predicate `divers`")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: &x b\nc: *x\n", "SC003"),
        ("a: !!str b\n", "SC003"),
        ("a: !x b\n", "SC003"),
        ("%YAML 1.1\n---\na: b\n", "SC003"),
        ("a: {<<: {b: c}}\n", "SC003"),
        ("a: b\n---\nc: d\n", "SC001"),
        ("a: [\n", "SC001"),
        ("a: b: c\n", "SC001"),
        ('a: "\\d"\n', "SC001"),
        ("- a\n", "SC103"),
        ("a:\n", "SC103"),
        ("", "SC103"),
        ("? [a]\n: b\n", "SC103"),
        ('a: "\\e[31m"\n', "SC004"),
        ('a: "\\u202e"\n', "SC004"),
        ("a: \u202eb\n", "SC004"),
        ("a: b\u2028c\n", "SC004"),
        ("a: b\rc: d\n", "SC004"),
        ("a: \x1b[31m\n", "SC004"),
        ("a: \x00\n", "SC004"),
        ("a: " + "[" * 17 + "]" * 17 + "\n", "SC005"),
        ("[" * 60_000, "SC005"),
        ("- " * 30_000, "SC005"),
        ("a: " + "x" * 70_000, "SC005"),
        ("a: [" + "b," * 20_001 + "]", "SC005"),
    ],
)  # fmt: skip
def test_what_yaml_allows_and_a_rule_does_not(text: str, code: str) -> None:
    assert code in codes(load_rule(text.encode(), "x.yaml"))


def test_bytes_that_are_not_utf8_are_told_with_their_place() -> None:
    problem = load_rule(b"a: b\nc: \xff\n", "x.yaml").problems[0]
    assert (problem.code, problem.mark[:2], problem.message) == ("SC001", (2, 4), "not UTF-8")


def test_windows_line_ends_and_a_mark_at_the_start_are_taken() -> None:
    text = "\ufeff" + (HEAD + SOUND).replace("\n", "\r\n")
    assert not load_rule(text.encode(), "some-rule.yaml").problems


def test_hostile_text_is_not_printed_as_it_is() -> None:
    for text in ('exposed:\n  "\\e]0;x": {a: b}\n', "exposed:\n  os: {build: \u202e1}\n"):
        printed = "\n".join(render(problem) for problem in load(text).problems)
        assert printed
        assert all(char.isprintable() or char == "\n" for char in printed)


def test_an_id_or_alias_is_there_once(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "some-rule.yaml").write_text(HEAD + SOUND)
    loaded = load_files(rule_files(tmp_path))
    assert [problem.code for problem in loaded.problems] == ["SC007"]
    assert len(loaded.rules) == 1


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "some-rule.yaml").mkdir()
    loaded = load_files([tmp_path / "some-rule.yaml"])
    assert [problem.code for problem in loaded.problems] == ["SC001"]


def test_a_broken_rule_of_a_user_is_a_diagnostic_and_the_others_count(tmp_path: Path) -> None:
    (tmp_path / "some-rule.yaml").write_text(HEAD + SOUND)
    (tmp_path / "broken.yaml").write_text(HEAD + "exposed: {divers: {file: a}}\n")
    diagnostics = Diagnostics()
    database = load_database([tmp_path], diagnostics)
    assert database.get("some-rule") is not None
    assert {(item.severity, item.code) for item in diagnostics.items} == {("warning", "signatures.rule-broken")}
    assert any("unknown predicate `divers`" in item.message for item in diagnostics.items)


def test_a_broken_built_in_rule_is_an_error_with_every_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.yaml").write_text(HEAD + "exposed: {divers: {file: a}}\n")
    monkeypatch.setattr(loading, "BUILT_IN", tmp_path)
    with pytest.raises(RuleError, match="unknown predicate `divers`"):
        load_database()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        load_database([tmp_path / "gone"])


def test_a_users_rule_takes_the_place_of_a_built_in_one_of_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, title in (("built-in", "Something is wrong"), ("mine", "Something else is wrong")):
        (tmp_path / name).mkdir()
        text = (HEAD + SOUND).replace("Something is wrong", title)
        (tmp_path / name / "some-rule.yaml").write_text(text.replace("id: here", "id: here"))
    monkeypatch.setattr(loading, "BUILT_IN", tmp_path / "built-in")
    database = load_database([tmp_path / "mine"])
    assert [rule.title for rule in database.rules] == ["Something else is wrong"]


def test_an_alias_finds_its_rule(tmp_path: Path) -> None:
    (tmp_path / "some-rule.yaml").write_text(HEAD + "aliases: [old-name]\n" + SOUND)
    rule = load_database([tmp_path]).get("old-name")
    assert rule is not None
    assert rule.id == "some-rule"


def test_the_digest_follows_the_meaning_and_not_the_texts() -> None:
    plain = load(SOUND).rules[0].digest
    assert load(SOUND, head=HEAD.replace("Because.", "Otherwise.")).rules[0].digest == plain
    assert (
        load("exposed:\n    driver:\n        version: {'below': 1.0.0.5}\n        file: 'a.sys'\n").rules[0].digest
        == plain
    )
    assert load(SOUND.replace("1.0.0.5", "1.0.0.6")).rules[0].digest != plain
    assert load(SOUND, head=HEAD.replace("severity: high", "severity: low")).rules[0].digest != plain


def test_rules_without_their_tests_are_the_same_but_for_the_tests() -> None:
    text = HEAD + "tests:\n  - name: one\n    expect: clear\n    facts: {}\n\n  # more\n" + SOUND
    whole, lean = (load_rule(text.encode(), "some-rule.yaml", tests=tests).rules[0] for tests in (True, False))
    assert (len(whole.tests), len(lean.tests)) == (1, 0)
    assert whole.digest == lean.digest
    assert whole.exposed == lean.exposed
    assert whole.marks["exposed"] == lean.marks["exposed"]


def test_no_more_files_of_a_folder_and_problems_of_a_file_are_taken_than_a_scan_can_bear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.yaml").write_text("x: y\n")
    monkeypatch.setattr(loading, "MAX_RULE_FILES", 2)
    assert [path.name for path in rule_files(tmp_path)] == ["a.yaml", "b.yaml"]
    many = "".join(f"k{number}: v\n" for number in range(MAX_PROBLEMS + 50))
    assert len(load_rule(many.encode(), "x.yaml").problems) == MAX_PROBLEMS
