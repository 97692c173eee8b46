"""`crash`: what an analysed dump tells.

A crash counts on a culprit from confidence medium up: a module that only a scan found on the stack never makes a
machine `crashed` (the loader puts `confidence: medium` beside every culprit). For the same reason `stack` looks at the
frames that are exact or likely, never at guesses.

A live report is no crash: a leaf that does not ask for `live` does not see it. No leaf sees a dump of another Windows.

A module has a version only when the disk's file is that very build. Where it is not, or was not compared, the version
is unknown, with that reason: the file may have been exchanged since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from forensics.facts import path_of
from signatures.kinds import DATE_TIME, FLAG, HEX, INTEGER, TEXT, VERSION, enum_of
from signatures.model import FieldTest, Leaf
from signatures.predicates.base import Field, FieldResult, ItemResult
from signatures.predicates.family import Context
from signatures.predicates.list_family import ListFamily
from signatures.three import Value, all_of, any_of
from signatures.verdict import CrashRef, MissingDict, Verdict, unique
from signatures.world import World

__all__ = ["CONFIDENCE", "CRASH", "MODULE_FIELDS"]

#: From low to high.
CONFIDENCE = ("none", "low", "medium", "high")
_NO_VERSION = {
    "different": "the disk's file of that name is another build than the one that crashed",
    "missing": "no such file is on the disk",
    "unreadable": "the disk's file cannot be read",
    "not-checked": "the dump was not compared with the disk's file",
}


def _culprit(item: Mapping[str, Any], key: str) -> Any:
    found = item.get("culprit")
    return found.get(key) if isinstance(found, Mapping) else None


def _bugcheck(item: Mapping[str, Any], key: str) -> Any:
    found = item.get("bugcheck")
    return found.get(key) if isinstance(found, Mapping) else None


def _dump(item: Mapping[str, Any], key: str) -> Any:
    found = item.get("dump")
    return found.get(key) if isinstance(found, Mapping) else None


def _rows(item: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return a list of maps; a stored document may hold anything."""
    found = item.get(key)
    return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


def _stack(item: Mapping[str, Any]) -> list[str] | None:
    """Return the modules of the frames that are no guesses, the innermost first."""
    frames = [*_rows(item, "stack"), *_rows(item, "bugcheck_stack")]
    found = [
        frame["module"]
        for frame in frames
        if isinstance(frame.get("module"), str) and frame.get("confidence") != "guess"
    ]
    return list(dict.fromkeys(found)) or None


def _top(item: Mapping[str, Any]) -> list[str] | None:
    found: list[str] = []
    for frame in _rows(item, "stack"):
        name = frame.get("module")
        if not isinstance(name, str) or frame.get("confidence") == "guess":
            break
        if not found or found[-1] != name:
            found.append(name)
    return found or None


def _symbols(item: Mapping[str, Any]) -> list[str] | None:
    found = [
        frame["symbol"] for frame in _rows(item, "stack") if frame.get("symbol") and frame.get("confidence") != "guess"
    ]
    return found or None


#: field -> the lists that it is read from.
_LISTS = {"stack": ("stack", "bugcheck_stack"), "symbol": ("stack",), "unloaded": ("unloaded",)}


def _not_there(name: str, item: Mapping[str, Any]) -> str | None:
    """Return why a field that was not found may be there all the same; None when it was looked at wholly."""
    part = "the dump is cut" if _dump(item, "complete") is False else None
    if part is None and item.get("module_count") == 0:
        part = "the dump holds no list of modules"
    if name in ("culprit", "confidence"):
        # Who was to blame may stand in the part that is gone.
        return f"{part} and names no culprit" if part is not None and not _culprit(item, "module") else None
    if name not in _LISTS:
        return None
    left_out = item.get("left_out")
    if isinstance(left_out, list) and any(key in left_out for key in _LISTS[name]):
        return "of this older dump not all is kept"
    if name == "unloaded" and "unloaded" not in item:
        return "the unloaded modules of this dump are not kept"
    return part


