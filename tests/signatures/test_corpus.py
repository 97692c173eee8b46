"""No rule says anything of a healthy machine, and each still speaks when one thing is broken on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signatures import Database, Judgement, judge_all, load_database
from tests.signatures.machines import clean_installations, published_levels, with_real_hive

#: Real hives, the build that their machine ran (of 1709 and 1903 as the hive hints at it), and its hardware.
HIVES = {
    "hives/win7/SYSTEM": 7601,
    "hives/win81/SYSTEM": 9600,
    "hives/win10-dirty/SYSTEM_B": 16299,
    "hives/win10-1903/SYSTEM": 18362,
}


@pytest.fixture(scope="module")
def database() -> Database:
    return load_database()


def said(judgement: Judgement) -> list[tuple[str, str]]:
    return [(finding["rule"], finding["state"]) for finding in judgement.findings]


@pytest.mark.realdata
def test_no_rule_says_anything_of_a_clean_installation(database: Database, shared: Path) -> None:
    samples = list(clean_installations(shared / "reference" / "clean-installs.csv", database.wants()))
    assert len(samples) >= 44
    assert {sample.name: said(judge_all(database, sample.facts)) for sample in samples} == {
        sample.name: [] for sample in samples
    }


def test_no_rule_says_anything_of_a_published_level_alone(database: Database) -> None:
    samples = list(published_levels(database.wants()))
    assert len(samples) > 1500
    assert [(sample.name, found) for sample in samples if (found := said(judge_all(database, sample.facts)))] == []


def test_of_domain_controllers_only_the_levels_of_march_2024_are_told(database: Database) -> None:
    found = {
        sample.name: said(judge_all(database, sample.facts))
        for sample in published_levels(database.wants(), builds=(14393, 17763, 20348), controllers=True)
    }
    assert {name: states for name, states in found.items() if states} == {
        f"{level} server": [("lsass-leak-2024-03", "exposed")] for level in ("14393.6796", "17763.5576", "20348.2340")
    }


@pytest.mark.realdata
@pytest.mark.parametrize("hive", HIVES)
def test_no_rule_says_anything_of_a_real_machine(
    database: Database, unpacked: Callable[[str], Path], hive: str
) -> None:
    facts = with_real_hive(unpacked(hive), database.wants(), build=HIVES[hive])
    assert len(facts["services"]) > 400
    assert facts["filters"]
    assert said(judge_all(database, facts)) == []


@pytest.mark.realdata
@pytest.mark.parametrize("hive", [name for name in HIVES if "win7" not in name])
def test_a_real_machine_whose_software_hive_is_gone_is_not_accused_either(
    database: Database, unpacked: Callable[[str], Path], hive: str
) -> None:
    facts = with_real_hive(unpacked(hive), database.wants(), build=HIVES[hive], software=False)
    assert said(judge_all(database, facts)) == []


@pytest.mark.realdata
def test_windows_7_whose_build_is_unreadable_is_suspected_for_its_factory_start_type(
    database: Database, unpacked: Callable[[str], Path]
) -> None:
    facts = with_real_hive(unpacked("hives/win7/SYSTEM"), database.wants(), build=7601, software=False)
    assert said(judge_all(database, facts)) == [("hyperv-drivers-not-boot", "suspected")]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("hive", "gone", "told"),
    [
        ("hives/win10-1903/SYSTEM", "volmgr.sys", ["core-driver-missing"]),
        ("hives/win10-1903/SYSTEM", "partmgr.sys", ["core-driver-missing", "orphan-class-filter"]),
        ("hives/win7/SYSTEM", "rdyboost.sys", ["orphan-class-filter"]),
        ("hives/win81/SYSTEM", "storvsc.sys", ["hyperv-files-missing"]),
        ("hives/win10-dirty/SYSTEM_B", "vmbus.sys", ["hyperv-files-missing"]),
        ("hives/win7/SYSTEM", "storvsc.sys", []),
        ("hives/win10-1903/SYSTEM", "stornvme.sys", []),
        ("hives/win81/SYSTEM", "hyperkbd.sys", []),
    ],
)
def test_a_missing_file_on_a_real_machine_is_told_by_the_rules_that_it_concerns(
    database: Database, unpacked: Callable[[str], Path], hive: str, gone: str, told: list[str]
) -> None:
    facts = with_real_hive(unpacked(hive), database.wants(), build=HIVES[hive], without=(gone,))
    assert said(judge_all(database, facts)) == [(rule, "exposed") for rule in told]


@pytest.mark.realdata
def test_a_rule_without_its_facts_is_unjudged_and_no_finding(
    database: Database, unpacked: Callable[[str], Path]
) -> None:
    facts: Any = with_real_hive(unpacked("hives/win10-1903/SYSTEM"), database.wants(), build=18362)
    for section in ("services", "drivers", "filters", "registry"):
        facts[section] = []
        facts["gaps"].append({"path": f"/{section}", "reason": "the SYSTEM hive cannot be read"})
    judgement = judge_all(database, facts)
    assert said(judgement) == []
    assert {"orphan-class-filter", "core-driver-missing", "san-policy-offline"} <= {
        row["rule"] for row in judgement.unjudged
    }
