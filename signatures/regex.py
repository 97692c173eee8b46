"""The subset of regular expressions that a rule may use: nothing that can blow up on hostile text.

Allowed is what RE2 would take and what Python's `re` matches in reasonable time: no look-around, no back-reference, no
quantifier over something that holds a quantifier, and repetition counts up to 100.
"""

from __future__ import annotations

import re
from re import _constants as codes  # type: ignore[attr-defined]  # typeshed does not know the parser's constants
from re import _parser as parser  # type: ignore[attr-defined]  # as above
from typing import Any

__all__ = ["MAX_PATTERN", "compile_safe"]

#: Characters of a pattern.
MAX_PATTERN = 200
_MAX_REPEAT = 100
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
_REFUSED = {
    codes.GROUPREF: "a back-reference",
    codes.GROUPREF_EXISTS: "a conditional group",
    codes.ASSERT: "look-around",
    codes.ASSERT_NOT: "look-around",
    codes.ATOMIC_GROUP: "an atomic group",
    codes.POSSESSIVE_REPEAT: "a possessive quantifier",
}
#: Unbounded quantifiers in one pattern: each adds a factor of the text's length to the worst case.
_MAX_UNBOUNDED = 3


def compile_safe(text: str) -> re.Pattern[str]:
    """Compile a pattern, case-insensitive.

    Raises:
        ValueError: no pattern, or one that is not allowed.

    """
    if len(text) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    try:
        tree = parser.parse(text, re.IGNORECASE)
        unbounded = _check(tree, 0)
        if unbounded > _MAX_UNBOUNDED:
            raise ValueError(f"more than {_MAX_UNBOUNDED} unbounded quantifiers")
        return re.compile(text, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a pattern: {error}") from None


def _check(tree: Any, repeats: int) -> int:
    """Refuse what is not allowed; return the number of unbounded quantifiers."""
    unbounded = 0
    for code, argument in tree:
        if code in _REFUSED:
            raise ValueError(f"{_REFUSED[code]} is not allowed")
        if code in _REPEATS:
            low, high, below = argument
            if repeats:
                raise ValueError("a quantifier inside a quantifier is not allowed")
            endless = high == codes.MAXREPEAT
            if low > _MAX_REPEAT or (not endless and high > _MAX_REPEAT):
                raise ValueError(f"a repetition count above {_MAX_REPEAT} is not allowed")
            unbounded += endless
            # `x?` repeats nothing: it may hold, and stand in, a quantifier.
            unbounded += _check(below, repeats + (high != 1))
        elif code is codes.SUBPATTERN:
            unbounded += _check(argument[3], repeats)
        elif code is codes.BRANCH:
            unbounded += sum(_check(branch, repeats) for branch in argument[1])
    return unbounded