#: The parts of `module:`.
MODULE_FIELDS = {
    "name": Field(TEXT, "name", identity=True),
    "version": Field(VERSION, "version"),
    "on_disk": Field(enum_of("same", "different", "missing", "unreadable", "not-checked"), "file on the disk"),
}


@dataclass(frozen=True)
class _Crashes(ListFamily):
    def subject(self, item: Mapping[str, Any]) -> str:
        when = item.get("time") or item.get("item")
        return f"crash of {when}" if when else "crash"

    def candidates(self, leaf: Leaf, world: World) -> Iterable[Mapping[str, Any]]:
        items = [item for item in super().candidates(leaf, world) if item.get("foreign") is not True]
        return items if leaf.field("live") is not None else [item for item in items if item.get("live") is not True]

    def test_field(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        if test.name == "module":
            return self._module(test, item, context)
        if test.name == "params":
            return self._parameters(test, item, context)
        result = super().test_field(test, item, context)
        reason = _not_there(test.name, item) if result.value is Value.NO else None
        if reason is None:
            return result
        path = path_of(*self.parts_of(item), *self.fields[test.name].place(test.name)[:1])
        missing: MissingDict = {"path": path, "reason": reason}
        return FieldResult(Value.UNKNOWN, missing=(missing,))

    def _parameters(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        rows = _bugcheck(item, "parameters")
        results = []
        for part in test.nested:
            number = int(part.name) - 1
            row = rows[number] if isinstance(rows, list) and number < len(rows) else None
            fact = row.get("value") if isinstance(row, Mapping) else None
            field = Field(HEX, f"parameter {part.name}", path=("bugcheck",))
            assert part.condition is not None
            results.append(self.judge_fact("params", field, part.condition, fact, item, context))
        value = all_of(result.value for result in results)
        line = next((result.line for result in results if result.value is value), None)
        return FieldResult(value, line, tuple(line for result in results for line in result.missing))

    def _module(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        """Judge the loaded modules of one crash; one of them must satisfy all parts."""
        modules = _rows(item, "modules")
        judged = [(module, self._one_module(test, item, module, context)) for module in modules]
        value = any_of(result.value for _module, result in judged)
        if value is not Value.NO:
            chosen = next(result for _module, result in judged if result.value is value)
            missing = unique(line for _module, result in judged for line in result.missing)
            return FieldResult(value, chosen.line, missing if value is Value.UNKNOWN else ())
        path = path_of(*self.parts_of(item), "modules")
        count = item.get("module_count")
        name = next(part.condition.words() for part in test.nested if part.name == "name" and part.condition)
        if count == 0 or (isinstance(count, int) and count > len(modules) and not self._named(test, modules, context)):
            reason = "the dump holds no list of modules" if count == 0 else "not all modules of this dump are kept"
            return FieldResult(Value.UNKNOWN, missing=({"path": path, "reason": reason},))
        lines = [result.line for _module, result in judged if result.line is not None]
        return FieldResult(
            Value.NO,
            lines[0] if lines else {"statement": f"{self.subject(item)}: {name} was not loaded", "path": path},
        )

    @staticmethod
    def _named(test: FieldTest, modules: list[Mapping[str, Any]], context: Context) -> bool:
        part = next(part for part in test.nested if part.name == "name")
        assert part.condition is not None
        return any(
            part.condition.test(str(module.get("name", "")).casefold(), context).value is Value.YES
            for module in modules
        )

    def _one_module(
        self, test: FieldTest, item: Mapping[str, Any], module: Mapping[str, Any], context: Context
    ) -> FieldResult:
        name = str(module.get("name", ""))
        results: list[FieldResult] = []
        # The name first: of a module that is not meant nothing else matters.
        for part in sorted(test.nested, key=lambda part: part.name != "name"):
            assert part.condition is not None
            field = MODULE_FIELDS[part.name]
            place = (*self.parts_of(item), "modules", name, part.name)
            fact = module.get(part.name)
            if part.name == "on_disk" and fact is None:
                fact = "same" if "version" in module else "not-checked"
            if part.name == "version" and fact is None:
                missing = self._no_version(module, name, context)
                if missing is not None:
                    results.append(FieldResult(Value.UNKNOWN, missing=({"path": path_of(*place), "reason": missing},)))
                    continue
            word = f"loaded {name}" if part.name == "version" else f"{name} {field.word}"
            bound = Field(field.kind, word, path=place[2:])
            result = self.judge_fact(part.name, bound, part.condition, fact, item, context)
            if part.name == "name":
                if result.value is Value.NO:
                    return FieldResult(Value.NO)
                continue
            results.append(result)
        value = all_of(result.value for result in results)
        line = next((result.line for result in results if result.value is value and result.line is not None), None)
        if line is None and not results:
            line = {"statement": f"{self.subject(item)}: {name} was loaded", "path": path_of(*self.parts_of(item))}
        return FieldResult(value, line, tuple(line for result in results for line in result.missing))

    @staticmethod
    def _no_version(module: Mapping[str, Any], name: str, context: Context) -> str | None:
        status = module.get("on_disk", "not-checked")
        if status != "same":
            return _NO_VERSION.get(str(status), "its version is not known")
        gap = context.world.gap("drivers", name, "version", above=2)
        return gap["reason"] if gap is not None else None

    def evaluate(self, leaf: Leaf, context: Context) -> Verdict:
        verdict = super().evaluate(leaf, context)
        if leaf.absent:
            return verdict
        results = [self.test_item(leaf, item, context) for item in self.candidates(leaf, context.world)]
        return replace(
            verdict,
            crashes=tuple(_ref(result) for result in results if result.value is Value.YES),
            crash_informed=any(result.matched for result in results if result.value is not Value.NO),
        )


def _ref(result: ItemResult) -> CrashRef:
    item = result.item
    ref: CrashRef = {"item": str(item.get("item", ""))}
    if "time" in item:
        ref["time"] = item["time"]
    ref["latest"] = bool(item.get("latest", True))
    if any(test.name == "culprit" for test, _part in result.results):
        ref["confidence"] = str(_culprit(item, "confidence"))
    return ref


CRASH = _Crashes(
    name="crash",
    section="crashes",
    noun="crash",
    place="the dumps on this disk",
    time_key="time",
    fields={
        "code": Field(HEX, "stop code", get=lambda item: _bugcheck(item, "code"), path=("bugcheck",)),
        "params": Field(HEX, "parameters"),
        "name": Field(TEXT, "name of the stop code", get=lambda item: _bugcheck(item, "name"), path=("bugcheck",)),
        "culprit": Field(TEXT, "culprit", get=lambda item: _culprit(item, "module"), path=("culprit",)),
        "confidence": Field(
            enum_of("low", "medium", "high"),
            "confidence",
            get=lambda item: _culprit(item, "confidence"),
            path=("culprit",),
            minimum=CONFIDENCE,
        ),
        "stack": Field(TEXT, "stack", get=_stack, path=("stack",), listed="all"),
        "stack_top": Field(TEXT, "top of the stack", get=_top, path=("stack",), listed="order"),
        "symbol": Field(TEXT, "symbol on the stack", get=_symbols, path=("stack",), listed="any"),
        "module": Field(TEXT, "module"),
        "unloaded": Field(
            TEXT,
            "unloaded module",
            get=lambda item: [row.get("name") for row in _rows(item, "unloaded")] or None,
            path=("unloaded",),
            listed="any",
        ),
        "process": Field(TEXT, "process"),
        "kind": Field(TEXT, "kind of dump", get=lambda item: _dump(item, "kind"), path=("dump",)),
        "build": Field(INTEGER, "build"),
        "time": Field(DATE_TIME, "time"),
        "uptime_s": Field(INTEGER, "up-time in seconds"),
        "live": Field(FLAG, "live report", default=False),
        "source": Field(
            enum_of("memory-dmp", "minidump", "pagefile", "dump-tmp", "dedicated", "live-kernel", "wer", "file"),
            "place of the dump",
            get=lambda item: _dump(item, "where"),
            path=("dump",),
        ),
    },
)
