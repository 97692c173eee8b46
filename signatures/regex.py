"""The subset of regular expressions that a rule may use: nothing that can blow up on hostile text.

Allowed is what RE2 would take too and what Python's backtracking `re` matches in bounded time: no look-around, no
back-reference, and inside something that is repeated neither a quantifier nor an alternative. What is left costs at
most (length of the text) x (the spans of all quantifiers multiplied); where several stand in one pattern, the text is
cut shorter, so that the product stays within `MAX_STEPS`.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as codes  # type: ignore[attr-defined]  # typeshed does not know the parser's constants
from re import _parser as parser  # type: ignore[attr-defined]  # as above
from typing import Any

__all__ = ["MAX_PATTERN", "MAX_STEPS", "compile_safe"]

#: Characters of a pattern.
MAX_PATTERN = 200
#: Steps that one search may take (some tenths of a second).
MAX_STEPS = 20_000_000
#: Characters of a value that a pattern sees, the most that keeps within the steps.
_LENGTHS = (4096, 1024, 256)
_MAX_REPEAT = 100
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)
_REFUSED = {
    codes.GROUPREF: "a back-reference",
    codes.GROUPREF_EXISTS: "a conditional group",
    codes.ASSERT: "look-around",
    codes.ASSERT_NOT: "look-around",
    codes.ATOMIC_GROUP: "an atomic group",
    codes.POSSESSIVE_REPEAT: "a possessive quantifier",
}


def compile_safe(text: str) -> tuple[re.Pattern[str], int]:
    """Compile a pattern, case-insensitive.

    Returns:
        The pattern, and how many characters of a value it may see.

    Raises:
        ValueError: no pattern, or one that is not allowed.

    """
    if len(text) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            # What Python warns of means something else in RE2, or will in Python.
            warnings.simplefilter("error")
            spans = _spans(parser.parse(text, re.IGNORECASE), inside=False)
            pattern = re.compile(text, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise ValueError(f"not a pattern: {error}") from None
    for length in _LENGTHS:
        steps = length
        for span in spans:
            steps *= span if span is not None else length
        if steps <= MAX_STEPS:
            return pattern, length
    raise ValueError("too many quantifiers in one pattern")


def _spans(tree: Any, *, inside: bool) -> list[int | None]:
    """Refuse what is not allowed; return how many repetitions each quantifier leaves open, None for endless ones."""
    spans: list[int | None] = []
    for code, argument in tree:
        if code in _REFUSED:
            raise ValueError(f"{_REFUSED[code]} is not allowed")
        if inside and (code in _REPEATS or code is codes.BRANCH):
            raise ValueError("a quantifier or an alternative inside a quantifier is not allowed")
        if code in _REPEATS:
            low, high, below = argument
            endless = high == codes.MAXREPEAT
            if low > _MAX_REPEAT or (not endless and high > _MAX_REPEAT):
                raise ValueError(f"a repetition count above {_MAX_REPEAT} is not allowed")
            spans.append(None if endless else high - low + 1)
            # `(...)?` repeats nothing: it may hold a quantifier.
            spans += _spans(below, inside=high != 1)
        elif code is codes.SUBPATTERN:
            spans += _spans(argument[3], inside=inside)
        elif code is codes.BRANCH:
            for branch in argument[1]:
                spans += _spans(branch, inside=False)
            spans.append(len(argument[1]))
    return spans
