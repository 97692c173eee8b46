"""What the replay of a hive's logs changed of the values that facts are made of.

Windows stamps a key with the time when it changes one of its values, so keys of the same time and place need not be
compared value by value: two lists of 700 services cost some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from parsers.errors import StopcodeError
from parsers.limits import MAX_CONTROL_SET
from parsers.registry import Hive, Key

__all__ = ["ABSENT", "Change", "changes"]

#: What stands for a value that is not there.
ABSENT: Final = "(absent)"
#: Characters that are shown of one value.
_SHOWN: Final = 80

_SERVICE = frozenset(("start", "type", "imagepath", "group", "errorcontrol", "dependonservice"))
_CRASH = frozenset(("crashdumpenabled", "dumpfile", "minidumpdir", "autoreboot", "overwrite", "dedicateddumpfile"))
_VERSION = frozenset(
    (
        "buildlabex",
        "currentbuild",
        "currentbuildnumber",
        "currentmajorversionnumber",
        "currentminorversionnumber",
        "displayversion",
        "editionid",
        "installationtype",
        "productname",
        "releaseid",
        "systemroot",
        "ubr",
    )
)
_SELECT = frozenset(("current", "default", "failed", "lastknowngood"))
_SETUP = frozenset(("systemsetupinprogress", "setupphase", "setuptype", "upgrade", "oobeinprogress", "cmdline"))
_COMPONENT_MARKS = frozenset(("executionstate", "pendingxmlidentifier", "storedirty"))
_SERVICING: Final = r"Microsoft\Windows\CurrentVersion\Component Based Servicing"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs.

    Attributes:
        path: its key and name, `Key:Name`.
        before, after: what it was and is, shortened; `ABSENT` when it was or is not there.

    """

    path: str
    before: str
    after: str


def changes(before: Hive, after: Hive, name: str) -> list[Change]:
    """Return the values that facts are made of and that differ; what cannot be read on one side is passed over.

    Args:
        before: the hive as it stands in its file.
        after: the hive with its logs replayed.
        name: which hive it is ("SYSTEM", "SOFTWARE", "COMPONENTS", "BCD"); of others nothing is compared.

    """
    found: list[Change] = []
    if name == "SYSTEM":
        found += _values(before, after, "Select", _SELECT)
        found += _values(before, after, "Setup", _SETUP)
        current = _current(after)
        if current:
            found += _values(before, after, rf"{current}\Control\CrashControl", _CRASH)
            found += _values(
                before, after, rf"{current}\Control\ComputerName\ComputerName", frozenset(["computername"])
            )
            found += _below(before, after, rf"{current}\Services", _SERVICE)
    elif name == "SOFTWARE":
        found += _values(before, after, r"Microsoft\Windows NT\CurrentVersion", _VERSION)
        found += _below(before, after, rf"{_SERVICING}\Packages", frozenset(["currentstate"]))
    elif name == "COMPONENTS":
        found += _values(before, after, "", _COMPONENT_MARKS)
    elif name == "BCD":
        for entry in _listed(after, "Objects"):
            elements = rf"Objects\{entry}\Elements"
            found += _below(before, after, elements, frozenset(["element"]))
    return found


def _current(hive: Hive) -> str:
    try:
        key = hive.open_key("Select")
        value = key.value("Current") if key is not None else None
        number = value.decoded() if value is not None else 0
    except StopcodeError:
        return ""
    return f"ControlSet{number:03d}" if isinstance(number, int) and 0 < number <= MAX_CONTROL_SET else ""


def _open(hive: Hive, path: str) -> Key | None:
    try:
        return hive.open_key(path) if path else hive.root
    except StopcodeError:
        return None


def _values(before: Hive, after: Hive, path: str, names: frozenset[str]) -> list[Change]:
    return list(_compared(_open(before, path), _open(after, path), path, names))


def _compared(before: Key | None, after: Key | None, path: str, names: frozenset[str]) -> Iterator[Change]:
    old, new = _shown(before, names), _shown(after, names)
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            (title, was), (other, is_) = old.get(name, ("", ABSENT)), new.get(name, ("", ABSENT))
            yield Change(f"{path}:{other or title}", was, is_)


def _shown(key: Key | None, names: frozenset[str]) -> dict[str, tuple[str, str]]:
    """Return the wanted values of a key by their lower-case names: the name as it stands, and the value."""
    found: dict[str, tuple[str, str]] = {}
    try:
        for value in key.values() if key is not None else ():
            if value.name.lower() in names:
                text = str(value.decoded())
                text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
                found[value.name.lower()] = (value.name, text)
    except StopcodeError:
        pass  # told by whoever makes a fact of it
    return found


def _listed(hive: Hive, path: str) -> dict[str, Key]:
    found: dict[str, Key] = {}
    key = _open(hive, path)
    try:
        for below in key.subkeys() if key is not None else ():
            found[below.name.lower()] = below
    except StopcodeError:
        pass
    return found


def _below(before: Hive, after: Hive, path: str, names: frozenset[str]) -> Iterator[Change]:
    old, new = _listed(before, path), _listed(after, path)
    for name in sorted(old.keys() | new.keys()):
        was, is_ = old.get(name), new.get(name)
        key = is_ or was
        if key is None or (
            was is not None and is_ is not None and (was.last_written, was.offset) == (is_.last_written, is_.offset)
        ):
            continue
        yield from _compared(was, is_, f"{path}\\{key.name}", names)
