from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.signatures.rules import answer

VERSIONS = st.tuples(*[st.integers(0, 65535)] * 4).map(lambda parts: ".".join(map(str, parts)))


def driver(**fields: str) -> dict[str, list[dict[str, str]]]:
    return {"drivers": [{"file": "a.sys", **fields}]}


@pytest.mark.parametrize(
    ("bounds", "version", "expected"),
    [
        ('below: "1.2.3.4"', "1.2.3.3", "yes"),
        ('below: "1.2.3.4"', "1.2.3.4", "no"),
        ('at_least: "1.2.3.4"', "1.2.3.4", "yes"),
        ('at_least: "1.2.3.4"', "1.2.3.3", "no"),
        ('at_least: "1.2.3.4", below: "2.0.0.0"', "1.65535.0.0", "yes"),
        ('at_least: "1.2.3.4", below: "2.0.0.0"', "2.0.0.0", "no"),
        # Part by part as numbers, never as text.
        ('below: "10.0.17763.1911"', "10.0.17763.771", "yes"),
        ('below: "10.0.17763.771"', "10.0.17763.1911", "no"),
    ],
)
def test_a_range_is_half_open(bounds: str, version: str, expected: str) -> None:
    assert answer(f"driver: {{file: a.sys, version: {{{bounds}}}}}", **driver(version=version)) == expected


@given(VERSIONS, VERSIONS)
def test_below_and_at_least_are_opposites(bound: str, version: str) -> None:
    facts = driver(version=version)
    below = answer(f'driver: {{file: a.sys, version: {{below: "{bound}"}}}}', **facts)
    above = answer(f'driver: {{file: a.sys, version: {{at_least: "{bound}"}}}}', **facts)
    assert {below, above} == {"yes", "no"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("boot", "yes"), ("auto", "no"), ("[auto, boot]", "yes"), ("{one_of: [boot, system]}", "yes"),
        ("{none_of: [boot]}", "no"), ("{none_of: [auto, demand]}", "yes"),
    ],
)  # fmt: skip
def test_membership(condition: str, expected: str) -> None:
    assert answer(f"service: {{name: a, start: {condition}}}", services=[{"name": "a", "start": "boot"}]) == expected


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("Contoso*", "yes"), ("*ltd", "yes"), ("contoso ltd", "yes"), ("Contoso", "no"), ("Contoso ?td", "yes"),
        ("[abc]*", "no"),
    ],
)  # fmt: skip
def test_like_is_a_glob_over_the_whole_value_whatever_the_case(glob: str, expected: str) -> None:
    assert answer(f'driver: {{file: a.sys, company: {{like: "{glob}"}}}}', **driver(company="Contoso Ltd")) == expected


def test_a_bracket_in_a_glob_is_a_bracket() -> None:
    assert answer('driver: {file: a.sys, company: {like: "a[b]*"}}', **driver(company="A[b] and more")) == "yes"


@pytest.mark.parametrize(
    ("pattern", "expected"), [("^contoso", "yes"), ("LTD$", "yes"), ("tos+o", "yes"), ("^ltd", "no"), ("[0-9]", "no")]
)
def test_matches_is_unanchored_whatever_the_case(pattern: str, expected: str) -> None:
    parts = f"driver: {{file: a.sys, company: {{matches: '{pattern}'}}}}"
    assert answer(parts, **driver(company="Contoso Ltd")) == expected


def test_names_are_equal_whatever_their_case() -> None:
    assert answer("driver: {file: a.sys, company: CONTOSO ltd}", **driver(company="Contoso Ltd")) == "yes"
    assert answer("service: {name: StorFlt}", services=[{"name": "storflt"}]) == "yes"


def test_hexadecimal_is_equal_by_value() -> None:
    assert answer('driver: {file: a.sys, timestamp: "0x00ABCDEF"}', **driver(timestamp="0xabcdef")) == "yes"


def test_a_hash_or_first_bytes_are_held_against_as_many_bytes_as_the_rule_has() -> None:
    files = [{"path": r"\a.bin", "first_bytes": "0x4d5a9000", "sha256": "ab" * 32}]
    assert answer(r'file: {path: "\\a.bin", first_bytes: "0x4D5A"}', files=files) == "yes"
    assert answer(r'file: {path: "\\a.bin", first_bytes: "0x5a"}', files=files) == "no"
    assert answer(rf'file: {{path: "\\a.bin", sha256: "{"AB" * 32}"}}', files=files) == "yes"


