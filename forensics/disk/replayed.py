"""What the replay of a hive's logs changed of the values that facts are made of.

The hive in the file is one that was being written: some of its pages are new, others old, and a list may lead into
cells that are not there yet. What cannot be read on one side is passed over; it is not called absent there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from parsers.diagnostics import ValueChange
from parsers.errors import StopcodeError
from parsers.limits import MAX_CONTROL_SET
from parsers.registry import Hive, Key

__all__ = ["changes"]

_Raw = int | str | list[str] | bytes
_Data = int | str | list[str] | None
#: Characters that are kept of one text, texts of a list, bytes of bytes.
_TEXT: Final = 256
_TEXTS: Final = 64
_BYTES: Final = 256

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


def changes(before: Hive, after: Hive, name: str) -> list[ValueChange]:
    """Return the values that facts are made of and that differ; what cannot be read on one side is passed over.

    Args:
        before: the hive as it stands in its file.
        after: the hive with its logs replayed.
        name: which hive it is ("SYSTEM", "SOFTWARE", "COMPONENTS", "BCD"); of others nothing is compared.

    """
    found: list[ValueChange] = []
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
        found += _below(before, after, rf"{_SERVICING}\Packages", frozenset(["currentstate"]), by_time=True)
    elif name == "COMPONENTS":
        found += _values(before, after, "", _COMPONENT_MARKS)
    elif name == "BCD":
        for entry in _listed(after, "Objects")[0]:
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


class _Values:
    """The wanted values of one key, or why one of them cannot be told: damage is no absence.

    Attributes:
        found: by lower-case name: the name as it stands, and the value.

    """

    def __init__(self, key: Key | None, names: frozenset[str], *, whole: bool = True) -> None:
        self.found: dict[str, tuple[str, _Raw]] = {}
        self._damaged: set[str] = set()
        self._whole = whole
        try:
            for value in key.values() if key is not None else ():
                name = value.name.lower()
                if name in names:
                    try:
                        self.found[name] = (value.name, value.decoded())
                    except StopcodeError:
                        self._damaged.add(name)
        except StopcodeError:
            self._whole = False

    def knows(self, name: str) -> bool:
        """Return whether a value is known: what it is, or that it is not there."""
        return name in self.found or (self._whole and name not in self._damaged)


def _at(hive: Hive, path: str, names: frozenset[str]) -> _Values:
    try:
        return _Values(hive.open_key(path) if path else hive.root, names)
    except StopcodeError:
        return _Values(None, names, whole=False)


def _values(before: Hive, after: Hive, path: str, names: frozenset[str]) -> Iterator[ValueChange]:
    return _compared(_at(before, path, names), _at(after, path, names), path)


def _compared(old: _Values, new: _Values, path: str) -> Iterator[ValueChange]:
    for name in sorted(old.found.keys() | new.found.keys()):
        if old.knows(name) and new.knows(name):
            title, was = old.found.get(name, ("", None))
            other, is_ = new.found.get(name, ("", None))
            if was != is_:
                yield ValueChange(path, other or title, _plain(was), _plain(is_))


def _plain(data: int | str | list[str] | bytes | None) -> _Data:
    """Return a value as plain data that is not too long."""
    if isinstance(data, bytes):
        return f"0x{data[:_BYTES].hex()}{'…' if len(data) > _BYTES else ''}"
    if isinstance(data, str):
        return data if len(data) <= _TEXT else f"{data[:_TEXT]}…"
    if isinstance(data, list):
        texts = [str(_plain(text)) for text in data[:_TEXTS]]
        return texts if len(data) <= _TEXTS else [*texts, "…"]
    return data


def _listed(hive: Hive, path: str) -> tuple[dict[str, Key], bool]:
    """Return the keys below a key by their lower-case names, and whether these are all."""
    found: dict[str, Key] = {}
    try:
        key = hive.open_key(path)
        for below in key.subkeys() if key is not None else ():
            found[below.name.lower()] = below
    except StopcodeError:
        return found, False
    return found, True


def _below(
    before: Hive, after: Hive, path: str, names: frozenset[str], *, by_time: bool = False
) -> Iterator[ValueChange]:
    """Yield what differs in the keys below a key.

    Args:
        before: the hive as it stands in its file.
        after: the hive with its logs replayed.
        path: the key.
        names: the values to compare, in lower case.
        by_time: whether keys of one time and place count as equal. A hive that was half written out may have a new key
            over old values: only where there are thousands of keys it is not worth the look.

    """
    (old, all_old), (new, all_new) = _listed(before, path), _listed(after, path)
    for name in sorted(old.keys() | new.keys()):
        was, is_ = old.get(name), new.get(name)
        key = is_ or was
        if key is None or (by_time and was is not None and is_ is not None and _stamp(was) == _stamp(is_)):
            continue
        yield from _compared(
            _Values(was, names, whole=was is not None or all_old),
            _Values(is_, names, whole=is_ is not None or all_new),
            f"{path}\\{key.name}",
        )


def _stamp(key: Key) -> tuple[int, int]:
    return key.last_written, key.offset
