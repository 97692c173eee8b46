"""The truth tables of the language, written out by hand from its description, not from the code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatures.three import Value, all_of, any_of, count_of, negate

Y, N, U = Value.YES, Value.NO, Value.UNKNOWN
VALUES = st.sampled_from([Y, N, U])


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (Y, Y, Y, Y), (Y, N, N, Y), (Y, U, U, Y),
        (N, Y, N, Y), (N, N, N, N), (N, U, N, U),
        (U, Y, U, Y), (U, N, N, U), (U, U, U, U),
    ],
)  # fmt: skip
def test_all_and_any_follow_their_tables(left: Value, right: Value, both: Value, either: Value) -> None:
    assert all_of([left, right]) is both
    assert any_of([left, right]) is either


def test_not_turns_yes_and_no_and_leaves_unknown() -> None:
    assert [negate(value) for value in (Y, N, U)] == [N, Y, U]


@pytest.mark.parametrize(
    ("values", "at_least", "at_most", "expected"),
    [
        # y >= a and y + u <= b
        ([Y, Y, N], 2, None, Y), ([Y, Y, U], 2, None, Y), ([Y, Y, N], 2, 2, Y), ([N, N], 0, 0, Y),
        # y + u < a
        ([Y, N, N], 2, None, N), ([N, U, N], 2, None, N),
        # y > b
        ([Y, Y, N], 0, 1, N), ([Y, Y, U], 1, 1, N),
        # in between
        ([Y, U, N], 2, None, U), ([Y, U], 1, 1, U), ([U, U, U], 1, 2, U), ([Y, Y, U], 2, 2, U),
    ],
)  # fmt: skip
def test_count_is_sure_only_when_the_unknown_ones_cannot_change_it(
    values: list[Value], at_least: int, at_most: int | None, expected: Value
) -> None:
    assert count_of(values, at_least, at_most) is expected


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_de_morgan_holds(values: list[Value]) -> None:
    assert negate(all_of(values)) is any_of([negate(value) for value in values])


@given(st.lists(VALUES, min_size=1, max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_what_is_certain_stays_so_whatever_the_unknown_ones_turn_out_to_be(
    values: list[Value], at_least: int, at_most: int
) -> None:
    def filled(start: int) -> list[Value]:
        return [value if value is not U else (Y if start >> at & 1 else N) for at, value in enumerate(values)]

    for judge in (all_of, any_of, lambda seen: count_of(seen, at_least, at_most)):
        possible = {judge(filled(number)) for number in range(1 << len(values))}
        if judge(values) is not U:
            assert possible == {judge(values)}


@given(st.lists(VALUES, min_size=2, max_size=6))
def test_all_is_count_of_every_one_and_any_of_one(values: list[Value]) -> None:
    assert all_of(values) is count_of(values, len(values), None)
    assert any_of(values) is count_of(values, 1, None)
