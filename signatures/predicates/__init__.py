"""The typed predicates: one module a family, one table of fields each.

`FAMILIES` is what the loader checks rules against and what documentation is made from.
"""

from __future__ import annotations

from signatures.predicates.crashes import CRASH
from signatures.predicates.drivers import DRIVER, FILTER, SERVICE
from signatures.predicates.events import EVENT
from signatures.predicates.family import Context, Family, MapFamily
from signatures.predicates.list_family import ListFamily
from signatures.predicates.places import FILE, REGISTRY
from signatures.predicates.states import BOOT, SECURITY, STORAGE
from signatures.predicates.system import OS, SYSTEM
from signatures.predicates.updates import UPDATE

__all__ = ["FAMILIES", "Context", "Family", "ListFamily", "MapFamily"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        OS, DRIVER, UPDATE, REGISTRY, SERVICE, FILTER, BOOT, FILE, EVENT, CRASH, STORAGE, SECURITY, SYSTEM,
    )
}  # fmt: skip
