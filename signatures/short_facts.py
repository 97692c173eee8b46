"""The short form of facts in inline tests: strings only, and only what the test is about.

What is said is there; everything else was read and is empty. `gaps` say what could not be read: whatever lies below
them is taken out, so that a test cannot know what it says is unreadable. Values become what the facts document holds
(numbers, booleans), by the tables of the predicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from forensics.facts import ITEM_NAME, Wants, empty_facts, path_of
from signatures.kinds import DATE_TIME, FLAG, INTEGER
from signatures.predicates import FAMILIES
from signatures.predicates.places import glob_matches
from signatures.world import split_path

__all__ = ["facts_of"]

_LISTS = ("drivers", "services", "filters", "updates", "registry", "files", "events", "crashes")
#: Facts that no predicate reads and that are no texts.
_NUMBERS = {"tag", "state_code", "record", "position", "size_of_image", "control_set", "module_count", "processors"}


def facts_of(short: Mapping[str, Any], gaps: Iterable[str] = (), wants: Wants | None = None) -> dict[str, Any]:
    """Return a whole facts document from the short form.

    Args:
        short: sections, as an inline test has them.
        gaps: paths that could not be read.
        wants: what the rules look for: files and registry values among it that the test does not name were looked
            for and are not there.

    Raises:
        ValueError: a section or a value that no facts document can have.

    """
    facts: dict[str, Any] = dict(empty_facts())
    for section, value in short.items():
        if section not in facts or section in ("schema", "gaps"):
            raise ValueError(f"no section of the facts: {section!r}")
        if section in _LISTS or section == "volumes":
            if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
                raise ValueError(f"{section} is a list of maps")
            facts[section] = [_item(section, item, number) for number, item in enumerate(value)]
        elif isinstance(value, Mapping):
            facts[section] = {name: _fact(section, name, item) for name, item in value.items()}
        else:
            raise ValueError(f"{section} is a map")
    told = [path.rstrip("/") for path in gaps]
    facts["gaps"] = [{"path": path, "reason": "could not be read (test)"} for path in told]
    for path in told:
        _take_out(facts, split_path(path))
    if wants is not None:
        _looked_for(facts, wants)
    return facts


def _families(section: str) -> list[Any]:
    return [family for family in FAMILIES.values() if family.section == section]


def _fact(section: str, name: str, value: Any) -> Any:
    """Return one value as the facts document has it."""
    if not isinstance(value, str):
        return value
    if name in _NUMBERS and value.isdecimal():
        return int(value)
    for family in _families(section):
        for field_name, field in family.fields.items():
            if (field.key or field_name) != name or field.get is not None:
                continue
            if field.kind is INTEGER:
                return INTEGER.parse(value)
            if field.kind is FLAG:
                return FLAG.parse(value)
            if field.kind is DATE_TIME:
                DATE_TIME.parse(value)
            if field.listed:
                return [value]
    return value


def _item(section: str, short: Mapping[str, Any], number: int) -> dict[str, Any]:
    item = {name: _fact(section, name, value) for name, value in short.items()}
    if section in ("registry", "files", "drivers") and isinstance(item.get("absent"), str):
        item["absent"] = FLAG.parse(item["absent"])
    if section == "crashes":
        item = _crash(item, number)
    elif section == "registry":
        _registry(item)
    elif section == "filters":
        if "class" in item:
            item["class_name"] = item.pop("class")
        item.setdefault("item", f"{item.get('class_name', '')}:{item.get('side', '')}:{item.get('name', '')}")
    elif section == "events":
        item.setdefault("log", "System")
        item.setdefault("item", f"{item['log']}:{item.get('record', number + 1)}")
    elif section == "updates" and "package" not in item:
        item["package"] = f"Package_for_{item.get('kb', number)}"
    name = ITEM_NAME.get(section)
    if name is not None and not item.get(name):
        raise ValueError(f"an item of {section} needs `{name}`")
    if section == "drivers":
        item["file"] = str(item["file"]).lower()
    return item


def _registry(item: dict[str, Any]) -> None:
    data = item.get("data")
    if isinstance(data, str) and item.get("type", "") in ("REG_DWORD", "REG_QWORD"):
        item["data"] = int(data, 16) if data.startswith("0x") else int(data)
    hive, key, value = (str(item.get(name, "")) for name in ("hive", "key", "value"))
    item.setdefault("item", f"{hive}\\{key}:{value}" if value else f"{hive}\\{key}")


def _crash(short: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a crash: the culprit and stop code written beside its other fields, stacks as lists of modules."""
    crash = dict(short)
    dump = crash.get("dump")
    path = f"\\Windows\\Minidump\\{number + 1}.dmp"
    crash["dump"] = {"path": path, "complete": True, **(dump if isinstance(dump, Mapping) else {})}
    for name, key in (("source", "where"), ("kind", "kind")):
        if isinstance(crash.get(name), str):
            crash["dump"][key] = crash.pop(name)
    if isinstance(crash["dump"]["complete"], str):
        crash["dump"]["complete"] = FLAG.parse(crash["dump"]["complete"])
    crash.setdefault("item", crash["dump"]["path"])
    if isinstance(crash.get("live"), str):
        crash["live"] = FLAG.parse(crash["live"])
    latest = crash.get("latest", "no" if crash.get("live") else "yes")
    crash["latest"] = FLAG.parse(latest) if isinstance(latest, str) else latest
    if not isinstance(crash.get("culprit"), Mapping):
        module = crash.pop("culprit", None)
        crash["culprit"] = {
            "kind": "driver" if module else "unknown",
            "module": module,
            "confidence": crash.pop("confidence", "high" if module else "none"),
            "because": [],
            "against": [],
            "others": [],
        }
    if "code" in crash or "name" in crash or "params" in crash:
        code = str(crash.pop("code", "0x0")).lower()
        params = crash.pop("params", {})
        crash["bugcheck"] = {
            "code": f"{int(code, 16):#x}",
            "code_raw": code,
            "name": crash.pop("name", ""),
            "parameters": [{"value": str(params.get(str(at), "0x0")), "meaning": ""} for at in range(1, 5)],
        }
    crash["stack"] = [
        {"module": frame, "confidence": "exact"} if isinstance(frame, str) else dict(frame)
        for frame in _listed(crash.get("stack"))
    ]
    crash["modules"] = [_module(module) for module in _listed(crash.get("modules"))]
    crash["unloaded"] = [
        {"name": entry} if isinstance(entry, str) else dict(entry) for entry in _listed(crash.get("unloaded"))
    ]
    return crash


