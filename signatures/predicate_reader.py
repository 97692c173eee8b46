"""Reading of predicates: maps with exactly one key, down to typed fields and their operators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from signatures.kinds import DATE_TIME, FLAG, HEX, TEXT
from signatures.model import AllNode, AnyNode, CountNode, FieldTest, Leaf, Node, NotNode, UseNode
from signatures.predicates import FAMILIES, Family, ListFamily
from signatures.predicates.base import Field
from signatures.predicates.crashes import MODULE_FIELDS
from signatures.problems import Problems, nearest
from signatures.regex import compile_safe
from signatures.shapes import BAD, Bad, first_mark, unknown_key, wrong_type
from signatures.yaml_nodes import MapNode, ScalarNode, SeqNode, YamlNode

__all__ = ["PredicateShape"]

_NODES = ("all", "any", "not", "count", "use")
_OPERATORS = (
    "at_least", "below", "one_of", "none_of", "like", "matches", "same_as", "differs_from", "within", "of",
)  # fmt: skip
_DURATION = re.compile(r"P(?:(\d{1,4})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?)?")
_MAX_GLOB = 260


@dataclass(frozen=True, slots=True)
class PredicateShape:
    """A predicate."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the node of the rule, or BAD."""
        return _Reader(problems).predicate(node, path)


