"""`os`, `system`, `boot`, `storage`, `security`: sections that are one map."""

from __future__ import annotations

from typing import Any

import pytest

from forensics.collect.run import NOT_COLLECTED
from signatures.predicates import FAMILIES, MapFamily
from tests.signatures.rules import answer


@pytest.mark.parametrize(
    ("predicate", "system", "expected"),
    [
        ('build: "17763"', {"build": "17763"}, "yes"),
        ('build: {at_least: "22000"}', {"build": "17763"}, "no"),
        ("installation: [server, server-core]", {"installation": "server-core"}, "yes"),
        ("role: domain-controller", {"role": "member"}, "no"),
        ("arch: arm64", {"arch": "arm64"}, "yes"),
        ('product: {like: "Windows Server*"}', {"product": "Windows Server 2019 Standard"}, "yes"),
        # A branch is all builds that run the same files.
        ('branch: "19041"', {"build": "19045"}, "yes"),
        ('branch: "19041"', {"build": "17763"}, "no"),
        ('branch: "19041"', {}, "no"),
    ],
)
def test_os(predicate: str, system: dict[str, str], expected: str) -> None:
    assert answer(f"os: {{{predicate}}}", system=system) == expected


@pytest.mark.parametrize("field", ["build", "branch"])
def test_a_build_that_cannot_be_read_is_unknown(field: str) -> None:
    assert answer(f'os: {{{field}: "17763"}}', ["/system/build"]) == "unknown"
    assert answer(f'os: {{{field}: "17763"}}', ["/system"]) == "unknown"


def test_all_fields_of_one_map_must_hold() -> None:
    both = 'os: {build: "17763", role: member}'
    assert answer(both, system={"build": "17763", "role": "member"}) == "yes"
    assert answer(both, ["/system/role"], system={"build": "17763"}) == "unknown"
    # One NO is enough, whatever else cannot be read.
    assert answer(both, ["/system/role"], system={"build": "14393"}) == "no"


@pytest.mark.parametrize(
    ("predicate", "section", "values", "expected"),
    [
        ('system: {cluster_member: "yes"}', "system", {"cluster_member": "yes"}, "yes"),
        ('system: {cluster_member: "no"}', "system", {}, "yes"),
        ('system: {model: "Virtual Machine"}', "system", {"model": "Virtual Machine"}, "yes"),
        ('system: {last_shutdown: {below: "2021-01-01"}}', "system", {"last_shutdown": "2020-12-31T23:59:59Z"}, "yes"),
        ('boot: {pending_operations: {at_least: "1"}}', "boot", {"pending_operations": "0"}, "no"),
        ('boot: {pending_xml: "yes"}', "boot", {"pending_xml": "yes"}, "yes"),
        ("boot: {driver_missing: b.sys}", "boot", {"driver_missing": ["a.sys", "B.sys"]}, "yes"),
        ("boot: {driver_missing: {none_of: [b.sys]}}", "boot", {"driver_missing": ["a.sys", "b.sys"]}, "no"),
        ("storage: {bitlocker: on}", "storage", {"bitlocker": "on"}, "yes"),
        ("security: {hvci: on}", "security", {"hvci": "off"}, "no"),
    ],
)
def test_states_of_the_machine(predicate: str, section: str, values: dict[str, Any], expected: str) -> None:
    assert answer(predicate, **{section: values}) == expected


def test_a_list_that_is_known_in_part_can_hold_something_for_sure() -> None:
    document: dict[str, Any] = {
        "boot": {"driver_missing": ["a.sys"]},
        "gaps": [{"path": "/boot/driver_missing", "reason": "the start type of b.sys cannot be read"}],
    }
    assert answer("boot: {driver_missing: a.sys}", document=document) == "yes"
    assert answer("boot: {driver_missing: b.sys}", document=document) == "unknown"
    assert answer("boot: {driver_missing: {none_of: [b.sys]}}", document=document) == "unknown"


def test_what_no_collector_gives_yet_is_unknown_by_the_gaps_that_every_scan_writes() -> None:
    gaps = [{"path": path, "reason": "not collected"} for path in NOT_COLLECTED]
    document: dict[str, Any] = {"system": {}, "boot": {}, "storage": {}, "security": {}, "gaps": gaps}
    for predicate in (
        "boot: {progress: kernel}",
        "storage: {bitlocker: on}",
        "security: {hvci: on}",
        "system: {cpu: x}",
    ):
        assert answer(predicate, document=document) == "unknown"


def test_every_field_of_a_map_is_carried_by_the_facts_or_told_as_not_collected() -> None:
    from forensics.facts import BootFacts, SystemFacts

    carried = {f"/system/{name}" for name in SystemFacts.__annotations__}
    carried |= {f"/boot/{name}" for name in BootFacts.__annotations__}
    for family in FAMILIES.values():
        if not isinstance(family, MapFamily):
            continue
        for name, field in family.fields.items():
            path = f"/{family.section}/{field.place(name)[0]}"
            told = any(path == gap or path.startswith(f"{gap}/") for gap in NOT_COLLECTED)
            assert path in carried or told or name == "in", path
