"""Every dump of a disk at a first look, without analysing one: what can be copied out, and why there is nothing."""

from __future__ import annotations

from dataclasses import dataclass

from forensics.collect.crashes import date_dumps, with_place
from forensics.collect.dump_places import DumpPlace, Places, find_places
from forensics.collect.machine import Machine
from forensics.collect.no_dump import explain_missing
from forensics.collect.run import collect
from forensics.crash.glance import glance
from forensics.facts import CrashDict, Facts
from parsers.errors import StopcodeError

__all__ = ["DumpList", "ListedDump", "list_dumps"]

#: The collectors whose facts date a dump and say why there is none.
_ONLY = frozenset({"system", "crash_settings", "events", "boots"})


@dataclass(frozen=True, slots=True)
class ListedDump:
    """One dump, or a file that is named like one.

    Attributes:
        place: where it lies.
        crash: what the first look tells; None when it cannot be read as a dump.
        problem: why it cannot; "" when it can.

    """

    place: DumpPlace
    crash: CrashDict | None
    problem: str


@dataclass(frozen=True, slots=True)
class DumpList:
    """All of them, newest first, those that cannot be read last."""

    facts: Facts
    places: Places
    dumps: list[ListedDump]


def list_dumps(machine: Machine) -> DumpList:
    """Look at every dump of a machine; what there is to say goes to the machine's diagnostics."""
    facts = collect(machine, only=_ONLY)
    places = find_places(machine, facts)
    listed: list[ListedDump] = []
    read: list[ListedDump] = []
    for place in places.dumps:
        try:
            with place.reading() as (opened, whole):
                crash = with_place(glance(opened, path=place.path, where=place.where), place, whole=whole)
            read.append(ListedDump(place, crash, ""))
        except StopcodeError as error:
            listed.append(ListedDump(place, None, error.message))
    by_crash = {id(item.crash): item for item in read}
    ordered = date_dumps(facts, [(item.place, item.crash) for item in read if item.crash is not None])
    facts["crashes"] = ordered
    explain_missing(machine, facts, places)
    return DumpList(facts, places, [*(by_crash[id(crash)] for crash in ordered), *listed])