class _Reader:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def predicate(self, node: YamlNode, path: str) -> Node | Bad:
        """Read a map with one key."""
        if not isinstance(node, MapNode):
            return wrong_type(node, path, self.problems, "a predicate (a map with one key)")
        if len(node.entries) != 1:
            names = ", ".join(f"`{name[:30]}`" for name in list(node.entries)[:6]) or "none"
            self.problems.add(
                first_mark(node), path, f"a predicate has exactly one key, here: {names}", "SC105",
                "join several with `all:` and a list",
            )  # fmt: skip
            return BAD
        name, (key, value) = next(iter(node.entries.items()))
        place = f"{path}.{name}"
        if name in ("all", "any"):
            children = self._children(value, place, 1)
            if isinstance(children, Bad):
                return BAD
            return AllNode(children, key.mark) if name == "all" else AnyNode(children, key.mark)
        if name == "not":
            child = self.predicate(value, place)
            return BAD if isinstance(child, Bad) else NotNode(child, key.mark)
        if name == "count":
            return self._count(value, place, key)
        if name == "use":
            if not isinstance(value, ScalarNode):
                return wrong_type(value, place, self.problems, "the name of an entry of `define`")
            return UseNode(value.text, value.mark)
        family = FAMILIES.get(name)
        if family is None:
            known = (*_NODES, *FAMILIES)
            hint = nearest(name, known) or f"known: {', '.join(known)}"
            self.problems.add(key.mark, path, f"unknown predicate `{name[:60]}`", "SC101", hint)
            return BAD
        return self._leaf(family, value, place, key)

    def _children(self, node: YamlNode, path: str, least: int) -> tuple[Node, ...] | Bad:
        if not isinstance(node, SeqNode):
            return wrong_type(node, path, self.problems, "a list of predicates")
        if len(node.items) < least:
            message = "an empty list" if not node.items else f"at least {least} predicates are needed"
            self.problems.add(node.mark, path, message, "SC106")
            return BAD
        read = [self.predicate(item, f"{path}[{at}]") for at, item in enumerate(node.items)]
        children = tuple(child for child in read if not isinstance(child, Bad))
        return children if len(children) == len(read) else BAD

    def _count(self, node: YamlNode, path: str, key: ScalarNode) -> Node | Bad:
        if not isinstance(node, MapNode):
            return wrong_type(node, path, self.problems, "{of: [...], at_least, at_most}")
        for name, (known, _value) in node.entries.items():
            if name not in ("of", "at_least", "at_most"):
                unknown_key(known, path, {"of": 0, "at_least": 0, "at_most": 0}, self.problems)
        of = node.get("of")
        bounds: dict[str, int] = {}
        for name in ("at_least", "at_most"):
            value = node.get(name)
            if value is None:
                continue
            if not isinstance(value, ScalarNode) or not re.fullmatch(r"[0-9]{1,4}", value.text):
                self.problems.add(value.mark, f"{path}.{name}", "not a whole number", "SC103")
                return BAD
            bounds[name] = int(value.text)
        if of is None or not bounds:
            missing = "of" if of is None else "at_least` or `at_most"
            self.problems.add(key.mark, path, f"the key `{missing}` is missing", "SC102")
            return BAD
        children = self._children(of, f"{path}.of", 2)
        if isinstance(children, Bad):
            return BAD
        return CountNode(children, bounds.get("at_least", 0), bounds.get("at_most"), key.mark)

    def _leaf(self, family: Family, node: YamlNode, path: str, key: ScalarNode) -> Leaf | Bad:
        if not isinstance(node, MapNode):
            return wrong_type(node, path, self.problems, "a map of fields")
        absent = False
        tests: list[FieldTest] = []
        sound = True
        known: dict[str, Any] = {**family.fields, **({"absent": 0} if isinstance(family, ListFamily) else {})}
        for name, (field_key, value) in node.entries.items():
            place = f"{path}.{name}"
            if name not in known:
                unknown_key(field_key, path, known, self.problems)
                sound = False
            elif name == "absent":
                found = self._condition(Field(FLAG, plain=True), None, value, place)
                if isinstance(found, OneOf):
                    absent = bool(found.values[0])
                sound = sound and not isinstance(found, Bad)
            else:
                test = self._field(family, name, value, place)
                sound = sound and not isinstance(test, Bad)
                if isinstance(test, FieldTest):
                    tests.append(test)
        if not node.entries or (not tests and sound):
            self.problems.add(key.mark, path, "a predicate without a field", "SC106")
            return BAD
        for name in family.required:
            if name not in node.entries:
                hint = "what is looked for must be known before the scan"
                self.problems.add(key.mark, path, f"the key `{name}` is missing", "SC102", hint)
                sound = False
        leaf = Leaf(family.name, tuple(tests), absent, key.mark)
        return self._checked(leaf, path) if sound else BAD

    def _checked(self, leaf: Leaf, path: str) -> Leaf | Bad:
        """Check what holds between fields."""
        kb = leaf.field("kb")
        named = kb is not None and isinstance(kb.condition, OneOf)
        if leaf.family == "update" and leaf.field("satisfied") is not None and (leaf.absent or not named):
            self.problems.add(leaf.mark, path, "`satisfied` needs `kb` as words, and no `absent`", "SC102")
            return BAD
        if leaf.family == "registry" and leaf.field("key_exists") is not None:
            other = [name for name in ("value", "type", "data") if leaf.field(name) is not None]
            if other or leaf.absent:
                self.problems.add(leaf.mark, path, "`key_exists` asks for the key alone", "SC105")
                return BAD
        if leaf.family == "registry" and leaf.field("value") is None and (leaf.field("data") or leaf.field("type")):
            self.problems.add(leaf.mark, path, "the key `value` is missing", "SC102", "`data` and `type` are a value's")
            return BAD
        if leaf.family == "crash" and leaf.field("culprit") is not None and leaf.field("confidence") is None:
            # A module that only a scan found on the stack never makes a machine crashed (DESIGN 5).
            field = FAMILIES["crash"].fields["confidence"]
            condition = OneOf(field.kind, ("medium", "high"), ("at least medium",))
            return Leaf(
                leaf.family, (*leaf.fields, FieldTest("confidence", condition, mark=leaf.mark)), leaf.absent, leaf.mark
            )
        return leaf

    def _field(self, family: Family, name: str, node: YamlNode, path: str) -> FieldTest | Bad:
        nested = self._nested_fields(family, name, node, path)
        if nested is not None:
            return BAD if isinstance(nested, Bad) else FieldTest(name, None, nested, node.mark)
        condition = self._condition(family.fields[name], (family, name), node, path)
        return BAD if isinstance(condition, Bad) else FieldTest(name, condition, mark=node.mark)

    def _nested_fields(
        self, family: Family, name: str, node: YamlNode, path: str
    ) -> tuple[FieldTest, ...] | Bad | None:
        """Read a field that is a map of its own; None when it is none."""
        known: Mapping[str, Field] | None = None
        if family.name == "crash" and name == "module":
            known = MODULE_FIELDS
        elif family.name == "crash" and name == "params":
            known = {str(number): Field(HEX, plain=True) for number in range(1, 5)}
        elif family.name == "event" and name == "data" and isinstance(node, MapNode):
            known = {key: Field(TEXT) for key in node.entries}
        elif family.name == "event" and name == "data":
            return wrong_type(node, path, self.problems, "a map of the event's fields")
        if known is None:
            return None
        if not isinstance(node, MapNode):
            return wrong_type(node, path, self.problems, "a map")
        tests: list[FieldTest] = []
        sound = bool(node.entries)
        if not node.entries:
            self.problems.add(node.mark, path, "an empty map", "SC106")
        for key_name, (key, value) in node.entries.items():
            field = known.get(key_name)
            if field is None:
                unknown_key(key, path, known, self.problems)
                sound = False
                continue
            condition = self._condition(field, None, value, f"{path}.{key_name}")
            if isinstance(condition, Bad):
                sound = False
            else:
                tests.append(FieldTest(key_name, condition, mark=value.mark))
        if name == "module" and "name" not in node.entries:
            self.problems.add(first_mark(node), path, "the key `name` is missing", "SC102")
            sound = False
        return tuple(tests) if sound else BAD

    def _condition(self, field: Field, owner: tuple[Family, str] | None, node: YamlNode, path: str) -> Condition | Bad:
        """Read a field's value: a word, a list of words, or a map of operators."""
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
                self.problems.add(node.mark, path, f"not {_a(field.kind.name)}: {node.text[:60]!r}", code, hint)
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
            return Matches(texts[0], compile_safe(texts[0]))
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
                self.problems.add(key.mark, f"{path}.per_branch", f"not a build: {name[:60]!r}", "SC103")
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
            condition = self._condition(field, None, value, f"{path}.{field_name}")
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
            self.problems.add(duration.mark, path, f"not a duration: {duration.text[:60]!r}", "SC103", "P7D, or PT12H")
            return BAD
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return Within(((days * 24 + hours) * 60 + minutes) * 60 + seconds, duration.text, of.text)


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
