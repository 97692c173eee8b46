"""Reading of predicates: maps with exactly one key, down to typed fields and their operators."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signatures.condition_reader import ConditionReader
from signatures.conditions import OneOf
from signatures.kinds import FLAG, HEX, TEXT
from signatures.model import AllNode, AnyNode, CountNode, FieldTest, Leaf, Node, NotNode, UseNode
from signatures.predicates import FAMILIES, Family, ListFamily
from signatures.predicates.base import Field
from signatures.predicates.crashes import MODULE_FIELDS
from signatures.problems import Problems, nearest
from signatures.shapes import BAD, Bad, first_mark, unknown_key, wrong_type
from signatures.yaml_nodes import MapNode, ScalarNode, SeqNode, YamlNode

__all__ = ["PredicateShape"]

_NODES = ("all", "any", "not", "count", "use")


@dataclass(frozen=True, slots=True)
class PredicateShape:
    """A predicate."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the node of the rule, or BAD."""
        return _Reader(problems).predicate(node, path)


class _Reader:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.conditions = ConditionReader(problems)

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
                found = self.conditions.read(Field(FLAG, plain=True), None, value, place)
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
        condition = self.conditions.read(family.fields[name], (family, name), node, path)
        return BAD if isinstance(condition, Bad) else FieldTest(name, condition, mark=node.mark)

    def _nested_fields(
        self, family: Family, name: str, node: YamlNode, path: str
    ) -> tuple[FieldTest, ...] | Bad | None:
        """Read a field that is a map of its own; None when it is none."""
        known: Mapping[str, Field] | None = None
        if family.name == "crash" and name == "module":
            known = MODULE_FIELDS
        elif family.name == "crash" and name == "params":
            known = {str(number): Field(HEX) for number in range(1, 5)}
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
            condition = self.conditions.read(field, None, value, f"{path}.{key_name}")
            if isinstance(condition, Bad):
                sound = False
            else:
                tests.append(FieldTest(key_name, condition, mark=value.mark))
        if name == "module" and "name" not in node.entries:
            self.problems.add(first_mark(node), path, "the key `name` is missing", "SC102")
            sound = False
        return tuple(tests) if sound else BAD
