"""Files and registry values: found by collectors as rules want them, absent, unreadable, or never looked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.facts import empty_facts
from parsers.errors import FormatError
from signatures.engine import judge
from signatures.evaluate import Evaluator
from signatures.load import Database
from signatures.model import Rule
from signatures.predicates.places import glob_matches
from signatures.world import World
from tests.forensics.world import SELECT, pe_file, scan
from tests.signatures.rules import answer, facts, rule_of

CHANNEL = r"%SystemRoot%\\System32\\drivers\\CrowdStrike\\C-00000291*.sys"
FOLDER = r"\Windows\System32\drivers\CrowdStrike"
POLICY = r'hive: SYSTEM, key: "ControlSet\\Services\\partmgr\\Parameters", value: SanPolicy'
PARAMETERS = r"ControlSet001\Services\partmgr\Parameters"


def on_disk(predicate: str, **world: Any) -> str:
    """Answer a predicate on facts that the real collectors gather from a made-up disk, as the rule wants them."""
    rule = rule_of(f"exposed:\n  {predicate}\n")
    facts, _diagnostics = scan(wants=Database((rule,)).wants(), **world)
    return ask(rule, facts)


def ask(rule: Rule, facts: Mapping[str, Any]) -> str:
    assert rule.exposed is not None
    return Evaluator(rule, World(facts)).evaluate(rule.exposed).value.value


def test_a_file_that_the_collectors_found_for_the_rule_is_judged() -> None:
    files = {rf"{FOLDER}\C-00000291-1.sys": b"\xaa\xaa\xaa\xaa", rf"{FOLDER}\C-00000290-1.sys": b"x"}
    assert on_disk(f'file: {{path: "{CHANNEL}"}}', files=files) == "yes"
    assert on_disk(f'file: {{path: "{CHANNEL}", size: "4", first_bytes: "0xaaaa"}}', files=files) == "yes"
    assert on_disk(f'file: {{path: "{CHANNEL}", size: "5"}}', files=files) == "no"
    assert on_disk(f'file: {{path: "{CHANNEL}", count: "1"}}', files=files) == "yes"


def test_a_file_that_was_looked_for_and_is_not_there_is_absent() -> None:
    assert on_disk(f'file: {{path: "{CHANNEL}"}}') == "no"
    assert on_disk(f'file: {{path: "{CHANNEL}", absent: "yes"}}') == "yes"
    assert on_disk(f'file: {{path: "{CHANNEL}", count: {{below: "1"}}}}') == "yes"


def test_a_place_that_cannot_be_read_is_unknown_and_so_is_a_place_nobody_looked_at() -> None:
    predicate = f'file: {{path: "{CHANNEL}"}}'
    glob = CHANNEL.replace("\\\\", "\\")
    assert answer(predicate, [f"/files/{glob}"]) == "unknown"
    assert answer(predicate, [f"/files/{glob.upper()}"]) == "unknown"
    assert answer(predicate, ["/files"]) == "unknown"
    # Facts that were stored before the rule was written.
    finding = judge(rule_of(f"exposed:\n  {predicate}\n"), empty_facts())
    assert finding["state"] == "unjudged"
    assert [line["reason"] for line in finding["missing"]] == ["not collected"]


def test_the_version_of_a_wanted_file_comes_from_its_resource() -> None:
    path = r"%SystemRoot%\\System32\\a.dll"
    predicate = f'file: {{path: "{path}", version: {{below: "1.2.3.5"}}}}'
    assert on_disk(predicate, files={r"\Windows\System32\a.dll": pe_file((1, 2, 3, 4))}) == "yes"
    assert on_disk(predicate, files={r"\Windows\System32\a.dll": pe_file((1, 2, 3, 5))}) == "no"
    assert on_disk(predicate, files={r"\Windows\System32\a.dll": b"MZ damaged"}) == "unknown"


def test_both_partners_of_a_comparison_are_wanted() -> None:
    rule = rule_of('exposed:\n  file: {path: "\\\\a.sys", version: {differs_from: {path: "\\\\b.sys"}}}\n')
    assert Database((rule,)).wants().files == {r"\a.sys", r"\b.sys"}


def test_a_registry_value_is_found_in_the_current_control_set() -> None:
    system = {**SELECT, PARAMETERS: {"SanPolicy": 3}}
    assert on_disk(f'registry: {{{POLICY}, data: ["3", "4"]}}', system=system) == "yes"
    assert on_disk(f'registry: {{{POLICY}, data: "0x3", type: REG_DWORD}}', system=system) == "yes"
    assert on_disk(f'registry: {{{POLICY}, data: {{below: "3"}}}}', system=system) == "no"
    assert on_disk(f"registry: {{{POLICY}}}", system=system) == "yes"


def test_a_registry_value_or_key_that_is_not_there_is_absent() -> None:
    assert on_disk(f"registry: {{{POLICY}}}", system=SELECT) == "no"
    assert on_disk(f'registry: {{{POLICY}, absent: "yes"}}', system=SELECT) == "yes"
    assert on_disk(f'registry: {{{POLICY}, absent: "yes"}}', system={**SELECT, PARAMETERS: {"SanPolicy": 1}}) == "no"


@pytest.mark.parametrize(("wanted", "there", "gone"), [("yes", "yes", "no"), ("no", "no", "yes")])
def test_whether_a_key_exists(wanted: str, there: str, gone: str) -> None:
    predicate = rf'registry: {{hive: SYSTEM, key: "CurrentControlSet\\Enum\\ACPI\\VMBus", key_exists: "{wanted}"}}'
    assert on_disk(predicate, system={**SELECT, r"ControlSet001\Enum\ACPI\VMBus": {}}) == there
    assert on_disk(predicate, system=SELECT) == gone


def test_a_damaged_value_or_hive_is_unknown() -> None:
    damaged = {**SELECT, PARAMETERS: FormatError("regf", "bad cell")}
    assert on_disk(f'registry: {{{POLICY}, data: "3"}}', system=damaged) == "unknown"
    assert on_disk(f'registry: {{{POLICY}, absent: "yes"}}', system=damaged) == "unknown"
    assert on_disk(f'registry: {{{POLICY}, data: "3"}}', system=None) == "unknown"


def test_texts_and_lists_of_a_registry_value_are_judged() -> None:
    def data(value: object, condition: str) -> str:
        item = {"hive": "SYSTEM", "key": "K", "value": "V", "data": value}
        return answer(f"registry: {{hive: SYSTEM, key: K, value: V, data: {condition}}}", registry=[item])

    assert data("Boot Bus Extender", "boot bus extender") == "yes"
    assert data("Boot Bus Extender", "{like: '*bus*'}") == "yes"
    assert data(["a", "b"], "B") == "yes"
    assert data(["a", "b"], "c") == "no"
    assert data(["a", "b"], "{none_of: [b]}") == "no"
    assert data("17", "{below: '18'}") == "yes"
    assert data("text", "{below: '18'}") == "no"


def test_events_and_filter_classes_are_wanted_too() -> None:
    rule = rule_of(
        'exposed:\n  all:\n    - event: {log: System, provider: volmgr, id: ["161", "162"]}\n'
        '    - event: {log: Application, id: "1"}\n    - filter: {class: [Net, "{4d36e972}"], orphan: "yes"}\n'
    )
    wants = Database((rule,)).wants()
    assert wants.events == {("System", "volmgr", 161), ("System", "volmgr", 162), ("Application", "", 1)}
    assert wants.filter_classes == {"Net", "{4d36e972}"}


def test_what_the_condition_of_a_remedy_or_a_defined_part_looks_at_is_wanted() -> None:
    rule = rule_of(
        'define:\n  there: {file: {path: "\\\\d.sys"}}\nexposed:\n  use: there\n'
        'corroborates:\n  - file: {path: "\\\\c.sys"}\nexcludes:\n  - file: {path: "\\\\e.sys"}\n'
    )
    assert Database((rule,)).wants().files == {r"\c.sys", r"\d.sys", r"\e.sys"}


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (r"%SystemRoot%\System32\a*.sys", r"\Windows\System32\ABC.SYS", True),
        (r"%SystemRoot%\System32\a*.sys", r"\Windows\System32\deep\abc.sys", False),
        (r"%windir%/System32/a?.sys", r"C:\Windows\system32\ab.sys", True),
        (r"C:\x.txt", r"\x.txt", True),
        (r"%ProgramData%\x", r"\ProgramData\x", True),
        (r"%Unknown%\x", r"\x", False),
        (r"\a[1].sys", r"\a[1].sys", True),
    ],
)
def test_globs_of_paths(pattern: str, path: str, expected: bool) -> None:
    assert glob_matches(pattern, path) is expected


@given(st.text(alphabet=r"ab*?[]\%/", max_size=12), st.text(alphabet=r"ab[]\%/", max_size=12))
def test_any_pattern_and_any_path_give_an_answer_and_a_path_is_its_own_pattern(pattern: str, path: str) -> None:
    assert glob_matches(pattern, path) in (True, False)
    assert glob_matches(path, path)


def test_a_file_that_two_rules_asked_for_is_one_file() -> None:
    rule = rule_of('exposed:\n  file: {path: "\\\\a*.sys", count: "1"}\n')
    document = facts(rule, files=[{"path": r"\a1.sys", "glob": r"\a*.sys"}, {"path": r"\a1.sys", "glob": r"\a1.sys"}])
    assert ask(rule, document) == "yes"
