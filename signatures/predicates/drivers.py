"""`driver`, `service`, `filter`: what the kernel loads, how it is registered, and what stands in class filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forensics.facts import path_of
from signatures.conditions import OneOf
from signatures.kinds import BYTES, FLAG, HEX, INTEGER, PATH, TEXT, VERSION, enum_of
from signatures.model import FieldTest, Leaf
from signatures.predicates.base import Field, FieldResult, flag
from signatures.predicates.family import Context
from signatures.predicates.list_family import ListFamily
from signatures.three import Value
from signatures.verdict import MissingDict

__all__ = ["DRIVER", "FILTER", "SERVICE"]

_STARTS = enum_of("boot", "system", "auto", "demand", "disabled")
_DRIVERS_FOLDER = "\\windows\\system32\\drivers\\"
_THERE = FieldTest("missing", OneOf(FLAG, (False,), ("no",)))


@dataclass(frozen=True)
class _Drivers(ListFamily):
    """A leaf that does not ask for `missing` means a file that is there."""

    def incomplete(self, leaf: Leaf, context: Context) -> list[MissingDict]:
        """Return why drivers may be missing; a folder not read whole hides no second file of a name that was read."""
        missing = super().incomplete(leaf, context)
        test = leaf.field("file")
        if not missing or test is None or not isinstance(test.condition, OneOf):
            return missing
        for name in test.condition.values:
            place = _DRIVERS_FOLDER + str(name).casefold()
            if all(
                str(item.get("path", "")).casefold() != place
                for item in context.world.by_name(self.section, "file", (name,))
            ):
                return missing
        return [gap for gap in missing if gap["path"] != path_of(self.section)]


DRIVER = _Drivers(
    name="driver",
    section="drivers",
    noun="driver",
    name_field="file",
    place="System32\\drivers and the services' files",
    implied=(_THERE,),
    fields={
        "file": Field(TEXT, "file", identity=True),
        "path": Field(PATH, "path"),
        "service": Field(TEXT, "service"),
        "version": Field(VERSION),
        "product_version": Field(VERSION, "product version"),
        "company": Field(TEXT, "company"),
        "description": Field(TEXT, "description"),
        "original_name": Field(TEXT, "original name"),
        "signer": Field(TEXT, "signer", collected=False),
        "machine": Field(enum_of("x64", "x86", "arm64", "other"), "machine type"),
        "checksum": Field(HEX, "checksum"),
        "timestamp": Field(HEX, "time stamp"),
        "sha256": Field(BYTES, "SHA-256", collected=False),
        "size": Field(INTEGER, "size"),
        "start": Field(_STARTS, "start type"),
        "start_raw": Field(_STARTS, "start type (value Start)"),
        "group": Field(TEXT, "group"),
        "imports": Field(TEXT, "imports", listed="all", collected=False),
        "missing": flag("missing"),
        "on_branch": Field(FLAG, "version of the machine's branch"),
    },
)


@dataclass(frozen=True)
class _Services(ListFamily):
    def subject(self, item: Mapping[str, Any]) -> str:
        return f"service {item.get('name', '')}"


SERVICE = _Services(
    name="service",
    section="services",
    noun="service",
    name_field="name",
    place="the current control set",
    fields={
        "name": Field(TEXT, "name", identity=True),
        "display": Field(TEXT, "display name"),
        "type": Field(
            enum_of(
                "kernel-driver",
                "file-system-driver",
                "adapter",
                "recognizer",
                "own-process",
                "share-process",
                "user-own-process",
                "user-share-process",
                "other",
            ),
            "type",
        ),
        "start": Field(_STARTS, "start type"),
        "start_raw": Field(_STARTS, "start type (value Start)"),
        "error_control": Field(enum_of("ignore", "normal", "severe", "critical"), "error control"),
        "image": Field(TEXT, "image"),
        "group": Field(TEXT, "group"),
        "depends_on": Field(TEXT, "dependencies", listed="all"),
        "account": Field(TEXT, "account"),
        "start_override": flag("StartOverride"),
    },
)


@dataclass(frozen=True)
class _Filters(ListFamily):
    def subject(self, item: Mapping[str, Any]) -> str:
        return f"{item.get('side', '')} filter {item.get('name', '')} of class {item.get('class_name', '')}"

    def could_be(self, leaf: Leaf, name: str, context: Context) -> bool:
        """Hold `<class>:<side>:<name>` against what the leaf names."""
        parts = dict(zip(("class", "side", "name"), name.split(":", 2), strict=False))
        for field, text in parts.items():
            test = leaf.field(field)
            if test is None or test.condition is None or (field == "class" and text.startswith("{")):
                continue
            if test.condition.test(text.casefold(), context).value is Value.NO:
                return False
        return True

    def test_field(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        if test.name == "position" and isinstance(item.get("position"), int):
            same = [
                other.get("position", 0)
                for other in context.world.items("filters")
                if other.get("class_guid", other.get("class_name")) == item.get("class_guid", item.get("class_name"))
                and other.get("side") == item.get("side")
            ]
            ends = {0: "first", max(same): "last"} if max(same) else {0: ["first", "last"]}
            item = {**item, "position": ends.get(item["position"], "between")}
        return super().test_field(test, item, context)


def _classes(item: Mapping[str, Any]) -> list[str] | None:
    found = [item[key] for key in ("class_name", "class_guid", "class") if isinstance(item.get(key), str)]
    return found or None


FILTER = _Filters(
    name="filter",
    section="filters",
    noun="class filter",
    place="the class filters of the current control set",
    fields={
        "class": Field(TEXT, "class", get=_classes, path=("class_name",), listed="any", identity=True, plain=True),
        "side": Field(enum_of("upper", "lower"), "side", identity=True),
        "name": Field(TEXT, "name", identity=True),
        "orphan": flag("orphan"),
        "position": Field(enum_of("first", "last"), "position"),
        "minifilter": flag("minifilter", collected=False),
        "altitude": Field(INTEGER, "altitude", collected=False),
        "frame": Field(TEXT, "frame", collected=False),
    },
)