def _module(short: Any) -> dict[str, Any]:
    module = {"name": short} if isinstance(short, str) else dict(short)
    module.setdefault("on_disk", "same" if "version" in module else "not-checked")
    return module


def _listed(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else [value]


def _take_out(facts: dict[str, Any], parts: tuple[str, ...]) -> None:
    """Take out what lies below a gap."""
    section, rest = parts[0], parts[1:]
    if section not in facts or section in ("schema", "gaps"):
        raise ValueError(f"a gap at no section of the facts: /{section}")
    if not rest:
        facts[section] = type(facts[section])()
        return
    if isinstance(facts[section], dict):
        _remove(facts[section], rest)
        return
    name_field = ITEM_NAME.get(section, "")
    for item in facts[section]:
        if str(item.get(name_field, "")).casefold() != rest[0].casefold():
            continue
        if rest[1:]:
            _remove(item, rest[1:])
        else:
            # What is unreadable is still known by its name.
            for key in [key for key in item if key != name_field]:
                del item[key]


def _remove(item: dict[str, Any], rest: tuple[str, ...]) -> None:
    below: Any = item
    for part in rest[:-1]:
        below = below.get(part) if isinstance(below, dict) else _named(below, part)
        if below is None:
            return
    if isinstance(below, dict):
        below.pop(rest[-1], None)


def _named(below: Any, name: str) -> Any:
    if not isinstance(below, list):
        return None
    return next((item for item in below if isinstance(item, dict) and item.get("name") == name), None)


def _looked_for(facts: dict[str, Any], wants: Wants) -> None:
    """Add an absent item for each wanted file and registry value that the test does not name."""
    hidden = {gap["path"].casefold() for gap in facts["gaps"]}
    if "/files" not in hidden:
        for glob in sorted(wants.files):
            if path_of("files", glob).casefold() in hidden:
                continue
            if not any(glob_matches(glob, str(item["path"])) or item.get("glob") == glob for item in facts["files"]):
                facts["files"].append({"path": glob, "glob": glob, "absent": True})
    if "/registry" not in hidden:
        known = {
            tuple(str(item.get(name, "")).casefold() for name in ("hive", "key", "value")) for item in facts["registry"]
        }
        for hive, key, value in sorted(wants.registry):
            if (hive.casefold(), key.casefold(), value.casefold()) in known:
                continue
            name = f"{hive}\\{key}:{value}" if value else f"{hive}\\{key}"
            if path_of("registry", name).casefold() in hidden:
                continue
            item = {"item": name, "hive": hive, "key": key}
            if value:
                item["value"] = value
            facts["registry"].append({**item, "absent": True})
