r"""Registry values and keys that rules ask for.

`ControlSet` at the start of a key of SYSTEM stands for the current control set. What was looked for and is not there
gives an item with `absent`, so that it is another thing than what was not collected.
"""

from __future__ import annotations

from forensics.collect.machine import Machine, clip
from forensics.facts import Facts, RegistryFact, path_of, source
from parsers.errors import StopcodeError

__all__ = ["collect", "item_name"]

_MAX_STRINGS = 256
_MAX_BINARY = 256


def item_name(hive: str, key: str, value: str) -> str:
    """Return the item's name in paths."""
    return f"{hive}\\{key}:{value}" if value else f"{hive}\\{key}"


def collect(machine: Machine, facts: Facts) -> None:
    """Fill `/registry`, sorted by item."""
    found: list[RegistryFact] = []
    for hive, key, value in sorted(machine.wants.registry):
        item = item_name(hive, key, value)
        try:
            found.append(_fact(machine, item, hive.upper(), key, value))
        except StopcodeError as error:
            machine.gap(facts, path_of("registry", item), error.message)
    facts["registry"] = sorted(found, key=lambda fact: fact["item"].lower())


def _fact(machine: Machine, item: str, hive: str, key: str, value: str) -> RegistryFact:
    first, _, rest = key.partition("\\")
    path = machine.current(rest) if hive == "SYSTEM" and first.lower() in ("controlset", "currentcontrolset") else key
    fact: RegistryFact = {"item": item, "hive": hive, "key": key}
    opened = machine.key(hive, path)
    if value:
        fact["value"] = value
    found = opened.value(value) if opened is not None and value else None
    if opened is None or (value and found is None):
        fact["absent"] = True
        fact["source"] = source("key", f"{hive}\\{path}")
        return fact
    if found is None:
        fact["source"] = source("key", f"{hive}\\{path}", offset=opened.offset)
        return fact
    fact["type"] = found.type_name
    data = found.decoded()
    if isinstance(data, bytes):
        fact["data"] = "0x" + data[:_MAX_BINARY].hex()
    elif isinstance(data, str):
        fact["data"] = clip(data)
    elif isinstance(data, list):
        fact["data"] = [clip(text) for text in data[:_MAX_STRINGS]]
    else:
        fact["data"] = data
    fact["source"] = source("value", f"{hive}\\{path}", detail=value, offset=found.offset)
    return fact
