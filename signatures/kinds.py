"""Kinds of values: how the text of a rule and a fact become comparable, and how they are shown.

Rules hold strings only; a field's kind turns them into values once, when the rule is loaded. Facts are turned into the
same values when they are judged; one that does not fit its kind (a damaged version) is unknown, not false.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from parsers.version import Version

__all__ = [
    "ANY", "BUILD", "BYTES", "DATE_TIME", "FLAG", "HEX", "INTEGER", "KB", "PATH", "TEXT", "VERSION", "Kind",
    "enum_of", "parse_build",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    Attributes:
        name: what the documentation calls it.
        parse: text of a rule -> value; raises ValueError with what is needed.
        read: fact -> value, or raises ValueError.
        ordered: whether `at_least` and `below` make sense.
        example: for messages.
        textual: whether `like` and `matches` make sense.
        choices: the words of an enum.

    """

    name: str
    parse: Callable[[str], Any]
    read: Callable[[Any], Any]
    ordered: bool = False
    example: str = ""
    textual: bool = False
    choices: tuple[str, ...] = ()


_INTEGER = re.compile(r"(?:0|[1-9][0-9]{0,18})")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,16}")
_BYTES = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2}){1,64})")
_BUILD = re.compile(r"([0-9]{4,6})\.([0-9]{1,6})")
_KB = re.compile(r"(?:KB)?([0-9]{6,8})", re.IGNORECASE)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z)?")
#: Flags in facts are booleans; in the short form of inline tests they are these words.
_FLAGS = {"yes": True, "no": False, "true": True, "false": False}


def _version(text: str) -> Version:
    if not re.fullmatch(r"[0-9]{1,5}(?:\.[0-9]{1,5}){3}", text):
        raise ValueError("four numbers are needed, for example 10.0.17763.1911")
    return Version.parse(text)


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("a whole number is needed, for example 17763")
    return int(text)


def _read_integer(fact: Any) -> int:
    if isinstance(fact, bool):
        raise ValueError("not a number")
    if isinstance(fact, int):
        return fact
    if isinstance(fact, float):
        return int(fact)
    return _integer(fact) if isinstance(fact, str) else _fail("not a number")


def _fail(reason: str) -> Any:
    raise ValueError(reason)


def _hex(text: str) -> int:
    if not _HEX.fullmatch(text):
        raise ValueError("a hexadecimal number is needed, for example 0x7e")
    return int(text, 16)


def _text(text: str) -> str:
    return text.casefold()


def _read_text(fact: Any) -> str:
    if isinstance(fact, bool) or not isinstance(fact, (str, int)):
        raise ValueError("not a text")
    return str(fact).casefold()


def _path(text: str) -> str:
    return text.replace("/", "\\").casefold()


def _bytes(text: str) -> str:
    match = _BYTES.fullmatch(text)
    if match is None:
        raise ValueError("bytes in hexadecimal are needed, for example 0x4d5a")
    return match.group(1).lower()


def parse_build(text: str) -> tuple[int, int]:
    """Read "17763.1757" as (build, revision).

    Raises:
        ValueError: it is something else.

    """
    match = _BUILD.fullmatch(text)
    if match is None:
        raise ValueError("a build and its revision are needed, for example 17763.1757")
    return int(match.group(1)), int(match.group(2))


def _kb(text: str) -> str:
    match = _KB.fullmatch(text.strip())
    if match is None:
        raise ValueError("the number of an update is needed, for example KB5003171")
    return f"KB{match.group(1)}"


def _time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise ValueError("a time in UTC is needed, for example 2024-07-19T04:09:00Z or 2024-07-19")
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _flag(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("yes or no is needed")
    return text == "yes"


def _read_flag(fact: Any) -> bool:
    if isinstance(fact, bool):
        return fact
    found = _FLAGS.get(fact) if isinstance(fact, str) else None
    return found if found is not None else _fail("neither yes nor no")


def _as_text(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    def convert(fact: Any) -> Any:
        return read(fact) if isinstance(fact, str) else _fail("not a text")

    return convert


def _read_any(fact: Any) -> int | str:
    """Read data of a registry value: a number stays one, a text may be the number it spells."""
    if isinstance(fact, int) and not isinstance(fact, bool):
        return fact
    return _any(fact) if isinstance(fact, str) else _fail("neither a number nor a text")


def _any(text: str) -> int | str:
    if _INTEGER.fullmatch(text):
        return int(text)
    return int(text, 16) if _HEX.fullmatch(text) else text.casefold()


def enum_of(*choices: str) -> Kind:
    """Return the kind of a field that holds one of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)} is needed")
        return text.casefold()

    return Kind("enum", parse, _read_text, choices=choices, example=choices[0])


VERSION = Kind("version", _version, _as_text(Version.parse), ordered=True, example="10.0.17763.1911")
BUILD = Kind("build.ubr", parse_build, _as_text(parse_build), ordered=True, example="17763.1757")
INTEGER = Kind("integer", _integer, _read_integer, ordered=True, example="17763")
DATE_TIME = Kind("time", _time, _as_text(_time), ordered=True, example="2024-07-19T04:09:00Z")
HEX = Kind("hex", _hex, _as_text(lambda fact: int(fact, 16)), ordered=True, example="0x7e")
#: Bytes at the start of something, or a hash: a rule's value is held against as many bytes as it has.
BYTES = Kind("bytes", _bytes, _as_text(_bytes), example="0x4d5a")
TEXT = Kind("text", _text, _read_text, textual=True)
PATH = Kind("path", _path, _as_text(_path), textual=True)
KB = Kind("update", _kb, _as_text(_kb), example="KB5003171")
FLAG = Kind("yes/no", _flag, _read_flag, example="yes")
ANY = Kind("number or text", _any, _read_any, ordered=True, textual=True)
