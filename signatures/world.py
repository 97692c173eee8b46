"""The facts as rules look at them: items by name, and for every place whether it could be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from forensics.facts import ITEM_NAME, Facts, Source, path_of
from parsers.windows_builds import shares_with
from signatures.kinds import INTEGER
from signatures.verdict import MissingDict

__all__ = ["ItemGap", "World", "split_path"]

#: Deepest path of a gap that is looked at.
_MAX_PARTS = 8


def split_path(path: str) -> tuple[str, ...]:
    """Split a facts path into its parts, with `~1` and `~0` undone."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])


@dataclass(frozen=True, slots=True)
class ItemGap:
    """A gap at a whole item of a list, or at what a rule asked for: its name and the gap itself."""

    name: str
    missing: MissingDict


class World:
    """One facts document, indexed.

    Args:
        facts: the document; it is not changed.

    """

    def __init__(self, facts: Facts | Mapping[str, Any]) -> None:
        self.facts: Mapping[str, Any] = facts
        self._gaps: dict[tuple[str, ...], MissingDict] = {}
        self._item_gaps: dict[str, list[ItemGap]] = {}
        gaps = facts.get("gaps")
        for gap in gaps if isinstance(gaps, list) else ():
            if not isinstance(gap, Mapping) or not str(gap.get("path")).startswith("/"):
                continue
            parts = split_path(str(gap["path"]))
            missing: MissingDict = {"path": str(gap["path"]), "reason": str(gap.get("reason", ""))}
            self._gaps.setdefault(_key(parts), missing)
            if len(parts) == 2:
                self._item_gaps.setdefault(parts[0], []).append(ItemGap(parts[1], missing))
        self._items: dict[str, list[Mapping[str, Any]]] = {}
        self._indexes: dict[tuple[str, str], dict[str, list[Mapping[str, Any]]]] = {}

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section that is one map."""
        found = self.facts.get(name)
        return found if isinstance(found, Mapping) else {}

    def items(self, section: str) -> Sequence[Mapping[str, Any]]:
        """Return a section that is a list."""
        found = self._items.get(section)
        if found is None:
            listed = self.facts.get(section)
            # A stored document may be anything.
            found = [item for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []
            self._items[section] = found
        return found

    def by_name(self, section: str, field: str, names: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the items of a list whose field is one of these (case-folded) texts, in the list's order."""
        index = self._indexes.get((section, field))
        if index is None:
            index = {}
            for item in self.items(section):
                value = item.get(field)
                if isinstance(value, str):
                    index.setdefault(value.casefold(), []).append(item)
            self._indexes[section, field] = index
        return [item for name in dict.fromkeys(names) for item in index.get(name, ())]

    def gap(self, *parts: str, above: int = 1) -> MissingDict | None:
        """Return the gap at this path or above it, with this very path, or None when it was read.

        Gaps at fewer than `above` parts are not looked at: a gap at a list says that items are missing, not that
        those which are there are wrong.
        """
        key = _key(parts)
        for length in range(len(key), above - 1, -1):
            found = self._gaps.get(key[:length])
            if found is not None:
                return {"path": path_of(*parts), "reason": found["reason"]}
        return None

    def gap_at(self, *parts: str) -> MissingDict | None:
        """Return the gap at exactly this path, or None."""
        return self._gaps.get(_key(parts))

    def section_gap(self, section: str) -> MissingDict | None:
        """Return the gap that makes a whole list incomplete, or None."""
        return self._gaps.get((section,)) or self._gaps.get(("",))

    def item_gaps(self, section: str) -> Sequence[ItemGap]:
        """Return the gaps at whole items of a list."""
        return self._item_gaps.get(section, ())

    @cached_property
    def build(self) -> int | MissingDict | None:
        """The build of this machine, None when it has none, or what is missing to tell."""
        return self._number("build")

    @cached_property
    def ubr(self) -> int | MissingDict | None:
        """The revision of this machine's build, None when it has none, or what is missing to tell."""
        return self._number("ubr")

    def _number(self, field: str) -> int | MissingDict | None:
        missing = self.gap("system", field)
        if missing is not None:
            return missing
        found = self.section("system").get(field)
        try:
            return None if found is None else INTEGER.read(found)
        except ValueError:
            return {"path": f"/system/{field}", "reason": f"not a number: {found!r}"}

    def branch_group(self) -> tuple[int, ...] | MissingDict:
        """Return the builds that share this machine's files, its own first, or what is missing to tell.

        Empty when the facts, read as they are, name no build.
        """
        build = self.build
        if build is None:
            return ()
        if not isinstance(build, int):
            return build
        return (build, *(other for other in shares_with(build) if other != build))

    @staticmethod
    def name_of(section: str, item: Mapping[str, Any]) -> str:
        """Return the name that addresses an item of a list in paths."""
        return str(item.get(ITEM_NAME.get(section, ""), ""))

    @staticmethod
    def source_of(item: Mapping[str, Any], field: str) -> Source | None:
        """Return where a field came from."""
        sources = item.get("sources")
        if isinstance(sources, Mapping) and field in sources:
            found: Source = sources[field]
            return found
        own: Source | None = item.get("source")
        return own


def _key(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part.casefold() for part in parts[:_MAX_PARTS])
