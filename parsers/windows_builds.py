"""The update levels of Windows: which KB a build and its revision (UBR) stand for.

A cumulative update is named by `CurrentBuild.UBR`, not by a package: this table turns the one into the other. It is
data (`data/windows_builds.json`) gathered from public lists, with the letters of its sources on every row; the file
says where each comes from. Where two sources name different KBs for one level the other one stands in `conflicts`.

A *file* version is another thing than an OS build: a component keeps the number of the build it last changed in.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["Branch", "Release", "base_of", "branches", "lookup", "release_of_kb", "shares_with"]

_TABLE = Path(__file__).parent / "data" / "windows_builds.json"
_KB = re.compile(r"\s*(?:KB)?\s*(\d{6,8})\s*", re.IGNORECASE)

#: Builds that run the files of an older one, switched on by an enablement package: file versions, dump headers and
#: events name the older build. Microsoft says of 1903/1909 and of 2004/20H2 that they share a common core operating
#: system with an identical set of system files; the later pairs follow the same way.
_FILES_OF = {
    18363: 18362,
    19042: 19041,
    19043: 19041,
    19044: 19041,
    19045: 19041,
    22631: 22621,
    26200: 26100,
}
#: Branches whose revisions and KBs were the same in every row that both lists have.
_SAME_LEVELS = {20349: 20348}


@dataclass(frozen=True, slots=True)
class Release:
    """One published update level.

    Attributes:
        build: OS build (17763).
        ubr: revision; None on 9600, whose list knows KBs alone.
        kb: "KB4601345", or None for a level without an update of its own (as released).
        date: day of release, "2021-02-09", or None.
        kind: "B" (second Tuesday), "OOB", "preview", "SSU" (servicing stack), "other", or None.
        sources: letters of the lists that name it; the data file tells what they stand for.
        conflicts: KBs that another list names for the same level.

    """

    build: int
    ubr: int | None
    kb: str | None
    date: str | None
    kind: str | None
    sources: tuple[str, ...]
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """One servicing branch, its releases in ascending order.

    Attributes:
        build: OS build.
        nt: version of the kernel, "10.0".
        products: what is sold under this build.
        complete: whether the list has no known holes between its first and last day.
        status: what is known of the list's completeness.
        releases: its levels.

    """

    build: int
    nt: str
    products: str
    complete: bool
    status: str
    releases: tuple[Release, ...]


@lru_cache(maxsize=1)
def branches() -> dict[int, Branch]:
    """Return every branch by its build."""
    document: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return {
        int(build): Branch(
            int(build),
            row["nt"],
            row["products"],
            row["complete"],
            row["status"],
            tuple(
                Release(
                    item["build"],
                    item["ubr"],
                    item["kb"],
                    item["date"],
                    item["kind"],
                    tuple(item["src"]),
                    tuple(item.get("conflicts", ())),
                )
                for item in row["releases"]
            ),
        )
        for build, row in document["branches"].items()
    }


@lru_cache(maxsize=1)
def _levels() -> dict[tuple[int, int], Release]:
    return {
        (release.build, release.ubr): release
        for branch in branches().values()
        for release in branch.releases
        if release.ubr is not None
    }


@lru_cache(maxsize=1)
def _by_kb() -> dict[str, list[Release]]:
    found: dict[str, list[Release]] = {}
    for branch in branches().values():
        for release in branch.releases:
            if release.kb is not None:
                found.setdefault(release.kb, []).append(release)
    return found


def lookup(build: int, ubr: int) -> Release | None:
    """Return the update that brought a machine to this level, or None when no list has it.

    A level that is missing in the list of Azure Stack HCI 22H2 (20349) is looked up in Server 2022 (20348), whose
    levels are the same; the answer then carries that build, so that a reader sees where it came from.
    """
    found = _levels().get((build, ubr))
    if found is None and build in _SAME_LEVELS:
        found = _levels().get((_SAME_LEVELS[build], ubr))
    return found


def release_of_kb(kb: str) -> list[Release]:
    """Return the levels that an update brought, one for each build it was made for ("KB5003171", "5003171")."""
    match = _KB.fullmatch(kb)
    return list(_by_kb().get(f"KB{match.group(1)}", ())) if match else []


def base_of(build: int) -> int:
    """Return the build whose files a machine of this build runs (18363 runs those of 18362)."""
    return _FILES_OF.get(build, build)


def shares_with(build: int) -> tuple[int, ...]:
    """Return the builds with the same system files, this one among them, ascending."""
    base = base_of(build)
    return tuple(sorted({base, build, *(other for other, files in _FILES_OF.items() if files == base)}))