def test_a_bound_of_the_machines_branch_counts_and_a_branch_without_one_is_no() -> None:
    parts = 'driver: {file: a.sys, version: {below: {per_branch: {"17763": "1.0.0.5", "19041": "2.0.0.5"}}}}'

    def on(build: str, version: str, gaps: tuple[str, ...] = ()) -> str:
        return answer(parts, gaps, system={"build": build}, **driver(version=version))

    assert on("17763", "1.0.0.4") == "yes"
    assert on("17763", "1.0.0.5") == "no"
    # 19045 runs the files of 19041.
    assert on("19045", "2.0.0.4") == "yes"
    assert on("14393", "0.0.0.1") == "no"
    assert on("17763", "1.0.0.4", ("/system/build",)) == "unknown"


def test_the_update_level_is_compared_inside_one_branch_only() -> None:
    parts = 'os: {at: {at_least: "19041.1000", below: "19041.2000"}}'

    def at(build: str, ubr: str) -> str:
        return answer(parts, system={"build": build, "ubr": ubr})

    assert (at("19041", "999"), at("19041", "1000"), at("19041", "2000")) == ("no", "yes", "no")
    # 19045 shares its revisions; 17763 and 22621 do not.
    assert at("19045", "1500") == "yes"
    assert (at("17763", "1500"), at("22621", "1500")) == ("no", "no")
    assert answer(parts, ["/system/ubr"], system={"build": "19041"}) == "unknown"


PAIR = r'file: {path: "%SystemRoot%\\System32\\a.sys", version: {OP: {path: "%SystemRoot%\\System32\\drivers\\a.sys"}}}'
ONE, TWO = r"\Windows\System32\a.sys", r"\Windows\System32\drivers\a.sys"


@pytest.mark.parametrize(
    ("first", "second", "same", "differs"),
    [("1.0.0.1", "1.0.0.1", "yes", "no"), ("1.0.0.1", "1.0.0.2", "no", "yes"), ("1.0.0.1", None, "no", "no"),
     (None, "1.0.0.1", "no", "no")],
)  # fmt: skip
def test_two_copies_of_a_file_are_compared(first: str | None, second: str | None, same: str, differs: str) -> None:
    files = [{"path": path, "version": version} for path, version in ((ONE, first), (TWO, second)) if version]
    assert answer(PAIR.replace("OP", "same_as"), files=files) == same
    assert answer(PAIR.replace("OP", "differs_from"), files=files) == differs


@pytest.mark.parametrize("unread", [f"/files/{ONE}/version", f"/files/{TWO}/version", f"/files/{TWO}", "/files"])
def test_a_comparison_with_an_unreadable_copy_is_unknown(unread: str) -> None:
    files = [{"path": ONE, "version": "1.0.0.1"}, {"path": TWO, "version": "1.0.0.2"}]
    assert answer(PAIR.replace("OP", "differs_from"), [unread], files=files) == "unknown"


def test_within_is_a_window_around_the_first_item_of_a_defined_part() -> None:
    from tests.signatures.rules import state

    parts = (
        "define:\n  update-came: {update: {kb: KB4601345}}\n"
        "exposed:\n  event: {log: System, id: '41', time: {within: P1D, of: update-came}}\n"
    )
    updates = [{"kb": "KB4601345", "state": "installed", "installed_at": "2021-02-10T12:00:00Z"}]

    def event(time: str) -> dict[str, object]:
        return {"updates": updates, "events": [{"id": "41", "time": time}]}

    assert state(parts, **event("2021-02-11T12:00:00Z")) == "exposed"
    assert state(parts, **event("2021-02-09T12:00:00Z")) == "exposed"
    assert state(parts, **event("2021-02-11T12:00:01Z")) == "clear"
    assert state(parts, events=[{"id": "41", "time": "2021-02-11T12:00:00Z"}]) == "clear"
    assert state(parts, ["/updates/Package_for_KB4601345/installed_at"], **event("2021-02-11T12:00:00Z")) == "unjudged"
