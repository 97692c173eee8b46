"""What travels up: which lines a finding carries, for it and against it, and what it says is missing."""

from __future__ import annotations

from signatures.engine import judge
from tests.signatures.rules import OLD, answer, facts, rule_of, say


def statements(lines: list[dict[str, object]]) -> list[str]:
    return [str(line["statement"]) for line in lines]


def test_a_line_has_statement_value_expectation_path_and_the_facts_own_source() -> None:
    rule = rule_of(f"exposed:\n  {OLD}\n")
    source = {"kind": "file", "path": r"\Windows\System32\drivers\a.sys", "detail": "VS_FIXEDFILEINFO", "offset": 4660}
    document = facts(rule, drivers=[{"file": "a.sys", "version": "1.0.0.4", "source": source}])
    assert judge(rule, document)["evidence"] == [
        {
            "statement": "a.sys 1.0.0.4 is below 1.0.0.5",
            "value": "1.0.0.4",
            "expected": "below 1.0.0.5",
            "path": "/drivers/a.sys/version",
            "source": source,
        }
    ]


def test_a_field_of_the_system_names_its_own_source() -> None:
    rule = rule_of("exposed:\n  os: {edition: ServerDatacenter}\n")
    source = {"kind": "value", "path": r"SOFTWARE\Microsoft\Windows NT\CurrentVersion", "detail": "EditionID"}
    document = facts(rule, system={"edition": "ServerDatacenter"})
    document["system"]["sources"] = {"edition": source}
    assert judge(rule, document)["evidence"][0]["source"] == source


def test_against_is_the_first_field_that_fails_of_the_item_that_came_nearest() -> None:
    parts = "exposed:\n  service: {name: [a, b], start: boot, group: base}\n"
    services = [
        {"name": "a", "start": "auto", "group": "other"},
        {"name": "b", "start": "boot", "group": "other"},
    ]
    assert statements(say(parts, services=services)["against"]) == ["service b: group is other, not base"]


def test_against_says_what_is_not_there_and_where_it_was_looked_for() -> None:
    finding = say("exposed:\n  service: {name: a}\n", services=[{"name": "b"}])
    assert statements(finding["against"]) == ["no service a in the current control set"]


def test_any_carries_the_evidence_of_every_child_that_is_yes() -> None:
    parts = "exposed:\n  any:\n    - service: {name: a}\n    - service: {name: b}\n    - service: {name: c}\n"
    finding = say(parts, services=[{"name": "a"}, {"name": "c"}])
    assert statements(finding["evidence"]) == ["service a is there", "service c is there"]
    assert len(say(parts)["against"]) == 3


def test_all_that_is_no_carries_what_speaks_against_every_child_that_is_no() -> None:
    parts = "exposed:\n  all:\n    - service: {name: a}\n    - service: {name: b}\n    - service: {name: c}\n"
    finding = say(parts, services=[{"name": "b"}])
    assert statements(finding["against"]) == [
        "no service a in the current control set",
        "no service c in the current control set",
    ]


def test_not_turns_evidence_into_what_speaks_against_and_back() -> None:
    parts = "exposed:\n  not:\n    service: {name: a}\n"
    assert statements(say(parts)["evidence"]) == ["no service a in the current control set"]
    assert statements(say(parts, services=[{"name": "a"}])["against"]) == ["service a is there"]


def test_an_unknown_leaf_carries_what_it_does_know_and_what_it_lacks() -> None:
    parts = "exposed:\n  service: {name: a, start: boot, group: base}\n"
    finding = say(parts, ["/services/a/group"], services=[{"name": "a", "start": "boot", "group": "base"}])
    assert finding["state"] == "unjudged"
    more = say(
        parts + 'affected:\n  - {branch: "17763", events: [{introduced: "0"}], open_ended: x}\n',
        ["/services/a/group"],
        system={"build": "17763"},
        services=[{"name": "a", "start": "boot", "group": "base"}],
    )
    assert more["state"] == "suspected"
    assert "service a: start type is boot" in statements(more["evidence"])
    assert more["missing"] == [{"path": "/services/a/group", "reason": "could not be read (test)"}]


def test_a_gap_above_a_field_is_told_with_the_fields_own_path_and_the_gaps_reason() -> None:
    finding = say("exposed:\n  os: {edition: x}\n", ["/system"])
    assert finding["missing"] == [{"path": "/system/edition", "reason": "could not be read (test)"}]


def test_a_gap_at_an_item_that_cannot_match_does_not_matter() -> None:
    drivers = [{"file": "b.sys", "version": "1.0.0.1"}]
    assert answer(OLD, ["/drivers/b.sys"], drivers=drivers) == "no"
    assert answer(OLD, ["/drivers/b.sys/version"], drivers=drivers) == "no"
    assert answer(OLD, ["/drivers/gone.sys"]) == "no"


def test_a_gap_at_the_item_or_at_the_list_makes_it_unknown() -> None:
    drivers = [{"file": "a.sys", "version": "1.0.0.9"}]
    assert answer(OLD, drivers=drivers) == "no"
    assert answer(OLD, ["/drivers/a.sys"], drivers=drivers) == "unknown"
    assert answer(OLD, ["/drivers/A.SYS"]) == "unknown"
    assert answer(OLD, ["/drivers"]) == "unknown"


def test_an_item_that_satisfies_everything_is_enough_although_the_list_is_incomplete() -> None:
    rule = rule_of(f"exposed:\n  {OLD}\n")
    document = facts(rule, drivers=[{"file": "a.sys", "version": "1.0.0.4"}])
    document["gaps"] = [{"path": "/drivers", "reason": "only the first 8192 driver files were read"}]
    assert judge(rule, document)["state"] == "exposed"


def test_an_item_that_is_no_does_not_outweigh_an_incomplete_list() -> None:
    rule = rule_of("exposed:\n  service: {start: boot, group: base}\n")
    document = facts(rule, services=[{"name": "a", "start": "auto"}])
    document["gaps"] = [{"path": "/services", "reason": "the list of services is damaged"}]
    assert judge(rule, document)["state"] == "unjudged"


def test_absent_is_the_mirror() -> None:
    gone = 'driver: {file: a.sys, absent: "yes"}'
    assert answer(gone) == "yes"
    assert answer(gone, drivers=[{"file": "a.sys"}]) == "no"
    assert answer(gone, ["/drivers"]) == "unknown"
    assert answer(gone, ["/drivers/b.sys"]) == "yes"
    assert answer(gone, drivers=[{"file": "a.sys", "missing": "yes"}]) == "yes"


def test_absent_no_asks_for_what_is_there() -> None:
    assert answer('service: {name: a, absent: "no"}', services=[{"name": "a"}]) == "yes"


def test_a_fact_that_does_not_fit_its_kind_is_unknown_not_false() -> None:
    drivers = [{"file": "a.sys", "version": "damaged"}]
    assert answer(OLD, drivers=drivers) == "unknown"


def test_a_field_that_was_read_and_is_not_there_is_no_whatever_is_asked() -> None:
    assert answer("service: {name: a, group: base}", services=[{"name": "a"}]) == "no"
    assert answer("service: {name: a, group: {none_of: [base]}}", services=[{"name": "a"}]) == "no"


def test_equal_lines_of_two_conditions_are_told_once() -> None:
    parts = f"define:\n  old: {{{OLD}}}\nexposed:\n  all:\n    - use: old\n    - use: old\n"
    finding = say(parts, drivers=[{"file": "a.sys", "version": "1.0.0.4"}])
    assert len(finding["evidence"]) == 1
