"""JSON Schema made from the documents' own types, and a check of untrusted documents against it.

The types are the contract (`forensics.facts`, `stopcode.report.document`); a schema written by hand would drift from
them. Only what these types need is made and checked: objects, lists, strings, numbers, booleans, null, fixed words.
Further keys are allowed everywhere: adding is free.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

__all__ = ["MAX_PROBLEMS", "problems", "schema_of"]

#: Problems of one document that are told.
MAX_PROBLEMS = 10
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    NoneType: {"type": "null"},
    Any: {},
}


def schema_of(document: type, title: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a TypedDict; no two types in it may have one name."""
    definitions: dict[str, Any] = {}
    reference = _schema(document, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **reference,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if is_typeddict(kind):
        name = kind.__name__
        if name not in definitions:
            definitions[name] = {}  # stands in while the type's own fields are looked at
            definitions[name] = _object(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    origin, args = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return _schema(args[0], definitions)
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(item, definitions) for item in args]}
    if origin is list:
        return {"type": "array", "items": _schema(args[0], definitions)}
    if origin in (dict, Mapping):
        inner = _schema(args[1], definitions)
        return {"type": "object", "additionalProperties": inner} if inner else {"type": "object"}
    return dict(_PLAIN[kind])


def _object(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    # With postponed annotations `__required_keys__` does not see NotRequired: the hints themselves do.
    hints = get_type_hints(kind, include_extras=True)
    made: dict[str, Any] = {
        "type": "object",
        "description": " ".join(inspect.cleandoc(kind.__doc__ or "").split()),
        "properties": {name: _schema(hint, definitions) for name, hint in hints.items()},
    }
    required = [name for name, hint in hints.items() if kind.__total__ and get_origin(hint) is not NotRequired]
    if required:
        made["required"] = required
    return made


def problems(document: Any, schema: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a document, at most MAX_PROBLEMS sentences; none when it fits."""
    found: list[str] = []
    for problem in _problems(document, schema, schema.get("$defs", {}), ""):
        found.append(problem)
        if len(found) == MAX_PROBLEMS:
            break
    return found


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (NoneType,),
}


def _fits(value: Any, name: str) -> bool:
    # bool is an int to Python and none to JSON.
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _problems(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _problems(value, definitions[schema["$ref"].rpartition("/")[2]], definitions, path)
        return
    place = path or "/"
    if "anyOf" in schema:
        if not any(next(_problems(value, item, definitions, path), None) is None for item in schema["anyOf"]):
            yield f"{place} is none of what it may be"
        return
    if "enum" in schema:
        if value not in schema["enum"]:
            yield f"{place} is not one of {', '.join(map(str, schema['enum']))}"
        return
    kind = schema.get("type")
    if kind is None:
        return
    if not _fits(value, kind):
        yield f"{place} is no {kind}"
        return
    if kind == "array":
        for number, item in enumerate(value):
            yield from _problems(item, schema["items"], definitions, f"{path}/{number}")
    elif kind == "object":
        yield from (f"{place} has no {name!r}" for name in schema.get("required", ()) if name not in value)
        known = schema.get("properties", {})
        for name, item in value.items():
            inner = known.get(name, schema.get("additionalProperties"))
            if inner:
                yield from _problems(item, inner, definitions, f"{path}/{name}")
