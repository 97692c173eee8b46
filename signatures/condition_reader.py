"""Reading of conditions: the value of a field as a word, a list of words, or a map of operators."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from signatures.conditions import (
    AllOf,
    Condition,
    Like,
    Matches,
    NoneOf,
    OneOf,
    PerBranch,
    Range,
    SameAs,
    Within,
    compile_glob,
)
from signatures.kinds import DATE_TIME, FLAG
from signatures.model import FieldTest
from signatures.predicates import Family, ListFamily
from signatures.predicates.base import Field
from signatures.problems import Problems, nearest, quoted
from signatures.regex import compile_safe
from signatures.shapes import BAD, Bad, first_mark, unknown_key, wrong_type
from signatures.yaml_nodes import MapNode, ScalarNode, SeqNode, YamlNode

__all__ = ["ConditionReader"]

_OPERATORS = (
    "at_least", "below", "one_of", "none_of", "like", "matches", "same_as", "differs_from", "within", "of",
)  # fmt: skip
_DURATION = re.compile(r"P(?:(\d{1,4})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?)?")
_MAX_GLOB = 260


class ConditionReader:
    """Reads what a field must be.

    Args:
        problems: told what is wrong.

    """

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def read(self, field: Field, owner: tuple[Family, str] | None, node: YamlNode, path: str) -> Condition | Bad:
        """Return the condition on a field, or BAD; `owner` is the family and the name of a field of its own."""
        if isinstance(node, ScalarNode):
            return self._words(field, (node,), path)
        if isinstance(node, SeqNode):
            if not node.items:
                self.problems.add(node.mark, path, "an empty list", "SC106")
                return BAD
            return self._words(field, node.items, path)
        if field.plain or field.kind is FLAG or field.minimum:
            return wrong_type(node, path, self.problems, "a word or a list of words")
        return self._operators(field, owner, node, path)

    def _words(self, field: Field, nodes: Sequence[YamlNode], path: str) -> Condition | Bad:
        read = self._values(field, nodes, path)
        if isinstance(read, Bad):
            return BAD
        values, texts = read
        if field.minimum:
            if len(values) != 1:
                self.problems.add(nodes[0].mark, path, "one word is needed: the least that counts", "SC103")
                return BAD
            enough = field.minimum[field.minimum.index(values[0]) :]
            return OneOf(field.kind, enough, (f"at least {texts[0]}",))
        if field.kind is FLAG and len(values) != 1:
            self.problems.add(nodes[0].mark, path, "yes or no is needed", "SC103")
            return BAD
        if field.listed in ("all", "order"):
            return AllOf(field.kind, values, texts, field.listed == "order")
        return OneOf(field.kind, values, texts)

    def _values(
        self, field: Field, nodes: Sequence[YamlNode], path: str
    ) -> tuple[tuple[Any, ...], tuple[str, ...]] | Bad:
        values: list[Any] = []
        texts: list[str] = []
        sound = True
        for node in nodes:
            if not isinstance(node, ScalarNode):
                sound = bool(wrong_type(node, path, self.problems, "a word"))
                continue
            try:
                values.append(field.kind.parse(node.text))
                texts.append(node.text)
            except ValueError as error:
                code = "SC104" if field.kind.choices else "SC103"
                hint = nearest(node.text, field.kind.choices) or str(error)
                self.problems.add(node.mark, path, f"not {_a(field.kind.name)}: {quoted(node.text)}", code, hint)
                sound = False
        return (tuple(values), tuple(texts)) if sound else BAD

    def _operators(self, field: Field, owner: tuple[Family, str] | None, node: MapNode, path: str) -> Condition | Bad:
        names = set(node.entries)
        for name, (key, _value) in node.entries.items():
            if name not in _OPERATORS:
                unknown_key(key, path, dict.fromkeys(_OPERATORS), self.problems)
                return BAD
        if names and names <= {"at_least", "below"}:
            return self._range(field, node, path)
        if names == {"within", "of"} and field.kind is DATE_TIME:
            return self._within(node, path)
        if len(names) != 1 or names & {"within", "of"}:
            hint = "only at_least and below stand together"
            self.problems.add(first_mark(node), path, "one operator is needed here", "SC105", hint)
            return BAD
        name = names.pop()
        _key, value = node.entries[name]
        place = f"{path}.{name}"
        if name in ("one_of", "none_of"):
            nodes: list[YamlNode] = value.items if isinstance(value, SeqNode) else [value]
            read = self._values(field, nodes, place) if nodes else BAD
            if isinstance(read, Bad):
                if not nodes:
                    self.problems.add(value.mark, place, "an empty list", "SC106")
                return BAD
            return OneOf(field.kind, *read) if name == "one_of" else NoneOf(field.kind, *read)
        if name in ("same_as", "differs_from"):
            return self._partner(owner, name, value, place)
        return self._pattern(field, name, value, place)

    def _pattern(self, field: Field, name: str, node: YamlNode, path: str) -> Condition | Bad:
        if not field.kind.textual:
            self.problems.add(node.mark, path, f"`{name}` is for texts, this field is {_a(field.kind.name)}", "SC103")
            return BAD
        nodes = node.items if isinstance(node, SeqNode) and name == "like" else [node]
        texts: list[str] = []
        for item in nodes:
            if not isinstance(item, ScalarNode):
                return wrong_type(item, path, self.problems, "a pattern")
            texts.append(item.text)
        if name == "like":
            if not texts or any(not 0 < len(text) <= _MAX_GLOB for text in texts):
                self.problems.add(node.mark, path, f"a pattern of 1 to {_MAX_GLOB} characters is needed", "SC103")
                return BAD
            return Like(tuple(texts), tuple(compile_glob(text) for text in texts))
        try:
            return Matches(texts[0], *compile_safe(texts[0]))
        except ValueError as error:
            self.problems.add(node.mark, path, f"{error}", "SC210")
            return BAD

    def _range(self, field: Field, node: MapNode, path: str) -> Condition | Bad:
        if not field.kind.ordered:
            self.problems.add(first_mark(node), path, f"{_a(field.kind.name)} has no order", "SC103")
            return BAD
        bounds: dict[str, Any] = {"at_least": None, "below": None}
        texts = {"at_least": "", "below": ""}
        for name, (_key, value) in node.entries.items():
            place = f"{path}.{name}"
            if isinstance(value, MapNode):
                bound = self._per_branch(field, value, place)
                if isinstance(bound, Bad):
                    return BAD
                bounds[name] = bound
                continue
            read = self._values(field, [value], place)
            if isinstance(read, Bad):
                return BAD
            bounds[name], texts[name] = read[0][0], read[1][0]
        return Range(field.kind, bounds["at_least"], bounds["below"], texts["at_least"], texts["below"])

    def _per_branch(self, field: Field, node: MapNode, path: str) -> PerBranch | Bad:
        table = node.get("per_branch")
        if len(node.entries) != 1 or not isinstance(table, MapNode) or not table.entries:
            self.problems.add(first_mark(node), path, "`per_branch` and a map of builds are needed", "SC103")
            return BAD
        bounds: dict[int, Any] = {}
        texts: dict[int, str] = {}
        for name, (key, value) in table.entries.items():
            if not re.fullmatch(r"[0-9]{4,6}", name):
                self.problems.add(key.mark, f"{path}.per_branch", f"not a build: {quoted(name)}", "SC103")
                return BAD
            read = self._values(field, [value], f"{path}.per_branch.{name}")
            if isinstance(read, Bad):
                return BAD
            bounds[int(name)], texts[int(name)] = read[0][0], read[1][0]
        return PerBranch(bounds, texts)

    def _partner(self, owner: tuple[Family, str] | None, name: str, node: YamlNode, path: str) -> Condition | Bad:
        if owner is None or not isinstance(owner[0], ListFamily):
            self.problems.add(node.mark, path, f"`{name}` needs a field of an item of a list", "SC103")
            return BAD
        family = owner[0]
        if not isinstance(node, MapNode) or not node.entries:
            return wrong_type(node, path, self.problems, "a map that names the other item")
        tests: list[FieldTest] = []
        for field_name, (key, value) in node.entries.items():
            field = family.fields.get(field_name)
            if field is None:
                unknown_key(key, path, family.fields, self.problems)
                return BAD
            condition = self.read(field, None, value, f"{path}.{field_name}")
            if isinstance(condition, Bad):
                return BAD
            tests.append(FieldTest(field_name, condition, mark=value.mark))
        for required in family.required:
            if required not in node.entries:
                self.problems.add(first_mark(node), path, f"the key `{required}` is missing", "SC102")
                return BAD
        words = " ".join(test.condition.words() for test in tests if test.condition is not None)
        return SameAs(tuple(tests), f"{family.noun} {words}", name == "differs_from")

    def _within(self, node: MapNode, path: str) -> Condition | Bad:
        duration, of = node.get("within"), node.get("of")
        if not isinstance(duration, ScalarNode) or not isinstance(of, ScalarNode):
            return wrong_type(node, path, self.problems, "{within: P7D, of: NAME}")
        match = _DURATION.fullmatch(duration.text)
        if match is None or not any(match.groups()):
            self.problems.add(duration.mark, path, f"not a duration: {quoted(duration.text)}", "SC103", "P7D, or PT12H")
            return BAD
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return Within(((days * 24 + hours) * 60 + minutes) * 60 + seconds, duration.text, of.text)


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
