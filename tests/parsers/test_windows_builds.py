from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.windows_builds import base_of, branches, lookup, release_of_kb, shares_with


def test_the_february_2021_update_of_server_2019_has_its_published_number_and_day() -> None:
    release = lookup(17763, 1757)
    assert release is not None
    assert (release.kb, release.date, release.kind) == ("KB4601345", "2021-02-09", "B")


def test_the_preview_of_april_2021_is_told_from_the_security_release_of_may() -> None:
    april, may = lookup(17763, 1911), lookup(17763, 1935)
    assert april is not None
    assert may is not None
    assert (april.kb, april.kind) == ("KB5001384", "preview")
    assert (may.kb, may.kind, may.date) == ("KB5003171", "B", "2021-05-11")


def test_a_level_between_two_updates_has_no_update() -> None:
    assert lookup(17763, 1758) is None
    assert lookup(12345, 1) is None


def test_an_update_for_several_builds_gives_each_of_them() -> None:
    builds = [(release.build, release.ubr) for release in release_of_kb("KB5003173")]
    # 2021-05-11: one update for 2004, 20H2 and 21H1, revision 985.
    assert builds == [(19041, 985), (19042, 985), (19043, 985)]


@pytest.mark.parametrize("text", ["KB5003171", "kb5003171", "5003171", " KB5003171 "])
def test_an_update_is_found_however_its_number_is_written(text: str) -> None:
    assert [(release.build, release.ubr) for release in release_of_kb(text)] == [(17763, 1935)]


@pytest.mark.parametrize("text", ["", "KB", "KB12", "KB0000001", "KB5003171a"])
def test_what_is_no_known_update_gives_nothing(text: str) -> None:
    assert release_of_kb(text) == []


def test_builds_that_were_switched_on_share_the_files_of_the_older_one() -> None:
    assert base_of(18363) == 18362
    assert shares_with(19041) == (19041, 19042, 19043, 19044, 19045)
    assert shares_with(19045) == shares_with(19041)
    assert shares_with(17763) == (17763,)


def test_a_level_of_azure_stack_hci_22h2_that_its_list_lacks_is_that_of_server_2022() -> None:
    release = lookup(20349, 350)
    assert release is not None
    assert (release.build, release.kb) == (20348, "KB5007205")


def test_levels_of_a_branch_ascend_and_each_row_names_its_sources() -> None:
    for build, branch in branches().items():
        levels = [release.ubr for release in branch.releases if release.ubr is not None]
        assert levels == sorted(levels), build
        assert all(release.sources for release in branch.releases)
        assert all(release.build == build for release in branch.releases)


def test_the_data_says_where_it_comes_from() -> None:
    text = (Path(__file__).parents[2] / "parsers" / "data" / "windows_builds.json").read_text(encoding="utf-8")
    document = json.loads(text)
    named = {letter for branch in branches().values() for release in branch.releases for letter in release.sources}
    assert named <= set(document["sources"])
    assert document["attribution"]


@pytest.mark.realdata
def test_the_table_is_the_one_that_was_gathered(shared: Path) -> None:
    gathered = json.loads((shared / "reference" / "windows-builds.json").read_text(encoding="utf-8"))
    ours = [(r.build, r.ubr, r.kb, r.date, r.kind) for branch in branches().values() for r in branch.releases]
    theirs = [
        (r["build"], r["ubr"], r["kb"], r["date"], r["kind"])
        for branch in gathered["branches"].values()
        for r in branch["releases"]
    ]
    assert ours == theirs


@given(st.integers(), st.integers())
def test_any_numbers_give_a_level_or_nothing(build: int, ubr: int) -> None:
    release = lookup(build, ubr)
    assert release is None or release.ubr == ubr
