"""Reading of `affected`: branches, edges, restrictions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from signatures.kinds import parse_build
from signatures.model import Affected, Edge
from signatures.problems import Problems, quoted
from signatures.shapes import BAD, Bad, Choice, Key, ListOf, Slug, Table, Text, first_mark
from signatures.yaml_nodes import MapNode, YamlNode

__all__ = ["ARCHES", "INSTALLATIONS", "AffectedShape"]

INSTALLATIONS = ("client", "server", "server-core", "nano", "azure-local", "container-host")
ARCHES = ("x64", "x86", "arm64")
_EDGES = ("introduced", "fixed", "last_affected")
_EDGE = Table(
    {
        **{name: Key(Text(20)) for name in _EDGES},
        "kb": Key(Text(20)),
        "source": Key(Slug()),
        "inferred": Key(Choice(("yes", "no"))),
    },
    "an edge",
)


@dataclass(frozen=True, slots=True)
class _Build:
    """A build, 17763."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the build."""
        text = Text(10).read(node, path, problems)
        if isinstance(text, Bad):
            return BAD
        if not re.fullmatch(r"[0-9]{4,6}", text):
            problems.add(node.mark, path, f"not a build: {quoted(text)}", "SC103", "for example 17763")
            return BAD
        return int(text)


@dataclass(frozen=True, slots=True)
class _EdgeShape:
    """One event of a range."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the edge."""
        values = _EDGE.read(node, path, problems)
        if isinstance(values, Bad):
            return BAD
        assert isinstance(node, MapNode)
        kinds = [name for name in _EDGES if name in values]
        if len(kinds) != 1:
            hint = "one of introduced, fixed, last_affected"
            problems.add(first_mark(node), path, "an edge has exactly one kind", "SC105", hint)
            return BAD
        text = values[kinds[0]]
        place = node.entries[kinds[0]][1].mark
        try:
            build, ubr = _edge(text)
        except ValueError as error:
            problems.add(place, f"{path}.{kinds[0]}", f"not an edge: {quoted(text)}", "SC103", str(error))
            return BAD
        if "kb" in values and not re.fullmatch(r"KB[0-9]{6,8}", values["kb"]):
            mark = node.entries["kb"][1].mark
            problems.add(mark, f"{path}.kb", f"not an update: {quoted(values['kb'])}", "SC103", "for example KB5003171")
        return Edge(
            kinds[0], build, ubr, text, values.get("kb", ""), values.get("source", ""),
            values.get("inferred") == "yes", place,
        )  # fmt: skip


def _edge(text: str) -> tuple[int | None, int]:
    """Read "17763.1757", "*.2364" (every branch of the entry) or "0" (from the branch's first build)."""
    if text == "0":
        return None, 0
    if re.fullmatch(r"\*\.[0-9]{1,6}", text):
        return None, int(text[2:])
    return parse_build(text)


_TABLE = Table(
    {
        "branch": Key(ListOf(_Build(), single=True), "always"),
        "products": Key(ListOf(Text(100))),
        "editions": Key(ListOf(Text(100))),
        "arch": Key(ListOf(Choice(ARCHES))),
        "installation": Key(ListOf(Choice(INSTALLATIONS))),
        "events": Key(ListOf(_EdgeShape()), "always"),
        "open_ended": Key(Text(300)),
        "note": Key(Text(500, lines=True)),
    },
    "an entry of `affected`",
)


@dataclass(frozen=True, slots=True)
class AffectedShape:
    """One entry of `affected`."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the entry."""
        values = _TABLE.read(node, path, problems)
        if isinstance(values, Bad) or not values["branch"] or not values["events"]:
            return BAD
        assert isinstance(node, MapNode)
        return Affected(
            values["branch"],
            values["events"],
            values.get("installation", ()),
            values.get("arch", ()),
            values.get("editions", ()),
            values.get("products", ()),
            values.get("open_ended", ""),
            values.get("note", ""),
            first_mark(node),
        )
