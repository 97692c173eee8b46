"""`event`: records of the event logs. A log that cannot be read makes its own events unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signatures.kinds import DATE_TIME, INTEGER, TEXT, enum_of
from signatures.model import FieldTest, Leaf
from signatures.predicates.base import Field, FieldResult
from signatures.predicates.family import Context
from signatures.predicates.list_family import ListFamily
from signatures.three import Value, all_of

__all__ = ["EVENT"]

_FIELD = Field(TEXT)


@dataclass(frozen=True)
class _Events(ListFamily):
    def subject(self, item: Mapping[str, Any]) -> str:
        when = f" at {item['time']}" if "time" in item else ""
        return f"event {item.get('id', '')} of {item.get('provider', item.get('log', ''))}{when}"

    def could_be(self, leaf: Leaf, name: str, context: Context) -> bool:
        """Hold the name of an unreadable log against the one that the leaf asks for."""
        test = leaf.field("log")
        if test is None or test.condition is None:
            return True
        return test.condition.test(name.casefold(), context).value is not Value.NO

    def test_field(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        if test.name != "data":
            return super().test_field(test, item, context)
        data = item.get("data")
        fields = {str(name).casefold(): value for name, value in data.items()} if isinstance(data, Mapping) else {}
        results = []
        for part in test.nested:
            assert part.condition is not None
            field = Field(TEXT, part.name, path=("data",))
            fact = fields.get(part.name.casefold())
            results.append(self.judge_fact("data", field, part.condition, fact, item, context))
        value = all_of(result.value for result in results)
        line = next((result.line for result in results if result.value is value), None)
        return FieldResult(value, line, tuple(line for result in results for line in result.missing))


EVENT = _Events(
    name="event",
    section="events",
    noun="event",
    place="the event log",
    required=("log", "id"),
    time_key="time",
    fields={
        "log": Field(TEXT, "log", identity=True, plain=True),
        "provider": Field(TEXT, "provider", identity=True, plain=True),
        "id": Field(INTEGER, "id", identity=True, plain=True),
        "level": Field(enum_of("critical", "error", "warning", "information", "verbose"), "level"),
        "time": Field(DATE_TIME, "time"),
        "data": _FIELD,
        "count": Field(INTEGER, "count"),
    },
)
