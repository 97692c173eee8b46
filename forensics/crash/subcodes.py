"""How a table of sub-codes is read: which values a key names, which condition holds, what a meaning says of the others.

The form is that of `data/bugchecks.json`, told there under `conventions`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["holds", "said", "select", "split_others"]

_OTHER = re.compile(r"\s*\[(p[1-4]=.*)\]\s*$")
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)


def _value_keys(key: str) -> list[int]:
    """Return the numbers that a sub-code's key names ("0x04 and 0x05", "10")."""
    return [int(word, 16 if word[:2].lower() == "0x" else 10) for word in _NUMBER.findall(key)]


def select(table: dict[str, str], value: int) -> str:
    """Return the meaning of a value in a sub-code table, also by its low 32 bits; "" when it is not listed."""
    for wanted in (value, value & 0xFFFFFFFF):
        for key, meaning in table.items():
            if wanted in _value_keys(key):
                return meaning
    return ""


def split_others(meaning: str) -> tuple[str, dict[int, str]]:
    """Split "…text [p2=…; p3=…]" into the text and what it says of the other parameters."""
    match = _OTHER.search(meaning)
    if match is None:
        return meaning, {}
    others = {}
    for part in match.group(1).split("; "):
        name, equals, text = part.partition("=")
        if equals and len(name) == 2 and name[0] == "p" and name[1] in "1234":
            others[int(name[1])] = text
    return meaning[: match.start()], others


def holds(condition: str, values: Sequence[int | None]) -> bool | None:
    """Say whether the parameters are those of a table's condition ("p1=0x6"); None when one of them is not given."""
    unknown = False
    for part in condition.split(",") if condition else ():
        name, _equals, wanted = part.partition("=")
        value = values[int(name[1]) - 1]
        if value is None:
            unknown = True
        elif value not in _value_keys(wanted):
            return False
    return None if unknown else True


def said(meaning: str) -> str:
    """Return a sub-code's meaning as a person reads it: what it says of the other parameters stands in brackets."""
    text, others = split_others(meaning)
    return f"{text} ({', '.join(f'P{number}: {words}' for number, words in others.items())})" if others else text
