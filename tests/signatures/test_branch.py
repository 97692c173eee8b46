from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.windows_builds import branches
from signatures.branch import covers
from signatures.model import Edge
from tests.signatures.rules import say, state

ENDS = "exposed:\n  driver: {file: a.sys}\n"
THERE = [{"file": "a.sys"}]


def at(affected: str, build: str, ubr: str | None, gaps: tuple[str, ...] = (), **more: str) -> str:
    system = {"build": build, **({"ubr": ubr} if ubr is not None else {}), **more}
    return state(f"affected:\n  - {{{affected}}}\n{ENDS}", gaps, system=system, drivers=THERE)


CLOSED = 'branch: "17763", events: [{introduced: "17763.1757"}, {fixed: "17763.1935"}]'
LAST = 'branch: "17763", events: [{introduced: "17763.1757"}, {last_affected: "17763.1935"}]'
TWICE = (
    'branch: "17763", events: [{introduced: "0"}, {fixed: "17763.100"}, {introduced: "17763.200"}, '
    '{fixed: "17763.300"}]'
)


@pytest.mark.parametrize(
    ("affected", "inside", "outside"),
    [
        (CLOSED, ["1757", "1758", "1934"], ["1", "1756", "1935", "2000"]),
        (LAST, ["1757", "1935"], ["1756", "1936"]),
        (TWICE, ["0", "99", "200", "299"], ["100", "199", "300"]),
        ('branch: "17763", events: [{introduced: "17763.1757"}], open_ended: x', ["1757", "99999"], ["1756"]),
        ('branch: "17763", events: [{introduced: "0"}], open_ended: x', ["0", "1"], []),
    ],
)
def test_ranges_of_one_branch(affected: str, inside: list[str], outside: list[str]) -> None:
    assert {at(affected, "17763", ubr) for ubr in inside} == {"exposed"}
    assert {at(affected, "17763", ubr) for ubr in outside} <= {"clear"}


def test_another_branch_is_clear_although_its_revision_fits() -> None:
    assert at(CLOSED, "19041", "1800") == "clear"
    finding = say(f"affected:\n  - {{{CLOSED}}}\n{ENDS}", system={"build": "19041", "ubr": "1800"}, drivers=THERE)
    assert finding["against"][0]["statement"] == "Windows is build 19041, not 17763"


def test_branches_of_one_entry_share_their_revisions() -> None:
    shared = 'branch: ["19044", "19045"], events: [{introduced: "*.2364"}, {fixed: "*.2486"}]'
    assert [at(shared, build, "2400") for build in ("19044", "19045", "19043")] == ["exposed", "exposed", "clear"]
    assert at(shared, "19045", "2486") == "clear"


def test_a_revision_that_cannot_be_read_is_unknown_on_a_listed_branch_and_no_on_another() -> None:
    assert at(CLOSED, "17763", None, ("/system/ubr",)) == "suspected"
    assert at(CLOSED, "19041", None, ("/system/ubr",)) == "clear"
    whole = 'branch: "17763", events: [{introduced: "0"}], open_ended: x'
    assert at(whole, "17763", None, ("/system/ubr",)) == "exposed"


def test_a_machine_without_a_revision_counts_as_its_branchs_first_build() -> None:
    # Windows before 10 has no UBR; that was read, and is no gap.
    whole = 'branch: "9600", events: [{introduced: "0"}], open_ended: x'
    assert at(whole, "9600", None) == "exposed"


@pytest.mark.parametrize(
    ("restriction", "fits", "other"),
    [
        ("installation: [server, server-core]", {"installation": "server-core"}, {"installation": "client"}),
        ("arch: [arm64]", {"arch": "arm64"}, {"arch": "x64"}),
        ("editions: [ServerDatacenter]", {"edition": "serverdatacenter"}, {"edition": "ServerStandard"}),
    ],
)
def test_restrictions_of_an_entry(restriction: str, fits: dict[str, str], other: dict[str, str]) -> None:
    affected = f"{CLOSED}, {restriction}"
    assert at(affected, "17763", "1800", **fits) == "exposed"
    assert at(affected, "17763", "1800", **other) == "clear"
    assert at(affected, "17763", "1800") == "clear"
    field = next(iter(fits))
    assert at(affected, "17763", "1800", (f"/system/{field}",)) == "suspected"


def test_without_a_build_the_level_is_missing_and_a_restriction_that_was_read_still_excludes() -> None:
    parts = f"affected:\n  - {{{CLOSED}, installation: [server]}}\n{ENDS}"
    finding = say(parts, ["/system"], drivers=THERE)
    assert finding["state"] == "suspected"
    assert [line["path"] for line in finding["missing"]] == ["/system/build", "/system/ubr"]
    client = say(parts, ["/system/build", "/system/ubr"], system={"installation": "client"}, drivers=THERE)
    assert client["state"] == "clear"


def test_a_rule_without_ranges_speaks_of_every_windows() -> None:
    assert state(ENDS, ["/system"], drivers=THERE) == "exposed"


def test_evidence_names_the_edges_with_their_updates() -> None:
    affected = (
        'branch: "17763", events: [{introduced: "17763.1757", kb: KB4601345}, {fixed: "17763.1935", kb: KB5003171}]'
    )
    parts = f"affected:\n  - {{{affected}}}\n{ENDS}"

    def told(ubr: str) -> str:
        finding = say(parts, system={"build": "17763", "ubr": ubr}, drivers=THERE)
        return (finding["evidence"] or finding["against"])[0]["statement"]

    assert told("1800") == ("Windows 17763.1800 is at or above 17763.1757 (KB4601345) and below 17763.1935 (KB5003171)")
    assert told("1700") == "Windows 17763.1700 is below 17763.1757 (KB4601345)"
    assert told("1935") == "Windows 17763.1935 is at or above the fix, 17763.1935 (KB5003171)"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8, unique=True), st.integers(0, 55))
def test_walking_the_edges_is_counting_them(levels: list[int], ubr: int) -> None:
    edges = [
        Edge("introduced" if at % 2 == 0 else "fixed", 17763, level, f"17763.{level}")
        for at, level in enumerate(sorted(levels))
    ]
    passed = sum(level <= ubr for level in levels)
    assert covers(reversed(edges), ubr)[0] is (passed % 2 == 1)


def test_real_levels_of_the_flagship_stand_in_the_table_of_builds() -> None:
    levels = {release.kb: release.ubr for release in branches()[17763].releases}
    assert (levels["KB4601345"], levels["KB5003171"]) == (1757, 1935)
