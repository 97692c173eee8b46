"""Shapes of values in a rule's file, declared in tables: what a key takes, and how it is checked.

A shape reads a node and gives a plain value; what does not fit is told with its place, and the reading goes on, so
that all problems of a file are found at once. `BAD` stands for a value that could not be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from signatures.model import Mark
from signatures.problems import Problems, nearest, quoted
from signatures.yaml_nodes import MapNode, ScalarNode, SeqNode, YamlNode

__all__ = [
    "BAD",
    "Bad",
    "Choice",
    "Day",
    "Key",
    "ListOf",
    "Number",
    "Plain",
    "Shape",
    "Slug",
    "Table",
    "Text",
    "kind_of",
]


class Bad:
    """The type of `BAD`."""

    def __bool__(self) -> bool:
        return False


#: Stands for a value that could not be read; the reason was told.
BAD = Bad()
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Shape(Protocol):
    """What a key takes."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the value, or BAD after telling why."""


def kind_of(node: YamlNode) -> str:
    """Return what a node is, for a person."""
    if isinstance(node, ScalarNode):
        return "a text"
    return "a list" if isinstance(node, SeqNode) else "a map"


def wrong_type(node: YamlNode, path: str, problems: Problems, wanted: str) -> Bad:
    """Tell that a node is of another type."""
    problems.add(node.mark, path, f"{kind_of(node)} where {wanted} is needed", "SC103")
    return BAD


@dataclass(frozen=True, slots=True)
class Text:
    """A text of at most so many characters; of one line unless `lines`."""

    limit: int = 300
    lines: bool = False

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the text."""
        if not isinstance(node, ScalarNode):
            return wrong_type(node, path, problems, "a text")
        text = node.text.strip()
        if not text:
            problems.add(node.mark, path, "an empty text", "SC103")
            return BAD
        if len(text) > self.limit:
            problems.add(node.mark, path, f"{len(text)} characters, more than {self.limit}", "SC103")
        if "\n" in text and not self.lines:
            problems.add(node.mark, path, "more than one line", "SC103")
        return text


@dataclass(frozen=True, slots=True)
class Slug:
    """A permanent name: lower-case words joined by hyphens."""

    shortest: int = 1

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the name."""
        if not isinstance(node, ScalarNode):
            return wrong_type(node, path, problems, "a name")
        if not _SLUG.fullmatch(node.text) or not self.shortest <= len(node.text) <= 48:
            hint = f"lower-case words and numbers joined by hyphens, {self.shortest} to 48 characters"
            problems.add(node.mark, path, f"not a name: {quoted(node.text)}", "SC103", hint)
            return BAD
        return node.text


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the word."""
        if not isinstance(node, ScalarNode):
            return wrong_type(node, path, problems, "a word")
        if node.text not in self.words:
            hint = nearest(node.text, self.words) or f"one of {', '.join(self.words)}"
            problems.add(node.mark, path, f"not one of the words known here: {quoted(node.text)}", "SC104", hint)
            return BAD
        return node.text


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from 1."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the number."""
        if not isinstance(node, ScalarNode):
            return wrong_type(node, path, problems, "a number")
        if not re.fullmatch(r"[1-9][0-9]{0,5}", node.text):
            problems.add(node.mark, path, f"not a whole number from 1: {quoted(node.text)}", "SC103")
            return BAD
        return int(node.text)


@dataclass(frozen=True, slots=True)
class Day:
    """A date, 2026-01-15."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the date as text."""
        if not isinstance(node, ScalarNode):
            return wrong_type(node, path, problems, "a date")
        try:
            if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", node.text):
                raise ValueError
            date.fromisoformat(node.text)
        except ValueError:
            problems.add(node.mark, path, f"not a date: {quoted(node.text)}", "SC103", "for example 2026-01-15")
            return BAD
        return node.text


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one shape; with `single` one value stands for a list of it."""

    item: Shape
    least: int = 1
    single: bool = False

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the values that could be read, as a tuple."""
        if not isinstance(node, SeqNode):
            if self.single:
                value = self.item.read(node, path, problems)
                return BAD if value is BAD else (value,)
            return wrong_type(node, path, problems, "a list")
        if len(node.items) < self.least:
            problems.add(node.mark, path, "an empty list", "SC106", "leave the key out")
        values = [self.item.read(item, f"{path}[{at}]", problems) for at, item in enumerate(node.items)]
        return tuple(value for value in values if value is not BAD)


@dataclass(frozen=True, slots=True)
class Plain:
    """Any tree, as plain data with strings at its leaves: the facts of an inline test."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the data."""
        if isinstance(node, ScalarNode):
            return node.text
        if isinstance(node, SeqNode):
            return [self.read(item, path, problems) for item in node.items]
        return {key: self.read(value, path, problems) for key, (_key, value) in node.entries.items()}


@dataclass(frozen=True, slots=True)
class Key:
    """One row of a table.

    Attributes:
        shape: what the key takes.
        needed: "always", "test" or "stable" (from that status on), or "" for never.

    """

    shape: Shape
    needed: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A map with a fixed set of keys."""

    keys: Mapping[str, Key]
    what: str = "a map"

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the values that could be read, by key; BAD when it is no map or lacks a key."""
        if not isinstance(node, MapNode):
            return wrong_type(node, path, problems, self.what)
        values: dict[str, Any] = {}
        sound = True
        for name, (key, value) in node.entries.items():
            row = self.keys.get(name)
            place = f"{path}.{name}" if path else name
            if row is None:
                unknown_key(key, path, self.keys, problems)
                continue
            read = row.shape.read(value, place, problems)
            if read is not BAD:
                values[name] = read
            elif row.needed:
                sound = False
        for name, row in self.keys.items():
            if row.needed == "always" and name not in node.entries:
                problems.add(first_mark(node), path, f"the key `{name}` is missing", "SC102")
                sound = False
        return values if sound else BAD


def first_mark(node: MapNode) -> Mark:
    """Return the place of a map's first key, or of the map."""
    return next((key.mark for key, _value in node.entries.values()), node.mark)


def unknown_key(key: ScalarNode, path: str, known: Mapping[str, Any], problems: Problems) -> None:
    """Tell that a key is not known here, and offer the nearest one."""
    hint = nearest(key.text, known) or f"known here: {', '.join(known)}"
    problems.add(key.mark, path, f"unknown key `{key.text[:60]}`", "SC101", hint)
