"""Files and registry values that rules name: only what was looked for can be absent.

Collectors look for exactly what the loaded rules want, and write an item with `absent` where nothing was found. So a
place that neither has an item nor a gap was not looked for (facts stored before the rule was written), and a leaf that
asks for it is unknown: "not collected".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from forensics.facts import path_of
from signatures.conditions import Condition, OneOf, compile_glob
from signatures.kinds import ANY, BYTES, DATE_TIME, FLAG, INTEGER, PATH, TEXT, VERSION, enum_of
from signatures.model import FieldTest, Leaf
from signatures.predicates.base import NOT_COLLECTED, Field, FieldResult, ItemResult
from signatures.predicates.family import Context
from signatures.predicates.list_family import ListFamily
from signatures.three import Value
from signatures.verdict import EvidenceDict, MissingDict
from signatures.world import World

__all__ = ["FILE", "REGISTRY", "glob_matches", "registry_names"]

_VARIABLES = {
    "%systemroot%": "\\windows",
    "%windir%": "\\windows",
    "%systemdrive%": "",
    "%programfiles%": "\\program files",
    "%programfiles(x86)%": "\\program files (x86)",
    "%programdata%": "\\programdata",
    "%allusersprofile%": "\\programdata",
}
_DRIVE = re.compile(r"^[a-z]:(?=\\)")


def _plain(path: str) -> str:
    """Return a path or pattern on the volume, case-folded, as it is on a usual installation."""
    text = path.replace("/", "\\").casefold()
    if text.startswith("%"):
        name, sign, rest = text[1:].partition("%")
        folder = _VARIABLES.get(f"%{name}{sign}")
        return folder + rest if folder is not None else text
    return _DRIVE.sub("", text)


def glob_matches(pattern: str, path: str) -> bool:
    r"""Tell whether a path is one of a pattern; `*` and `?` do not cross a `\`."""
    wanted, found = _plain(pattern).split("\\"), _plain(path).split("\\")
    return len(wanted) == len(found) and all(
        compile_glob(part).match(name) is not None for part, name in zip(wanted, found, strict=True)
    )


def _words_of(leaf: Leaf, name: str) -> tuple[str, ...]:
    test = leaf.field(name)
    return test.condition.texts if test is not None and isinstance(test.condition, OneOf) else ()


@dataclass(frozen=True)
class _Files(ListFamily):
    def candidates(self, leaf: Leaf, world: World) -> Iterable[Mapping[str, Any]]:
        """Return each file once, although two rules may have asked for it."""
        patterns = _words_of(leaf, "path")
        seen: set[str] = set()
        for item in world.items("files"):
            path = str(item.get("path", ""))
            if path.casefold() not in seen and self._is_of(patterns, item):
                seen.add(path.casefold())
                yield item

    @staticmethod
    def _is_of(patterns: tuple[str, ...], item: Mapping[str, Any]) -> bool:
        glob = str(item.get("glob", "")).casefold()
        return any(
            pattern.casefold() == glob or glob_matches(pattern, str(item.get("path", ""))) for pattern in patterns
        )

    def test_field(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        if test.name == "path":
            assert isinstance(test.condition, OneOf)
            return FieldResult(Value.of(self._is_of(test.condition.texts, item)))
        return super().test_field(test, item, context)

    def incomplete(self, leaf: Leaf, context: Context) -> list[MissingDict]:
        world = context.world
        gap = world.section_gap("files")
        if gap is not None:
            return [gap]
        found: list[MissingDict] = []
        globs = {str(item.get("glob", item.get("path", ""))).casefold() for item in world.items("files")}
        for pattern in _words_of(leaf, "path"):
            at = world.gap_at("files", pattern)
            if at is not None:
                found.append(at)
            elif pattern.casefold() not in globs and not any(
                glob_matches(pattern, str(item.get("path", ""))) for item in world.items("files")
            ):
                found.append({"path": path_of("files", pattern), "reason": NOT_COLLECTED})
        return found

    def source_of_absence(self, leaf: Leaf, context: Context) -> Any:
        patterns = [pattern.casefold() for pattern in _words_of(leaf, "path")]
        for item in context.world.items("files"):
            if item.get("absent") and str(item.get("glob", item.get("path", ""))).casefold() in patterns:
                return item.get("source")
        return None


FILE = _Files(
    name="file",
    section="files",
    noun="file",
    name_field="path",
    required=("path",),
    time_key="modified",
    fields={
        "path": Field(PATH, "path", identity=True, plain=True),
        "size": Field(INTEGER, "size"),
        "modified": Field(DATE_TIME, "last change"),
        "sha256": Field(BYTES, "SHA-256"),
        "version": Field(VERSION, "version"),
        "first_bytes": Field(BYTES, "first bytes"),
        "count": Field(INTEGER, "count"),
    },
)


def _key_of(text: str) -> str:
    """Return a key's path with one name for the current control set, case-folded."""
    folded = text.replace("/", "\\").strip("\\").casefold()
    first, separator, rest = folded.partition("\\")
    return "controlset" + separator + rest if first == "currentcontrolset" else folded


def registry_names(leaf: Leaf) -> list[tuple[str, str, str]]:
    """Return the (hive, key, value) triples that a leaf looks at; value "" asks for the key itself."""
    values = _words_of(leaf, "value") or ("",)
    return [
        (hive.upper(), key, value)
        for hive in _words_of(leaf, "hive")
        for key in _words_of(leaf, "key")
        for value in values
    ]


@dataclass(frozen=True)
class _Registry(ListFamily):
    def subject(self, item: Mapping[str, Any]) -> str:
        return str(item.get("item") or "\\".join(str(item.get(part, "")) for part in ("hive", "key")))

    def parts_of(self, item: Mapping[str, Any]) -> tuple[str, ...]:
        return (self.section, self.subject(item))

    @staticmethod
    def _triple(hive: str, key: str, value: str) -> tuple[str, str, str]:
        return (hive.casefold(), _key_of(key), value.casefold())

    def _item_triple(self, item: Mapping[str, Any]) -> tuple[str, str, str]:
        return self._triple(str(item.get("hive", "")), str(item.get("key", "")), str(item.get("value", "")))

    def candidates(self, leaf: Leaf, world: World) -> Iterable[Mapping[str, Any]]:
        wanted = {self._triple(*names) for names in registry_names(leaf)}
        return [item for item in world.items("registry") if self._item_triple(item) in wanted]

    def is_there(self, item: Mapping[str, Any]) -> bool:
        # An absent item is judged too: `key_exists: no` asks for it.
        return True

    def test_field(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        gone = bool(item.get("absent"))
        if test.name == "key_exists":
            return self.judge(test.name, self.fields["key_exists"], _condition(test), {**item, "_e": not gone}, context)
        if test.name in ("hive", "key", "value"):
            # `candidates` has chosen by them; what is not there satisfies nothing.
            return FieldResult(Value.YES)
        return super().test_field(test, item, context)

    def test_item(self, leaf: Leaf, item: Mapping[str, Any], context: Context) -> ItemResult:
        result = super().test_item(leaf, item, context)
        if not item.get("absent") or leaf.field("key_exists") is not None:
            return result
        gone = FieldTest("value" if leaf.field("value") else "key", OneOf(TEXT, (), ()))
        line: EvidenceDict = {
            "statement": f"{self.subject(item)} is not there",
            "path": path_of(*self.parts_of(item)),
        }
        if "source" in item:
            line["source"] = item["source"]
        return ItemResult(item, ((gone, FieldResult(Value.NO, line)), *result.results))

    def incomplete(self, leaf: Leaf, context: Context) -> list[MissingDict]:
        world = context.world
        gap = world.section_gap("registry")
        if gap is not None:
            return [gap]
        known = {self._item_triple(item) for item in world.items("registry")}
        gaps = {_key_of(item_gap.name): item_gap.missing for item_gap in world.item_gaps("registry")}
        found: list[MissingDict] = []
        for hive, key, value in registry_names(leaf):
            if self._triple(hive, key, value) in known:
                continue
            name = f"{hive}\\{key}:{value}" if value else f"{hive}\\{key}"
            at = gaps.get(_key_of(name))
            found.append(at if at is not None else {"path": path_of("registry", name), "reason": NOT_COLLECTED})
        return found

    def source_of_absence(self, leaf: Leaf, context: Context) -> Any:
        for item in self.candidates(leaf, context.world):
            if item.get("absent"):
                return item.get("source")
        return None


def _condition(test: FieldTest) -> Condition:
    assert test.condition is not None
    return test.condition


REGISTRY = _Registry(
    name="registry",
    section="registry",
    noun="registry value",
    required=("hive", "key"),
    fields={
        "hive": Field(enum_of("SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DEFAULT"), "hive", identity=True, plain=True),
        "key": Field(PATH, "key", identity=True, plain=True),
        "value": Field(TEXT, "value", identity=True, plain=True),
        "type": Field(
            enum_of(
                "REG_NONE",
                "REG_SZ",
                "REG_EXPAND_SZ",
                "REG_BINARY",
                "REG_DWORD",
                "REG_DWORD_BIG_ENDIAN",
                "REG_LINK",
                "REG_MULTI_SZ",
                "REG_QWORD",
            ),
            "type",
        ),
        "data": Field(ANY, "data", listed="any"),
        "key_exists": Field(FLAG, "key exists", key="_e", path=("absent",), plain=True),
    },
)
