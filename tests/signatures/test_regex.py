from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signatures.regex import MAX_PATTERN, MAX_STEPS, compile_safe


@pytest.mark.parametrize(
    "pattern", ["foo", "^a.*b$", "[a-z]+[0-9]{1,4}", "(foo|bar)-?[0-9]+", "(?:a+)?b", r"\d+\.\d+", "x{0,100}"]
)
def test_patterns_that_cannot_blow_up_are_taken(pattern: str) -> None:
    compiled, length = compile_safe(pattern)
    assert compiled.flags & re.IGNORECASE
    assert length >= 256


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "(a*)*", "(a?){20}", "(a|aa)*b", "(a|b+)+", "((a+)b)*", r"(a)\1", "(?=a)b", "(?<!a)b", "(?>a)b",
        "a++", "(a)?(?(1)b|c)", "a{101}", "a{0,5000}", "a*a*a*b", "a?" * 30 + "a" * 30, "a{0,100}" * 4,
        "x" * (MAX_PATTERN + 1),
        "(", "[", "*", "a{2,1}", "(?P<n>", "[[:alpha:]]",
    ],
)  # fmt: skip
def test_patterns_that_can_blow_up_or_are_none_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        compile_safe(pattern)


def test_several_quantifiers_see_less_of_a_text_so_that_the_steps_stay_bounded() -> None:
    assert compile_safe("a.*b")[1] == 4096
    two = compile_safe("a.*b.*c")[1]
    assert two == 256
    assert two**3 <= MAX_STEPS


@given(st.text(alphabet="ab()[]{}|*+?.^$\\1,-", max_size=24))
def test_any_text_is_compiled_or_refused_and_what_is_compiled_ends(text: str) -> None:
    try:
        pattern, length = compile_safe(text)
    except ValueError:
        return
    pattern.search(("ab" * length)[:length])
    pattern.search("a" * length)
