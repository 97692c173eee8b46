"""What rules claim stands in the sources they name: updates, levels, stop codes, references."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from parsers.windows_builds import lookup, release_of_kb
from signatures import load_database
from signatures.load import walk
from signatures.model import Leaf, Rule

RULES = load_database().rules
IDS = [rule.id for rule in RULES]
#: Words that a page's address adds to the source's own words for it.
_GLUE = {"", "https:", "www", "com", "forums", "threads", "tag", "issues", "github", "blog"}


@pytest.fixture(scope="module")
def rows(shared: Path) -> dict[str, dict[str, Any]]:
    """The rows of the collected regressions, by id."""
    lines = (shared / "reference" / "regressions.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["id"]: row for row in map(json.loads, filter(str.strip, lines))}


def seeds(rule: Rule, rows: Mapping[str, Any]) -> str:
    return json.dumps([rows[seed] for seed in rule.seeds], ensure_ascii=False)


def leaves(rule: Rule) -> Iterator[Leaf]:
    for node in rule.nodes():
        yield from (leaf for leaf in walk(node) if isinstance(leaf, Leaf))


@pytest.mark.realdata
@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_the_rule_comes_from_audited_rows(rule: Rule, rows: dict[str, dict[str, Any]]) -> None:
    assert rule.seeds
    for seed in rule.seeds:
        assert seed.startswith("R-")
        assert rows[seed]["audited"], seed
        assert "do not ship" not in (rows[seed]["notes"] or "").lower(), seed


@pytest.mark.realdata
@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_a_rule_that_carries_a_verdict_does_not_rest_on_weak_rows(rule: Rule, rows: dict[str, dict[str, Any]]) -> None:
    if rule.status != "experimental":
        assert rows[rule.seeds[0]]["confidence"] in ("high", "medium")
        assert "ship as experimental" not in (rows[rule.seeds[0]]["notes"] or "").lower()
    if rule.status == "stable":
        assert rows[rule.seeds[0]]["confidence"] == "high"


@pytest.mark.realdata
@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_each_reference_stands_in_the_material(rule: Rule, rows: dict[str, dict[str, Any]], shared: Path) -> None:
    material = seeds(rule, rows)
    for name in ("vmstorfl.md", "disk-side.md", "windows-builds.json"):
        material += (shared / "reference" / name).read_text(encoding="utf-8")
    material = material.casefold()
    for reference in rule.references:
        if "repo" in reference:
            repository, _, path = reference["repo"].casefold().partition(": ")
            assert repository in material, reference["repo"]
            assert path in material, reference["repo"]
        if "url" in reference:
            parts = re.split(r"[/.]", reference["url"].casefold())
            for part in parts:
                assert part in _GLUE or part in material, f"{part} of {reference['url']}"
        if reference["kind"] != "own-measurement":
            assert {"url", "repo", "title"} & set(reference)


@pytest.mark.realdata
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.affected], ids=lambda rule: rule.id)
def test_each_edge_is_one_that_the_sources_give(rule: Rule, rows: dict[str, dict[str, Any]]) -> None:
    known = {
        (entry["build"], entry[f"{kind}_ubr"], entry[f"{kind}_kb"], kind)
        for seed in rule.seeds
        for entry in rows[seed]["os"]
        for kind in ("introduced", "fixed")
    }
    for entry in rule.affected:
        for edge in entry.edges:
            assert not edge.inferred or rule.status == "experimental"
            for build in (edge.build,) if edge.build is not None else entry.branches:
                if edge.ubr:
                    assert (build, edge.ubr, edge.kb, edge.kind) in known, f"{build}.{edge.ubr}"
                else:
                    assert build in {row[0] for row in known}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.affected], ids=lambda rule: rule.id)
def test_updates_and_levels_agree_with_the_table_of_builds(rule: Rule) -> None:
    for entry in rule.affected:
        for edge in entry.edges:
            for build in (edge.build,) if edge.build is not None else entry.branches:
                if edge.kb:
                    release = lookup(build, edge.ubr)
                    assert release is not None, f"{build}.{edge.ubr}"
                    assert release.kb == edge.kb
                    levels = [found.ubr for found in release_of_kb(edge.kb) if found.build == build]
                    assert edge.ubr == min(level for level in levels if level is not None)


@pytest.mark.realdata
@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_stop_codes_and_updates_of_the_remedy_stand_in_its_rows(rule: Rule, rows: dict[str, dict[str, Any]]) -> None:
    text = seeds(rule, rows)
    codes = {int(code, 16) for seed in rule.seeds for code in (rows[seed]["crash"] or {"bugchecks": []})["bugchecks"]}
    for leaf in leaves(rule):
        code = leaf.field("code")
        if leaf.family == "crash" and code is not None:
            assert set(getattr(code.condition, "values", ())) <= codes, rule.id
    for step in rule.remediation:
        assert not step.kb or step.kb in text, step.kb
    for update in re.findall(r"KB\d{6,8}", f"{rule.title} {rule.summary} {rule.explain}"):
        assert update in text, update


def test_the_rule_of_the_failover_asks_for_no_stop_code_and_no_agent() -> None:
    rule = next(rule for rule in RULES if rule.id == "vmstorfl")
    assert rule.exposed is not None
    assert rule.crashed is not None
    asked = [leaf for leaf in walk(rule.crashed) if isinstance(leaf, Leaf)]
    asked += [leaf for node in rule.define.values() for leaf in walk(node) if isinstance(leaf, Leaf)]
    assert {leaf.family for leaf in asked} == {"crash", "driver"}
    assert not any(leaf.field("code") for leaf in asked)
